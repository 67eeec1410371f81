"""Faults: one short file each, one line here."""

from __future__ import annotations

from collections.abc import Mapping

from harness.faults.crash_task import CrashTask
from harness.faults.delay_network import DelayNetwork
from harness.faults.disconnect_worker import DisconnectWorker
from harness.faults.duplicate_message import DuplicateMessage
from harness.faults.flush_broker import FlushBroker
from harness.faults.kill_child import KillChild
from harness.faults.kill_worker import KillWorker
from harness.faults.limit_bandwidth import LimitBandwidth
from harness.faults.partition_network import PartitionNetwork
from harness.faults.pause_broker import PauseBroker
from harness.faults.pause_server import PauseBackend, PauseDatabase
from harness.faults.pause_worker import PauseWorker
from harness.faults.restart_backend import KillBackend, RestartBackend
from harness.faults.restart_broker import KillBroker, RestartBroker
from harness.faults.restart_database import RestartDatabase
from harness.faults.scale_workers import ScaleWorkers
from harness.faults.stop_worker import StopWorker, StopWorkerCold
from harness.ports.fault import Fault

__all__ = ["FAULTS"]

_ALL: tuple[type[Fault], ...] = (
    CrashTask,
    DelayNetwork,
    DisconnectWorker,
    DuplicateMessage,
    FlushBroker,
    KillBackend,
    KillBroker,
    KillChild,
    KillWorker,
    LimitBandwidth,
    PartitionNetwork,
    PauseBackend,
    PauseBroker,
    PauseDatabase,
    PauseWorker,
    RestartBackend,
    RestartBroker,
    RestartDatabase,
    ScaleWorkers,
    StopWorker,
    StopWorkerCold,
)

FAULTS: Mapping[str, type[Fault]] = {fault.name: fault for fault in _ALL}
