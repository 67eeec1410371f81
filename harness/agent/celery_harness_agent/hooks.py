"""Records what a worker does: deliveries, acks, rejects, connections, and the rare rest."""

from __future__ import annotations

import json
import os
import threading
from typing import Any, Callable, Dict

from celery_harness_agent import config
from celery_harness_agent.company import Company
from celery_harness_agent.context import CALL, CAUSE, COPY, DELIVERY, MESSAGE, delivery_of
from celery_harness_agent.effects import Effects
from celery_harness_agent.frames import Frames, place_of
from celery_harness_agent.journal import Journal, mono, optional, quoted
from celery_harness_agent.launch import die_with_parent
from celery_harness_agent.settings import EX_CONFIG, Settings
from celery_harness_agent.tracing import Tracing, exception_name
from celery_harness_agent.triggers import Armed, Trigger

__all__ = ["Hooks", "described_tasks"]

_NOTHING: dict[str, Any] = {}
_EMPTY, _NULL = '""', "null"
_MOST_NAMES = 10_000

_TASK_POLICY = (
    "acks_late",
    "reject_on_worker_lost",
    "max_retries",
    "default_retry_delay",
    "autoretry_for",
    "dont_autoretry_for",
    "retry_backoff",
    "retry_backoff_max",
    "retry_jitter",
    "retry_kwargs",
    "ignore_result",
    "time_limit",
    "soft_time_limit",
    "rate_limit",
)


class Hooks:
    """The hooks of one worker: its main process, and by inheritance its pool children."""

    def __init__(self, settings: Settings, journal: Journal, frames: Frames, company: Company, effects: Effects) -> None:
        self.settings = settings
        self.journal = journal
        self.emit = journal.emit
        self.armed = Armed(settings, journal, frames)
        self.company = company
        self.effects = effects
        self.tracing = Tracing(journal, frames, self.armed, company, effects)
        self.main = os.getpid()
        self.prefork = True
        self.told_settings = False
        self._forked_by_main_thread = True
        self._names = _Quoted()
        self._places: dict[str, tuple[str | None, int | None]] = {}

    def install(self, app: Any) -> None:
        """Everything that needs the app; before the worker is built."""
        app.steps["consumer"].add(_agent_step(self))
        self._hook_messages()
        self._hook_signals(app)
        os.register_at_fork(before=self._before_fork)

    # --- deliver ----------------------------------------------------------------------------------------------------

    def delivered(self, message: Any) -> str:
        """Record one hand-over and give it an id, in the headers, where acks and the pool child find it."""
        headers = message.headers
        try:
            fields, identity, stamp, name = headers, headers["id"], headers.get(MESSAGE), self._names[headers["task"]]
            quoted_id, retries = quoted(identity), _number(headers["retries"])
            message_id = quoted(stamp) if stamp else f'"foreign:{quoted_id[1:-1]}:{retries}"'
            call, copy = _number(headers.get(CALL)), _number(headers.get(COPY))
        except (KeyError, TypeError, AttributeError):  # of protocol 1, or corrupted: never the end of the consumer
            fields = _fields_of(message)
            retries, name, quoted_id = _number(fields.get("retries")), quoted(str(fields.get("task"))), quoted(str(fields.get("id")))
            stamps = headers if isinstance(headers, dict) else {}
            call, copy, stamp = _number(stamps.get(CALL)), _number(stamps.get(COPY)), stamps.get(MESSAGE)
            identity, message_id = fields.get("id"), quoted(_message_id(message, fields))
        root, parent, cause = fields.get("root_id"), fields.get("parent_id"), fields.get(CAUSE)
        eta, expires, info = fields.get("eta"), fields.get("expires"), message.delivery_info or _NOTHING
        delivery = self.journal.new_id()
        ids = f'"d":"{delivery}","id":{quoted_id},"tag":{quoted(str(message.delivery_tag))}'
        self.emit(
            f'{{"k":"deliver","m":{mono()},{ids},"msg":{message_id},"n":{name},"r":{retries},'
            f'"re":{1 if info.get("redelivered") else 0},"q":{self._names[info.get("routing_key")]},'
            f'"copy":{copy},"call":{call},"cause":{quoted(str(cause)) if cause else _EMPTY},"foreign":{0 if stamp else 1},'
            f'"eta":{_NULL if eta is None else optional(eta)},"expires":{_NULL if expires is None else optional(expires)},'
            f'"root":{quoted_id if root == identity else optional(root)},"parent":{_NULL if parent is None else optional(parent)}}}\n'
        )
        if isinstance(headers, dict):
            headers[DELIVERY] = delivery
            message.harness_ids = ids
        return delivery

    def undecodable(self, message: Any, exc: BaseException) -> None:
        """Celery acks such a message and sends no signal. It may come without having passed the task handler."""
        self.outcome("undecodable", message, exception_name(exc))

    def outcome(self, kind: str, message: Any, why: str) -> None:
        """A delivery that no task will run."""
        delivery = delivery_in(message) or self.delivered(message)
        fields = _fields_of(message)
        self.emit(
            f'{{"k":"{kind}","m":{mono()},"d":"{delivery}","msg":{quoted(_message_id(message, fields))},'
            f'"id":{quoted(str(fields.get("id")))},"why":{quoted(why[:300])}}}\n'
        )

    # --- ack, reject --------------------------------------------------------------------------------------------------

    def _hook_messages(self) -> None:
        """When the broker was told, recorded after the call: `Request.acknowledge` only queues it in the event loop."""
        from kombu import message as kombu_message

        kind: Any = kombu_message.Message
        do_ack, do_reject, do_requeue = kind.ack, kind.reject, kind.requeue
        emit = self.emit
        armed = self.armed
        before, after = armed.at("before_ack"), armed.at("after_ack")

        def ack(message: Any, *args: Any, **kwargs: Any) -> None:
            nonlocal before, after
            if armed.live:
                armed.refresh()
                before, after = armed.at("before_ack"), armed.at("after_ack")
            if before:
                self._reach(before, message)
            do_ack(message, *args, **kwargs)
            ids = getattr(message, "harness_ids", None)
            if ids:
                emit(f'{{"k":"ack","m":{mono()},{ids}}}\n')
                if after:
                    self._reach(after, message)

        def rejected(message: Any, requeue: bool) -> None:
            ids = getattr(message, "harness_ids", None)
            if ids:
                emit(f'{{"k":"reject","m":{mono()},{ids},"requeue":{1 if requeue else 0}}}\n')

        def reject(message: Any, requeue: bool = False) -> None:
            do_reject(message, requeue=requeue)
            rejected(message, requeue)

        def requeue(message: Any) -> None:
            do_requeue(message)
            rejected(message, True)

        kind.ack, kind.reject, kind.requeue = ack, reject, requeue

    def _reach(self, triggers: list[Trigger], message: Any) -> None:
        delivery = delivery_in(message)
        if not delivery:
            return
        fields = _fields_of(message)
        task = str(fields.get("task"))
        file, line = self._places.get(task, (None, None))
        stack = [f"{file}:{line} {task}"] if file else []
        self.armed.reach(triggers, task, delivery, _number(message.headers.get(CALL)), str(fields.get("id")), (file, line, stack))

    # --- the rest is rare: a signal and a plain record ----------------------------------------------------------------

    def _hook_signals(self, app: Any) -> None:
        from celery import signals

        def on(signal: Any, receiver: Callable[..., None]) -> None:
            signal.connect(receiver, weak=False)

        on(signals.worker_init, lambda **_: config.demand_our_servers(app, self.settings, self.journal))
        on(signals.worker_ready, lambda **_: self.emit(f'{{"k":"ready","m":{mono()}}}\n'))
        on(signals.worker_shutdown, lambda **_: self.emit(f'{{"k":"down","m":{mono()}}}\n'))
        on(signals.worker_process_init, lambda **_: self._child_up(app))
        if self.effects.wanted:
            on(signals.worker_process_init, lambda **_: self.effects.install())
            receivers = signals.worker_process_init.receivers
            receivers.insert(0, receivers.pop())  # what the app itself does then are effects too
        on(signals.worker_process_shutdown, self._child_down)
        on(signals.task_revoked, self._revoked)
        on(signals.task_unknown, lambda message=None, name=None, **_: self.outcome("unknown", message, str(name)))
        on(signals.task_rejected, lambda message=None, exc=None, **_: self.outcome("invalid", message, repr(exc)))
        on(signals.task_failure, self._failed)
        on(signals.task_internal_error, self._internal)

    def _revoked(self, request: Any = None, terminated: bool = False, expired: bool = False, **_: Any) -> None:
        why = "expired" if expired else "terminated" if terminated else "revoked"
        message = getattr(request, "_message", None)  # a worker's Request has its message; a task's Context only the headers
        delivery = delivery_in(message) if message is not None else delivery_of(vars(request))
        self.emit(f'{{"k":"revoked","m":{mono()},"d":"{delivery}","id":{quoted(str(getattr(request, "id", None)))},"why":"{why}"}}\n')

    def _failed(self, task_id: Any = None, exception: Any = None, **_: Any) -> None:
        """In the main process of a prefork worker only: a lost child, a time limit. Elsewhere `end` has said it.

        Celery 5.7 sends it for a Reject as well, besides the child's own end.
        """
        from celery.exceptions import Ignore, Reject

        if self.prefork and os.getpid() == self.main and not isinstance(exception, (Ignore, Reject)):
            self.emit(
                f'{{"k":"failed","m":{mono()},"id":{quoted(str(task_id))},"e":{quoted(exception_name(exception))},"text":'
                f"{quoted(str(exception)[:300])}}}\n"
            )

    def _internal(self, task_id: Any = None, exception: Any = None, **_: Any) -> None:
        self.emit(f'{{"k":"internal","m":{mono()},"id":{quoted(str(task_id))},"e":{quoted(exception_name(exception))}}}\n')

    # --- pool children --------------------------------------------------------------------------------------------------

    def _before_fork(self) -> None:
        self._forked_by_main_thread = threading.current_thread() is threading.main_thread()

    def _child_up(self, app: Any) -> None:
        """Sent after the child has built its tracers; by the solo pool in the main process, which is no child.

        The kernel's parent-death signal follows the forking thread, so a child that a supervisor thread replaced
        does without: it must not die when that thread ends.
        """
        if os.getpid() == self.main:
            return
        if self._forked_by_main_thread:
            die_with_parent(self.main)
        self.tracing.wrap_all(app, shared=False)
        self.emit(f'{{"k":"child_up","m":{mono()}}}\n')

    def _child_down(self, exitcode: Any = None, **_: Any) -> None:
        self.emit(f'{{"k":"child_down","m":{mono()},"code":{_number(exitcode):d}}}\n')

    # --- connections ------------------------------------------------------------------------------------------------------

    def connected(self, consumer: Any) -> None:
        """At every (re)connection, after Celery built the tracers and before anything is consumed."""
        if not config.is_ours(consumer.connection, self.settings):
            from celery.exceptions import WorkerTerminate

            config.refuse(self.journal, "read", consumer.connection.as_uri())
            raise WorkerTerminate(EX_CONFIG)
        pool = type(consumer.pool).__module__
        self.prefork = "prefork" in pool
        self.company.of_pool(consumer.pool)
        if not self.prefork:
            self.tracing.wrap_all(consumer.app, shared="solo" not in pool)
        if not self.told_settings:
            self.told_settings = True
            self._tell_settings(consumer.app)
        queues = json.dumps(sorted(consumer.app.amqp.queues.consume_from))
        self.emit(f'{{"k":"connected","m":{mono()},"queues":{queues}}}\n')

    def _tell_settings(self, app: Any) -> None:
        tasks = described_tasks(app)
        self._places = {name: (task["file"], task["line"]) for name, task in tasks.items()}
        document = {"config": config.effective(app.conf), "tasks": tasks}
        self.emit(f'{{"k":"settings","m":{mono()},{json.dumps(document)[1:]}\n')


def described_tasks(app: Any) -> dict[str, dict[str, Any]]:
    """The user's tasks by name: their policy, and file and line of their functions."""
    tasks = {name: task for name, task in sorted(app.tasks.items()) if not name.startswith("celery.")}
    return {name: _policy(task, *place_of(task)) for name, task in tasks.items()}


def _policy(task: Any, file: str | None, line: int | None) -> dict[str, Any]:
    found = {name: _policy_value(getattr(task, name, None)) for name in _TASK_POLICY}
    return {**found, "file": file, "line": line}


def _policy_value(value: Any) -> Any:
    if isinstance(value, type):
        return exception_name(value)
    if isinstance(value, (list, tuple)):
        return [_policy_value(v) for v in value]
    return config.plain(value)


def _number(value: Any) -> int:
    """Headers come from outside: what is no number counts as 0 and must not end the consumer."""
    return value if isinstance(value, int) else 0


def delivery_in(message: Any) -> str:
    """The id that `delivered` gave this message object; '' for what is no task delivery (remote control, results)."""
    try:
        return message.headers.get(DELIVERY) or ""
    except AttributeError:
        return ""


def _message_id(message: Any, fields: dict[str, Any]) -> str:
    """Its stamp; for a foreign one an id that its redeliveries share."""
    stamp = message.headers.get(MESSAGE) if isinstance(message.headers, dict) else None
    return str(stamp or f"foreign:{fields.get('id')}:{_number(fields.get('retries')):d}")


def _fields_of(message: Any) -> dict[str, Any]:
    """Headers; for protocol 1 the body. A body that cannot be read has only the correlation id."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    if "id" in headers and "task" in headers:
        return headers
    try:
        body = message.payload
        if isinstance(body, dict) and "id" in body:
            return body
    except Exception:  # whatever a decoder raises: the record is made without it
        pass
    return {**headers, "id": headers.get("id") or (message.properties or {}).get("correlation_id")}


class _Quoted(Dict[Any, str]):
    """JSON texts of the few names that come again and again: tasks and queues."""

    def __missing__(self, name: Any) -> str:
        text = quoted(str(name))
        if len(self) < _MOST_NAMES:
            self[name] = text
        return text


def _agent_step(hooks: Hooks) -> type:
    """A consumer step: started on every connection, after the tracers are built and before the loop consumes."""
    from celery import bootsteps

    class AgentStep(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, parent: Any, **kwargs: Any) -> None:
            pass

        def start(self, consumer: Any) -> None:
            hooks.connected(consumer)
            if "create_task_handler" not in vars(consumer):  # the consumer object survives reconnections
                _watch(consumer, hooks)
            consumer.task_consumer.on_decode_error = consumer.on_decode_error

        def stop(self, consumer: Any) -> None:
            hooks.emit(f'{{"k":"disconnected","m":{mono()}}}\n')

    return AgentStep


def _watch(consumer: Any, hooks: Hooks) -> None:
    """Every message that the task consumer sees, registered and decodable or not."""
    make_handler, decode_error, delivered = consumer.create_task_handler, consumer.on_decode_error, hooks.delivered

    def create_task_handler(*args: Any, **kwargs: Any) -> Callable[..., Any]:
        handle = make_handler(*args, **kwargs)

        def on_task_received(message: Any, *rest: Any, **options: Any) -> Any:
            delivered(message)
            return handle(message, *rest, **options)

        return on_task_received

    def on_decode_error(message: Any, exc: BaseException) -> Any:
        hooks.undecodable(message, exc)
        return decode_error(message, exc)

    consumer.create_task_handler = create_task_handler
    consumer.on_decode_error = on_decode_error
