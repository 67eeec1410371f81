"""What an app has opened while it was imported, and what the kernel refuses before any of its tasks is stopped."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.explore.inherited import is_index, unseen_from_the_beginning
from harness.explore.mechanism import EffectStops
from harness.explore.proc import is_writable, shared_maps
from harness.explore.targets import Targets
from harness.explore.zygote_client import Refused

AGENT = str(Path(__file__).resolve().parents[3] / "harness" / "agent")


#: Maps the file that it is given, first to read and then to write, and then no more; a line each when it has.
MAPS = """
import mmap, sys
with open(sys.argv[1], "r+b") as stream:
    for access in (None, mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE, None):
        mapped = access and mmap.mmap(stream.fileno(), 4096, prot=access)
        print("mapped", flush=True)
        sys.stdin.readline()
"""


def test_a_file_that_is_mapped_to_be_written(tmp_path: Path) -> None:
    targets, file = Targets({}, {tmp_path: "files"}, tmp_path / "log"), tmp_path / "map.bin"
    file.write_bytes(bytes(4096))
    found = []
    # In a process of its own: another test may have left a mapped file in this one.
    with subprocess.Popen([sys.executable, "-c", MAPS, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as app:
        assert app.stdin is not None and app.stdout is not None
        while app.stdout.readline():
            found.append((str(file) in shared_maps(app.pid), unseen_from_the_beginning(app.pid, targets).replace(str(file), "map.bin")))
            app.stdin.write("\n")
            app.stdin.flush()
    words = "the app maps map.bin into its memory while it is imported, where nobody can see it write"
    assert found == [(False, ""), (True, ""), (True, words), (False, "")]


def test_whether_a_descriptor_may_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for flags, expected in ((os.O_RDONLY, False), (os.O_WRONLY, True), (os.O_RDWR, True)):
        descriptor = os.open(tmp_path / "file", flags)
        assert is_writable(os.getpid(), descriptor) is expected
        os.close(descriptor)
    assert not is_writable(os.getpid(), 1 << 20)


def test_an_index_belongs_to_a_write_ahead_log(tmp_path: Path) -> None:
    (tmp_path / "orders.sqlite3-wal").touch()
    assert is_index(str(tmp_path / "orders.sqlite3-shm")) and not is_index(str(tmp_path / "counter-shm"))


def test_where_orphans_could_escape_no_effect_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(AGENT)
    from celery_harness_agent import zygote

    class Kernel:
        refuses = True

        def prctl(self, option: int, *_: Any) -> int:
            return -1 if self.refuses else 0

    kernel = Kernel()
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: kernel)
    told = zygote._become_subreaper()
    assert told.startswith("prctl(PR_SET_CHILD_SUBREAPER): ")
    kernel.refuses = False
    assert zygote._become_subreaper() == "prctl(PR_SET_CHILD_SUBREAPER) has no effect"
    with pytest.raises(Refused, match="PR_SET_CHILD_SUBREAPER"):
        EffectStops._begin(object.__new__(EffectStops), {"no_filter": "", "no_reaper": told})


def test_a_connection_to_another_program_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `logging.handlers.SysLogHandler` opens one when it is made."""
    monkeypatch.syspath_prepend(AGENT)
    from celery_harness_agent import zygote

    before = set(zygote._local_connections())
    folder = os.open(tmp_path, os.O_RDONLY)
    path = f"/proc/self/fd/{folder}/log"  # a path of a socket may have 107 bytes
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as app:
        log.bind(path)
        app.connect(path)
        pair = socket.socketpair()
        assert set(zygote._local_connections()) - before == {path}
        for end in pair:
            end.close()
    os.close(folder)
    targets = Targets({}, {}, tmp_path / "log")
    assert unseen_from_the_beginning(os.getpid(), targets, [path]).startswith(f"the app is connected to {path} since it was imported")
