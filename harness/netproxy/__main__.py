"""`python -m harness.netproxy`: the embedded server."""

from __future__ import annotations

import sys

from harness.netproxy.server import main

sys.exit(main())
