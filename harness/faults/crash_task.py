"""task.crash: the worker dies exactly where a task reaches a point: start, end, a line, before or after its ack."""

from __future__ import annotations

import re
from typing import ClassVar

from harness.faults.kill_worker import KillWorker
from harness.model.history import Evidence, FaultRecord, History
from harness.ports.fault import Begun
from harness.ports.system import KillsWorkers

__all__ = ["CrashTask"]

_NAMED = re.compile(r" reaches (start|end|before_ack|after_ack),")


class CrashTask(KillWorker):
    """Needs `when`. The same SIGKILL as worker.kill, but never at a time: always at a point."""

    name: ClassVar[str] = "task.crash"
    summary: ClassVar[str] = "SIGKILL to the worker when a task reaches a point"
    needs_event: ClassVar[bool] = True

    def begin(self, system: KillsWorkers) -> Begun:
        """Never called: the agent strikes."""
        raise AssertionError("task.crash is armed in the agent")

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """The point was reached and the worker died there. A crash after the ack leaves no open delivery, and yet it bit."""
        if record.begun is None:
            return Evidence(False, f"never begun: {record.note or 'the point was not reached'}")
        where = f" before {record.file}:{record.line}" if record.file and record.line else ""
        if named := _NAMED.search(record.planned):  # the line is that of the task's `def` then
            where = f" at {named[1]}"
        if not where and record.note.startswith("effect "):
            where = f" while a call was pending, {record.note}"
        return Evidence(True, f"the worker died in task {record.task_id[:8]}{where}")
