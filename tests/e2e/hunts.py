"""Six planted bugs and their right twins, each as a state machine: what tests/e2e and tests/bench/hypothesis_hunt.py hunt for."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from harness.testing.configuration import Configuration
from harness.testing.machine import HarnessMachine
from harness.testing.strategies import calls, chords
from harness.testing.trials import Budget

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Hunt:
    """``word``: of the finding that the broken twin must give. ``rules``: further class attributes of the machine."""

    bug: str
    broken: str
    right: str
    word: str
    task: str
    document: Mapping[str, Any]
    drawn: SearchStrategy[Any]
    rules: Mapping[str, Any]
    lines: bool = False  # crash at every line of the task

    def machine(self, app: str, reports: Path, budget: Budget) -> type[HarnessMachine]:
        """Of one of the twins."""
        system = {**self.document["system"], "app": f"sample_tasks.{app}:app"}
        found = Configuration({**self.document, "system": system}, ROOT, f"the hunt for {self.bug}", "processes", reports)
        rules = dict(self.rules)
        if self.lines:
            rules["points"] = ("before_ack", *_lines(app, self.task.rpartition(".")[2]))
        own = {"calls": self.drawn, "configuration": found, "budget": budget, "step_count": 6, **rules}
        return type(f"Hunt_{app}", (HarnessMachine,), own)


def _lines(app: str, function: str) -> list[str]:
    """As `lines_of` has them. Twins are not imported into one process: Celery shares tasks of one name between apps."""
    tree = ast.parse((ROOT / "sample_tasks" / f"{app}.py").read_text())
    (found,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    numbers = sorted({node.lineno for statement in found.body[1:] for node in ast.walk(statement) if isinstance(node, ast.stmt)})
    return [f"sample_tasks/{app}.py:{number}" for number in numbers]


def _document(world: str, workers: Mapping[str, Any], checks: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    system = {"setup": f"sample_tasks.{world}:create", "broker": "redis", "redelivery": "2s", "workers": workers, **more.pop("system")}
    return {"seed": 1, "system": system, "checks": checks, **more}


def _first(call: Any) -> Any:
    """Two calls for one thing depend on their order."""
    return call.args[0]


_CARDS = {
    "services": {"db": "sqlite", "card_api": {"http": {"idempotency_key": "Idempotency-Key"}}},
    "env": {"DATABASE_URL": "${{ db.url }}", "CARD_API": "${{ card_api.url }}"},
}
_ORDERS = _document(
    "orders_world",
    # One task per worker: with a place free a worker that is killed may be taking a message, which Redis then loses (F67).
    {"pay": {"queues": ["payments"], "replicas": 2, "concurrency": 1}},
    {"no_loss": {}, "idempotent": {"observe": ["db", "card_api"], "ignore": ["orders.updated_at"]}},
    system=_CARDS,
)
_ORDER = calls("orders.charge", st.integers(1, 4), st.sampled_from((900, 20_000)))
_PRICES = {
    "services": {"db": "sqlite", "partner": {"http": {"idempotency_key": "Idempotency-Key"}}},
    "env": {"DATABASE_URL": "${{ db.url }}", "PARTNER_API": "${{ partner.url }}"},
}
_IMPORTERS = {"importers": {"queues": ["imports"], "concurrency": 2}}
_ARTICLE = calls("importer.fetch", st.sampled_from(("A-00001", "A-00002", "A-00003")), st.sampled_from((100, 250)))
_CUT_OFF = {"faults": ("partition",), "modes": ("refuse",), "lengths": ("1s",), "distinct": staticmethod(_first)}

HUNTS = (
    Hunt(
        "a duplicate charge",
        "orders_broken",
        "orders",
        "EFFECT",
        "orders.charge",
        _ORDERS,
        _ORDER,
        {"faults": ("crash", "duplicate"), "distinct": staticmethod(_first)},
        lines=True,
    ),
    Hunt(
        "an order lost on an early ack",
        "orders_early",
        "orders",
        "LOST",
        "orders.charge",
        {**_ORDERS, "checks": {"no_loss": {}}},
        _ORDER,
        {"faults": ("crash",), "points": ("end", "after_ack"), "distinct": staticmethod(_first)},
    ),
    Hunt(
        "a shipment stuck after a partition",
        "shipments_broken",
        "shipments",
        "EFFECT",
        "shipments.book",
        _document(
            "shipments_world",
            {"bookers": {"queues": ["shipments"], "concurrency": 2}},
            {"no_loss": {}, "idempotent": {}},
            system={
                "services": {"db": "sqlite", "courier": {"http": {"idempotency_key": "Idempotency-Key"}}},
                "env": {"DATABASE_URL": "${{ db.url }}", "COURIER_API": "${{ courier.url }}"},
            },
            time={"retries": "/5"},
        ),
        calls("shipments.book", st.integers(1, 4), st.sampled_from((1, 20))),
        {**_CUT_OFF, "parts": ("courier",)},
    ),
    Hunt(
        "a storm of retries",
        "importer_storm_broken",
        "importer",
        "STORM",
        "importer.fetch",
        _document("importer_world", _IMPORTERS, {"no_loss": {}, "no_storm": {"max_starts": 8}}, system=_PRICES, time={"retries": "/5"}),
        _ARTICLE,
        {**_CUT_OFF, "parts": ("partner",), "lengths": ("2s",)},
    ),
    Hunt(
        "retries beyond the budget",
        "importer_budget_broken",
        "importer",
        "RETRY",
        "importer.fetch",
        _document(
            "importer_world",
            _IMPORTERS,
            {"no_loss": {}, "retry_policy": {"importer.fetch": {"max_retries": 5}}},
            system=_PRICES,
            time={"retries": "/20"},
        ),
        _ARTICLE,
        {**_CUT_OFF, "parts": ("partner",), "lengths": ("2s",)},
    ),
    Hunt(
        "a chord's body counted twice",
        "albums_broken",
        "albums",
        "EFFECT",
        "albums.ready",
        _document(
            "albums_world",
            {"album": {"queues": ["albums"], "concurrency": 1}},
            {"no_loss": {}, "idempotent": {}},
            system={
                "backend": "redis",
                "services": {"db": "sqlite", "shelf": "files"},
                "env": {"DATABASE_URL": "${{ db.url }}", "ALBUM_DIR": "${{ shelf.path }}"},
            },
        ),
        chords(
            calls("albums.thumbnail", st.sampled_from(("beach", "hill"))),
            calls("albums.ready", album=st.sampled_from(("summer", "winter"))),
            max_size=1,
        ),
        {"faults": ("crash",), "points": ("before_ack",), "max_faults": 1, "distinct": staticmethod(lambda chord: chord.body.kwargs)},
    ),
)


def with_budget(examples: int, **more: Any) -> Budget:
    """As the hunts have it: few steps to shrinking."""
    return replace(Budget(examples=examples, silent=0.8), **more)
