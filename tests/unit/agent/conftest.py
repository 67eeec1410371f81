"""The agent is no part of the `harness` package: it is on the path as a folder, as in a worker."""

from __future__ import annotations

import sys
from pathlib import Path

AGENT = str(Path(__file__).resolve().parents[3] / "harness" / "agent")
if AGENT not in sys.path:
    sys.path.insert(0, AGENT)
