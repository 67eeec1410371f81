"""From journals to a history: links, deaths, held messages, in whatever order the files come."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from harness.model.history import Evidence, FaultRecord, Held, History
from harness.run.fold import read_history
from tests.unit.run.journals import T0, WALL, Source


def wall(at: float) -> str:
    """The wall time of a moment of the run, as Celery writes an ETA."""
    return (datetime.fromtimestamp(0, timezone.utc) + timedelta(seconds=WALL + T0 + at)).isoformat()


def publish(source: Source, at: float, msg: str, id: str, retries: int = 0, **more: Any) -> None:
    source.put("publish", at, msg=msg, id=id, n="app.pay", r=retries, **({"call": 0, "cause": "", "q": "celery", "root": id} | more))
    source.put("published", at + 0.01, msg=msg)


def call(source: Source, at: float, no: int = 1, id: str = "t1") -> str:
    msg = f"{source.path.stem}:{no}"
    source.put("call", at, no=no, n="app.pay", args="[[1], {}]", due=round(at * 1e9), late=0)
    publish(source, at, msg, id, call=no)
    source.put("call_ok", at + 0.02, no=no, id=id, ids=[id])
    return msg


def deliver(source: Source, at: float, d: str, msg: str, id: str = "t1", **more: Any) -> None:
    fields = {"d": d, "msg": msg, "id": id, "n": "app.pay", "r": 0, "tag": "x", "re": 0, "q": "celery", "copy": 0}
    source.put("deliver", at, **(fields | more))


def fold(folder: Path, **more: Any) -> History:
    return read_history(folder, **({"t0": T0} | more))


@pytest.mark.parametrize("order", ["main first", "child first"])
def test_a_task_is_linked_over_its_processes_whatever_is_read_first(tmp_path: Path, order: str) -> None:
    """Files are read by name: the same run with main and child pids swapped."""
    main_pid, child_pid = (20, 30) if order == "main first" else (30, 20)
    producer = Source(tmp_path, 25, "producer", "producer")
    main, child = Source(tmp_path, main_pid), Source(tmp_path, child_pid, ppid=main_pid)
    msg = call(producer, 1.0)
    deliver(main, 1.1, "d1", msg)
    child.put("child_up", 0)
    child.put("start", 1.2, d="d1", id="t1")
    child.put("end", 1.5, d="d1", id="t1", s="SUCCESS")
    main.put("ack", 1.6, d="d1", id="t1", tag="x")
    history = fold(tmp_path)
    (one,) = history.calls.values()
    (message,) = one.messages
    (delivery,) = message.deliveries
    assert (one.task, one.due, one.publish, one.root_task_id) == ("app.pay", 1.0, "ok", "t1")
    assert (message.call, message.foreign, message.is_retry) == (1, False, False)
    assert message.begun == pytest.approx(1.0) and message.ok == pytest.approx(1.01)
    assert (delivery.worker, delivery.pid, delivery.pid_run, delivery.state) == ("w-1", main_pid, child_pid, "SUCCESS")
    assert [delivery.at, delivery.start, delivery.end, delivery.ack] == pytest.approx([1.1, 1.2, 1.5, 1.6])
    assert delivery.message is message and history.deliveries == {"d1": delivery}
    assert (history.torn, history.records) == (0, 12)
    assert sorted((p.kind, p.pid) for p in history.processes) == [("child", child_pid), ("producer", 25), ("worker", main_pid)]


def test_a_retry_is_linked_to_its_cause_and_call_and_keeps_the_delay_asked_for(tmp_path: Path) -> None:
    producer, worker = Source(tmp_path, 10, "producer", "producer"), Source(tmp_path, 20)
    msg = call(producer, 1.0)
    deliver(worker, 1.1, "d1", msg)
    worker.put("start", 1.2, d="d1", id="t1")
    publish(worker, 1.3, "m2", "t1", 1, cause="d1", eta=wall(1.3 + 2), asked=wall(1.3 + 120))
    worker.put("end", 1.4, d="d1", id="t1", s="RETRY", e="builtins.OSError", msg_text="no", file="/a.py", line=7, when="120")
    deliver(worker, 1.5, "d2", "m2", r=1, eta=wall(1.3 + 2))
    history = fold(tmp_path)
    second = history.messages["m2"]
    assert (second.is_retry, second.cause, second.call) == (True, "d1", 1)
    assert second.eta == pytest.approx(3.3, abs=1e-3) and second.eta_asked == pytest.approx(121.3, abs=1e-3)
    first = history.deliveries["d1"]
    assert (first.retry_delay, first.retry_exact, first.exception, first.line) == (120.0, True, "builtins.OSError", 7)
    assert [m.id for m in history.calls[1].messages] == [msg, "m2"]


def test_an_eta_asked_for_is_measured_at_the_publish(tmp_path: Path) -> None:
    worker = Source(tmp_path, 20)
    deliver(worker, 1.0, "d1", "m1")
    publish(worker, 1.3, "m2", "t1", 1, cause="d1", eta=wall(31.3), asked=wall(31.3))
    worker.put("end", 1.4, d="d1", id="t1", s="RETRY", e="X", when=wall(31.3))
    delivery = fold(tmp_path).deliveries["d1"]
    assert delivery.retry_delay == pytest.approx(30.0, abs=1e-3) and not delivery.retry_exact


def test_a_foreign_message_and_its_redelivery_are_one(tmp_path: Path) -> None:
    one, two = Source(tmp_path, 20), Source(tmp_path, 21, "w-2")
    deliver(two, 9.0, "d2", "foreign:t9:0", "t9", foreign=1, re=1)
    deliver(one, 1.0, "d1", "foreign:t9:0", "t9", foreign=1)
    (message,) = fold(tmp_path).messages.values()
    assert message.foreign and message.call == 0 and message.task == "app.pay"
    assert [d.id for d in message.deliveries] == ["d1", "d2"]


def test_injected_copies_belong_to_the_message_that_they_copy(tmp_path: Path) -> None:
    producer, worker = Source(tmp_path, 10, "producer", "producer"), Source(tmp_path, 20)
    msg = call(producer, 1.0)
    deliver(worker, 1.1, "d1", msg)
    deliver(worker, 1.2, "d2", msg, copy=3)
    assert [d.copy for d in fold(tmp_path).messages[msg].deliveries] == [0, 3]


def test_a_nested_publish_goes_back_to_the_call_over_any_number_of_steps(tmp_path: Path) -> None:
    producer, worker = Source(tmp_path, 10, "producer", "producer"), Source(tmp_path, 20)
    deliver(worker, 1.1, "d1", call(producer, 1.0))
    publish(worker, 1.2, "m2", "t2", cause="d1")
    deliver(worker, 1.3, "d2", "m2", "t2")
    publish(worker, 1.4, "m3", "t3", cause="d2", parent="t2", root="t1")
    history = fold(tmp_path)
    assert history.messages["m3"].call == 1 and history.messages["m3"].parent_id == "t2"
    assert [m.task_id for m in history.calls[1].messages] == ["t1", "t2", "t3"]


def kill(pids: tuple[int, ...], begun: float = 2.0) -> FaultRecord:
    return FaultRecord(0, "worker.kill", "at 2 s", begun=begun, evidence=Evidence(True, "bit"), killed_pids=pids)


def test_a_killed_worker_takes_its_open_deliveries_along_and_no_others(tmp_path: Path) -> None:
    main, child = Source(tmp_path, 20), Source(tmp_path, 30, ppid=20)
    other = Source(tmp_path, 21, "w-2")
    for n, acked in ((1, False), (2, True), (3, False), (4, True)):
        deliver(main, 1.0, f"d{n}", f"m{n}", f"t{n}")
        if acked:
            main.put("ack", 1.1, d=f"d{n}", id=f"t{n}", tag="x")
    deliver(other, 1.0, "d9", "m9", "t9")
    for n in (1, 3, 4):
        child.put("start", 1.2, d=f"d{n}", id=f"t{n}")
    for n in (3, 4):
        child.put("end", 1.3, d=f"d{n}", id=f"t{n}", s="SUCCESS")
    history = fold(tmp_path, faults=[kill((20, 30))], deaths={20: T0 + 2.0, 30: T0 + 2.0})
    dead = {d.id: (d.died, d.died_by) for d in history.deliveries.values() if d.died is not None}
    assert dead == {"d1": (pytest.approx(2.0), 0), "d2": (pytest.approx(2.0), 0), "d3": (pytest.approx(2.0), 0)}
    assert history.deliveries["d1"].running_at_death and not history.deliveries["d3"].running_at_death
    assert next(p for p in history.processes if p.pid == 20).how == "SIGKILL by fault 1"


def test_a_killed_child_takes_only_what_it_ran(tmp_path: Path) -> None:
    main, child = Source(tmp_path, 20), Source(tmp_path, 30, ppid=20)
    deliver(main, 1.0, "d1", "m1", "t1")
    deliver(main, 1.0, "d2", "m2", "t2")
    child.put("start", 1.2, d="d1", id="t1")
    main.put("failed", 2.3, id="t1", e="billiard.exceptions.WorkerLostError", text="signal 9")
    main.put("ack", 2.4, d="d1", id="t1", tag="x")
    one, two = fold(tmp_path, faults=[kill((30,))]).deliveries.values()
    assert (one.died_by, one.outcome) == (0, "failed:billiard.exceptions.WorkerLostError") and one.died is not None
    assert two.died is None and two.outcome == ""


def test_an_armed_kill_needs_no_word_from_the_parent(tmp_path: Path) -> None:
    main, child = Source(tmp_path, 20), Source(tmp_path, 30, ppid=20)
    deliver(main, 1.0, "d1", "m1")
    child.put("start", 1.2, d="d1", id="t1")
    child.put("strike", 1.3, fault=0, d="d1", id="t1", n="app.pay", point="a.py:9", file="/a.py", line=9, stack=[], action="kill_group")
    fault = kill((), begun=1.3)
    delivery = fold(tmp_path, faults=[fault]).deliveries["d1"]
    assert (delivery.died, delivery.died_by, delivery.last_line) == (pytest.approx(1.3), 0, "/a.py:9")
    assert (fault.file, fault.line, fault.task_id) == ("/a.py", 9, "t1")


def test_an_armed_kill_of_a_child_leaves_its_worker_alone(tmp_path: Path) -> None:
    main, child, sibling = Source(tmp_path, 20), Source(tmp_path, 30, ppid=20), Source(tmp_path, 31, ppid=20)
    for n, runner in ((1, child), (2, sibling)):
        deliver(main, 1.0, f"d{n}", f"m{n}", f"t{n}")
        runner.put("start", 1.2, d=f"d{n}", id=f"t{n}")
    child.put("strike", 1.3, fault=0, d="d1", id="t1", n="app.pay", point="start", action="kill_child")
    one, two = fold(tmp_path, faults=[kill((), begun=1.3)]).deliveries.values()
    assert (one.died_by, two.died, two.died_by) == (0, None, None)


@pytest.mark.parametrize(("begun", "start", "died"), [(1.4, 1.2, 1.4), (1.1, 1.2, 1.2), (None, 1.2, 6.0)])
def test_a_lost_child_died_when_it_was_killed_and_not_when_celery_noticed(
    tmp_path: Path, begun: float | None, start: float, died: float
) -> None:
    main, child = Source(tmp_path, 20), Source(tmp_path, 30, ppid=20)
    deliver(main, 1.0, "d1", "m1")
    child.put("start", start, d="d1", id="t1")
    main.put("failed", 6.0, id="t1", e="billiard.exceptions.WorkerLostError", text="Worker exited prematurely")
    main.put("ack", 6.1, d="d1", id="t1", tag="x")
    fault = kill((30,), begun=begun) if begun is not None else kill((), begun=1.0)
    delivery = fold(tmp_path, faults=[fault]).deliveries["d1"]
    assert delivery.died == pytest.approx(died)
    assert delivery.died_by == (0 if begun is not None else None)


def test_a_group_is_killed_from_whichever_process_strikes(tmp_path: Path) -> None:
    main, child, other = Source(tmp_path, 20), Source(tmp_path, 30, ppid=20), Source(tmp_path, 40, "w-2")
    for n, source in ((1, main), (2, other)):
        deliver(source, 1.0, f"d{n}", f"m{n}", f"t{n}")
    child.put("strike", 1.3, fault=0, d="d9", id="t9", n="app.pay", point="start", action="kill_group")
    history = fold(tmp_path, faults=[kill((), begun=1.3)])
    assert (history.deliveries["d1"].died_by, history.deliveries["d2"].died_by) == (0, None)
    assert {p.pid for p in history.processes if p.how} == {20, 30}


def test_of_two_deliveries_to_one_worker_the_open_one_failed(tmp_path: Path) -> None:
    worker = Source(tmp_path, 20)
    deliver(worker, 1.0, "d1", "m1")
    deliver(worker, 1.5, "d2", "m1", copy=1)
    worker.put("end", 1.8, d="d2", id="t1", s="SUCCESS")
    worker.put("failed", 2.0, id="t1", e="billiard.exceptions.WorkerLostError", text="")
    history = fold(tmp_path)
    assert history.deliveries["d1"].outcome and not history.deliveries["d2"].outcome


def test_of_a_message_and_its_held_copies_the_one_that_waits_longest_is_told(tmp_path: Path) -> None:
    held = [Held("ready", "celery", task_id="t1"), Held("unacked", "celery", task_id="t1"), Held("ready", "celery", task_id="t1")]
    (message,) = fold(tmp_path, held=held).messages.values()
    assert message.held is held[1]


def test_a_warm_stop_gives_back_what_was_not_begun(tmp_path: Path) -> None:
    worker = Source(tmp_path, 20)
    deliver(worker, 1.0, "d1", "m1")
    worker.put("down", 2.0)
    assert fold(tmp_path).deliveries["d1"].died == pytest.approx(2.0)


def test_failed_speaks_of_the_open_delivery_of_that_worker(tmp_path: Path) -> None:
    one, two = Source(tmp_path, 20), Source(tmp_path, 21, "w-2")
    deliver(one, 1.0, "d1", "m1")
    deliver(two, 1.5, "d2", "m1", re=1)
    one.put("failed", 2.0, id="t1", e="celery.exceptions.TimeLimitExceeded", text="10")
    history = fold(tmp_path)
    assert history.deliveries["d1"].outcome.startswith("failed:") and history.deliveries["d2"].outcome == ""


def test_a_rejection_that_the_main_process_reports_too_stays_a_rejection(tmp_path: Path) -> None:
    worker = Source(tmp_path, 20)
    deliver(worker, 1.0, "d1", "m1")
    worker.put("end", 1.1, d="d1", id="t1", s="REJECTED", e="celery.exceptions.Reject")
    worker.put("reject", 1.2, d="d1", id="t1", tag="x", requeue=0)
    worker.put("failed", 1.3, id="t1", e="celery.exceptions.Reject", text="")
    delivery = fold(tmp_path).deliveries["d1"]
    assert (delivery.state, delivery.outcome, delivery.requeue) == ("REJECTED", "", False)


def test_what_cannot_be_decoded_is_a_delivery_all_the_same(tmp_path: Path) -> None:
    producer, worker = Source(tmp_path, 30, "producer", "producer"), Source(tmp_path, 20)
    msg = call(producer, 1.0)
    worker.put("undecodable", 1.1, d="d1", msg=msg, id="t1", why="bad")
    worker.put("ack", 1.2, d="d1", id="t1", tag="x")
    history = fold(tmp_path)
    (delivery,) = history.messages[msg].deliveries
    assert (delivery.outcome, delivery.worker, delivery.text) == ("undecodable", "w-1", "bad") and delivery.ack is not None
    assert history.calls[1].messages == [history.messages[msg]] and [e.kind for e in history.events] == ["undecodable"]


def test_held_messages_find_theirs_by_id_or_by_attempt_or_make_one(tmp_path: Path) -> None:
    producer, worker = Source(tmp_path, 10, "producer", "producer"), Source(tmp_path, 20)
    msg = call(producer, 1.0)
    deliver(worker, 1.0, "d2", "foreign:t2:0", "t2", foreign=1)
    held = [
        Held("unacked", "celery", message_id=msg, task_id="t1"),
        Held("ready", "celery", task_id="t2"),
        Held("ready", "celery", task_id="alien", task="x"),
    ]
    history = fold(tmp_path, held=held)
    assert history.messages[msg].held is held[0]
    assert history.messages["foreign:t2:0"].held is held[1]
    alien = history.messages["foreign:alien:0"]
    assert alien.held is held[2] and alien.foreign and alien.deliveries == []


def test_what_a_torn_record_leaves_is_still_linked(tmp_path: Path) -> None:
    """The receipt is torn: start and end name the task, and that is enough."""
    producer, main = Source(tmp_path, 10, "producer", "producer"), Source(tmp_path, 20)
    child = Source(tmp_path, 30, ppid=20)
    msg = call(producer, 1.0)
    main.raw(b'{"k":"deliver","m":\0\0"}\n')
    child.put("start", 1.2, d="d1", id="t1")
    child.put("end", 1.3, d="d1", id="t1", s="SUCCESS")
    history = fold(tmp_path)
    delivery = history.deliveries["d1"]
    assert history.torn == 1 and delivery.message is history.messages[msg]
    assert (delivery.pid, delivery.worker, delivery.at) == (20, "w-1", pytest.approx(1.2))


def test_a_record_without_its_fields_is_torn_and_one_of_an_unknown_kind_is_not(tmp_path: Path) -> None:
    worker = Source(tmp_path, 20)
    worker.put("deliver", 1.0, d="d1")
    worker.put("something_new", 1.0)
    history = fold(tmp_path)
    assert history.torn == 1 and not any(d.message.id for d in history.deliveries.values())


def test_publish_outcomes_settings_and_arrivals(tmp_path: Path) -> None:
    producer, worker = Source(tmp_path, 10, "producer", "producer"), Source(tmp_path, 20)
    for no, unknown in ((1, 0), (2, 1)):
        producer.put("call", 1.0, no=no, n="app.pay", args="", due=0, late=1)
        producer.put("publish", 1.0, msg=f"m{no}", id=f"t{no}", n="app.pay", r=0, call=no)
        producer.put("call_failed", 1.1, no=no, e="OperationalError", text="refused", unknown=unknown)
    worker.put("settings", 0, config={"result_expires": 3}, tasks={"app.pay": {"acks_late": True, "max_retries": 5}})
    worker.put("connected", 0, queues=["emails", "orders"])
    worker.put("disconnected", 3)
    worker.put("undeclared", 4, address="1.2.3.4:5", stack=[])
    history = fold(tmp_path)
    assert [c.publish for c in history.calls.values()] == ["failed", "unknown"]
    assert history.messages["m1"].failed.startswith("OperationalError") and not history.messages["m2"].failed
    assert history.late_arrivals == 2 and history.acks_late == {"app.pay": True} and history.config == {"result_expires": 3}
    assert history.task_policies["app.pay"]["max_retries"] == 5
    assert [(e.kind, e.text) for e in history.events] == [("undeclared", "1.2.3.4:5")]
    assert next(p for p in history.processes if p.pid == 20).disconnected == [pytest.approx(3.0)]
    assert next(p for p in history.processes if p.pid == 20).queues == ("emails", "orders")
    producer.put("load_done", 5, late=2, dropped=7)
    assert fold(tmp_path).dropped_arrivals == 7


def test_of_an_open_loop_each_call_says_when_its_publisher_was_free(tmp_path: Path) -> None:
    producer = Source(tmp_path, 10, "producer", "producer")
    producer.put("call", 1.0, no=1, n="app.pay", args="", due=900_000_000, late=1, free=950_000_000, p=2)
    producer.put("call", 1.0, no=2, n="app.pay", args="", due=0, late=0)
    calls = fold(tmp_path).calls
    assert (calls[1].due, calls[1].free, calls[1].sent, calls[1].publisher) == (
        pytest.approx(0.9),
        pytest.approx(0.95),
        pytest.approx(1.0),
        2,
    )
    assert (calls[2].free, calls[2].publisher) == (None, 0)


def test_the_history_does_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    """The same journals under names that sort the other way round."""
    main, child, producer = Source(tmp_path, 20), Source(tmp_path, 30, ppid=20), Source(tmp_path, 40, "producer", "producer")
    for n in range(1, 6):
        msg = call(producer, n, n, f"t{n}")
        deliver(main, n + 0.1, f"d{n}", msg, f"t{n}")
        child.put("start", n + 0.2, d=f"d{n}", id=f"t{n}")
        if n < 4:
            child.put("end", n + 0.3, d=f"d{n}", id=f"t{n}", s="SUCCESS")
            main.put("ack", n + 0.4, d=f"d{n}", id=f"t{n}", tag="x")
    facts: dict[str, Any] = {"faults": [kill((20,))], "deaths": {20: T0 + 6.0}}
    plain = fold(tmp_path, **facts)
    for number, path in enumerate(sorted(tmp_path.glob("*.journal"), reverse=True)):
        path.rename(tmp_path / f"{number}-{path.name}")
    assert essence(fold(tmp_path, **facts)) == essence(plain)


def essence(history: History) -> Any:
    """All of it, in an order of its own."""
    drop = {"message", "deliveries"}
    return (
        sorted((c.number, c.publish, [m.id for m in c.messages]) for c in history.calls.values()),
        {m.id: (m.task_id, m.call, m.begun, m.ok, [d.id for d in m.deliveries]) for m in history.messages.values()},
        {d.id: {f: getattr(d, f) for f in d.__slots__ if f not in drop} | {"m": d.message.id} for d in history.deliveries.values()},
        sorted(str(asdict(p)) for p in history.processes),
    )


def test_what_the_broker_holds_and_does_not_show_belongs_to_nobody(tmp_path: Path) -> None:
    hidden = Held("unacked", "celery")
    history = fold(tmp_path, held=[hidden, Held("ready", "celery", tag="celery:1")])
    assert history.held[0] is hidden
    assert [m.held.tag for m in history.messages.values() if m.held] == ["celery:1"]


def test_the_delay_in_a_routing_key_is_no_part_of_the_queues_name(tmp_path: Path) -> None:
    source = Source(tmp_path, 10)
    bits = ".".join("0" * 22 + "111100") + "."
    source.put("publish", 0, msg="a:1", id="t1", n="app.pay", r=1, q=f"{bits}orders.high")
    source.put("publish", 0, msg="a:2", id="t2", n="app.pay", r=0, q="0.1.orders")
    assert [m.queue for m in fold(tmp_path).messages.values()] == ["orders.high", "0.1.orders"]
