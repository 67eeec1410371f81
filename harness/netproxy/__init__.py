"""The network between the parts of a system, through Toxiproxy: one client, and a server of our own with the same HTTP API.

``client`` drives either server; ``program`` finds the one to start; ``python -m harness.netproxy`` is ours. Where the two
servers differ is written in ``differences``, and `tests/conformance` holds everything else to be the same.
"""

from __future__ import annotations
