"""A signal that comes when all scenarios have run, while what was kept for the next is removed: it is removed all the same."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.e2e.containers import needs_engine
from tests.e2e.support import Project, processes_of, project, wait_until
from tests.parts import parts


def finished(shop: Project, runtime: str, scenarios: int) -> subprocess.Popen[str]:
    """Several scenarios of one command, up to the result of the last."""
    file = shop.scenario(load=[{"send": "shop.work", "args": [1], "count": 1}], system={"workers": {"pay": {"pool": "solo"}}})
    process = shop.command("run", *[str(file)] * scenarios, "--runtime", runtime, "--json")
    assert process.stdout is not None
    for line in process.stdout:
        with contextlib.suppress(ValueError):
            scenarios -= json.loads(line).get("event") == "result"
        if not scenarios:
            return process
    raise AssertionError(process.communicate())


def removing(shop: Project, runtime: str) -> subprocess.Popen[str]:
    """Such a command, stopped while there still is what was kept. A busy machine may look too late: then another one."""
    for _ in range(10):
        process = finished(shop, runtime, 2)
        process.send_signal(signal.SIGSTOP)
        if folders_of(process.pid):
            return process
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=90)
    raise AssertionError("what is kept was always gone already")


def folders_of(pid: int) -> list[Path]:
    """Those of runs and sessions that this harness claims as its own."""
    found = []
    for claim in Path(tempfile.gettempdir()).glob("celery-harness-*/owner"):
        with contextlib.suppress(OSError):
            found += [claim.parent] if claim.read_text().split()[0] == str(pid) else []
    return found


def engine_has(pid: int) -> str:
    """Containers and networks that belong to this harness."""
    told = ""
    for what in (["ps", "-a"], ["network", "ls"]):
        shown = ["docker", *what, "--format", '{{.ID}} {{.Label "celery-harness.owner"}}', "--filter", "label=celery-harness.owner"]
        out = subprocess.run(shown, capture_output=True, text=True, timeout=30, check=True).stdout
        told += "".join(line for line in out.splitlines(keepends=True) if line.split()[1:2] == [str(pid)])
    return told


SIGNALS = [(signal.SIGTERM, False), (signal.SIGINT, True)]
#: What a signal leaves of containers is seen in `make test` by test_containers_stopping.py.
QUICK = [("processes", signal.SIGINT, True)]


@pytest.mark.parametrize(
    ("runtime", "number", "again"), parts([(runtime, *one) for runtime in ("processes", "containers") for one in SIGNALS], quick=QUICK)
)
def test_nothing_is_left_of_what_was_kept(tmp_path: Path, runtime: str, number: signal.Signals, again: bool) -> None:
    if runtime == "containers":
        needs_engine()
    shop = project(tmp_path)
    process = removing(shop, runtime)
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    if again:
        process.send_signal(signal.SIGTERM)
        process.send_signal(number)
    _, err = process.communicate(timeout=90)
    assert process.returncode == 128 + number
    assert "interrupted: everything was stopped" in err
    wait_until(lambda: not processes_of(tmp_path), "no process is left")
    assert not folders_of(process.pid)
    if runtime == "containers":
        assert not engine_has(process.pid)


def test_between_two_scenarios_no_further_one_begins(tmp_path: Path) -> None:
    shop = project(tmp_path)
    file = shop.scenario(load=[{"send": "shop.work", "args": [1], "count": 1}], system={"workers": {"pay": {"pool": "solo"}}})
    process = shop.command("run", *[str(file)] * 30, "--runtime", "processes", "--json")
    assert process.stdout is not None
    next(line for line in process.stdout if '"event":"result"' in line)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert out.count('"event":"result"') <= 2, "only what had begun may end"
    assert "interrupted" in err
    wait_until(lambda: not processes_of(tmp_path), "no process is left")
