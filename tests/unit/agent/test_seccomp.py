"""The filter, run by an interpreter of its own: which calls of which machine are stopped."""

from __future__ import annotations

import os
import platform
import struct

import pytest

from celery_harness_agent import seccomp

ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386 = 0x40000003
EXEMPT = 1000
O_RDONLY, O_RDWR = os.O_RDONLY, os.O_RDWR
SHARED, PRIVATE, ANONYMOUS, READ, WRITE = 1, 2, 0x20, 1, 2
FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_PRIVATE = 0, 9, 128


def stopped(raw: bytes, arch: int, number: int, *arguments: int) -> bool:
    """Classic BPF over a struct seccomp_data, as the kernel runs it."""
    data = struct.pack("=iIQ6Q", number, arch, 0, *(arguments + (0,) * 6)[:6])
    program = list(struct.iter_unpack("HBBI", raw))
    at = accumulator = 0
    while True:
        code, true, false, k = program[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == 0x54:
            accumulator &= k
        elif code in (0x15, 0x45, 0x35):
            holds = accumulator == k if code == 0x15 else accumulator & k if code == 0x45 else accumulator >= k
            at += true if holds else false
        else:
            assert code == 0x06 and k in (0x7FFF0000, 0x7FC00000), "a return is an answer"
            return k == 0x7FC00000


@pytest.fixture(params=sorted(ARCHES))
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    return str(request.param)


@pytest.mark.parametrize(
    ("call", "arguments", "expected"),
    [
        ("write", (1, 0, 5), True),
        ("write", (EXEMPT, 0, 5), True),
        ("sendmsg", (EXEMPT, 0, 0), False),
        ("sendmsg", (5, 0, 0), True),
        ("sendto", (EXEMPT,), True),
        ("openat", (0, 0, O_RDONLY), False),
        ("openat", (0, 0, O_RDWR), False),
        ("openat", (0, 0, O_RDWR | os.O_CREAT), True),
        ("openat", (0, 0, os.O_WRONLY | os.O_TRUNC), True),
        ("openat2", (), True),
        ("mmap", (0, 4096, READ | WRITE, SHARED, 5), True),
        ("mmap", (0, 4096, READ | WRITE, SHARED | PRIVATE, 5), True),  # MAP_SHARED_VALIDATE
        ("mmap", (0, 4096, READ | WRITE, PRIVATE, 5), False),
        ("mmap", (0, 4096, READ | WRITE, SHARED | ANONYMOUS, 5), False),
        ("mmap", (0, 4096, READ, SHARED, 5), False),
        ("ioctl", (5, 0x40049409), True),
        ("ioctl", (5, 0x4020940D), True),
        ("ioctl", (5, 0x5413), False),
        ("pselect6", (0,), True),
        ("pselect6", (3,), False),
        ("ppoll", (1, 0), True),
        ("ppoll", (1, 2), False),
        ("futex", (1, FUTEX_WAIT_BITSET | FUTEX_PRIVATE, 0, 0x7000), True),
        ("futex", (1, FUTEX_WAIT_BITSET | FUTEX_PRIVATE, 0, 0), False),
        ("futex", (1, FUTEX_WAIT | FUTEX_PRIVATE, 0, 0x7000), False),
        ("clock_nanosleep", (1, 1), True),
        ("connect", (3,), True),
        ("io_uring_setup", (), True),
        ("clone3", (), True),
    ],
)
def test_what_is_stopped(machine: str, call: str, arguments: tuple[int, ...], expected: bool) -> None:
    numbers = {name: number for number, name in seccomp.call_names().items()}
    assert stopped(seccomp.program(EXEMPT), ARCHES[machine], numbers[call], *arguments) is expected


def test_no_other_call_is(machine: str) -> None:
    raw, known = seccomp.program(EXEMPT), seccomp.call_names()
    assert not any(stopped(raw, ARCHES[machine], number, 1, 1, 1, 1) for number in range(520) if number not in known)


def test_a_program_of_another_machine_is_stopped_at_everything(machine: str) -> None:
    assert stopped(seccomp.program(EXEMPT), I386, 20) and stopped(seccomp.program(EXEMPT), I386, 3)


def test_so_is_one_of_the_x32_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert stopped(seccomp.program(EXEMPT), ARCHES["x86_64"], 0x40000000 | 39)


def test_both_machines_have_the_same_calls_but_for_old_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {}
    for machine in ARCHES:
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        tables[machine] = list(seccomp.call_names().values())
        assert len(set(tables[machine])) == len(tables[machine])
    old = set(tables["x86_64"]) - set(tables["aarch64"])
    assert not set(tables["aarch64"]) - set(tables["x86_64"]) and old == {
        *("open", "creat", "rename", "mkdir", "rmdir", "link", "unlink", "symlink", "chmod", "chown", "lchown", "utime", "utimes"),
        *("mknod", "futimesat", "fork", "vfork", "select", "poll"),
    }  # fmt: skip


def test_an_unknown_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert "riscv64" in seccomp.trouble()
