"""Checks: each a pure function of what a run recorded. A new one is a file and a line in this table."""

from __future__ import annotations

from harness.checks.drains import Drains
from harness.checks.idempotent import Idempotent
from harness.checks.no_duplicates import NoDuplicates
from harness.checks.no_loss import NoLoss
from harness.checks.no_storm import NoStorm
from harness.checks.recovery import RecoversInTime
from harness.checks.retry_policy import RetryPolicy
from harness.checks.state_agrees import StateAgrees
from harness.checks.thresholds import Thresholds
from harness.ports.check import Check

__all__ = ["CHECKS"]

#: In the order of the report.
CHECKS: dict[str, type[Check]] = {
    check.name: check for check in (NoLoss, Idempotent, RetryPolicy, NoStorm, Drains, NoDuplicates, RecoversInTime, StateAgrees, Thresholds)
}
