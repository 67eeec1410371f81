"""Faults: one short file each, one line here."""

from __future__ import annotations

from collections.abc import Mapping

from harness.faults.crash_task import CrashTask
from harness.faults.duplicate_message import DuplicateMessage
from harness.faults.kill_child import KillChild
from harness.faults.kill_worker import KillWorker
from harness.faults.pause_broker import PauseBroker
from harness.faults.pause_worker import PauseWorker
from harness.faults.restart_broker import RestartBroker
from harness.faults.scale_workers import ScaleWorkers
from harness.faults.stop_worker import StopWorker, StopWorkerCold
from harness.ports.fault import Fault

__all__ = ["FAULTS"]

_ALL: tuple[type[Fault], ...] = (
    CrashTask,
    DuplicateMessage,
    KillChild,
    KillWorker,
    PauseBroker,
    PauseWorker,
    RestartBroker,
    ScaleWorkers,
    StopWorker,
    StopWorkerCold,
)

FAULTS: Mapping[str, type[Fault]] = {fault.name: fault for fault in _ALL}
