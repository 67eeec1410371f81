"""`locust:` in a scenario file: what is wrong with it is said where it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.assembly import registry
from harness.errors import ScenarioError
from harness.scenario import LoadedScenario, load_scenarios

HEAD = "version: 1\nsystem: {app: 'shop:app', broker: redis, services: {db: sqlite}}\n"


@pytest.fixture(autouse=True)
def locustfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder that is run in."""
    (tmp_path / "users.py").write_text("")
    (tmp_path / "users.txt").write_text("")
    monkeypatch.chdir(tmp_path)


def load(text: str) -> LoadedScenario:
    path = Path("s.yaml")
    path.write_text(HEAD + text)
    return load_scenarios(path, registry())[0]


def test_all_keys() -> None:
    spec = load(
        "locust: {file: users.py, users: 20, spawn_rate: 5/s, for: 1m 30s, processes: 2, options: [--stop-timeout=5]}"
    ).scenario.locust
    assert spec is not None
    assert (spec.users, spec.spawn_rate, spec.duration, spec.processes, spec.options) == (20, 5.0, 90.0, 2, ("--stop-timeout=5",))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "`load` is missing"),
        ("locust: {for: 2s}", "`file` is missing"),
        ("locust: {file: user.py, for: 2s}", "s.yaml:3:16: no locustfile user.py"),
        ("locust: {file: user.py, for: 2s}", "did you mean `users.py`?"),
        ("locust: {file: users.txt, for: 2s}", "users.txt is not a Python file"),
        ("locust: {file: ., for: 2s}", ". is a folder"),
        ("locust: {file: users.py, for: 2s, usrs: 3}", "unknown key `usrs` in `locust`; did you mean `users`?"),
        ("locust: {file: users.py, for: 2500ms}", "Locust counts whole seconds"),
        ("locust: {file: users.py, for: 2s}\nload: [{send: a, count: 1}]", "`load` and `locust` both say which calls are made"),
        ("locust: {file: users.py, for: 2s}\nschedule: [{send: a}]", "`schedule` and `locust` both say which calls are made"),
        ("locust: {file: users.py, for: 2s, options: [--users=3]}", "s.yaml:3:45: `--users` has a key of its own here: `users`"),
        ("locust: {file: users.py, for: 2s, options: [--headless]}", "`--headless` is the run's own business"),
        ("locust: {file: users.py, for: 2s, options: [users]}", "`users` is no option of Locust"),
        (
            "locust: {file: users.py, for: 2s}\nchecks: {idempotent: {observe: [db]}}",
            "`idempotent` needs calls that are known before the run",
        ),
        (
            "locust: {file: users.py, for: 2s}\ntimeline: [{when: {task: a, call: 3}, fault: worker.kill}]",
            "Locust's calls have no numbers before the run",
        ),
        (
            "locust: {file: users.py, for: 2s}\ntimeline: [{at: 5m, for: 1s, fault: worker.pause}]",
            "the load (s.yaml:3:1) ends after 2.0 s",
        ),
    ],
)
def test_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(text)
    assert says in str(caught.value)


def test_a_shape_may_last_as_long_as_it_likes() -> None:
    loaded = load("locust: {file: users.py}\ntimeline: [{at: 5m, for: 1s, fault: worker.pause}]")
    assert loaded.scenario.locust is not None and loaded.scenario.locust.duration is None
