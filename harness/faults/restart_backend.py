"""backend.restart and backend.kill: the result backend's server goes and comes back, with its results or without (F49, F50)."""

from __future__ import annotations

from typing import ClassVar

from harness.faults._servers import DownParameters, RestartServer
from harness.model.history import FaultRecord, History
from harness.ports.fault import FaultParameters

__all__ = ["KillBackend", "RestartBackend"]

#: Results that expire sooner than this many seconds may be gone without any fault.
_LONG = 3600.0


class RestartBackend(RestartServer):
    """Tasks that end meanwhile wait with their result, or fail to store it. One without persistence forgets all others."""

    name: ClassVar[str] = "backend.restart"
    summary: ClassVar[str] = "stop the result backend and start it again"
    part_hit: ClassVar[str] = "backend"
    hits: ClassVar[str] = "backend"

    def further_signs(self, record: FaultRecord, history: History) -> dict[str, float]:
        """Results of tasks that ended before are not there any more, and those of the same tasks that ended afterwards are."""
        expires = history.config.get("result_expires")
        short_lived = isinstance(expires, (int, float)) and 0 < expires < _LONG
        if short_lived or not history.results_read or record.begun is None or record.ended is None:
            return {}
        begun, ended = record.begun, record.ended
        done = [(d, d.end, d.message.task_id in history.results) for d in history.deliveries.values() if d.state == "SUCCESS" and d.end]
        stored_since = {d.message.task for d, end, stored in done if end > ended and stored}
        gone = {d.message.task_id for d, end, stored in done if end < begun and not stored and d.message.task in stored_since}
        return {"gone": float(len(gone))} if gone else {}


class KillBackend(RestartBackend):
    """Nothing is written that was not on disk already."""

    name: ClassVar[str] = "backend.kill"
    summary: ClassVar[str] = "SIGKILL to the result backend, then start it again"
    Parameters: ClassVar[type[FaultParameters]] = DownParameters
    by_kill: ClassVar[bool] = True
