"""The filter, run by an interpreter of its own: which calls of which machine are stopped."""

from __future__ import annotations

import errno
import os
import platform
import re
import struct
from pathlib import Path

import pytest

from celery_harness_agent import seccomp

ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386 = 0x40000003
EXEMPT = 1000
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
O_RDONLY, O_RDWR = os.O_RDONLY, os.O_RDWR
SHARED, PRIVATE, ANONYMOUS, READ, WRITE = 1, 2, 0x20, 1, 2
FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_PRIVATE = 0, 9, 128


def stopped(raw: bytes, arch: int, number: int, *arguments: int) -> bool:
    found = answer(raw, arch, number, *arguments)
    assert found in (ALLOW, NOTIFY)
    return found == NOTIFY


def answer(raw: bytes, arch: int, number: int, *arguments: int) -> int:
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
            assert code == 0x06, "a return is an answer"
            return int(k)


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
        ("mmap", (0, 4096, READ, SHARED, 5), True),
        ("mmap", (0, 4096, READ, PRIVATE, 5), False),
        ("mprotect", (0, 4096, READ), False),
        ("mprotect", (0, 4096, READ | WRITE), True),
        ("pkey_mprotect", (0, 4096, WRITE), True),
        ("io_submit", (1, 1), True),
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
        ("epoll_pwait", (3, 0x7000, 8, 70_000), True),
        ("epoll_pwait", (3, 0x7000, 8, 0), False),
        ("epoll_pwait", (3, 0x7000, 8, 0xFFFFFFFF), False),  # for ever
        ("epoll_pwait2", (3, 0x7000, 8, 0x7000), True),
        ("epoll_pwait2", (3, 0x7000, 8, 0), False),
        ("connect", (3,), True),
        ("io_uring_setup", (), True),
        ("clone3", (), True),
        ("kill", (7, 15), True),
        ("kill", (7, 0), False),
        ("tgkill", (7, 7, 0), False),
        ("tgkill", (7, 7, 9), True),
        ("pidfd_send_signal", (5, 9), True),
        ("mq_open", (1, os.O_WRONLY), False),
        ("mq_open", (1, os.O_WRONLY | os.O_CREAT), True),
        ("shmget", (7, 4096, 0o1600), True),
        ("semget", (7, 1, 0o600), False),
        ("keyctl", (), True),
        ("setns", (), True),
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
        *("mknod", "futimesat", "fork", "vfork", "select", "poll", "epoll_wait", "alarm"),
    }  # fmt: skip


def test_an_unknown_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert "riscv64" in seccomp.trouble()


#: As the kernel's own headers have them (6.1: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h; the last three
#: came later, under one number on all machines), taken from there, not from our tables.
KERNELS = {
    "x86_64": (
        "1:write 2:open 7:poll 9:mmap 10:mprotect 16:ioctl 18:pwrite64 20:writev 23:select 29:shmget 30:shmat 31:shmctl 35:nanosleep "
        "37:alarm 38:setitimer 40:sendfile 41:socket 42:connect 44:sendto 46:sendmsg 49:bind 56:clone 57:fork 58:vfork 59:execve 62:kill "
        "64:semget 65:semop 66:semctl 68:msgget 69:msgsnd 70:msgrcv 71:msgctl 76:truncate 77:ftruncate 82:rename 83:mkdir 84:rmdir "
        "85:creat 86:link 87:unlink 88:symlink 90:chmod 91:fchmod 92:chown 93:fchown 94:lchown 101:ptrace 112:setsid 129:rt_sigqueueinfo "
        "132:utime 133:mknod 155:pivot_root 161:chroot 164:settimeofday 165:mount 166:umount2 170:sethostname 171:setdomainname "
        "188:setxattr 189:lsetxattr 190:fsetxattr 197:removexattr 198:lremovexattr 199:fremovexattr 200:tkill 202:futex 209:io_submit "
        "220:semtimedop 227:clock_settime 230:clock_nanosleep 232:epoll_wait 234:tgkill 235:utimes 240:mq_open 241:mq_unlink "
        "242:mq_timedsend 243:mq_timedreceive 248:add_key 249:request_key 250:keyctl 257:openat 258:mkdirat 259:mknodat 260:fchownat "
        "261:futimesat 263:unlinkat 264:renameat 265:linkat 266:symlinkat 268:fchmodat 270:pselect6 271:ppoll 275:splice 276:tee "
        "278:vmsplice 280:utimensat 281:epoll_pwait 285:fallocate 296:pwritev 297:rt_tgsigqueueinfo 304:open_by_handle_at 307:sendmmsg "
        "308:setns 311:process_vm_writev 316:renameat2 317:seccomp 322:execveat 326:copy_file_range 328:pwritev2 329:pkey_mprotect "
        "424:pidfd_send_signal 425:io_uring_setup 429:move_mount 435:clone3 437:openat2 438:pidfd_getfd 441:epoll_pwait2 452:fchmodat2 "
        "463:setxattrat 466:removexattrat"
    ),
    "aarch64": (
        "2:io_submit 5:setxattr 6:lsetxattr 7:fsetxattr 14:removexattr 15:lremovexattr 16:fremovexattr 22:epoll_pwait 29:ioctl 33:mknodat "
        "34:mkdirat 35:unlinkat 36:symlinkat 37:linkat 38:renameat 39:umount2 40:mount 41:pivot_root 45:truncate 46:ftruncate "
        "47:fallocate 51:chroot 52:fchmod 53:fchmodat 54:fchownat 55:fchown 56:openat 64:write 66:writev 68:pwrite64 70:pwritev "
        "71:sendfile 72:pselect6 73:ppoll 75:vmsplice 76:splice 77:tee 88:utimensat 98:futex 101:nanosleep 103:setitimer "
        "112:clock_settime 115:clock_nanosleep 117:ptrace 129:kill 130:tkill 131:tgkill 138:rt_sigqueueinfo 157:setsid 161:sethostname "
        "162:setdomainname 170:settimeofday 180:mq_open 181:mq_unlink 182:mq_timedsend 183:mq_timedreceive 186:msgget 187:msgctl "
        "188:msgrcv 189:msgsnd 190:semget 191:semctl 192:semtimedop 193:semop 194:shmget 195:shmctl 196:shmat 198:socket 200:bind "
        "203:connect 206:sendto 211:sendmsg 217:add_key 218:request_key 219:keyctl 220:clone 221:execve 222:mmap 226:mprotect "
        "240:rt_tgsigqueueinfo 265:open_by_handle_at 268:setns 269:sendmmsg 271:process_vm_writev 276:renameat2 277:seccomp 281:execveat "
        "285:copy_file_range 287:pwritev2 288:pkey_mprotect 424:pidfd_send_signal 425:io_uring_setup 429:move_mount 435:clone3 "
        "437:openat2 438:pidfd_getfd 441:epoll_pwait2 452:fchmodat2 463:setxattrat 466:removexattrat"
    ),
}
HEADERS = {"x86_64": "x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}


def kernels(machine: str) -> dict[str, int]:
    """Name -> number."""
    pairs = (entry.split(":") for entry in KERNELS[machine].split())
    return {name: int(number) for number, name in pairs}


def test_numbers_are_the_kernels(machine: str) -> None:
    known = kernels(machine)
    assert known.pop("seccomp") == seccomp._TABLES[machine][1]
    assert {name: number for number, name in seccomp.call_names().items()} == known


def test_so_say_the_headers_of_this_machine_where_there_are_any(machine: str) -> None:
    path = Path("/usr/include") / HEADERS[machine]
    lines = path.read_text().splitlines() if path.exists() else []
    told = {found[1]: int(found[2]) for line in lines if (found := re.match(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\s*$", line))}
    assert {name: number for name, number in kernels(machine).items() if told.get(name, number) != number} == {}


ENOSYS = 0x00050000 | errno.ENOSYS


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1, 1, 0), ALLOW),  # unix
        ((16, 3, 0), ALLOW),  # netlink, of which the C library makes raw ones
        ((2, 1 | 0o2000000 | 0o4000, 0), ALLOW),  # SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK
        ((10, 2, 17), ALLOW),
        ((2, 3, 17), NOTIFY),  # raw
        ((10, 3, 58), NOTIFY),
        ((2, 5, 0), NOTIFY),  # SOCK_SEQPACKET
        ((2, 1, 132), NOTIFY),  # SCTP
        ((2, 1, 262), ALLOW),  # MPTCP
        ((17, 3, 0x0300), NOTIFY),  # AF_PACKET
        ((17, 2, 0), NOTIFY),
        ((40, 1, 0), NOTIFY),  # AF_VSOCK
        ((44, 3, 0), NOTIFY),  # AF_XDP
    ],
)
def test_sockets_that_nobody_sees_connect(machine: str, arguments: tuple[int, ...], expected: int) -> None:
    for raw in (seccomp.program(EXEMPT), seccomp.wall_program(EXEMPT)):
        assert answer(raw, ARCHES[machine], kernels(machine)["socket"], *arguments) == expected


@pytest.mark.parametrize(
    ("call", "arguments", "expected"),
    [
        ("connect", (3, 0x7000, 16), NOTIFY),
        ("sendto", (3, 0x7000, 5, 0, 0, 0), ALLOW),
        ("sendto", (3, 0x7000, 5, 0, 0x7000, 16), NOTIFY),
        ("sendto", (3, 0x7000, 5, 0, 0x7F00000000, 16), NOTIFY),  # an address whose lower half is none
        ("sendmsg", (EXEMPT, 0x7000), ALLOW),
        ("sendmsg", (3, 0x7000), NOTIFY),
        ("sendmmsg", (3, 0x7000), NOTIFY),
        ("io_uring_setup", (), ENOSYS),
        ("write", (3, 0x7000, 5), ALLOW),
        ("execve", (), ALLOW),
    ],
)
def test_what_the_wall_stops(machine: str, call: str, arguments: tuple[int, ...], expected: int) -> None:
    assert answer(seccomp.wall_program(EXEMPT), ARCHES[machine], kernels(machine)[call], *arguments) == expected


def test_the_wall_has_no_other_way(machine: str) -> None:
    """Of another machine, by its numbers: all of it is not there."""
    raw = seccomp.wall_program(EXEMPT)
    others = [number for number in range(520) if seccomp.call_names().get(number) not in (*seccomp._REACHING, "io_uring_setup")]
    assert {answer(raw, ARCHES[machine], number, 1, 1, 1, 1, 1, 1) for number in others} == {ALLOW}
    foreign = [I386, *(arch for name, arch in ARCHES.items() if name != machine)]
    assert {answer(raw, arch, number) for arch in foreign for number in range(520)} == {ENOSYS}
    if machine == "x86_64":
        assert {answer(raw, ARCHES[machine], 0x40000000 | number) for number in range(600)} == {ENOSYS}


def test_neither_has_the_explorers_filter(machine: str) -> None:
    raw = seccomp.program(EXEMPT)
    foreign = [I386, *(arch for name, arch in ARCHES.items() if name != machine)]
    assert all(stopped(raw, arch, number) for arch in foreign for number in range(520))
    if machine == "x86_64":
        assert all(stopped(raw, ARCHES[machine], 0x40000000 | number) for number in range(600))
