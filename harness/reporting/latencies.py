"""The run's four latencies in one line, for summaries."""

from __future__ import annotations

from harness.model.measures import Measure, MetricName
from harness.model.quantities import format_duration
from harness.model.result import RunResult
from harness.reporting.ink import Line, wrapped

__all__ = ["NAMES", "latencies_text", "latency_lines", "law_text", "of_whole_load"]

NAMES: dict[MetricName, str] = {
    "publish_latency": "publish",
    "queue_wait": "queue wait",
    "run_time": "run",
    "end_to_end_latency": "end to end",
}


def latencies_text(result: RunResult) -> str:
    """'p50 / p99: publish 1 ms / 4 ms, queue wait …'; '' where nothing was measured."""
    parts = [f"{NAMES[m.metric]} {_shown(m.summary.p50)} / {_shown(m.summary.p99)}" for m in of_whole_load(result)]
    return f"p50 / p99: {', '.join(parts)}" if parts else ""


def latency_lines(result: RunResult) -> list[Line]:
    """The same for the terminal, under the charts."""
    head = "  latencies".ljust(17)
    lines = wrapped(text, first=head, indent=len(head)) if (text := latencies_text(result)) else []
    return [[("", head), ("dim", lines[0][len(head) :])], *([("dim", line)] for line in lines[1:])] if lines else []


def of_whole_load(result: RunResult) -> list[Measure]:
    """One measure per latency, over all of the load."""
    return [m for m in result.measures if not (m.task or m.queue or m.worker or m.phase)]


def law_text(result: RunResult) -> str:
    """What Little's law says of the run, where it does not hold, and why it says nothing where it cannot tell; else ''."""
    law = result.little
    if law is None or law.holds:
        return ""
    held = (
        f"the broker held {law.counted:,.1f} messages in the mean, which by the journals should be "
        f"{law.computed:,.1f} ± {law.error:,.1f} (Little's law)"
    )
    return f"Latencies are in doubt: {held}." if law.holds is False else f"Nothing confirms these latencies: {held}; {law.silent}."


def _shown(seconds: float | None) -> str:
    return "never" if seconds is None else format_duration(seconds)
