"""When what a task publishes is due: a reminder that a crash has come at once, rather than in three hours, is another one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.explore.reckoned import FURTHER, SLACK
from harness.model.exploration import Message
from harness.model.quantities import format_duration
from harness.ports.exploring import Node

__all__ = ["Early"]


class Early:
    """``first``: the world before; ``runs``: of each clean execution what it left at its stops."""

    def __init__(self, first: Node, runs: Iterable[Iterable[Node]]) -> None:
        self._begun = first.at
        waits: dict[str, list[float]] = defaultdict(list)
        for run in runs:
            own: dict[str, float] = {}
            for node in run:
                for message in _published(node):
                    own[_call(message)] = max(message.eta, own.get(_call(message), 0.0))
            for call, eta in own.items():
                waits[call].append(eta)
        self._least = {call: min(etas) - SLACK - FURTHER * (max(etas) - min(etas)) for call, etas in waits.items()}
        self._expected = {call: etas[0] for call, etas in waits.items()}

    def of(self, node: Node) -> tuple[Mapping[str, Any], ...]:
        """As `Surroundings.differences` has them. What was published before a crash is due sooner by the time that has gone by since."""
        passed = node.at - self._begun
        return tuple(
            {
                "collection": "broker.messages",
                "row": {"task": message.task},
                "before": None,
                "after": {"due": _words(message.eta)},
                "expected": {"due": _words(self._expected[_call(message)])},
            }
            for message in _published(node)
            if message.eta + passed < self._least.get(_call(message), 0.0)
        )


def _published(node: Node) -> Iterator[Message]:
    """By a task: neither given back nor a retry, whose wait depends on which one it is."""
    return (message for message in node.pending if not message.redelivered and not message.retries)


def _words(eta: float) -> str:
    return f"in {format_duration(round(eta))}" if eta >= 1 else "at once"


def _call(message: Message) -> str:
    headers = message.raw.get("headers")
    told = headers if isinstance(headers, Mapping) else {}
    return repr((message.task, told.get("argsrepr"), told.get("kwargsrepr")))
