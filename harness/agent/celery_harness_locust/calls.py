"""The calls that a locustfile writes out: `self.celery.send("orders.charge", …)`, held against the tasks that there are."""

from __future__ import annotations

import ast
from pathlib import Path

from celery_harness_locust.errors import unknown_task

__all__ = ["wrong_calls"]

_SENDS = ("send", "apply", "send_and_wait")


def wrong_calls(path: str, apps: dict[str, list[str]]) -> list[tuple[int, str]]:
    """(line, what is wrong) of each literal name that its app does not know. Names that are computed are seen when they are sent."""
    (app, tasks), *_ = apps.items()
    tree = ast.parse(Path(path).read_bytes())
    return [(line, str(unknown_task(name, app, tasks))) for line, name in _literal_names(tree) if name not in tasks]


def _literal_names(tree: ast.AST) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in _SENDS:
            continue
        owner = node.func.value
        first = node.args[0] if node.args else None
        if isinstance(owner, ast.Attribute) and owner.attr == "celery" and isinstance(first, ast.Constant) and isinstance(first.value, str):
            found.append((first.lineno, first.value))
    return sorted(found)
