"""When a Redis server has dealt with everything that was sent to it, and whether anything has changed in it."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

__all__ = ["RedisTurns"]

_STATS, _SAVING = (b"*2\r\n$4\r\nINFO\r\n$%d\r\n%s\r\n" % (len(section), section) for section in (b"stats", b"persistence"))
_READ = re.compile(rb"total_net_input_bytes:(\d+)")
_VANISHED = re.compile(rb"(?:expired|evicted)_keys:(\d+)")
_CHANGED = re.compile(rb"rdb_(?:changes_since_last_save|last_save_time|saves):(\d+)")
_MOST_TURNS = 50
_AT_ONCE = 1 << 16


class RedisTurns:
    """A connection of its own, on which nothing else is asked. OSError or RedisError where the server does not answer.

    Redis serves its clients in turns of one loop: it asks the kernel who has sent something, then reads from each of those once
    (16 KB or so) and executes what is complete. An answer to us tells that our bytes were read in some turn; whether others that
    were readable in that turn came before or after us is open. So from one question to the second next one lies a whole turn, and
    if the server has read nothing in between but our own two questions, then there was nobody in that turn who had sent anything.
    """

    def __init__(self, pool: Any) -> None:
        # Here, not above: the import costs 0.2 s, and `--help` does not need it.
        import redis

        self._connection: Any = redis.Redis(connection_pool=pool, single_connection_client=True).connection
        self._stats = self._saving = b""
        self._sent = 0
        self._strange: list[int] = []  # bytes that the server had read and that were not ours, each time that we asked
        self._just_quiet = False

    def quiet(self) -> bool:
        """Has it read and executed all that was sent before this call? False where clients go on sending."""
        self._ask_stats()
        for _ in range(_MOST_TURNS):
            self._ask_all()
            if len(self._strange) == 3 and self._strange[0] == self._strange[2]:
                self._just_quiet = True
                return True
        return False

    def changes(self) -> Hashable:
        """The server's counters of changes, of keys that expired, and of those that were evicted."""
        if not self._just_quiet:
            self._ask_all()
        self._just_quiet = False
        return tuple(_CHANGED.findall(self._saving)), tuple(_VANISHED.findall(self._stats))

    def _ask_stats(self) -> None:
        """A turn, and what has been read until then."""
        self._just_quiet = False
        (self._stats,) = self._ask(_STATS)
        self._count()

    def _ask_all(self) -> None:
        """The counters too, in the same turn."""
        self._just_quiet = False
        self._stats, self._saving = self._ask(_STATS, _SAVING)
        self._count()

    def _count(self) -> None:
        found = _READ.search(self._stats)
        assert found is not None, "every Redis since 2.8 counts what it reads"
        self._strange = [*self._strange[-2:], int(found[1]) - self._sent]

    def _ask(self, *questions: bytes) -> list[bytes]:
        """In one packet, so that the server reads all of them at once. The client's own reader would take as long as all else."""
        packet = b"".join(questions)
        self._sent += len(packet)
        self._connection.send_packed_command([packet])
        sock, data, at = self._connection._sock, b"", 0
        found: list[bytes] = []
        while len(found) < len(questions):
            text, after = _text_at(data, at)
            if after:
                found.append(text)
                at = after
            elif more := sock.recv(_AT_ONCE):
                data += more
            else:
                raise ConnectionResetError("the server has closed the connection")
        return found


def _text_at(data: bytes, at: int) -> tuple[bytes, int]:
    """A bulk string (RESP 2) or a verbatim one (RESP 3), and what comes after it: 0 where it is not whole yet. OSError for anything else.

    https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    end = data.find(b"\r\n", at)
    if end < 0:
        return b"", 0
    if data[at : at + 1] not in (b"$", b"="):
        raise OSError(data[at:end].decode("utf-8", "replace"))
    begin = end + 2
    after = begin + int(data[at + 1 : end])
    return data[begin:after], after + 2 if len(data) >= after + 2 else 0
