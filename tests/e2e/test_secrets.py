"""Credentials are made for the run, and are in no log and no report."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e.support import APP, project

_TELLING = (
    APP
    + """

@app.task(name="shop.tell")
def tell():
    from pathlib import Path

    conf = app.conf
    Path(os.environ["TELL"]).write_text(f"{app.connection_for_read().as_uri(include_password=True)} {conf.result_backend}")
"""
)


def test_no_password_is_in_a_log_or_a_report(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    shop = project(tmp_path / "project", shop=_TELLING)
    told = tmp_path / "told"
    file = shop.scenario(
        system={"backend": "redis", "env": {"TELL": str(told)}},
        load=[{"send": "shop.tell", "count": 1}],
        checks={"no_loss": {}, "state_agrees": {}},
    )
    runs = []
    for _ in range(2):
        done = shop.run("run", str(file), "--keep")
        passwords = set(re.findall(r"redis://[\w-]*:([^@]+)@", told.read_text()))
        assert len(passwords) == 2, "the broker's and the backend's own"
        runs.append(passwords)
        texts = [done.stdout, done.stderr, *(p.read_bytes().decode("utf-8", "replace") for p in shop.folder.rglob("*") if p.is_file())]
        for password in passwords:
            assert len(password) >= 24
            assert not any(password in text for text in texts)
    assert not runs[0] & runs[1]
