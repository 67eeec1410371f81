"""CeleryUser without a run of the harness: plain Locust, on the broker that is named and no other."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.locust_support import ENOUGH, USERS, locust, redis_server, rows, shop_worker
from tests.e2e.support import project
from tests.parts import parts
from tests.ports import free_port


def test_without_the_harness_nothing_is_sent_where_nobody_named_the_broker(tmp_path: Path) -> None:
    project(tmp_path, users=USERS)
    (tmp_path / "shop.py").write_text((tmp_path / "shop.py").read_text().replace("localhost:6379", "127.0.0.1:9"))
    child = locust(tmp_path, "-f", "users.py", "--headless", "-u", "1", "-t", "2s")
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 2, out
    assert "name the broker by --host" in out


@pytest.mark.parametrize("processes", parts([1, 2], quick=[1]))
def test_without_the_harness_on_the_broker_that_is_named(tmp_path: Path, redis_server_program: str, processes: int) -> None:
    more = ("--processes", "2") if processes > 1 else ()
    project(tmp_path, users=USERS.replace("constant(0.1)", "constant(0.02)") + ENOUGH)
    with redis_server(tmp_path, redis_server_program, free_port()) as url, shop_worker(tmp_path, url):
        options = ("-f", "users.py", "--headless", "-u", "8", "-r", "8", "-t", "80s", "--csv", "out", "--host", f"{url}/0")
        port = free_port()
        ports = ("--master-bind-port", str(port), "--master-port", str(port)) if more else ()
        child = locust(tmp_path, *options, "--result-backend", f"{url}/1", *more, *ports)
        out, _ = child.communicate(timeout=90)
    assert child.returncode == 0, out
    found = rows(tmp_path / "out")
    assert set(found) == {"publish", "end to end"}
    assert int(found["publish"]["Failure Count"]) == int(found["end to end"]["Failure Count"]) == 0
    assert int(found["end to end"]["Request Count"]) > 10
    assert math.isfinite(float(found["end to end"]["95%"]))


#: An app that undoes what it is told as it is imported: (its lines, what is said).
INSISTS = {
    "on a result backend": ('os.environ["CELERY_RESULT_BACKEND"] = "redis://127.0.0.1:9/3"', "has its results at redis://127.0.0.1:9/3"),
    "on a broker": ('os.environ["CELERY_BROKER_WRITE_URL"] = "redis://127.0.0.1:9/0"', "publishes to redis://:**@127.0.0.1:9/0"),
}


@pytest.mark.parametrize("name", parts(INSISTS, quick=["on a result backend"]))
def test_an_app_that_insists_on_a_server_of_its_own_is_refused(tmp_path: Path, redis_server_program: str, name: str) -> None:
    line, said = INSISTS[name]
    project(tmp_path, users=USERS)
    (tmp_path / "shop.py").write_text((tmp_path / "shop.py").read_text() + f"\n{line}\n")
    with redis_server(tmp_path, redis_server_program, free_port()) as url:
        out = _sent_nothing(tmp_path, url)
    assert said in out


TWO_APPS = """import locust
from celery import Celery

from harness.locust import CeleryUser
from locust import constant, task

first = Celery("servers")
second = Celery("servers")


class Insisting(Celery):
    def connection_for_write(self, url=None, *args, **kwargs):
        return super().connection_for_write("redis://127.0.0.1:9/0", *args, **kwargs)


second.__class__ = Insisting


class One(CeleryUser):
    app = first
    wait_time = constant(0.1)

    @task
    def send(self):
        pass


class Two(One):
    app = second
"""


@pytest.mark.exhaustive
def test_a_second_app_of_the_same_name_is_held_against_the_servers_too(tmp_path: Path, redis_server_program: str) -> None:
    project(tmp_path, users=TWO_APPS)
    with redis_server(tmp_path, redis_server_program, free_port()) as url:
        out = _sent_nothing(tmp_path, url)
    assert "servers publishes to redis://:**@127.0.0.1:9/0" in out


def _sent_nothing(folder: Path, url: str) -> str:
    """What Locust says with users who must not publish."""
    options = ("-f", "users.py", "--headless", "-u", "2", "-r", "2", "-t", "2s", "--csv", "out", "--host", f"{url}/0")
    child = locust(folder, *options, "--result-backend", f"{url}/1")
    out, _ = child.communicate(timeout=60)
    assert child.returncode != 0, out
    assert not rows(folder / "out"), out
    return out


def test_importing_the_harness_never_imports_locust() -> None:
    code = (
        "import sys, pkgutil, importlib, harness\n"
        "for m in pkgutil.walk_packages(harness.__path__, 'harness.'):\n"
        "    if m.name == 'harness.locust' or '.agent' in m.name or m.name.endswith('__main__'): continue\n"
        "    try: importlib.import_module(m.name)\n"
        "    except ImportError as exc: assert 'locust' not in str(exc) and 'gevent' not in str(exc), exc\n"
        "bad = [m for m in sys.modules if m.partition('.')[0] in ('locust', 'gevent')]\n"
        "assert not bad, bad\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
