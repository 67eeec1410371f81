"""The filter by which the kernel holds a task before each call that others can notice (seccomp user notification, Linux 5.9).

Numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (aarch64). The supervisor is told the
names with the first message of the zygote, so the tables stand here alone.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from typing import List, Sequence, Tuple

__all__ = ["Refused", "arch", "call_names", "install", "program", "tried", "trouble", "wall_names", "wall_program"]

#: Made once, before any fork: a child that had to make it would have a hundred pages copied.
_libc = ctypes.CDLL(None, use_errno=True)
_Instruction = Tuple[int, int, int, int]  # code, jump if true, jump if false, k
_Block = List[_Instruction]

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_ANY_BIT, _IF_AT_LEAST = 0x15, 0x45, 0x35
_ALLOW, _NOTIFY, _FAIL = 0x7FFF0000, 0x7FC00000, 0x00050000
_NUMBER, _ARCH = 0, 4
_X32 = 0x40000000
_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER = 1
_NEW_LISTENER = 1 << 3
#: Without it, kernels before 5.16 switch a mitigation on that slows the whole process down (speculative store bypass).
_SPEC_ALLOW = 1 << 2
#: A signal does not interrupt a call that the supervisor is looking at (Linux 5.19): else it would be seen twice.
_WAIT_KILLABLE = 1 << 5
_EINVAL = 22

_X86_64 = (
    "write=1 open=2 poll=7 mmap=9 mprotect=10 ioctl=16 pwrite64=18 writev=20 select=23 shmget=29 shmat=30 shmctl=31 nanosleep=35 alarm=37 "
    "setitimer=38 sendfile=40 socket=41 connect=42 sendto=44 sendmsg=46 bind=49 clone=56 fork=57 vfork=58 execve=59 kill=62 semget=64 "
    "semop=65 semctl=66 msgget=68 msgsnd=69 msgrcv=70 msgctl=71 truncate=76 ftruncate=77 rename=82 mkdir=83 rmdir=84 creat=85 link=86 "
    "unlink=87 symlink=88 chmod=90 fchmod=91 chown=92 fchown=93 lchown=94 ptrace=101 setsid=112 rt_sigqueueinfo=129 utime=132 mknod=133 "
    "pivot_root=155 chroot=161 settimeofday=164 mount=165 umount2=166 sethostname=170 setdomainname=171 setxattr=188 lsetxattr=189 "
    "fsetxattr=190 removexattr=197 lremovexattr=198 fremovexattr=199 tkill=200 futex=202 io_submit=209 semtimedop=220 clock_settime=227 "
    "clock_nanosleep=230 epoll_wait=232 tgkill=234 utimes=235 mq_open=240 mq_unlink=241 mq_timedsend=242 mq_timedreceive=243 add_key=248 "
    "request_key=249 keyctl=250 openat=257 mkdirat=258 mknodat=259 fchownat=260 futimesat=261 unlinkat=263 renameat=264 linkat=265 "
    "symlinkat=266 fchmodat=268 pselect6=270 ppoll=271 splice=275 tee=276 vmsplice=278 utimensat=280 epoll_pwait=281 fallocate=285 "
    "pwritev=296 rt_tgsigqueueinfo=297 open_by_handle_at=304 sendmmsg=307 setns=308 process_vm_writev=311 renameat2=316 execveat=322 "
    "copy_file_range=326 pwritev2=328 pkey_mprotect=329 pidfd_send_signal=424 io_uring_setup=425 move_mount=429 clone3=435 openat2=437 "
    "pidfd_getfd=438 epoll_pwait2=441 fchmodat2=452 setxattrat=463 removexattrat=466"
)
_AARCH64 = (
    "io_submit=2 setxattr=5 lsetxattr=6 fsetxattr=7 removexattr=14 lremovexattr=15 fremovexattr=16 epoll_pwait=22 ioctl=29 mknodat=33 "
    "mkdirat=34 unlinkat=35 symlinkat=36 linkat=37 renameat=38 umount2=39 mount=40 pivot_root=41 truncate=45 ftruncate=46 fallocate=47 "
    "chroot=51 fchmod=52 fchmodat=53 fchownat=54 fchown=55 openat=56 write=64 writev=66 pwrite64=68 pwritev=70 sendfile=71 pselect6=72 "
    "ppoll=73 vmsplice=75 splice=76 tee=77 utimensat=88 futex=98 nanosleep=101 setitimer=103 clock_settime=112 clock_nanosleep=115 "
    "ptrace=117 kill=129 tkill=130 tgkill=131 rt_sigqueueinfo=138 setsid=157 sethostname=161 setdomainname=162 settimeofday=170 "
    "mq_open=180 mq_unlink=181 mq_timedsend=182 mq_timedreceive=183 msgget=186 msgctl=187 msgrcv=188 msgsnd=189 semget=190 semctl=191 "
    "semtimedop=192 semop=193 shmget=194 shmctl=195 shmat=196 socket=198 bind=200 connect=203 sendto=206 sendmsg=211 add_key=217 "
    "request_key=218 keyctl=219 clone=220 execve=221 mmap=222 mprotect=226 rt_tgsigqueueinfo=240 open_by_handle_at=265 setns=268 "
    "sendmmsg=269 process_vm_writev=271 renameat2=276 execveat=281 copy_file_range=285 pwritev2=287 pkey_mprotect=288 "
    "pidfd_send_signal=424 io_uring_setup=425 move_mount=429 clone3=435 openat2=437 pidfd_getfd=438 epoll_pwait2=441 fchmodat2=452 "
    "setxattrat=463 removexattrat=466"
)
#: machine -> AUDIT_ARCH, the number of seccomp(2), the calls
_TABLES = {"x86_64": (0xC000003E, 317, _X86_64), "aarch64": (0xC00000B7, 277, _AARCH64)}

_CREATE = os.O_CREAT | os.O_TRUNC
_WRITABLE, _SHARED, _ANONYMOUS = 0x2, 0x1, 0x20
_FICLONE, _FICLONERANGE = 0x40049409, 0x4020940D
_FUTEX_COMMAND, _FUTEX_WAIT_BITSET = 0x7F, 9
_IPC_CREAT = 0o1000
#: call -> which of its arguments is the signal
_SIGNAL_AT = (
    ("kill", 1),
    ("tkill", 1),
    ("tgkill", 2),
    ("rt_sigqueueinfo", 1),
    ("rt_tgsigqueueinfo", 2),
    ("pidfd_send_signal", 1),
)
#: linux/socket.h, linux/net.h, linux/in.h
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_STREAM, _DATAGRAM, _KIND, _SCTP = 1, 2, 0xF, 132


class Refused(Exception):
    """The kernel, or whoever set it up, does not allow it; the text says which step and why."""


def arch() -> str:
    """As `uname -m` has it."""
    return platform.machine()


def trouble() -> str:
    """Why there can be no filter here at all; '' where it may be tried."""
    if not sys.platform.startswith("linux"):
        return f"this is {sys.platform}"
    if arch() not in _TABLES:
        return f"the table of system calls of {arch()} is not known, only those of {' and '.join(sorted(_TABLES))}"
    return "" if ctypes.sizeof(ctypes.c_void_p) == 8 else "the interpreter is a 32-bit one"


def call_names() -> dict[int, str]:
    """Number -> name of every call that this machine's filter stops."""
    pairs = (entry.split("=") for entry in _TABLES[arch()][2].split())
    return {int(number): name for name, number in pairs}


def program(exempt: int) -> bytes:
    """The filter for this machine. ``exempt``: the descriptor by which the task's process talks to us, with sendmsg alone."""
    ours = _TABLES[arch()][0]
    found: _Block = [(_LOAD, 0, 0, _ARCH), (_IF_EQUAL, 1, 0, ours), (_RETURN, 0, 0, _NOTIFY), (_LOAD, 0, 0, _NUMBER)]
    if arch() == "x86_64":
        found += [(_IF_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _NOTIFY)]
    special = _special(exempt)
    for number, name in sorted(call_names().items()):
        block = special.get(name, _always())
        found += [(_IF_EQUAL, 0, len(block), number), *block]
    found.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in found)


#: By these a process can reach another machine; what is connected once is not asked about again.
_REACHING = ("socket", "connect", "sendto", "sendmsg", "sendmmsg")
_ENOSYS = 38


def wall_names() -> dict[int, str]:
    """Number -> name of every call that the wall's filter stops."""
    return {number: name for number, name in call_names().items() if name in _REACHING}


def wall_program(exempt: int) -> bytes:
    """The filter of a worker: it is held before it connects, sends to an address, or makes a socket of a strange kind.

    ``exempt``: as in `program`.

    Calls of another architecture, and io_uring, which can do the same unseen, are not there.
    """
    refuse: _Instruction = (_RETURN, 0, 0, _FAIL | _ENOSYS)
    found: _Block = [(_LOAD, 0, 0, _ARCH), (_IF_EQUAL, 1, 0, _TABLES[arch()][0]), refuse, (_LOAD, 0, 0, _NUMBER)]
    if arch() == "x86_64":
        found += [(_IF_AT_LEAST, 0, 1, _X32), refuse]
    notify: _Instruction = (_RETURN, 0, 0, _NOTIFY)
    allow: _Instruction = (_RETURN, 0, 0, _ALLOW)
    special: dict[str, _Block] = {
        "sendto": [_argument(4), (_IF_EQUAL, 0, 2, 0), _argument(4, upper=True), (_IF_EQUAL, 1, 0, 0), notify, allow],
        "sendmsg": [_argument(0), (_IF_EQUAL, 0, 1, exempt), allow, notify],
        "socket": _strange_sockets(),
        "io_uring_setup": [refuse],
    }
    for number, name in sorted(call_names().items()):
        if name in (*_REACHING, "io_uring_setup"):
            block = special.get(name, _always())
            found += [(_IF_EQUAL, 0, len(block), number), *block]
    found.append(allow)
    return b"".join(struct.pack("HBBI", *instruction) for instruction in found)


def _always() -> _Block:
    return [(_RETURN, 0, 0, _NOTIFY)]


def _special(exempt: int) -> dict[str, _Block]:
    """The calls of which only some are of interest. Each block ends in a return."""
    notify: _Instruction = (_RETURN, 0, 0, _NOTIFY)
    allow: _Instruction = (_RETURN, 0, 0, _ALLOW)
    no_descriptors = [(_IF_EQUAL, 0, 1, 0), notify, allow]
    return {
        "sendmsg": [_argument(0), (_IF_EQUAL, 0, 1, exempt), allow, notify],
        "open": [_argument(1), (_IF_ANY_BIT, 0, 1, _CREATE), notify, allow],
        "openat": [_argument(2), (_IF_ANY_BIT, 0, 1, _CREATE), notify, allow],
        "mmap": [
            _argument(3),
            (_IF_ANY_BIT, 2, 0, _ANONYMOUS),
            (_IF_ANY_BIT, 0, 1, _SHARED),
            notify,
            allow,
        ],
        **{name: [_argument(2), (_IF_ANY_BIT, 0, 1, _WRITABLE), notify, allow] for name in ("mprotect", "pkey_mprotect")},
        "socket": _strange_sockets(),
        "ioctl": [_argument(1), (_IF_EQUAL, 1, 0, _FICLONE), (_IF_EQUAL, 0, 1, _FICLONERANGE), notify, allow],
        "mq_open": [_argument(1), (_IF_ANY_BIT, 0, 1, os.O_CREAT), notify, allow],
        "msgget": [_argument(1), (_IF_ANY_BIT, 0, 1, _IPC_CREAT), notify, allow],
        **{name: [_argument(2), (_IF_ANY_BIT, 0, 1, _IPC_CREAT), notify, allow] for name in ("shmget", "semget")},
        # Signal 0 is none: it asks whether somebody is there.
        **{name: [_argument(at), (_IF_EQUAL, 1, 0, 0), notify, allow] for name, at in _SIGNAL_AT},
        "select": [_argument(0), *no_descriptors],
        "pselect6": [_argument(0), *no_descriptors],
        "poll": [_argument(1), *no_descriptors],
        "ppoll": [_argument(1), *no_descriptors],
        # With a time limit; asyncio sleeps in such a one.
        **{
            name: [_argument(3), (_IF_EQUAL, 1, 0, 0), (_IF_AT_LEAST, 0, 1, 1 << 31), allow, notify]
            for name in ("epoll_wait", "epoll_pwait")
        },
        "epoll_pwait2": [_argument(3), (_IF_EQUAL, 0, 2, 0), _argument(3, upper=True), (_IF_EQUAL, 1, 0, 0), notify, allow],
        # With a deadline that was made from the task's clock, which may be ahead of the kernel's.
        "futex": [
            _argument(1),
            (_AND, 0, 0, _FUTEX_COMMAND),
            (_IF_EQUAL, 0, 3, _FUTEX_WAIT_BITSET),
            _argument(3),
            (_IF_EQUAL, 1, 0, 0),
            notify,
            allow,
        ],
    }


def _strange_sockets() -> _Block:
    """A socket by which packets leave that nobody sees connect: of another family than unix, IP and netlink, a raw one, one of SCTP."""
    return [
        _argument(0),
        (_IF_EQUAL, 9, 0, _UNIX),
        (_IF_EQUAL, 8, 0, _NETLINK),
        (_IF_EQUAL, 1, 0, _INET),
        (_IF_EQUAL, 0, 7, _INET6),
        _argument(1),
        (_AND, 0, 0, _KIND),
        (_IF_EQUAL, 1, 0, _STREAM),
        (_IF_EQUAL, 0, 3, _DATAGRAM),
        _argument(2),
        (_IF_EQUAL, 1, 0, _SCTP),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _NOTIFY),
    ]


def _argument(number: int, *, upper: bool = False) -> _Instruction:
    """Load the lower half: all that is asked for is an int, or a pointer that is none at all; or the upper one."""
    return (_LOAD, 0, 0, 16 + 8 * number + 4 * upper)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def install(raw: bytes) -> int:
    """From here on, for this process and all that it starts; the descriptor of the listener. Refused."""
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, *_longs(1, 0, 0, 0)) != 0:
        raise Refused(f"prctl(PR_SET_NO_NEW_PRIVS): {os.strerror(ctypes.get_errno())}")
    held = ctypes.create_string_buffer(raw, len(raw))
    filter_ = _Program(len(raw) // 8, ctypes.addressof(held))
    number = _TABLES[arch()][1]
    _libc.syscall.restype = ctypes.c_long
    for flags in (_NEW_LISTENER | _SPEC_ALLOW | _WAIT_KILLABLE, _NEW_LISTENER | _SPEC_ALLOW):
        # `syscall` is variadic: what is no c_ulong has garbage in its upper half.
        descriptor = _libc.syscall(*_longs(number, _SET_MODE_FILTER, flags), ctypes.byref(filter_))
        if descriptor >= 0:
            return int(descriptor)
        if ctypes.get_errno() != _EINVAL:
            break
    raise Refused(f"seccomp(SECCOMP_FILTER_FLAG_NEW_LISTENER): {os.strerror(ctypes.get_errno())}")


def tried(path: str) -> int:
    """Make a call that is stopped, on a path that is not there: the errno that it ended with, 0 for none."""
    try:
        os.truncate(path, 0)
    except OSError as exc:
        return exc.errno or 0
    return 0


def _longs(*values: int) -> Sequence[ctypes.c_ulong]:
    return [ctypes.c_ulong(value) for value in values]
