"""A SIGKILL of the harness takes PostgreSQL along; `clean` removes the shared memory that it could not."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from harness.assembly import registry
from harness.errors import EnvironmentFault
from tests.e2e.support import end, processes_of, project, wait_until


def numbers() -> set[str]:
    """Of the segments that there are."""
    return {row.split()[1] for row in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


@pytest.mark.usefixtures("alone_with_leftovers")
@pytest.mark.exhaustive
def test_clean_removes_what_a_killed_server_left(tmp_path: Path) -> None:
    for module in ("psycopg", "psycopg2"):
        pytest.importorskip(module)
    try:
        registry().brokers["postgres"].find()
    except EnvironmentFault as fault:
        pytest.skip(f"needs a server: {fault}")
    shop = project(tmp_path)
    file = shop.scenario(system={"backend": "postgres"}, load=[{"send": "shop.work", "args": [1], "rate": "5/s", "for": "60s"}])
    process = shop.command("run", str(file), "--json", "--runtime", "processes")
    assert process.stdout is not None
    assert any(json.loads(line).get("phase") == "run" for line in process.stdout), "the load has begun"
    end(process, signal.SIGKILL)
    wait_until(lambda: not processes_of(shop.folder), "all end with their parent")
    told = shop.run("clean", "--dry-run").stdout
    (line,) = [line for line in told.splitlines() if "shared memory" in line]
    number = line.split("shared memory ")[1].split()[0]
    assert line.startswith("would remove") and number in numbers()
    cleaned = shop.run("clean")
    assert cleaned.returncode == 0 and f"removed shared memory {number} of a server in" in cleaned.stdout
    assert number not in numbers()
