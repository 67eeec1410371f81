"""A small app in a folder of its own for tests of runs that once passed wrongly: each mistake has its right twin beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["APP", "SYSTEM", "SYSTEM_WITH_PAY", "check", "killed_at", "load", "run"]

APP = '''"""Orders in SQLite, payments and mails over HTTP."""
import json, os, sqlite3, time, urllib.error, urllib.request
from celery import Celery

app = Celery("orders")
app.conf.update(task_default_queue="orders", worker_prefetch_multiplier=1, task_acks_late=True)


def connection():
    return sqlite3.connect(os.environ["DATABASE"], timeout=20)


def create():
    with connection() as db:
        db.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY)")
        db.execute("CREATE TABLE ledger (id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER)")


def new(number):
    with connection() as db:
        return db.execute("INSERT INTO orders VALUES (?) ON CONFLICT DO NOTHING", (number,)).rowcount


def post(path, number, key=""):
    request = urllib.request.Request(os.environ["API"] + path, json.dumps({"order": number}).encode(), {"Content-Type": "application/json"})
    if key:
        request.add_header("Idempotency-Key", key)
    with urllib.request.urlopen(request, timeout=20):
        pass


@app.task
def mail(number):
    post("/mails", number, f"mail-{number}")


@app.task
def order_guarded(number):
    if not new(number):
        return "already"
    time.sleep(0.05)
    mail.delay(number)


@app.task
def order(number):
    new(number)
    time.sleep(0.05)
    mail.delay(number)


def charge_and_mail(number, key):
    post("/charges", number, key)
    if not key:
        with connection() as db:
            db.execute("INSERT INTO ledger (number) VALUES (?)", (number,))
    post("/mails", number, f"mail-{number}")


@app.task(autoretry_for=(urllib.error.HTTPError,), default_retry_delay=1, max_retries=4)
def charge_again(number):
    charge_and_mail(number, "")


@app.task(autoretry_for=(urllib.error.HTTPError,), default_retry_delay=1, max_retries=4)
def charge(number):
    charge_and_mail(number, f"charge-{number}")
'''
_BASE = {
    "app": "orders:app",
    "setup": "orders:create",
    "broker": "redis",
    "redelivery": "2s",
    "env": {"DATABASE": "${{ db.path }}", "API": "${{ api.url }}"},
    "workers": {"orders": {"replicas": 1, "queues": ["orders"], "concurrency": 1}},
}
SYSTEM = {**_BASE, "services": {"db": "sqlite", "api": {"http": {"idempotency_key": "Idempotency-Key"}}}}
_MAILS = {"method": "POST", "path": "/mails", "fail": "once", "fail_status": 503}
SYSTEM_WITH_PAY = {**_BASE, "services": {"db": "sqlite", "api": {"http": {"idempotency_key": "Idempotency-Key", "routes": [_MAILS]}}}}


def run(folder: Path, **scenario: Any) -> dict[str, Any]:
    """The result of one run of this scenario beside the app."""
    (folder / "orders.py").write_text(APP)
    checks = {"no_loss": {}, "idempotent": {}}
    document = {"version": 1, "seed": 3, "system": SYSTEM, "drain": {"timeout": "30s"}, "checks": checks, **scenario}
    (folder / "s.yaml").write_text(json.dumps(document))
    command = [sys.executable, "-m", "harness.cli", "run", "s.yaml", "--json", "--runtime", "processes"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
    results = [d["result"] for d in map(json.loads, done.stdout.splitlines()) if isinstance(d.get("result"), dict)]
    assert results, done.stderr
    return dict(results[-1])


def check(result: dict[str, Any], name: str) -> dict[str, Any]:
    return next(c for c in result["checks"] if c["name"] == name)


def load(task: str, count: int = 3) -> list[dict[str, Any]]:
    return [{"send": f"orders.{task}", "args": [n], "count": 1} for n in range(1, count + 1)]


def killed_at(task: str, place: str) -> list[dict[str, Any]]:
    line = next(
        n for n, text in enumerate(APP.splitlines(), 1) if text.strip() == place and n > APP.splitlines().index(f"def {task}(number):")
    )
    return [
        {"when": {"task": f"orders.{task}", "reaches": f"orders.py:{line}", "nth": 2}, "fault": "worker.kill", "restart_after": "200ms"}
    ]
