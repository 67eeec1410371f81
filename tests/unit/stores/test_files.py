from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.stores.files import FilesParameters, FilesStore
from tests.unit.stores.hosts import FolderHost


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    found = FilesStore("out", FilesParameters(text_limit=10))
    found.start(FolderHost(tmp_path))
    yield found
    found.stop()


def root(store: FilesStore) -> Path:
    return Path(store.offers()["path"])


def rows(store: FilesStore) -> dict[str, dict[str, Any]]:
    return {row["path"]: dict(row) for row in store.observe().collections["files"].rows if row["path"] != "."}


def test_what_a_row_says(store: FilesStore) -> None:
    (root(store) / "a").mkdir()
    (root(store) / "a" / "short").write_text("hi")
    (root(store) / "a" / "long").write_text("x" * 11)
    (root(store) / "binary").write_bytes(b"\0\1")
    (root(store) / "latin").write_bytes(b"\xe9")
    (root(store) / "link").symlink_to("/etc/passwd")
    os.mkfifo(root(store) / "pipe")
    found = rows(store)
    assert found["a"] == {"path": "a", "kind": "folder", "size": None, "sha256": None, "text": None}
    assert found["a/short"] == {"path": "a/short", "kind": "file", "size": 2, "sha256": hashlib.sha256(b"hi").hexdigest(), "text": "hi"}
    assert (found["a/long"]["size"], found["a/long"]["text"]) == (11, None)
    assert (found["binary"]["text"], found["latin"]["text"]) == (None, None)
    assert (found["link"]["kind"], found["link"]["text"], found["link"]["sha256"]) == ("link", "/etc/passwd", None)
    assert found["pipe"]["kind"] == "other"


def test_a_name_that_is_no_utf8_prints(store: FilesStore) -> None:
    Path(os.fsdecode(os.fsencode(root(store)) + b"/\xff")).write_text("x")
    assert list(rows(store)) == ["\\xff"]


def test_links_are_never_followed(store: FilesStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (root(store) / "way out").symlink_to(outside)
    assert list(rows(store)) == ["way out"]
    store.restore(store.save())
    store.clear()
    store.stop()
    assert (outside / "precious").read_text() == "x"


def test_modes_times_and_links_come_back(store: FilesStore) -> None:
    (root(store) / "bin").mkdir()
    (root(store) / "bin" / "run").write_text("#!")
    (root(store) / "bin" / "run").chmod(0o750)
    os.utime(root(store) / "bin" / "run", (1000, 1000))
    (root(store) / "now").symlink_to("bin/run")
    os.mkfifo(root(store) / "pipe")
    os.mknod(root(store) / "socket", 0o140600)
    (root(store) / "bin").chmod(0o500)
    before, image = rows(store), store.save()
    store.restore(image)
    assert rows(store) == before
    entry = (root(store) / "bin" / "run").stat()
    assert (entry.st_mode & 0o777, entry.st_mtime) == (0o750, 1000)
    assert (root(store) / "socket").is_socket()
    assert (root(store) / "bin").stat().st_mode & 0o777 == 0o500


def test_owners_attributes_and_hard_links_come_back_and_are_noticed(store: FilesStore) -> None:
    path = root(store) / "a"
    path.write_text("x")
    seen = [store.fingerprint()]
    changes: list[Callable[[], object]] = [lambda: (root(store) / "b").hardlink_to(path), lambda: os.utime(path, (1000, 1000))]
    with contextlib.suppress(OSError):
        os.setxattr(path, "user.probe", b"1")
        os.removexattr(path, "user.probe")
        changes.append(lambda: os.setxattr(path, "user.done", b"1"))
    if os.geteuid() == 0:
        changes.append(lambda: os.chown(path, 12, 34))
    for change in changes:
        change()
        found = store.fingerprint()
        assert found not in seen
        seen.append(found)
    before, image = store.beneath(), store.save()
    assert {one.name for one in before} >= {"~permissions", "~links", "~times"}
    (root(store) / "b").unlink()
    store.restore(image)
    assert (store.beneath(), store.fingerprint()) == (before, seen[-1])
    (root(store) / "b").write_text("y")
    assert path.read_text() == "y"


def test_the_folder_stays_the_same_one(store: FilesStore) -> None:
    before = root(store).stat().st_ino
    (root(store) / "x").write_text("x")
    store.clear()
    assert root(store).stat().st_ino == before and rows(store) == {}


def test_a_change_of_the_same_size_with_a_forged_time_touches(store: FilesStore) -> None:
    path = root(store) / "x"
    path.write_text("aaaa")
    os.utime(path, (1000, 1000))
    before = store.touched()
    path.write_text("bbbb")
    os.utime(path, (1000, 1000))
    assert store.touched() != before


def test_what_vanishes_under_the_look_is_not_there(store: FilesStore, monkeypatch: pytest.MonkeyPatch) -> None:
    (root(store) / "stays").write_text("x")
    (root(store) / "goes").write_text("x")
    real = Path.read_bytes

    def read_bytes(self: Path) -> bytes:
        if self.name == "goes":
            self.unlink(missing_ok=True)
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert list(rows(store)) == ["stays"]


def test_fingerprints_change_at_once_with_paths_kinds_permissions_and_contents(store: FilesStore) -> None:
    root = Path(store.offers()["path"])
    changes: list[Callable[[], object]] = [
        lambda: (root / "a").touch(),
        lambda: (root / "a").write_text("x"),
        lambda: (root / "a").write_text("y"),
        lambda: (root / "a").chmod(0o600),
        lambda: (root / "a").rename(root / "b"),
        lambda: (root / "folder").mkdir(),
        lambda: (root / "link").symlink_to("b"),
        lambda: (root / "b").unlink(),
    ]
    seen = [store.fingerprint()]
    images = [store.save()]
    for change in changes:
        change()
        assert store.fingerprint() == store.fingerprint()
        seen.append(store.fingerprint())
        images.append(store.save())
    assert len(set(seen)) == len(seen)
    for fingerprint, image in zip(seen, images, strict=True):
        store.restore(image)
        assert store.fingerprint() == fingerprint


def test_a_database_is_shown_by_what_it_holds(store: FilesStore) -> None:
    with contextlib.closing(sqlite3.connect(root(store) / "shop.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE orders (number INTEGER)")
        seen, image, beneath = store.look()
        assert seen == store.observe() and [one.name for one in beneath][-1] == "shop.db.~schema"
        db.execute("BEGIN")
        db.execute("INSERT INTO orders VALUES (7)")
        assert (root(store) / "shop.db-journal").exists() and store.observe() == seen
        db.execute("ROLLBACK")
        db.execute("INSERT INTO orders VALUES (7)")
        db.execute("DELETE FROM orders")
        assert store.observe() == seen, "only its counters are others"
        db.execute("INSERT INTO orders VALUES (8)")
    assert store.look()[0].collections["shop.db.orders"].rows == ({"number": 8},)
    assert rows(store)["shop.db"] == {"path": "shop.db", "kind": "database", "size": None, "sha256": None, "text": None}
    whole = (root(store) / "shop.db").read_bytes()
    (root(store) / "half.db").write_bytes(whole[:5000])
    assert rows(store)["half.db"]["kind"] == "file"
    store.restore(image)
    assert store.look()[0] == seen


def test_what_is_in_a_packed_file_is_its_text(store: FilesStore) -> None:
    store.show_whole()
    (root(store) / "a.gz").write_bytes(gzip.compress(b"order 7", mtime=0))
    assert json.loads(rows(store)["a.gz"]["text"]) == {"gzip": [{"content": "order 7"}]}
