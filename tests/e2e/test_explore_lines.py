"""`celery-harness explore` where the kernel lets nobody stop a task at its effects: its lines are tried instead, and that is said."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = "sample_tasks/crashes/explore.yaml"
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse_seccomp() -> None:
    """For this process and all that it starts: seccomp(2) fails with EPERM, as in a container with a narrow profile."""
    number = _SECCOMP[platform.machine()]
    code = [(_LOAD, 0, 0, 0), (_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _FAIL | errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    raw = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(code), ctypes.addressof(raw))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "prctl")


def explored(task: str, reports: Path, *options: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "explore", SCENARIO, "--task", task, "--time", "5m", "--reports", str(reports), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=refuse_seccomp,
    )
    return done.returncode, done.stdout, done.stderr


def test_lines_take_over_where_seccomp_is_refused_and_a_broken_task_fails(tmp_path: Path) -> None:
    status, out, err = explored("journal.appended", tmp_path)
    text = " ".join(out.split())
    assert (status, err) == (1, ""), err
    assert "points lines of your code, since effects cannot be had here: seccomp(" in text and "Operation not permitted" in text
    assert "EFFECT After a crash at sample_tasks/crashes/pairs.py:" in text and "Confirmed by" in text
    report = tmp_path / "latest" / "exploration.json"
    (found,) = json.loads(report.read_text())
    assert found["environment"]["points"] == "lines" and "Operation not permitted" in found["environment"]["points_why"]
    assert {stop["call"] for stop in found["first"]} == {"line"}
    assert found["flaws"][0]["confirmed"] is True


@pytest.mark.exhaustive
def test_a_right_task_is_not_certified(tmp_path: Path) -> None:
    status, out, err = explored("journal.rewritten", tmp_path)
    assert (status, err) == (4, "")
    only = "only lines were tried: effects inside a line were not; nothing is certified"
    assert f"No crash that was tried breaks it, but {only}." in " ".join(out.split())
