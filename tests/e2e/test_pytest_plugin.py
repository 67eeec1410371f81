"""The plugin in sessions of its own: options, markers, bad input, scopes, the environment's faults, what an unused plugin does."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

import harness.testing.pytest_fixtures
import harness.testing.pytest_items  # noqa: F401 - both imported by the plugin where they are wanted; see `collected`
from tests.e2e.pytest_support import copied, run_pytest
from tests.e2e.support import processes_of
from tests.parts import parts

pytest_plugins = ["pytester"]


def project(folder: Path, test: str, **files: str) -> Path:
    """The plain project with another test file."""
    made = copied("plain", folder)
    (made / "test_shop.py").write_text(textwrap.dedent(test))
    for name, text in files.items():
        (made / name.replace("_", ".", 1)).write_text(textwrap.dedent(text))
    return made


#: Without the plugins of others, whose imports take most of a start.
_ALONE = [option for name in ("randomly", "celery", "asyncio", "django", "hypothesispytest") for option in ("-p", f"no:{name}")]


# --- unused -----------------------------------------------------------------------------------------------------

_QUIET = """
import sys

def pytest_sessionfinish(session):
    manager = session.config.pluginmanager
    ours = manager.get_plugin("celery_harness")
    assert ours is not None
    callers = [caller for caller in vars(manager.hook).values() if hasattr(caller, "get_hookimpls")]
    hooks = {caller.name for caller in callers if any(impl.plugin is ours for impl in caller.get_hookimpls())}
    heavy = {"harness", "celery", "pydantic", "click"}
    print("HOOKS", *sorted(hooks))
    print("IMPORTED", *sorted(name for name in sys.modules if name.partition(".")[0] in heavy))
"""


def test_unused_it_has_no_hook_that_runs_per_test_and_imports_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(_QUIET)
    pytester.makepyfile("def test_a(): pass\ndef test_b(): pass")
    pytester.mkdir("data").joinpath("other.yaml").write_text("version: 1\nsystem: {}\n")
    done = pytester.runpytest_subprocess("-s", "--strict-markers", *_ALONE)
    done.assert_outcomes(passed=2)
    assert "HOOKS pytest_addoption pytest_collect_file pytest_configure\n" in done.stdout.str()
    assert "IMPORTED harness harness.pytest_plugin\n" in done.stdout.str()


def test_its_options_marker_and_fixtures_are_explained(pytester: pytest.Pytester) -> None:
    text = pytester.runpytest_inprocess("--help", *_ALONE).stdout.str()
    for option in ("--harness-runtime", "--harness-reports", "--harness-seed", "celery_harness_scenarios"):
        assert option in text
    assert "@pytest.mark.harness(" in pytester.runpytest_inprocess("--markers", *_ALONE).stdout.str()
    pytester.makepyfile("def test_a(): pass")
    shown = pytester.runpytest_inprocess("--fixtures", *_ALONE).stdout.str()
    for name in ("harness --", "harness_class [class scope]", "harness_module [module scope]", "harness_system [session scope]"):
        assert name in shown


# --- scenario files ---------------------------------------------------------------------------------------------

_SCENARIO = """\
version: 1
system: {app: 'shop:app', workers: {pay: {concurrency: 1}}}
load: [{send: shop.book_once, count: 1}]
checks: {no_loss: {}}
"""


def collected(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    """Items by their ids. In this process, which keeps what it has imported: most of a pytest's start is that."""
    text = pytester.runpytest_inprocess("--collect-only", "-q", *_ALONE, *arguments).stdout.str()
    return sorted(line for line in text.splitlines() if "::" in line and "warn" not in line.lower())


def test_scenario_files_are_collected_where_they_are_asked_for(pytester: pytest.Pytester) -> None:
    for folder in ("scenarios", "other"):
        place = pytester.mkdir(folder)
        (place / "one.yaml").write_text(_SCENARIO)
        (place / "compose.yml").write_text("version: 3\nservices: {}\n")
    (pytester.path / "scenarios" / "two.yaml").write_text(
        _SCENARIO.replace("load:", "matrix: {broker: [redis, rabbitmq]}\ntags: [ci, late-acks, skip]\nload:").replace(
            "{app:", "{broker: '${{ matrix.broker }}', app:"
        )
    )
    (pytester.path / "scenarios" / "three.yaml").write_text(
        "version: 1\nsystem: {app: 'shop:app', broker: redis}\nexplore: [{task: shop.charge}]\n"  # nothing to run: no item
    )
    two = ["scenarios/two.yaml::cell[broker=rabbitmq]", "scenarios/two.yaml::cell[broker=redis]"]
    assert collected(pytester) == ["scenarios/one.yaml::cell", *two]
    assert collected(pytester, "other") == []
    assert collected(pytester, "other/one.yaml") == ["other/one.yaml::cell"]
    assert collected(pytester, "-m", "ci and late-acks", "--strict-markers") == two
    assert collected(pytester, "-k", "rabbitmq") == two[:1]
    assert collected(pytester, "-o", "celery_harness_scenarios=other/*") == ["other/one.yaml::cell"]
    assert collected(pytester, "-o", "celery_harness_scenarios=") == []


def test_a_scenario_that_does_not_load_is_an_error_with_its_line(pytester: pytest.Pytester) -> None:
    place = pytester.mkdir("scenarios")
    (place / "typo.yaml").write_text(_SCENARIO.replace("send:", "sned:"))
    (place / "empty.yaml").write_text("system: {app: 'shop:app'}\n")
    done = pytester.runpytest_inprocess("scenarios/typo.yaml", "scenarios/empty.yaml", "--strict-markers", *_ALONE)
    done.assert_outcomes(errors=2)
    text = done.stdout.str()
    assert "typo.yaml:3:9: unknown key `sned` in item 1 of `load`; did you mean `send`?" in text
    assert "`version` is missing" in text
    assert "Traceback" not in text
    assert "harness/testing" not in text


# --- bad input --------------------------------------------------------------------------------------------------


def test_without_a_configuration_it_says_where_to_put_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_a(harness): harness.send('x')")
    done = pytester.runpytest_inprocess(*_ALONE)
    done.assert_outcomes(errors=1)
    text = done.stdout.str()
    assert "test_a uses a harness, and nothing says what its system is" in text
    assert "[tool.celery-harness.system]" in text
    assert 'app = "shop:app"' in text
    assert "harness_system" in text
    assert "Traceback" not in text


_WRONG = {
    "wrokers={}": "no key `wrokers`; did you mean `workers`?",
    "runtime='boxes'": "there is no runtime 'boxes'",
    "workers={'pay': {'replica': 2}}": "did you mean `replicas`?",
    "checks={'no_los': {}}": "did you mean `no_loss`?",
    "app='shop:nothing'": "nothing",
}


def test_what_is_wrong_is_told_with_near_names_and_without_our_frames(tmp_path: Path) -> None:
    cases = "\n".join(
        f"@pytest.mark.harness({keys})\ndef test_{number}(harness):\n    harness.send('shop.book_once', 1, 2)\n"
        for number, keys in enumerate(_WRONG)
    )
    calls = """
def test_task(harness):
    harness.send("shop.book_onse", 1, 2)

def test_argument(harness):
    harness.send("shop.book_once", object(), 2)

def test_target(harness):
    harness.worker("pai").kill()

def test_point(harness):
    harness.crash("shop.book_once", "begin")

def test_fault(harness):
    harness.fault("worker.kil")
"""
    made = project(tmp_path, f"import pytest\n{cases}\n{calls}")
    done = run_pytest(made, "test_shop.py")
    for words in (
        *_WRONG.values(),
        "task shop.book_onse is not registered in shop:app; did you mean `shop.book_once`?",
        "cannot be written into a plan",
        "did you mean `pay`?",
        "no point `begin`",
        "no fault `worker.kil`; did you mean `worker.kill`?",
    ):
        assert words in done.text, words
    assert "passed" not in done.outcomes.values()
    assert done.outcomes["test_task"] == "failed"
    assert "Traceback" not in done.text
    assert "/harness/" not in done.text.replace(str(tmp_path), "")
    assert not processes_of(made)


# --- verdicts ---------------------------------------------------------------------------------------------------


def test_each_verdict_has_its_outcome_and_nothing_is_left(tmp_path: Path, redis_server_program: str) -> None:
    made = project(
        tmp_path,
        """
        import os, signal
        import pytest

        def test_inconclusive(harness):
            harness.crash("shop.book_once", "before_ack", nth=9)
            harness.send("shop.book_once", 1, 900)

        def test_body_raises(harness):
            harness.send("shop.book_once", 1, 900)
            raise ValueError("mine")

        def test_environment(harness):
            harness.send("shop.book_once", 1, 900).wait()
            server = harness.live.system.broker_server.processes[0]
            os.kill(server.pid, signal.SIGKILL)
            harness.wait_until(lambda: False, 20)

        @pytest.mark.harness(checks={"no_loss": {}}, seed=4)
        def test_marked(harness):
            assert harness.configuration.seed == 5
            harness.send("shop.book_twice", 1, 900).wait()
            assert len(harness.history.deliveries) == 1
        """,
    )
    done = run_pytest(made, "test_shop.py", "--harness-reports", "kept", "--harness-seed", "5")
    assert done.outcomes == {
        "test_inconclusive": "failed",
        "test_body_raises": "failed",
        "test_environment": "error",
        "test_marked": "passed",
    }, done.text
    assert "INCONCLUSIVE  task.crash did not bite" in done.text
    assert "ValueError: mine" in done.text
    assert "nothing was judged, since the test itself ended early; the report: " in done.text
    assert "ended by itself with status -9" in done.text
    assert len([path for path in (made / "kept").iterdir() if not path.is_symlink()]) == 4
    assert not processes_of(made)


@pytest.mark.exhaustive
def test_one_system_for_several_tests(tmp_path: Path, redis_server_program: str) -> None:
    """A test that fails spoils nobody's system; what only the end can show names its test."""
    made = project(
        tmp_path,
        """
        import pytest

        class TestOne:
            def test_a(self, harness_class):
                harness_class.send("shop.book_once", 1, 900).wait()
                self.__class__.run = harness_class.live

            def test_b(self, harness_class):
                assert harness_class.live is self.run
                harness_class.crash("shop.book_twice", "before_ack")
                harness_class.send("shop.book_twice", 2, 900)

            def test_c(self, harness_class):
                harness_class.send("shop.book_once", 3, 900).wait()

        @pytest.mark.harness(checks={"no_loss": {}})
        class TestTwo:
            def test_d(self, harness_class):
                harness_class.crash("shop.book_once", "before_ack", nth=9)
                harness_class.send("shop.book_once", 1, 900)

            def test_e(self, harness_class):
                harness_class.send("shop.book_once", 1, 900)
        """,
    )
    done = run_pytest(made, "test_shop.py", "-rA")
    assert "test_shop.py::TestOne::test_b" in done.text
    assert "Judged when the last test was over. Sent by call 2: test_shop.py::TestOne::test_b" in done.text
    assert {name: done.outcomes[name] for name in ("test_a", "test_b", "test_d", "test_e")} == {
        "test_a": "passed",
        "test_b": "passed",
        "test_d": "failed",
        "test_e": "passed",
    }, done.text
    assert "EFFECT  shop.book_twice took effect more than once" in done.text
    assert "2 failed" in done.text
    assert not processes_of(made)


PROMISES = {
    "test_once": "passed",
    "test_twice": "failed",
    "test_scenario": "passed",
    "test_retries": "passed",
    "test_too_many": "failed",
}


_HALVES = [["test_once", "test_too_many"], ["test_twice", "test_scenario", "test_retries"]]


@pytest.mark.parametrize("names", parts(_HALVES, quick=_HALVES[:1]), ids=" ".join)
def test_promises_in_a_line_on_real_workers(tmp_path: Path, redis_server_program: str, names: list[str]) -> None:
    made = project(
        tmp_path,
        """
        import pytest

        def test_once(harness):
            assert len(harness.assert_idempotent("shop.book_once", 1, 900, crash_points=["before_ack"], copies=["together"])) == 2

        def test_twice(harness):
            harness.assert_idempotent("shop.book_twice", 1, 900, crash_points=["before_ack"], copies=())

        def test_scenario(harness):
            result = harness.run(load=[{"send": "shop.book_once", "args": [1, 2], "count": 2}], checks={"no_loss": {}})
            assert result.calls == 2

        @pytest.mark.harness(app="retries:app", setup=None, services=None, env=None)
        def test_retries(harness):
            harness.assert_retry_policy("retries.fetch", max_retries=2, backoff="fixed", base="3s")

        @pytest.mark.harness(app="retries:app", setup=None, services=None, env=None)
        def test_too_many(harness):
            harness.assert_retry_policy("retries.fetch", max_retries=1)
        """,
        retries_py="""
        from celery import Celery

        app = Celery("retries")

        @app.task(name="retries.fetch", autoretry_for=(OSError,), max_retries=2, retry_kwargs={"countdown": 3})
        def fetch():
            raise OSError("away")
        """,
    )
    done = run_pytest(made, "test_shop.py", "-k", " or ".join(names))
    assert done.outcomes == {name: PROMISES[name] for name in names}, done.text
    if "test_twice" in names:
        assert "EFFECT  shop.book_twice took effect more than once" in done.text
        assert "with its worker killed at before_ack, as assert_idempotent tries it" in done.text
    else:
        assert "RETRY  " in done.text
