"""Everything that is started is stopped: at the end, on Ctrl-C and SIGTERM at any moment, and after a SIGKILL of the harness."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.e2e.support import APP, Project, end, processes_of, project, wait_until
from tests.parts import parts


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    return project(tmp_path)


def temporary_folders() -> set[str]:
    return {p.name for p in Path(tempfile.gettempdir()).glob("celery-harness-*")}


def start_until(shop: Project, phase: str, **scenario: object) -> subprocess.Popen[str]:
    """Start a run and wait until its JSON lines show the phase (or until a server runs, for '')."""
    file = shop.scenario(**scenario)  # type: ignore[arg-type]
    process = shop.command("run", str(file), "--json")
    if not phase:
        wait_until(lambda: processes_of(shop.folder), "a process of the run")
        return process
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event.get("phase") == phase:
            return process
    raise AssertionError(f"the run ended before {phase}: {process.stderr.read() if process.stderr else ''}")


def stopped_clean(shop: Project, folders_before: set[str]) -> None:
    wait_until(lambda: not processes_of(shop.folder), "no process is left")
    assert temporary_folders() <= folders_before


LONG = {"load": [{"send": "shop.work", "args": [1], "rate": "10/s", "for": "60s"}]}
MOMENTS: dict[str, dict[str, object]] = {
    "": {},
    "ready": LONG,
    "run": LONG,
    "fault": {**LONG, "timeline": [{"at": "200ms", "fault": "worker.kill", "target": "pay"}]},
}


STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
QUICK = [("", signal.SIGINT), ("fault", signal.SIGTERM)]


@pytest.mark.parametrize(("phase", "number"), parts([(phase, number) for phase in MOMENTS for number in STATUS], quick=QUICK))
def test_a_signal_at_any_moment_stops_everything(shop: Project, phase: str, number: signal.Signals) -> None:
    before = temporary_folders()
    process = start_until(shop, phase, **MOMENTS[phase])
    end(process, number)
    assert process.returncode == STATUS[number]
    stopped_clean(shop, before)
    if phase in ("run", "fault"):
        result = shop.result()
        assert "partial" in result["interrupted"]
        assert result["verdict"] != "pass"


@pytest.mark.usefixtures("alone_with_leftovers")
def test_after_a_sigkill_of_the_harness_all_ends_by_itself_and_clean_finds_the_rest(shop: Project) -> None:
    before = temporary_folders()
    process = start_until(shop, "run", **LONG)
    assert processes_of(shop.folder), "the look for leftovers can fail"
    end(process, signal.SIGKILL)
    wait_until(lambda: not processes_of(shop.folder), "workers and Redis end with their parent")
    assert temporary_folders() - before
    cleaned = shop.run("clean")
    assert cleaned.returncode == 0
    assert "removed folder" in cleaned.stdout
    assert temporary_folders() <= before


@pytest.mark.usefixtures("alone_with_leftovers")
def test_clean_leaves_a_living_run_alone_also_one_with_another_temporary_folder(shop: Project, tmp_path: Path) -> None:
    process = start_until(shop, "run", **LONG)
    running = {p.pid for p in processes_of(shop.folder)}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    try:
        shop.env = {"TMPDIR": str(elsewhere)}
        shop.run("clean")
        assert {p.pid for p in processes_of(shop.folder)} >= running
    finally:
        end(process, signal.SIGTERM)
    stopped_clean(shop, temporary_folders())


def test_an_app_that_fails_in_mid_run_leaves_nothing(tmp_path: Path) -> None:
    shop = project(tmp_path, shop=_DYING)
    before = temporary_folders()
    done = shop.run("run", str(shop.scenario()))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "before it was ready" in done.stdout + done.stderr
    stopped_clean(shop, before)


_DYING = """
import os, sys
from celery import Celery, signals
app = Celery("shop")

@signals.worker_init.connect
def die(**kw):
    os._exit(9)

@app.task(name="shop.work")
def work(n):
    return n
"""


_SPAWNING = (
    APP
    + """

def create():
    import subprocess
    subprocess.Popen(["sleep", "300"])
"""
)


def test_a_run_that_ends_leaves_nothing_not_even_what_the_setup_started(tmp_path: Path) -> None:
    shop = project(tmp_path, shop=_SPAWNING)
    before = temporary_folders()
    done = shop.run("run", str(shop.scenario(system={"setup": "shop:create"})))
    assert done.returncode == 0, done.stdout + done.stderr
    stopped_clean(shop, before)


_CRASHING = """
import os, sys
from pathlib import Path
from celery import Celery, signals
app = Celery("shop")
app.conf.task_acks_late = True
app.conf.worker_prefetch_multiplier = 1  # a full window has no fetch under way, so Redis itself loses nothing (F67)

@signals.worker_init.connect
def stale_lock(**kw):
    lock = Path(__file__).with_name("lock-" + kw["sender"].hostname)
    if lock.exists():
        os._exit(9)
    lock.touch()

@app.task(name="shop.work")
def work(n):
    import time
    time.sleep(0.05)
"""


@pytest.mark.exhaustive
def test_a_worker_that_never_comes_back_is_no_pass(tmp_path: Path) -> None:
    """Two replicas: the other one does the work, so every check is content. The fault did not heal all the same."""
    shop = project(tmp_path, shop=_CRASHING)
    file = shop.scenario(
        system={"workers": {"pay": {"replicas": 2, "concurrency": 1}}},
        timeline=[{"when": {"task": "shop.work", "call": 2}, "fault": "worker.kill", "restart_after": "200ms"}],
        drain={"timeout": "4500ms"},
    )
    done = shop.run("run", str(file))
    assert done.returncode == 4, done.stdout + done.stderr
    assert "did not heal" in done.stdout


def test_a_signal_while_the_checks_judge_is_not_forgotten(shop: Project) -> None:
    """The stop comes after the last tick of the run, when nobody asks for signals until the report is written."""
    process = start_until(shop, "observe")
    end(process, signal.SIGTERM)
    assert process.returncode == 143


#: Bytes that the kernel keeps of what nobody reads (pipe(7)).
_PIPE = 1 << 16


def test_parallel_jobs_do_not_block_on_what_they_say(shop: Project) -> None:
    """More JSON lines than a pipe holds."""
    files = [str(shop.scenario(name, description="word " * (_PIPE // 5 + 1))) for name in ("a", "b")]
    done = shop.run("run", *files, "-j", "2", "--keep", "--json", timeout=80)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines(keepends=True) if '"event":"result"' in line]
    assert len(said) == 2 and min(map(len, said)) > _PIPE


def test_parallel_jobs_end_with_their_parent(shop: Project) -> None:
    """A killed parent tells its children nothing: that nobody holds their input any more does."""
    before = temporary_folders()
    process = shop.command("run", *(str(shop.scenario(name, **LONG)) for name in ("a", "b")), "-j", "2")  # type: ignore[arg-type]
    wait_until(lambda: processes_of(shop.folder), "a process of a run")
    process.kill()
    process.communicate()
    wait_until(lambda: temporary_folders() <= before, "both runs have ended")
    stopped_clean(shop, before)
