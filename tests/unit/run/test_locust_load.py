"""What a look at the locustfile may find, in words; and what Locust's run says of its generator."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.model.history import Call, History, ProcessLife, SideEvent
from harness.model.locust_generating import locust_generator
from harness.model.scenario import LocustSpec, Scenario, System
from harness.run.locust_load import check_locust

FOUND = {"ok": True, "locust": "2", "users": ["Shopper"], "shape": False, "wrong": []}


def scenario(**spec: Any) -> Scenario:
    return Scenario(version=1, system=System(app="a:b"), locust=LocustSpec.model_validate({"file": "f.py", "for": "2s", **spec}))


def where(*path: object) -> str:
    return "s.yaml:" + ".".join(map(str, path))


def test_what_is_fine() -> None:
    check_locust(scenario(), FOUND, where)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"ok": False, "error": {"kind": "locust", "what": "Locust cannot be imported"}}, ("s.yaml:locust", "celery-harness[load]")),
        (
            {"ok": False, "error": {"kind": "import", "what": "it fails", "file": "f.py", "line": 3, "traceback": "Traceback: x"}},
            ("f.py:3", "Traceback: x"),
        ),
        ({**FOUND, "users": []}, ("s.yaml:locust.file", "no user class")),
        ({**FOUND, "wrong": [[7, "task a is not registered; did you mean b?"]]}, ("f.py:7", "did you mean b?")),
    ],
)
def test_what_is_refused(answer: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ScenarioError) as caught:
        check_locust(scenario(), answer, where)
    for word in words:
        assert word in str(caught.value)


def test_without_a_time_the_locustfile_has_to_know_the_end() -> None:
    endless = scenario().model_copy(update={"locust": LocustSpec(file="f.py")})
    with pytest.raises(ScenarioError, match="`for` is missing"):
        check_locust(endless, FOUND, where)
    check_locust(endless, {**FOUND, "shape": True}, where)


def history(*said: tuple[str, str]) -> History:
    calls = {n: Call(n, "a", "", due=0.1 * n) for n in range(1, 21)}
    events = [SideEvent("locust", 1.0, "producer", "", {"what": what, "text": text}) for what, text in said]
    return History(calls=calls, events=events, load_ended=4.0)


def test_users_wait_so_nothing_is_late() -> None:
    found = locust_generator(history())
    assert (found.kind, found.calls, found.late, found.intended, found.achieved, found.bottleneck) == ("locust", 20, 0, None, 5.0, "")


def test_what_locust_says_makes_it_the_bottleneck() -> None:
    found = locust_generator(history(("lost", "Locust lost its worker w1"), ("busy", "92 %"), ("busy", "93 %")))
    assert found.bottleneck == "Locust lost its worker w1; 92 %"


@pytest.mark.parametrize(
    ("how", "said", "failed"),
    [
        ("exit 0", (("counted", "0 of 9 requests failed, 0 exceptions"),), ""),
        (
            "exit 1",
            (("counted", "3 of 9 requests failed, 0 exceptions"),),
            "Locust ended with exit 1: 3 of 9 requests failed, 0 exceptions",
        ),
        ("SIGKILL", (), "Locust ended with SIGKILL, before it could say why"),
    ],
)
def test_locusts_own_verdict_undoes_a_pass(how: str, said: tuple[tuple[str, str], ...], failed: str) -> None:
    told = history(*said)
    told.processes = [ProcessLife("producer", "producer", 5, 0.0, how=how), ProcessLife("producer", "producer", 6, 0.0, how="shut down")]
    found = locust_generator(told)
    assert (found.failed, found.bottleneck, found.undoes) == (failed, "", failed)


def test_what_locust_did_not_measure_changes_no_verdict() -> None:
    found = locust_generator(history(("unmeasured", "how busy it was"), ("unmeasured", "how busy it was")))
    assert (found.unmeasured, found.undoes) == ("how busy it was", "")


def test_what_other_machines_made_is_told_and_changes_no_verdict() -> None:
    found = locust_generator(history(("waits", "Locust waits for 2 workers"), ("elsewhere", "40 calls were made on a, b")))
    assert (found.elsewhere, found.undoes) == ("40 calls were made on a, b", "")


def test_a_load_that_never_ended_has_no_rate() -> None:
    assert locust_generator(History()).achieved is None
