"""A call to the kernel in words: which of them are effects, on what, and what else has to be done about the others."""

from __future__ import annotations

import errno
import mmap
import os
import posixpath
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache

from harness.egress.listener import Call
from harness.egress.sockets import strange
from harness.explore.alarms import seconds_of_timer
from harness.explore.calls import PASS, Alarm, Connection, Done, Doubt, Effect, Forks, Refusal, Sleep, What
from harness.explore.identities import without_varying
from harness.explore.inherited import is_index
from harness.explore.payloads import HEAD, Conversations
from harness.explore.pieces import Pieces
from harness.explore.proc import is_writable, leads_group, polled, shared_maps
from harness.explore.process_memory import ProcessMemory
from harness.explore.strange_calls import SIGNALS, STRANGE, signalled, strangers
from harness.explore.targets import Address, Target, Targets, address_of

__all__ = ["PASS", "Alarm", "Connection", "Decoder", "Done", "Doubt", "Effect", "Forks", "Refusal", "Sleep", "What"]

_FORKS = Forks()
_AT_FDCWD = 0xFFFFFF9C
_ARCHES = {0xC000003E: "x86_64", 0xC00000B7: "aarch64"}
_SLEEPS = ("nanosleep", "clock_nanosleep", "select", "pselect6", "poll", "ppoll", "futex")

#: call -> (argument that is the descriptor, words)
_ON_DESCRIPTORS: Mapping[str, tuple[int, str]] = {
    **dict.fromkeys(("write", "pwrite64", "writev", "pwritev", "pwritev2"), (0, "write to {}")),
    **dict.fromkeys(("sendto", "sendmsg", "sendmmsg"), (0, "data sent to {}")),
    "sendfile": (0, "copy into {}"),
    "copy_file_range": (2, "copy into {}"),
    "splice": (2, "copy into {}"),
    "tee": (1, "copy into {}"),
    "vmsplice": (0, "write to {}"),
    "ioctl": (0, "copy into {}"),
    "ftruncate": (0, "truncate {}"),
    "fallocate": (0, "reserve space in {}"),
    "fchmod": (0, "change the mode of {}"),
    "fchown": (0, "change the owner of {}"),
    "fsetxattr": (0, "change attributes of {}"),
    "fremovexattr": (0, "change attributes of {}"),
}
#: call -> (pairs of arguments: the folder's descriptor, or None for the working folder, and the path; words)
_ON_PATHS: Mapping[str, tuple[tuple[tuple[int | None, int], ...], str]] = {
    **dict.fromkeys(("open", "creat"), (((None, 0),), "open {} to write")),
    **dict.fromkeys(("openat", "openat2"), (((0, 1),), "open {} to write")),
    "rename": (((None, 0), (None, 1)), "rename {} to {}"),
    **dict.fromkeys(("renameat", "renameat2"), (((0, 1), (2, 3)), "rename {} to {}")),
    **dict.fromkeys(("unlink", "rmdir"), (((None, 0),), "delete {}")),
    "unlinkat": (((0, 1),), "delete {}"),
    "mkdir": (((None, 0),), "make the folder {}"),
    "mkdirat": (((0, 1),), "make the folder {}"),
    "link": (((None, 0), (None, 1)), "link {} as {}"),
    "linkat": (((0, 1), (2, 3)), "link {} as {}"),
    "symlink": (((None, 1),), "make the link {}"),
    "symlinkat": (((1, 2),), "make the link {}"),
    "mknod": (((None, 0),), "make {}"),
    "mknodat": (((0, 1),), "make {}"),
    "truncate": (((None, 0),), "truncate {}"),
    "chmod": (((None, 0),), "change the mode of {}"),
    **dict.fromkeys(("fchmodat", "fchmodat2"), (((0, 1),), "change the mode of {}")),
    **dict.fromkeys(("chown", "lchown"), (((None, 0),), "change the owner of {}")),
    "fchownat": (((0, 1),), "change the owner of {}"),
    **dict.fromkeys(("utime", "utimes"), (((None, 0),), "change the times of {}")),
    **dict.fromkeys(("futimesat", "utimensat"), (((0, 1),), "change the times of {}")),
    **dict.fromkeys(("setxattr", "lsetxattr", "removexattr", "lremovexattr"), (((None, 0),), "change attributes of {}")),
    **dict.fromkeys(("setxattrat", "removexattrat"), (((0, 1),), "change attributes of {}")),
}
_PROGRAMS = {"execve": (None, 0), "execveat": (0, 1)}
_MAPPED = "the task maps {} into its memory, where nobody can see it write"
#: sendmmsg takes no more at once (UIO_MAXIOV); struct mmsghdr on 64 bits, which begins with a struct msghdr.
_MOST_DATAGRAMS, _MMSGHDR = 1024, 64
#: Paths that are remembered with what they lead to.
_MOST_KNOWN = 4096
_MOST_ARGUMENTS = 64
_POLLS = ("epoll_wait", "epoll_pwait", "epoll_pwait2")


class Decoder:
    """For one zygote and its children. ``names``: number -> call, of this machine.

    ``above``: the process below which all of the task's stand; 0 where signals to others are of no interest.
    """

    def __init__(self, names: Mapping[int, str], targets: Targets, memory: ProcessMemory, above: int = 0) -> None:
        self._above = above
        self._targets = targets
        self._memory = memory
        self._conversations = Conversations()
        self._pieces = Pieces()
        self._known: dict[tuple[str, bytes], What] = {}
        self.given: dict[str, None] = {}  # files that programs of the task were given
        self.read_only_maps = False  # of files that others see, and that a call could make writable
        handlers: dict[str, Callable[[Call, str], What]] = {
            **dict.fromkeys(_ON_DESCRIPTORS, self._on_descriptor),
            **dict.fromkeys(_ON_PATHS, self._on_paths),
            **dict.fromkeys(_PROGRAMS, self._program),
            **dict.fromkeys(_SLEEPS, lambda call, name: Sleep(name)),
            **dict.fromkeys(_POLLS, self._wait_for_events),
            **dict.fromkeys(STRANGE, lambda call, name: Doubt(STRANGE[name])),
            **dict.fromkeys(SIGNALS, self._signal),
            **dict.fromkeys(("clone", "clone3", "fork", "vfork"), lambda call, name: _FORKS),
            "openat2": self._openat2,
            "connect": self._connect,
            "bind": self._bind,
            "alarm": lambda call, name: Alarm(call.arguments[0] & 0xFFFFFFFF),
            "setitimer": lambda call, name: PASS if (seconds := seconds_of_timer(call, memory)) is None else Alarm(seconds),
            "setsid": lambda call, name: Done(call.thread) if leads_group(call.thread) else PASS,
            "mmap": self._mmap,
            **dict.fromkeys(("mprotect", "pkey_mprotect"), self._mprotect),
            "socket": lambda call, name: Refusal(strange(*(_int(one) for one in call.arguments[:3])), errno.EPERM),
            "io_uring_setup": lambda call, name: Doubt("the task uses io_uring, whose writes nobody can stop", errno.ENOSYS),
            "io_submit": lambda call, name: Doubt("the task writes by io_submit, where nobody can stop one write of many"),
        }
        self._readers = {number: (handlers[name], name) for number, name in names.items()}

    def forget(self) -> None:
        """The process is gone."""
        self._conversations.forget()
        self._pieces.forget()
        self._targets.forget_sockets()

    def read(self, call: Call) -> What:
        """What it is about to do."""
        found = self._readers.get(call.number)
        if found is None or call.arch not in _ARCHES:
            return Doubt("the task runs a program of another architecture (32 bit), whose calls are not known")
        what = found[0](call, found[1])
        return PASS if isinstance(what, Effect) and self._pieces.goes_on(call, what.words) else what

    def again(self) -> None:
        """What was read last comes once more: a signal came first."""
        self._pieces.forget()

    # --- on descriptors ------------------------------------------------------------------------------------------------

    def _on_descriptor(self, call: Call, name: str) -> What:
        number, words = _ON_DESCRIPTORS[name]
        descriptor = _int(call.arguments[number])
        target, connection = self._targets.of_descriptor(call.thread, descriptor)
        if not target.kind and name not in ("sendto", "sendmsg", "sendmmsg"):
            return PASS
        if not connection.startswith("socket:"):
            return _effect(name, target, words) if target.kind else PASS
        address = self._destination(call, name)
        if address is not None:
            target = self._targets.of_peer(address)
        if not target.kind:
            return PASS
        if not target.service:
            return Refusal(target.peer) if target.peer is not None else PASS  # of IP, and connected to nothing: the call fails
        return self._send(call, name, target, connection)

    def _destination(self, call: Call, name: str) -> Address | None:
        """The address that a datagram carries with it; of several the first that nobody declared."""
        if name == "sendto" and call.arguments[4]:
            return address_of(self._memory.read(call.thread, call.arguments[4], min(call.arguments[5] & 0xFFFF, 128)))
        if name not in ("sendmsg", "sendmmsg"):
            return None
        count = min(call.arguments[2] & 0xFFFFFFFF, _MOST_DATAGRAMS) if name == "sendmmsg" else 1
        headers = self._memory.read(call.thread, call.arguments[1], _MMSGHDR * count)
        found = None
        for at in range(0, len(headers) - 15, _MMSGHDR):
            where, size = struct.unpack_from("=QI", headers, at)
            address = address_of(self._memory.read(call.thread, where, min(size, 128))) if where and size else None
            if address is not None and (found is None or not self._targets.service_at(address)):
                found = address
                if not self._targets.service_at(address):
                    break
        return found

    def _send(self, call: Call, name: str, target: Target, connection: str) -> Effect:
        data = self._payload(call, name, HEAD if target.service != "broker" else 8 * HEAD)
        words = self._conversations.words(connection, target.service, data)
        return _sent(name, target, words)

    def _payload(self, call: Call, name: str, most: int) -> bytes:
        memory, thread, (_, first, second, *_rest) = self._memory, call.thread, call.arguments
        if name in ("write", "sendto", "pwrite64"):
            return memory.read(thread, first, min(second, most))
        if name in ("writev", "pwritev", "pwritev2"):
            return self._gathered(thread, first, second, most)
        if name in ("sendmsg", "sendmmsg"):
            header = memory.read(thread, first, 32).ljust(32, b"\0")
            vectors, count = struct.unpack_from("=QQ", header, 16)
            return self._gathered(thread, vectors, count, most)
        return b""

    def _gathered(self, thread: int, vectors: int, count: int, most: int) -> bytes:
        found = b""
        table = self._memory.read(thread, vectors, 16 * min(count, 16))
        for at in range(0, len(table) - 15, 16):
            where, size = struct.unpack_from("=QQ", table, at)
            if len(found) >= most:
                break
            if size:
                found += self._memory.read(thread, where, min(size, most - len(found)))
        return found

    # --- on paths --------------------------------------------------------------------------------------------------------

    def _on_paths(self, call: Call, name: str) -> What:
        pairs, words = _ON_PATHS[name]
        if len(pairs) > 1:
            return self._of_files(name, words, tuple(self._targets.of_file(self._path(call, folder, path)) for folder, path in pairs))
        ((folder, path),) = pairs
        text = self._memory.string(call.thread, call.arguments[path])
        if text[:1] != b"/" or b"/proc/" in text or b"/dev/fd/" in text:  # another file each time
            return self._of_files(name, words, (self._targets.of_file(self._absolute(call, folder, text)),))
        found = self._known.get((name, text))
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._of_files(name, words, (self._targets.of_file(self._absolute(call, None, text)),))
            self._known[name, text] = found
        return found

    def _of_files(self, name: str, words: str, found: tuple[Target, ...]) -> What:
        seen = [target for target in found if target.kind]
        if not seen:
            return PASS
        main = next((target for target in reversed(seen) if target.service), seen[-1])
        return _effect(name, main, words, found)

    def _path(self, call: Call, folder: int | None, path: int) -> str:
        return self._absolute(call, folder, self._memory.string(call.thread, call.arguments[path]))

    def _absolute(self, call: Call, folder: int | None, text: bytes) -> str:
        descriptor = None if folder is None or call.arguments[folder] & 0xFFFFFFFF == _AT_FDCWD else _int(call.arguments[folder])
        return self._targets.absolute(call.thread, descriptor, os.fsdecode(text))

    def _openat2(self, call: Call, name: str) -> What:
        how = self._memory.read(call.thread, call.arguments[2], 8)
        wants = len(how) == 8 and struct.unpack("=Q", how)[0] & (os.O_CREAT | os.O_TRUNC)
        return self._on_paths(call, name) if wants else PASS

    def _program(self, call: Call, name: str) -> What:
        path = self._path(call, *_PROGRAMS[name])
        self._note_given(call, path, call.arguments[2 if name == "execveat" else 1])
        self._memory.becomes_another(call.thread)
        if not os.path.exists(path):  # noqa: PTH110 (asked at stops) whoever looks a program up tries folder by folder
            return PASS
        return _effect(name, Target("other", "", posixpath.basename(path)), "start the program {}")

    def _note_given(self, call: Call, program: str, where: int) -> None:
        """Files among a program's arguments, as in ``python helper.py``, ``sh -c "helper.py 7"`` and ``python -m shop.helper``."""
        pointers = self._memory.read(call.thread, where, 8 * _MOST_ARGUMENTS) if where else b""
        words, before = [program], ""
        for (pointer,) in struct.iter_unpack("=Q", pointers[: len(pointers) // 8 * 8]):
            if not pointer:
                break
            text = self._memory.text(call.thread, pointer)
            words += [text, *text.split()] if " " in text else [text]
            if before == "-m":
                words += [text.replace(".", "/") + end for end in (".py", "/__main__.py")]
            before = text
        paths = (self._targets.absolute(call.thread, None, word) for word in words if word and "\0" not in word)
        self.given.update(dict.fromkeys(path for path in paths if os.path.isfile(path)))  # noqa: PTH113 (asked at stops)

    # --- the rest --------------------------------------------------------------------------------------------------------

    def _connect(self, call: Call, name: str) -> What:
        address = address_of(self._memory.read(call.thread, call.arguments[1], min(call.arguments[2] & 0xFFFF, 128)))
        return Connection(_int(call.arguments[0]), address) if address is not None else PASS

    def _bind(self, call: Call, name: str) -> What:
        """A unix socket by a path is a file: whoever binds it later is refused as long as it is there."""
        address = address_of(self._memory.read(call.thread, call.arguments[1], min(call.arguments[2] & 0xFFFF, 128)))
        scheme, _, path = (address or ("", 0))[0].partition(":")
        if scheme != "unix" or path[:1] in ("", "@"):
            return PASS
        return self._of_files(name, "make the socket {}", (self._targets.of_file(self._targets.absolute(call.thread, None, path)),))

    def _signal(self, call: Call, name: str) -> What:
        reached = signalled(call, name)
        if reached is not None and (not self._above or not strangers(self._above, reached)):
            return PASS
        return Doubt(SIGNALS[name])

    def _wait_for_events(self, call: Call, name: str) -> What:
        """A sleep of asyncio's, where the only ones that could wake it are the task's own."""
        for descriptor in polled(call.thread, _int(call.arguments[0])):
            target, text = self._targets.of_descriptor(call.thread, descriptor)
            if target.kind or not text.startswith(("pipe:", "socket:", "anon_inode:[eventfd]")):
                return PASS
        return Sleep(name)

    def _mmap(self, call: Call, name: str) -> What:
        target, text = self._targets.of_descriptor(call.thread, _int(call.arguments[4]))
        if not target.kind or is_index(text):
            return PASS
        if call.arguments[2] & mmap.PROT_WRITE:
            return Doubt(_MAPPED.format(target.name or text))
        self.read_only_maps = self.read_only_maps or is_writable(call.thread, _int(call.arguments[4]))
        return PASS

    def _mprotect(self, call: Call, name: str) -> What:
        """Most often of its own memory, or of a file that it has opened only to read."""
        if not self.read_only_maps:
            return PASS
        begin = call.arguments[0]
        try:
            paths = shared_maps(call.thread, begin, begin + call.arguments[1])
        except OSError:  # gone, or it hides what it maps
            return Doubt(_MAPPED.format("something"))
        for path in paths:
            target = self._targets.of_file(path)
            if target.kind and not is_index(path):
                return Doubt(_MAPPED.format(target.name or path))
        return PASS


@lru_cache(maxsize=4096)
def _effect(call: str, target: Target, words: str, shown: tuple[Target, ...] = ()) -> Effect:
    names = [one.name or one.service for one in shown or (target,)]
    text = words.format(*names)
    return Effect(call, target.kind, str(target), text, f"{call} " + without_varying(f"{target}: {text}"))


@lru_cache(maxsize=4096)
def _sent(call: str, target: Target, words: str) -> Effect:
    return Effect(call, "net", str(target), words, f"{call} " + without_varying(f"{target}: {words}"))


def _int(value: int) -> int:
    """A descriptor: the lower half, signed."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value
