"""Each class of fate, and what must not be mistaken for it."""

from __future__ import annotations

import pytest

from harness.model.fates import IN_MEMORY, NEVER_AGAIN, NEVER_DELIVERED, NEVER_PUBLISHED, WHILE_RUNNING, Fate, FateKind, classify_all, fates
from tests.unit.checks.histories import REDIS, Build


def fate(build: Build, task_id: str = "t1") -> Fate:
    return fates(build.history, REDIS)[task_id]


def test_a_success_is_a_success_and_runs_again_if_the_broker_still_holds_it() -> None:
    b = Build()
    b.done()
    assert (fate(b).kind, fate(b).runs_again) == (FateKind.SUCCEEDED, False)
    again = b.call(1)
    b.run(again, ack=None, died=2.0, died_by=0)
    b.held(again)
    assert (fate(b, "t2").kind, fate(b, "t2").runs_again) == (FateKind.SUCCEEDED, True)


@pytest.mark.parametrize(
    ("state", "kind"),
    [("FAILURE", FateKind.FAILED), ("IGNORED", FateKind.SUCCEEDED), ("DEDUPLICATED", FateKind.SUCCEEDED), ("RAISED", FateKind.LOST)],
)
def test_ends_by_state(state: str, kind: FateKind) -> None:
    b = Build()
    b.run(b.call(), state=state)
    assert fate(b).kind is kind


def test_a_worker_lost_child_under_late_acks_is_failed_but_not_when_it_was_requeued() -> None:
    b = Build()
    b.deliver(b.call(), start=0.2, ack=1.0, died=0.9, outcome="failed:WorkerLostError")
    assert fate(b).kind is FateKind.FAILED
    requeued = b.call(1)
    b.deliver(requeued, start=1.2, reject=2.0, requeue=True, died=1.9, outcome="failed:WorkerLostError")
    assert fate(b, "t2").kind is FateKind.LOST
    b.run(requeued, 3)
    assert fate(b, "t2").kind is FateKind.SUCCEEDED


def test_a_rejection_that_the_main_process_also_reports_as_failure_is_a_rejection() -> None:
    b = Build()
    b.run(b.call(), state="REJECTED", ack=None, reject=1.0)
    assert (fate(b).kind, fate(b).cause) == (FateKind.REJECTED, "rejected")


def test_a_retry_is_superseded_only_by_a_successor_that_is_accounted_for() -> None:
    b = Build()
    first = b.call()
    second = b.retry(first, 4)
    b.run(second, 5)
    assert classify_all(b.history, REDIS)[first.id].kind is FateKind.RETRIED
    assert fate(b).kind is FateKind.SUCCEEDED and fate(b).message is second


def test_a_retry_without_a_successor_is_lost() -> None:
    b = Build()
    b.run(b.call(), state="RETRY")
    assert (fate(b).kind, fate(b).cause) == (FateKind.LOST, NEVER_PUBLISHED)


def test_a_retry_whose_successor_was_never_delivered_is_lost_there() -> None:
    b = Build()
    b.retry(b.call(), 4)
    assert (fate(b).kind, fate(b).cause) == (FateKind.LOST, NEVER_DELIVERED)


def test_a_successor_that_was_never_confirmed_nor_seen_accounts_for_nothing() -> None:
    b = Build()
    first = b.call()
    second = b.retry(first, 4)
    second.ok = None
    b.history.deliveries[second.cause].state = ""  # the process died before its end was known
    b.history.deliveries[second.cause].end = None
    b.history.deliveries[second.cause].died = 0.5
    b.history.deliveries[second.cause].died_by = 0
    assert (fate(b).kind, fate(b).message) == (FateKind.LOST, first)


def test_a_task_that_one_of_its_messages_completed_has_succeeded() -> None:
    """A kill between a retry's publish and the old ack publishes the same retry twice."""
    b = Build()
    first = b.call()
    one, two = b.retry(first, 1), b.retry(first, 1, 3)
    b.run(one, 5)
    b.killed(two, 6, early=True)
    assert fate(b).kind is FateKind.SUCCEEDED


@pytest.mark.parametrize(("why", "kind"), [("revoked", FateKind.REVOKED), ("terminated", FateKind.REVOKED), ("expired", FateKind.EXPIRED)])
def test_revocations(why: str, kind: FateKind) -> None:
    b = Build()
    b.deliver(b.call(), revoked=why, ack=0.2)
    assert fate(b).kind is kind


def test_a_revocation_dies_with_its_worker() -> None:
    b = Build()
    message = b.call()
    b.deliver(message, revoked="revoked", died=1.0, died_by=0)
    b.held(message)
    assert fate(b).kind is FateKind.STRANDED


@pytest.mark.parametrize("outcome", ["unknown", "invalid", "undecodable"])
def test_what_the_worker_refuses_is_discarded_or_dead_lettered(outcome: str) -> None:
    b = Build()
    message = b.call()
    b.deliver(message, outcome=outcome, reject=0.2)
    assert (fate(b).kind, fate(b).cause) == (FateKind.DISCARDED, outcome)
    b.held(message, "dead_letter")
    assert fate(b).kind is FateKind.DEAD_LETTERED


def test_held_for_a_dead_worker_is_stranded_even_with_an_eta_to_come() -> None:
    b = Build()
    message = b.call(eta=500.0)
    b.deliver(message, died=3.0, died_by=0)
    b.held(message, eta=500.0)
    assert fate(b).kind is FateKind.STRANDED


def test_an_eta_to_come_is_scheduled() -> None:
    b = Build()
    message = b.call(eta=500.0)
    b.deliver(message, died=96.0)  # gone with the harness's own stop
    b.held(message, "ready")
    assert fate(b).kind is FateKind.SCHEDULED
    message.eta = 50.0
    assert fate(b).kind is FateKind.UNKNOWN


def test_ready_in_a_quiet_system_is_stranded_and_in_a_busy_one_unknown() -> None:
    b = Build()
    b.held(b.call(), "ready")
    assert fate(b).kind is FateKind.STRANDED
    b.history.quiet_at = None
    assert fate(b).kind is FateKind.UNKNOWN
    for life in b.history.processes:
        life.down = 20.0
    assert fate(b).kind is FateKind.STRANDED


def test_held_and_published_by_nobody_is_unknown() -> None:
    b = Build()
    b.held(b.message("alien", foreign=True, begun=None, ok=None), "ready")
    assert fate(b, "alien").kind is FateKind.UNKNOWN


@pytest.mark.parametrize("start", [0.2, None])
def test_killed_after_an_early_ack_is_lost(start: float | None) -> None:
    b = Build()
    b.deliver(b.call(), start=start, ack=0.15, died=0.5, died_by=0)
    assert (fate(b).kind, fate(b).cause) == (FateKind.LOST, WHILE_RUNNING if start else IN_MEMORY)


def test_unacknowledged_under_late_acks_and_gone_is_the_brokers_loss() -> None:
    b = Build(acks_late={"app.pay": True})
    b.killed(b.call(), 1)
    assert (fate(b).kind, fate(b).cause, fate(b).broker_lost) == (FateKind.LOST, NEVER_AGAIN, False)
    b.history.processes[0].down = 1.5
    assert (fate(b).kind, fate(b).cause, fate(b).broker_lost) == (FateKind.LOST, NEVER_AGAIN, True)


def test_what_the_stop_of_the_harness_killed_is_unknown() -> None:
    b = Build()
    delivery = b.killed(b.call(), 94.8, early=True, fault=None)
    assert delivery.died is not None and delivery.died > 95
    assert fate(b).kind is FateKind.UNKNOWN
    delivery.died_by = 0
    assert fate(b).kind is FateKind.LOST


def test_an_end_that_only_the_backend_knows() -> None:
    b = Build(results={"t1": {"status": "SUCCESS"}})
    b.killed(b.call(), 1, early=True)
    assert (fate(b).kind, fate(b).cause) == (FateKind.SUCCEEDED, "its result is stored")
    b.history.results["t1"]["status"] = "STARTED"
    assert fate(b).kind is FateKind.LOST


def test_never_delivered_is_redis_own_loss_only_where_a_worker_died_after_the_publish() -> None:
    b = Build()
    b.call(at=5)
    for life in b.history.processes:
        life.down = None
    assert (fate(b).cause, fate(b).broker_lost) == (NEVER_DELIVERED, False)
    b.history.processes[0].down = 4.0
    assert not fate(b).broker_lost
    b.history.processes[0].down = 6.0
    assert fate(b).broker_lost
    assert not fates(b.history, {})["t1"].broker_lost


def test_what_vanished_when_busy_workers_were_stopped_is_unknown() -> None:
    b = Build()
    b.call(at=5)
    assert fate(b).kind is FateKind.LOST and not fate(b).broker_lost
    b.history.quiet_at = None
    assert fate(b).kind is FateKind.UNKNOWN
    assert fates(b.history, {})["t1"].kind is FateKind.LOST  # a broker that keeps what is not acknowledged
    b.history.processes[0].down = 50.0
    assert (fate(b).kind, fate(b).broker_lost) == (FateKind.LOST, True)


def test_without_a_word_on_the_stop_the_quiet_moment_stands_in_for_it() -> None:
    b = Build()
    b.history.stopped_at = None
    delivery = b.killed(b.call(), 1, early=True, fault=None, died=91.0)
    assert fate(b).kind is FateKind.UNKNOWN
    delivery.died = 89.0
    assert fate(b).kind is FateKind.LOST
    b.history.quiet_at, delivery.died = None, 61.0  # healed at 60
    assert fate(b).kind is FateKind.UNKNOWN


def test_a_publish_from_inside_a_task_is_confirmed_by_what_came_after_it() -> None:
    b = Build()
    cause = b.run(b.call())
    nested = b.message("nested", at=0.15, ok=None, cause=cause.id)
    assert (fate(b, "nested").kind, fate(b, "nested").cause) == (FateKind.LOST, NEVER_DELIVERED)
    nested.failed = "OperationalError"
    assert fate(b, "nested").kind is FateKind.UNPUBLISHED
    nested.failed, cause.state = "", "FAILURE"
    assert fate(b, "nested").kind is FateKind.UNPUBLISHED


def test_done_by_one_message_and_another_still_held_runs_again() -> None:
    b = Build()
    first = b.call()
    one, two = b.retry(first, 1), b.retry(first, 1, 3)
    b.run(one, 5)
    b.killed(two, 6)
    b.held(two)
    assert (fate(b).kind, fate(b).runs_again) == (FateKind.SUCCEEDED, True)


@pytest.mark.parametrize("publish", ["failed", "unknown", "begun"])
def test_an_unconfirmed_publish_counts_only_if_it_was_seen(publish: str) -> None:
    b = Build()
    message = b.call(publish=publish)
    assert fate(b).kind is FateKind.UNPUBLISHED
    b.run(message)
    assert fate(b).kind is FateKind.SUCCEEDED


def test_a_link_that_nobody_published_is_lost_only_if_everything_before_it_succeeded() -> None:
    b = Build()
    message = b.call()
    b.history.calls[1].task_ids = ("t1", "link")
    b.run(message)
    assert (fate(b, "link").kind, fate(b, "link").cause) == (FateKind.LOST, NEVER_PUBLISHED)
    b.history.calls[1].publish = "unknown"
    assert "link" not in fates(b.history, REDIS)
    b.history.calls[1].publish = "ok"
    message.deliveries[0].state = "FAILURE"
    assert "link" not in fates(b.history, REDIS)
