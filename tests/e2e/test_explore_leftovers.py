"""What SQLite commits in two databases at once, and what varies by itself in files, counters and waits: neither is taken for the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import project

SHOP = """
import os, signal, sqlite3, threading, zipfile
from contextlib import closing
from pathlib import Path

import redis
from celery import Celery

app = Celery("shop", broker=os.environ.get("SHOP_BROKER", "redis://localhost:6379/0"))
app.conf.task_acks_late = True


def create():
    for path in (os.environ["SALES"], os.environ["STOCK"], os.path.join(os.environ["PAPERS"], "shop.db")):
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE moved (number INTEGER UNIQUE)")
            db.commit()


def move(number, mode):
    with closing(sqlite3.connect(os.environ["SALES"], isolation_level=None)) as db:
        db.execute("ATTACH ? AS stock", (os.environ["STOCK"],))
        for name in ("main", "stock"):
            db.execute(f"PRAGMA {name}.journal_mode = {mode}")
        if not db.execute("SELECT 1 FROM main.moved").fetchone():
            db.execute("BEGIN")
            db.execute("INSERT INTO main.moved VALUES (?)", (number,))
            db.execute("INSERT INTO stock.moved VALUES (?)", (number,))
            db.execute("COMMIT")


@app.task(name="shop.in_both")
def in_both(number):
    move(number, "DELETE")


@app.task(name="shop.in_one_by_one")
def in_one_by_one(number):
    move(number, "WAL")


@app.task(name="shop.numbered")
def numbered(number):
    cache = redis.Redis.from_url(os.environ["CACHE_URL"])
    if not cache.exists(f"invoice:{number}"):
        cache.set(f"invoice:{number}", cache.incr("invoice_number"))


@app.task(name="shop.packed")
def packed(number):
    papers = Path(os.environ["PAPERS"])
    signal.alarm(60)
    os.setsid()
    with closing(sqlite3.connect(papers / "shop.db")) as db:
        db.execute("INSERT OR IGNORE INTO moved VALUES (?)", (number,))
        db.commit()
    threading.Event().wait(40)
    signal.alarm(0)
    with zipfile.ZipFile(papers / "half", "w") as file:
        file.writestr("order.txt", str(number))
    os.replace(papers / "half", papers / "order.zip")
"""


@pytest.mark.usefixtures("redis_server_program")
def test_each_is_told_for_what_it_is(tmp_path: Path) -> None:
    shop = project(tmp_path, shop=SHOP)
    services = {"sales": "sqlite", "stock": "sqlite", "papers": "files", "cache": {"redis": {"sequences": ["invoice_number"]}}}
    env = {"SALES": "${{ sales.path }}", "STOCK": "${{ stock.path }}", "PAPERS": "${{ papers.path }}", "CACHE_URL": "${{ cache.url }}"}
    system = {"app": "shop:app", "setup": "shop:create", "broker": "redis", "services": services, "env": env}
    tasks = ["in_both", "in_one_by_one", "numbered", "packed"]
    items = [{"task": f"shop.{task}", "args": [7], "limit": {"time": "5m"}} for task in tasks]
    file = shop.folder / "s.yaml"
    file.write_text(json.dumps({"version": 1, "system": system, "explore": items}))
    done = shop.run("explore", str(file), "--json")
    told: dict[str, Any] = {one["task"][5:]: one for one in map(json.loads, done.stdout.splitlines())}
    verdicts = {task: one["verdict"] for task, one in told.items()}
    assert verdicts == {**dict.fromkeys(tasks, "certified"), "in_one_by_one": "fails"}, done.stderr + done.stdout
    assert {one["collection"] for one in told["in_one_by_one"]["flaws"][0]["differences"]} == {"stock.moved"}
    assert any("invoice_number" in words and "sequences" in words for words in told["numbered"]["coverage"]["excluded"])
