"""`from harness.locust import CeleryUser`: for locustfiles, where the harness is installed beside Locust.

Importing this imports Locust, which patches everything with gevent: nothing of the harness's own imports it. Where only the
folder of the agent is on the path, `from celery_harness_locust import CeleryUser` is the same.

`python -m harness.locust locust-worker.json -f FILE --master-port 5557` is a Locust worker for a run that is on another machine
(docs/load-hosts.md).
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

_AGENT = str(Path(__file__).resolve().parent / "agent")
if _AGENT not in sys.path:
    sys.path.append(_AGENT)

from celery_harness_locust import CeleryUser  # noqa: E402 (found by the line before)

__all__ = ["CeleryUser"]

_USAGE = "usage: python -m harness.locust locust-worker.json -f FILE [--master-host HOST] [--master-port PORT] [options of locust]\n"


def _work_for_a_run(arguments: list[str]) -> None:
    """Becomes the agent's program. The file is the one that the run named when it waited for workers."""
    if not arguments or not Path(arguments[0]).is_file():
        sys.stderr.write(_USAGE)
        sys.exit(2)
    os.environ["CELERY_HARNESS_AGENT"] = arguments[0]
    sys.argv = ["celery_harness_agent", "locust", "--worker", *arguments[1:]]
    runpy.run_module("celery_harness_agent", run_name="__main__")


if __name__ == "__main__":
    _work_for_a_run(sys.argv[1:])
