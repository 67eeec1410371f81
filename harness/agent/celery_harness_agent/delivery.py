"""One delivery of a message to a task, as a worker's pool process has it: decoded, traced and judged by Celery's own code."""

from __future__ import annotations

import base64
import inspect
import traceback
from typing import Any

from celery_harness_agent.frames import Frames
from celery_harness_agent.lines_of_stops import Lines, qualified_name

__all__ = ["deliver"]

_LIMIT = 300


def deliver(app: Any, raw: dict[str, Any], redelivered: bool, hostname: str, frames: Frames, lines: Lines | None) -> dict[str, Any]:
    """Run it. ``raw``: the envelope as kombu's virtual transports hold it.

    Answers {outcome: SUCCESS, FAILURE, RETRY, IGNORED, REJECTED or DIED; result, error, traceback, requeue, place, returned}. What ends
    the process of a worker's pool (SystemExit, MemoryError) is DIED here. ``returned``: the task did its work, but its result could not
    be stored; ``place`` is where it returned then, if ``lines`` have followed it.
    """
    told = {"outcome": "IGNORED", "result": "", "error": "", "traceback": "", "requeue": False, "place": None, "returned": False}
    try:
        request = _request(app, _message(app, raw, redelivered), hostname)
        if request.revoked():
            return {**told, "error": "the message has expired, so Celery discards it"}
        return {**told, **_run(request, hostname, frames, lines)}
    except (SystemExit, KeyboardInterrupt, MemoryError) as exc:
        return {**told, **_described(exc, exc.__traceback__, frames), "outcome": "DIED"}
    except Exception as exc:  # before it ran: a message that it does not accept, say. A worker tells of it as of the task's failure
        return {**told, **_described(exc, exc.__traceback__, frames), "outcome": "FAILURE"}


def _message(app: Any, raw: dict[str, Any], redelivered: bool) -> Any:
    from kombu.message import Message
    from kombu.serialization import prepare_accept_content

    properties = dict(raw.get("properties") or {})
    body = raw.get("body") or ""
    if properties.get("body_encoding") == "base64":
        body = base64.b64decode(body)
    return Message(
        body=body,
        delivery_tag=properties.get("delivery_tag"),
        content_type=raw.get("content-type"),
        content_encoding=raw.get("content-encoding"),
        headers=dict(raw.get("headers") or {}),
        properties=properties,
        delivery_info={**(properties.get("delivery_info") or {}), "redelivered": redelivered},
        accept=prepare_accept_content(app.conf.accept_content),
    )


def _request(app: Any, message: Any, hostname: str) -> Any:
    """The worker's Request of it (celery.worker.strategy.default). Nobody acknowledges: the broker's part is the explorer's."""
    from celery.utils.imports import symbol_by_name
    from celery.worker.strategy import hybrid_to_proto2, proto1_to_proto2

    headers = message.headers
    if "id" in headers and "task" in headers:
        body, decoded, utc = message.body, False, app.uses_utc_timezone()
    elif "args" in message.payload:
        body, headers, decoded, utc = hybrid_to_proto2(message, message.payload)
    else:
        body, headers, decoded, utc = proto1_to_proto2(message, message.payload)
    task = app.tasks[headers["task"]]
    kind = symbol_by_name(task.Request)
    return kind(
        message,
        **{"app": app, "hostname": hostname, "task": task},
        **{"body": body, "headers": headers, "decoded": decoded, "utc": utc},
    )


def _run(request: Any, hostname: str, frames: Frames, lines: Lines | None) -> dict[str, Any]:
    from celery.app import trace
    from kombu.exceptions import EncodeError

    where = (*trace._localized[:2], hostname)  # tasks, accepted content types, the worker that the task is told of
    answer = trace.fast_trace_task(
        request.type, request.id, request.request_dict, request.body, request.content_type, request.content_encoding, _loc=where
    )
    failed, value, _ = answer
    told: dict[str, Any] = {"outcome": "SUCCESS", "result": str(value)[:_LIMIT]}
    if failed:
        told = {**_outcome(value), **_described(_inner(value.exception), getattr(value, "tb", None), frames)}
        if isinstance(_inner(value.exception), EncodeError) and told["place"] is None:
            told["returned"], told["place"] = True, lines and lines.left_at(inspect.unwrap(request.task.run).__code__)
    request.on_success(answer)  # what the worker's main process does about it: it stores the failure of a rejected one
    return told


def _inner(exc: BaseException) -> BaseException:
    """Of what travels between processes with its traceback as text."""
    return getattr(exc, "exc", exc) if type(exc).__name__ == "ExceptionWithTraceback" else exc


def _outcome(info: Any) -> dict[str, Any]:
    from celery.exceptions import Ignore, Reject, Retry

    exc = _inner(info.exception)
    if isinstance(exc, Reject):
        return {"outcome": "REJECTED", "requeue": bool(exc.requeue)}
    if isinstance(exc, Ignore):
        return {"outcome": "IGNORED"}
    return {"outcome": "RETRY" if isinstance(exc, Retry) else "FAILURE"}


def _described(exc: BaseException, tb: Any, frames: Frames) -> dict[str, Any]:
    """Its text, the user's frames of its traceback, and the innermost of those."""
    from celery.exceptions import Reject

    cause = getattr(exc, "exc", None)
    shown = cause if isinstance(cause, BaseException) else exc  # of a Retry: what it is retried for
    own = []
    while tb is not None:
        code = tb.tb_frame.f_code
        if frames.is_user(code.co_filename):
            own.append((tb.tb_frame.f_globals.get("__name__") or "", code, tb.tb_lineno))
        tb = tb.tb_next
    said = exc.reason if isinstance(exc, Reject) else shown  # Celery puts `requeue` into its text too
    text = f"{type(shown).__name__}: {said}"[:_LIMIT]
    summary = traceback.StackSummary.from_list([(code.co_filename, line, code.co_name, None) for _, code, line in own])
    told = {"error": text, "traceback": "".join(traceback.format_list(summary)) + text, "place": None}
    if own:
        module, code, line = own[-1]
        told["place"] = {"module": module, "function": qualified_name(code), "file": code.co_filename, "line": line}
    return told
