"""`from harness.locust import CeleryUser`: for locustfiles, where the harness is installed beside Locust.

Importing this imports Locust, which patches everything with gevent: nothing of the harness's own imports it. Where only the
folder of the agent is on the path, `from celery_harness_locust import CeleryUser` is the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

_AGENT = str(Path(__file__).resolve().parent / "agent")
if _AGENT not in sys.path:
    sys.path.append(_AGENT)

from celery_harness_locust import CeleryUser  # noqa: E402 (found by the line before)

__all__ = ["CeleryUser"]
