"""Points in the source of a task at which a fault may strike."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from harness.errors import UsageError

__all__ = ["lines_of"]


def lines_of(task: Any) -> tuple[str, ...]:
    """Every statement of a task's own body, as points (package/module.py:41), in their order.

    The module's file is named by its import path, so that the same point is found wherever the app is installed. UsageError for a task
    without source.
    """
    run = inspect.unwrap(getattr(task.run, "__func__", task.run))
    try:
        source, first = inspect.getsourcelines(run)
    except (OSError, TypeError) as exc:
        raise UsageError(
            f"{task.name}: its source cannot be read: {exc}", hint="name the points: start, end, before_ack, after_ack"
        ) from None
    function = ast.parse(textwrap.dedent("".join(source))).body[0]
    assert isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    numbers = sorted({node.lineno for statement in body for node in ast.walk(statement) if isinstance(node, ast.stmt)})
    file = f"{run.__module__.replace('.', '/')}.py"
    return tuple(f"{file}:{first + number - 1}" for number in numbers)
