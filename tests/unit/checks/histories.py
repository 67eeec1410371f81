"""A small builder of histories for tests of checks: seconds on one clock, nothing that a run would not record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.checks import CHECKS
from harness.model.finding import CheckResult
from harness.model.history import Call, Delivery, Depth, Evidence, FaultRecord, Held, History, Message, ProcessLife
from harness.model.scenario import Scenario
from harness.ports.check import Recorded

REDIS = {"pop_before_unacked": True}
#: The keys of RabbitMQ's that oracles rest on; a test holds them against the broker's own.
RABBITMQ = {
    "redelivers_on": "lost_connection",
    "pop_before_unacked": False,
    "dead_letters": True,
    "drops_expired": True,
    "flags_redelivered": True,
    "confirms_by_default": False,
}
CONFIRMED = {"broker_transport_options": {"confirm_publish": True}}


class Build:
    """One run that ended at 100 s, quiet at 90. Methods return what they made, so that a test may bend it."""

    def __init__(self, **history: Any) -> None:
        self.history = History(load_ended=60.0, healed_at=60.0, quiet_at=90.0, stopped_at=95.0, ended=100.0, **history)
        self.numbers = 0
        self.worker("w-1", 1)
        self.worker("w-2", 2)

    def worker(self, name: str, pid: int, down: float | None = 96.0, **life: Any) -> ProcessLife:
        process = ProcessLife(name=name, kind="worker", pid=pid, up=-1.0, ready=-0.5, down=down, **life)
        self.history.processes.append(process)
        return process

    def call(self, at: float = 0.0, task: str = "app.pay", publish: str = "ok", **message: Any) -> Message:
        """A call and its message, published but not delivered."""
        number = len(self.history.calls) + 1
        task_id = message.pop("task_id", f"t{number}")
        call = Call(number, task, f"[[{number}], {{}}]", due=at, sent=at, publish=publish, root_task_id=task_id)
        self.history.calls[number] = call
        ok = at + 0.01 if publish == "ok" else None
        return self.message(task_id, task, at, call=number, **({"ok": ok} | message))

    def message(self, task_id: str, task: str = "app.pay", at: float = 0.0, **fields: Any) -> Message:
        self.numbers += 1
        retries = fields.setdefault("retries", 0)
        fields.setdefault("ok", at + 0.01)
        fields = {"begun": at, "call": 0, "is_retry": retries > 0, "queue": "celery"} | fields
        message = Message(id=f"m{self.numbers}", task_id=task_id, task=task, **fields)
        self.history.messages[message.id] = message
        if message.call in self.history.calls:
            self.history.calls[message.call].messages.append(message)
        return message

    def deliver(self, message: Message, at: float | None = None, pid: int = 1, **fields: Any) -> Delivery:
        """Received, and nothing more; further fields as in Delivery."""
        self.numbers += 1
        at = (message.begun or 0.0) + 0.1 if at is None else at
        fields = {"worker": f"w-{pid}", "pid": pid, "tag": f"tag{self.numbers}", "redelivered": bool(message.deliveries)} | fields
        delivery = Delivery(id=f"d{self.numbers}", message=message, at=at, **fields)
        message.deliveries.append(delivery)
        self.history.deliveries[delivery.id] = delivery
        return delivery

    def run(
        self, message: Message, at: float | None = None, pid: int = 1, state: str = "SUCCESS", took: float = 0.1, **fields: Any
    ) -> Delivery:
        """Received, run to an end, acknowledged after it."""
        at = (message.begun or 0.0) + 0.1 if at is None else at
        fields = {"start": at + 0.01, "end": at + 0.01 + took, "ack": at + 0.02 + took, "pid_run": pid + 10, "state": state} | fields
        return self.deliver(message, at, pid, **fields)

    def done(self, at: float = 0.0, task: str = "app.pay", **fields: Any) -> Message:
        """A call that succeeded at once."""
        message = self.call(at, task)
        self.run(message, **fields)
        return message

    def killed(self, message: Message, at: float, pid: int = 1, *, early: bool = False, fault: int | None = 0, **fields: Any) -> Delivery:
        """Received, started, and its worker killed 0.5 s later; acknowledged before its start if ``early``."""
        fields = {"start": at + 0.01, "pid_run": pid + 10, "died": at + 0.5, "died_by": fault} | fields
        return self.deliver(message, at, pid, **({"ack": at + 0.005} if early else {}), **fields)

    def retry(
        self, message: Message, delay: float, at: float | None = None, error: str = "builtins.ConnectionError", **fields: Any
    ) -> Message:
        """The message is run, asks for a retry after ``delay``; the retry's message, published and not yet delivered."""
        delivery = self.run(message, at, state="RETRY", exception=error, retry_delay=delay, **fields)
        end = delivery.end or 0.0
        return self.message(
            message.task_id, message.task, end - 0.005, call=message.call, retries=message.retries + 1, cause=delivery.id, eta=end + delay
        )

    def fault(
        self, name: str = "worker.kill", begun: float | None = 10.0, ended: float | None = None, bit: bool | None = True, **more: Any
    ) -> FaultRecord:
        index = len(self.history.faults)
        more.setdefault("killed_pids", (1,) if "kill" in name else ())
        record = FaultRecord(index, name, f"at {begun} s", begun=begun, ended=ended, evidence=Evidence(bit, "as told"), **more)
        self.history.faults.append(record)
        return record

    def held(self, message: Message, place: str = "unacked", **fields: Any) -> Held:
        fields = {"queue": "celery", "message_id": message.id, "task_id": message.task_id, "retries": message.retries} | fields
        held = Held(place=place, **fields)
        message.held = held
        self.history.held.append(held)
        return held

    def depth(self, at: float, ready: int = 0, unacked: int = 0) -> None:
        self.history.depths.append(Depth(at, ready, unacked))

    def judge(self, check: str, parameters: Any = None, *, semantics: Any = REDIS, source: Any = None, **scenario: Any) -> CheckResult:
        kind = CHECKS[check]
        recorded = self.recorded(semantics=semantics, source=source, **scenario)
        return kind(kind.Parameters.model_validate(parameters or {})).judge(recorded)

    def judge_at_most_once(self) -> CheckResult:
        """no_loss, with the task's promise declared."""
        kind = CHECKS["no_loss"]
        recorded = self.recorded()
        scenario = recorded.scenario.model_copy(update={"semantics": {"app.*": "at_most_once"}})
        return kind(kind.Parameters.model_validate({})).judge(replace(recorded, scenario=scenario))

    def recorded(self, *, semantics: Any = REDIS, source: Any = None, **scenario: Any) -> Recorded:
        document = {"version": 1, "system": {"app": "app:app"}, "load": [{"send": "app.pay", "count": 1}], **scenario}
        return Recorded(
            scenario=Scenario.model_validate(document), history=self.history, semantics=semantics, source=source or (lambda path: [])
        )
