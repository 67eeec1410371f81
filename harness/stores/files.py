"""A folder of files: reports, exports, uploads."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from harness.model.packed import unpacked
from harness.model.world import Collection, Row, StoreState
from harness.ports.store import StoreHost, StoreParameters
from harness.stores._contents import Content, Contents
from harness.stores._file_databases import Databases, Shown, is_index
from harness.stores._file_facts import Facts, attributes_of, beneath, first_names, set_back
from harness.stores._values import stamp

__all__ = ["FilesStore"]

_ATTEMPTS = 5
#: Of what is no file with a content.
_NOTHING: Row = {"size": None, "sha256": None, "text": None}
#: Bytes of a text that a program may still read as one.
_WHOLE = 1 << 20
#: Bytes that a packed file may hold, so that it is looked into; of a program's more.
_PACKED = 1 << 16


class FilesParameters(StoreParameters):
    """Keys of a service ``files``."""

    text_limit: int = Field(default=4096, ge=0, description="bytes up to which a UTF-8 file's text is shown, beside size and digest")


class FilesStore:
    """See `Store`. One collection ``files``, a row per path; links are never followed.

    A file that is an SQLite database is shown by its tables, ``path.table``, its journals not at all.
    """

    kind: ClassVar[str] = "files"
    summary: ClassVar[str] = "a folder of files"
    Parameters: ClassVar[type[StoreParameters]] = FilesParameters

    def __init__(self, name: str, parameters: Any) -> None:
        self.name, self.parameters = name, parameters
        self._folder: Path | None = None
        self._limit = self.parameters.text_limit
        self._contents: Contents | None = None
        self._databases = Databases()
        self._rows: dict[str, tuple[bytes, Row]] = {}  # path -> digest of a file's content, and how that is shown
        self._stamps: list[tuple[str, int, int]] = []  # of all, at the last fingerprint, which is what was found then
        self._found: Hashable = None
        self._begun = self._setup = 0.0  # wall seconds: when the folder was made, and when it was last taken for a first world

    def start(self, host: StoreHost) -> None:
        """An empty folder."""
        self._folder = host.folder(self.name)
        self._contents = None
        self._begun = time.time()

    @property
    def _root(self) -> Path:
        assert self._folder is not None, f"{self.name} is not started"
        return self._folder

    def offers(self) -> Mapping[str, str]:
        """``path`` and ``url`` (file:///…)."""
        return {"path": str(self._root), "url": self._root.as_uri()}

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """None: files."""
        return ()

    def clear(self) -> None:
        """Nothing is left in the folder; the folder itself stays the same one."""
        for path in self._root.iterdir():
            if path.is_dir() and not path.is_symlink():
                _remove(path)
            else:
                path.unlink()

    def observe(self) -> StoreState:
        """Columns path, kind (file, database, folder, link, other), size, sha256, text (of a link: where it points)."""
        for _ in range(_ATTEMPTS):
            before = _entries(self._root)
            contents: dict[str, bytes] = {}
            rows = [(path, self._row(path, entry, contents)) for path, entry in before]
            if [(p, s.st_ino, s.st_size, s.st_ctime_ns) for p, s in before] == [
                (p, s.st_ino, s.st_size, s.st_ctime_ns) for p, s in _entries(self._root)
            ]:
                break
        return self._state([(path, row) for path, row in rows if row["kind"] != "gone"], self._databases.shown(contents, self._root))

    def _state(self, rows: Sequence[tuple[str, Row]], shown: Shown) -> StoreState:
        told = tuple(
            {**row, "kind": "database", **_NOTHING} if path in shown.databases else row for path, row in rows if path not in shown.beside
        )
        return StoreState(self.name, {"files": Collection("files", told, key=("path",)), **{one.name: one for one in shown.tables}})

    def _row(self, path: str, entry: os.stat_result, contents: dict[str, bytes]) -> dict[str, Any]:
        """``contents``: of the files that were read, by their paths."""
        kind = _kind(entry)
        row: dict[str, Any] = {"path": _printable(path), "kind": kind, **_NOTHING}
        try:
            if kind == "link":
                row["text"] = _printable(str((self._root / path).readlink()))
            elif kind == "file":
                contents[path] = (self._root / path).read_bytes()
                row |= self._shown(contents[path])
        except FileNotFoundError:
            row["kind"] = "gone"
        except PermissionError:
            row["size"] = entry.st_size
        return row

    def _shown(self, content: bytes) -> dict[str, Any]:
        return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "text": self._text(content)}

    def _text(self, content: bytes) -> str | None:
        if len(content) > self._limit:
            return None
        if (inside := unpacked(content, max(self._limit, _PACKED))) is not None:
            return json.dumps(inside, ensure_ascii=False)
        if b"\0" in content:
            return None
        try:
            return content.decode()
        except UnicodeDecodeError:
            return None

    def show_whole(self) -> None:
        """See `ShowsWhole`: texts up to 1 MiB. What is there now is what the setup has left."""
        self._setup = time.time()
        self._limit = max(self._limit, _WHOLE)
        self._rows.clear()

    def touched(self) -> int:
        """By the stamps of all files and folders."""
        return stamp(lambda: _walk(self._root))

    def beneath(self) -> tuple[Collection, ...]:
        """See `ShowsBeneath`: permissions, attributes, names of one and the same file, and times of writing that somebody has set."""
        (_, folder), *entries = _entries(self._root)
        contents: dict[str, bytes] = {}
        for path, entry in entries:
            self._row(path, entry, contents)
        shown = self._databases.shown(contents, self._root)
        return self._beneath(folder, entries, {path: attributes_of(f"{self._root}/{path}") for path, _ in entries}, shown)

    def _beneath(
        self,
        folder: os.stat_result,
        entries: Sequence[tuple[str, os.stat_result]],
        attributes: Mapping[str, Mapping[str, bytes]],
        shown: Shown,
    ) -> tuple[Collection, ...]:
        first = first_names(entries)
        every = [
            Facts(_printable(path), entry, attributes[path], _printable(first.get(path, "")))
            for path, entry in entries
            if path not in shown.beside
        ]
        return (*beneath(every, (folder.st_uid, folder.st_gid), self._begun, self._setup, time.time()), *shown.beneath)

    def look(self) -> tuple[StoreState, Any, tuple[Collection, ...]]:
        """See `LooksOnce`."""
        try:
            (_, folder), *entries = _entries(self._root)
            held = {path: self._held(path, entry) for path, entry in entries}
        except OSError:  # it vanishes while we look, or nobody may read it
            return self.observe(), self.save(), self.beneath()
        rows = [
            (".", {"path": ".", "kind": "folder", **_NOTHING}),
            *((path, self._row_of(path, entry, held[path])) for path, entry in entries),
        ]
        attributes = {path: attributes_of(f"{self._root}/{path}") for path, _ in entries}
        shown = self._databases.shown({path: held[path].content for path, entry in entries if _kind(entry) == "file"}, self._root)
        return (
            self._state(rows, shown),
            [(path, entry, held[path].content, attributes[path]) for path, entry in entries],
            self._beneath(folder, entries, attributes, shown),
        )

    def _held(self, path: str, entry: os.stat_result) -> Content:
        if _kind(entry) == "file":
            if self._contents is None:
                self._contents = Contents(self._root)
            return self._contents.of(f"{self._root}/{path}", entry)
        content = self._content(path, entry)
        return Content(None, content, content)

    def _row_of(self, path: str, entry: os.stat_result, held: Content) -> Row:
        """As `_row`; the same one where the content is the same."""
        kind = _kind(entry)
        if kind != "file":
            row = {"path": _printable(path), "kind": kind, **_NOTHING}
            return row if kind != "link" else {**row, "text": _printable(os.fsdecode(held.content))}
        known = self._rows.get(path)
        if known is None or known[0] != held.digest:
            row = {"path": _printable(path), "kind": kind, **self._shown(held.content)}
            known = self._rows[path] = (held.digest, row)
        return known[1]

    def forget(self) -> None:
        """See `Remembers`."""
        if self._contents is not None:
            self._contents.forget()
        self._rows.clear()
        self._stamps.clear()

    def fingerprint(self) -> Hashable:
        """See `Fingerprints`: paths, kinds, all that `beneath` shows, and contents."""
        entries = _entries(self._root)
        stamps = [(path, entry.st_ino, entry.st_ctime_ns) for path, entry in entries]
        if self._contents is None or not self._contents.tells or stamps != self._stamps:
            self._found, self._stamps = self._content_of(entries), stamps
        return self._found

    def _content_of(self, entries: Sequence[tuple[str, os.stat_result]]) -> Hashable:
        first = first_names(entries)
        found: list[tuple[Any, ...]] = []
        for path, entry in entries:
            try:
                content = self._held(path, entry).digest
            except OSError as exc:
                content = repr(exc.errno).encode()
            attributes = attributes_of(f"{self._root}/{path}")
            written = entry.st_mtime_ns if _kind(entry) == "file" else 0
            found.append((path, entry.st_mode, entry.st_uid, entry.st_gid, first.get(path), *attributes.items(), content, written))
        return tuple(found)

    def save(self) -> list[tuple[str, os.stat_result, bytes, Mapping[str, bytes]]]:
        """Every path with its content (of a link: where it points) and attributes, parents first."""
        entries = [(path, entry) for path, entry in _entries(self._root) if path != "."]
        return [(path, entry, self._content(path, entry), attributes_of(f"{self._root}/{path}")) for path, entry in entries]

    def _content(self, path: str, entry: os.stat_result) -> bytes:
        kind = _kind(entry)
        if kind == "link":
            return os.fsencode((self._root / path).readlink())
        return (self._root / path).read_bytes() if kind == "file" else b""

    def restore(self, image: Any) -> None:
        """The same content, modes, owners, attributes, times of modification and links. Sockets and devices are left out."""
        self.clear()
        self._databases.moved()
        first = first_names([(path, entry) for path, entry, _, _ in image])
        for path, entry, content, _ in image:
            if first.get(path, path) != path:
                os.link(self._root / first[path], self._root / path, follow_symlinks=False)
            else:
                _create(self._root / path, entry, content)
        # Children first: writing into a folder changes its time, and a folder may be read-only.
        for path, entry, _, attributes in reversed(image):
            if _kind(entry) in ("file", "folder"):
                set_back(self._root / path, entry, attributes)

    def stop(self) -> None:
        """The folder goes."""
        if self._folder is not None and self._folder.exists():
            _remove(self._folder)
        self._folder = None


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """(path relative to the root, what it is), parents before children, sorted; '.' is the root. What vanishes meanwhile is left out."""
    yield ".", root.stat()
    yield from _below(str(root), "")


def _entries(root: Path) -> list[tuple[str, os.stat_result]]:
    """As `_walk`, without what holds nothing of its own."""
    found = dict(_walk(root))
    return [(path, entry) for path, entry in found.items() if not is_index(path, found)]


def _below(folder: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    folders = []
    try:
        with os.scandir(folder) as scanned:
            found = sorted(scanned, key=lambda one: one.name)
    except OSError:  # nobody may look into it, or it is gone
        return
    for one in found:
        with contextlib.suppress(FileNotFoundError):
            yield prefix + one.name, one.stat(follow_symlinks=False)
            if one.is_dir(follow_symlinks=False):
                folders.append(one.name)
    for name in folders:
        yield from _below(f"{folder}/{name}", f"{prefix}{name}/")


def _kind(entry: os.stat_result) -> str:
    if stat.S_ISLNK(entry.st_mode):
        return "link"
    if stat.S_ISREG(entry.st_mode):
        return "file"
    return "folder" if stat.S_ISDIR(entry.st_mode) else "other"


def _create(path: Path, entry: os.stat_result, content: bytes) -> None:
    kind = _kind(entry)
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_bytes(content)
    elif kind == "link":
        path.symlink_to(os.fsdecode(content))
    elif stat.S_ISFIFO(entry.st_mode):
        os.mkfifo(path)
    elif stat.S_ISSOCK(entry.st_mode):
        os.mknod(path, stat.S_IFSOCK | stat.S_IMODE(entry.st_mode))  # as a bound one is, where nobody listens any more


def _remove(folder: Path) -> None:
    """Also where the app took away its own permissions."""
    for current, folders, _ in os.walk(folder):
        for name in (".", *folders):
            if not (path := Path(current) / name).is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder)


def _printable(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")
