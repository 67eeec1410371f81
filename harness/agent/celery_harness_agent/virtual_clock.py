"""A wall clock that can be ahead: the kernel's own code for asking the time (the vDSO) adds what stands in the shared page.

Python, C libraries and SQLite ask there, so all of them see one time. A program that the task starts has its own vDSO, and the
true time. Nothing else can move the clock of one process: a time namespace has no wall clock, and seccomp does not see the vDSO.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from typing import Sequence

from celery_harness_agent.seccomp import arch
from celery_harness_agent.shared_page import mapped

__all__ = ["NoClock", "set_up"]

_GETTIMEOFDAY, _CLOCK_GETTIME = 96, 228
#: CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI
_TIMES_OF_DAY = (0, 5, 11)
#: CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME
_RUNNING = (1, 4, 6, 7)
_PROGRAM_LOADED, _PROGRAM_DYNAMIC = 1, 2
_HASH_TABLE, _GNU_HASH_TABLE, _STRINGS, _SYMBOLS = 4, 0x6FFFFEF5, 5, 6
_SYMBOL_SIZE = 24
_READ, _WRITE, _EXECUTE = 1, 2, 4
_PAGE = 4096


class NoClock(Exception):
    """It cannot be had here; the text says why."""


def set_up(page: int) -> None:
    """For this process and all that it forks. ``page``: address of the shared page. NoClock, and nothing is changed."""
    if arch() != "x86_64" or not sys.platform.startswith("linux"):
        raise NoClock(f"the clock of a process can be set on Linux and x86_64 only, not on {sys.platform} and {arch()}")
    start, end = _vdso()
    entries = _functions(ctypes.string_at(start, end - start))
    routines = _routines(page)
    missing = [name for name in ("__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time") if name not in entries]
    if missing:
        raise NoClock(f"the vDSO has no {', '.join(missing)}")
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        code = mapped(-1, _PAGE, _READ | _WRITE | _EXECUTE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as exc:
        raise NoClock(f"no memory that can be run: {exc.strerror}") from exc
    if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _READ | _WRITE | _EXECUTE) != 0:
        raise NoClock(f"the vDSO cannot be written: {os.strerror(ctypes.get_errno())}")
    for name, routine in routines.items():
        ctypes.memmove(code, routine, len(routine))
        jump = b"\x48\xb8" + struct.pack("<Q", code) + b"\xff\xe0"  # mov rax, routine; jmp rax
        ctypes.memmove(start + entries[name], jump, len(jump))
        code += (len(routine) + 15) & ~15
    libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _READ | _EXECUTE)


def _vdso() -> tuple[int, int]:
    with open("/proc/self/maps", encoding="utf-8") as maps:  # noqa: PTH123 (agent: nothing but what is needed)
        for line in maps:
            if line.rstrip().endswith("[vdso]"):
                start, _, end = line.split()[0].partition("-")
                return int(start, 16), int(end, 16)
    raise NoClock("this process has no vDSO")


def _functions(image: bytes) -> dict[str, int]:
    """Name -> offset of what the vDSO offers: its ELF dynamic symbols."""
    headers, size, count = struct.unpack_from("<Q", image, 0x20)[0], *struct.unpack_from("<HH", image, 0x36)
    base, dynamic = 0, (0, 0)
    loaded = False
    for number in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", image, headers + number * size)
        if kind == _PROGRAM_LOADED and not loaded:
            base, loaded = address - offset, True
        elif kind == _PROGRAM_DYNAMIC:
            dynamic = offset, length
    tags = dict(struct.unpack_from("<QQ", image, at) for at in range(dynamic[0], sum(dynamic), 16))
    symbols, strings = tags[_SYMBOLS] - base, tags[_STRINGS] - base
    if _HASH_TABLE in tags:
        (total,) = struct.unpack_from("<I", image, tags[_HASH_TABLE] - base + 4)
    else:  # the strings follow the symbols, as every linker lays them out
        total = (strings - symbols) // _SYMBOL_SIZE
    found = {}
    for number in range(total):
        name, _, _, _, value, _ = struct.unpack_from("<IBBHQQ", image, symbols + number * _SYMBOL_SIZE)
        if value:
            text = image[strings + name : image.index(b"\0", strings + name)]
            found[text.decode("ascii", "replace")] = value - base
    return found


#: Opcodes of short jumps; a target is a name, and so is a place in the code that begins with a colon.
_JUMPS = {"jnz": 0x75, "jz": 0x74, "jl": 0x7C, "jmp": 0xEB}


def _routines(page: int) -> dict[str, bytes]:
    """Machine code (x86_64, System V): the true call, then our offset. `syscall` clobbers rcx and r11; rax, rdx, r8, r9 are free."""
    address = struct.pack("<Q", page)
    second = struct.pack("<i", 10**9)
    return {
        # int clock_gettime(edi = clock, rsi = timespec)
        "__vdso_clock_gettime": _assembled(
            [b"\xb8" + struct.pack("<I", _CLOCK_GETTIME) + b"\x0f\x05", b"\x85\xc0", "jnz end"],  # mov eax, nr; syscall; test eax, eax
            [b"\x48\xba" + address, *_if_edi_is(_TIMES_OF_DAY, "add"), b"\x48\x83\xc2\x10"],  # mov rdx, page; …; add rdx, 16
            [*_if_edi_is(_RUNNING, "add"), "jmp end", ":add"],
            [b"\x48\x8b\x4a\x08", b"\x48\x03\x4e\x08"],  # mov rcx, [rdx+8]; add rcx, [rsi+8]
            [b"\x4c\x8b\x02", b"\x4c\x03\x06"],  # mov r8, [rdx]; add r8, [rsi]
            [b"\x48\x81\xf9" + second, "jl store"],  # cmp rcx, 10**9
            [b"\x48\x81\xe9" + second, b"\x49\xff\xc0"],  # sub rcx, 10**9; inc r8
            [":store", b"\x48\x89\x4e\x08", b"\x4c\x89\x06"],  # mov [rsi+8], rcx; mov [rsi], r8
            [":end", b"\xc3"],
        ),
        # int gettimeofday(rdi = timeval or NULL, rsi)
        "__vdso_gettimeofday": _assembled(
            [b"\xb8" + struct.pack("<I", _GETTIMEOFDAY) + b"\x0f\x05", b"\x85\xc0", "jnz end"],
            [b"\x48\x85\xff", "jz end", b"\x49\xb9" + address],  # test rdi, rdi; mov r9, page
            [b"\x49\x8b\x41\x08", b"\x31\xd2", b"\xb9\xe8\x03\x00\x00", b"\x48\xf7\xf1"],  # mov rax, [r9+8]; rax /= 1000
            [b"\x48\x03\x47\x08", b"\x4d\x8b\x01", b"\x4c\x03\x07"],  # add rax, [rdi+8]; mov r8, [r9]; add r8, [rdi]
            [b"\x48\x3d" + struct.pack("<i", 10**6), "jl store"],  # cmp rax, 10**6
            [b"\x48\x2d" + struct.pack("<i", 10**6), b"\x49\xff\xc0"],  # sub rax, 10**6; inc r8
            [":store", b"\x48\x89\x47\x08", b"\x4c\x89\x07", b"\x31\xc0"],  # mov [rdi+8], rax; mov [rdi], r8; xor eax, eax
            [":end", b"\xc3"],
        ),
        # time_t time(rdi = time_t * or NULL): of clock_gettime, so that it changes at the same moment
        "__vdso_time": _assembled(
            [b"\x57", b"\x48\x83\xec\x10", b"\x31\xff", b"\x48\x89\xe6"],  # push rdi; sub rsp, 16; xor edi, edi; mov rsi, rsp
            [b"\xb8" + struct.pack("<I", _CLOCK_GETTIME) + b"\x0f\x05", b"\x48\xba" + address],
            [b"\x48\x8b\x4a\x08", b"\x48\x03\x4c\x24\x08"],  # mov rcx, [rdx+8]; add rcx, [rsp+8]
            [b"\x48\x8b\x02", b"\x48\x03\x04\x24"],  # mov rax, [rdx]; add rax, [rsp]
            [b"\x48\x81\xf9" + second, "jl whole", b"\x48\xff\xc0", ":whole"],  # cmp rcx, 10**9; inc rax
            [b"\x48\x83\xc4\x10", b"\x5f", b"\x48\x85\xff", "jz end", b"\x48\x89\x07"],  # add rsp, 16; pop rdi; mov [rdi], rax
            [":end", b"\xc3"],
        ),
    }


def _if_edi_is(clocks: Sequence[int], label: str) -> list[bytes | str]:
    found: list[bytes | str] = []
    for clock in clocks:
        found += [b"\x83\xff" + bytes([clock]), f"jz {label}"]  # cmp edi, clock
    return found


def _assembled(*parts: Sequence[bytes | str]) -> bytes:
    """Machine code of pieces, jumps (two bytes each) and labels."""
    lines = [line for part in parts for line in part]
    places, at = {}, 0
    for line in lines:
        if isinstance(line, str) and line.startswith(":"):
            places[line[1:]] = at
        else:
            at += len(line) if isinstance(line, bytes) else 2
    code = b""
    for line in lines:
        if isinstance(line, bytes):
            code += line
        elif not line.startswith(":"):
            kind, _, label = line.partition(" ")
            code += struct.pack("<Bb", _JUMPS[kind], places[label] - len(code) - 2)
    return code
