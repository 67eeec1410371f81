"""What makes a fingerprint the same in every run, and what keeps two different worlds apart in it."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness.explore.canonical import Frozen, outline
from harness.explore.exploration import explore
from harness.explore.proof import Plain, first_world
from harness.explore.rules import Question
from harness.model.exploration import Exploration
from harness.ports.exploring import Launch
from harness.stores.sqlite import SqliteParameters, SqliteStore
from tests.unit.explore.simulated import Program, Simulated
from tests.unit.stores.hosts import FolderHost


def launch(run: str, port: int) -> Launch:
    return Launch(
        command=(),
        environment={"TMPDIR": f"/tmp/{run}/scratch", "CACHE": f"redis://:{run}@127.0.0.1:{port}/0", "LANG": "C"},
        folder=Path("/srv/shop"),
        root=Path("/srv/shop"),
        log=Path(f"/srv/shop/reports/{run}/zygote.log"),
        services={("127.0.0.1", port): "api"},
        folders={Path(f"/tmp/{run}/files"): "files"},
    )


def test_what_belongs_to_one_run_or_machine_is_named_by_what_it_is() -> None:
    texts = set()
    for run, port in (("0101-aa", 4711), ("0202-bb", 4712)):
        text = f"http://127.0.0.1:{port}/x /tmp/{run}/files/a /tmp/{run}/scratch/b /srv/shop/c /srv/shop/reports/{run}/d"
        texts.add(Plain(launch(run, port))(f"{text} <1@{socket.gethostname()}> /tmp/{run}/ca.pem redis://:{run}@127.0.0.1:{port}/0/key"))
    assert texts == {"http://<api>/x <files>/a <tmp>/b <project>/c <run>/d <1@<host>> <run>/ca.pem <CACHE>/key"}
    assert Plain()("all of it") == "all of it"


@pytest.mark.parametrize("atoms", [("p", "q"), ("q", "p"), ("x1", "x2")])
def test_an_outline_does_not_depend_on_what_atoms_are(atoms: tuple[str, str]) -> None:
    one, two = (("token", atom) for atom in atoms)
    rows = [Frozen("order", (one,)), Frozen("mail", (one,)), Frozen("mail", (two,))]
    assert outline(rows) == outline(
        [Frozen("mail", (("token", "b"),)), Frozen("order", (("token", "a"),)), Frozen("mail", (("token", "a"),))]
    )
    assert outline(rows) != outline([Frozen("order", (one,)), Frozen("mail", (two,)), Frozen("mail", (two,))])
    assert outline(rows) != outline(rows[:2])


def test_many_atoms_that_stay_alike_have_one_outline_all_the_same() -> None:
    """Where `canonical` gives up and shows the atoms themselves."""
    rings = [[Frozen("next", (("token", f"{name}{n}"), ("token", f"{name}{(n + 1) % 9}"))) for n in range(9)] for name in ("a", "b")]
    assert outline(rings[0]) == outline(reversed(rings[1]))


SCHEMA = "CREATE TABLE orders (id INTEGER PRIMARY KEY, state TEXT, made TEXT)"


def world(folder: Path, *statements: str) -> dict[str, str]:
    store = SqliteStore("db", SqliteParameters())
    store.start(FolderHost(folder))
    try:
        with closing(sqlite3.connect(store.offers()["path"], isolation_level=None)) as db:
            for statement in statements:
                db.execute(statement)
        return first_world({"db": store}, Plain())
    finally:
        store.stop()


def test_a_first_world_is_known_by_schema_and_rows_but_not_by_what_setup_makes_up(tmp_path: Path) -> None:
    def orders(made: str) -> str:
        return f"INSERT INTO orders VALUES (1, 'new', '{made}')"

    known = world(tmp_path, SCHEMA, orders("2026-01-02T03:04:05.678901+00:00 1767323045 3f0f8f1e-6d0c-4a53-9f6e-0a1b2c3d4e5f"))
    assert known == world(tmp_path, SCHEMA, orders("2026-11-22T00:00:00.000001+00:00 1795323045 00000000-6d0c-4a53-9f6e-0a1b2c3d4e5f"))
    assert set(known) == {"db.orders", "db.~schema"}
    other_rows = world(tmp_path, SCHEMA, orders("2026-01-02"), "INSERT INTO orders VALUES (2, 'new', NULL)")
    other_schema = world(tmp_path, SCHEMA.replace("state TEXT", "state TEXT UNIQUE"), orders("2026-01-02"))
    assert (known["db.~schema"] == other_rows["db.~schema"], known["db.orders"] == other_rows["db.orders"]) == (True, False)
    assert known["db.~schema"] != other_schema["db.~schema"]


def test_what_is_covered_is_said_of_what_is_certified_alone() -> None:
    def explored(program: Program, settings: dict[str, bool], semantics: str = "") -> Exploration:
        simulated = Simulated(program, settings)
        return explore(simulated, simulated, Question("shop.pay", (7,), semantics=semantics), now=lambda: 0.0)

    right: Program = (("post", "order-7"), ("set", "order", "paid"))
    told = " ".join(explored(right, {"reject_on_worker_lost": False}).coverage.covered)
    assert "delivers again at once" in told and "comes back when its whole worker dies" in told and "max_retries 3" in told
    assert "dies alone" in " ".join(explored(right, {"reject_on_worker_lost": True}).coverage.covered)
    early = " ".join(explored(right, {"acks_late": False}, "at_most_once").coverage.covered)
    assert "delivers once" in early and "semantics at_most_once" in early and "delivers again" not in early
    assert explored((("post", "plain-7"), ("set", "order", "paid")), {}).coverage.covered == ()
