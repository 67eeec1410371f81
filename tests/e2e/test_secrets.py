"""Credentials are made for the run, and are in no log and no report: not even where the app itself says its URLs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.support import APP, Project, project

_TELLING = (
    APP
    + """

import logging
from pathlib import Path

logging.getLogger(__name__).warning("imported for %s", app.conf.broker_url)


def url():
    return app.connection_for_read().as_uri(include_password=True)


@app.task(name="shop.tell")
def tell():
    Path(os.environ["TELL"]).write_text(f"{url()} {app.conf.result_backend}")
    logging.getLogger(__name__).warning("connected to %s and %s", url(), app.conf.result_backend)
    print("stored at", os.environ["CACHE"])
    return url()


@app.task(name="shop.fail")
def fail(where):
    raise ConnectionError("." * int(where) + f" no answer from {os.environ['CACHE']} and {url()}")
"""
)


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    (tmp_path / "project").mkdir()
    return project(tmp_path / "project", shop=_TELLING)


def test_no_password_is_in_a_log_or_a_report(shop: Project, tmp_path: Path) -> None:
    """Some of what the app says of itself is cut off in the middle of a password."""
    told = tmp_path / "told"
    file = shop.scenario(
        system={"backend": "redis", "services": {"cache": "redis"}, "env": {"TELL": str(told), "CACHE": "${{ cache.url }}"}},
        load=[{"send": "shop.tell", "count": 1}, *({"send": "shop.fail", "args": [n], "count": 1} for n in (0, 100, 240, 260))],
        checks={"no_loss": {}, "state_agrees": {}},
    )
    runs = []
    for options in ((), ("--json",)):
        done = shop.run("run", str(file), "--keep", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        passwords = set(re.findall(r"redis://[\w-]*:([^@]+)@", told.read_text()))
        assert len(passwords) == 2, "the broker's and the backend's own"
        runs.append(passwords)
        files = {path.name: path.read_bytes().decode("utf-8", "replace") for path in shop.folder.rglob("*") if path.is_file()}
        for password in passwords:
            assert len(password) >= 24
            shown = [name for name, text in {**files, "stdout": done.stdout, "stderr": done.stderr}.items() if password[:9] in text]
            assert not shown
        for name in ("pay-1.log", "producer.log", "result.json", "report.html"):
            assert "***@" in files[name], f"{name} has nothing to hide"
        assert any("***@" in text for name, text in files.items() if name.endswith(".journal"))
    assert not runs[0] & runs[1]
