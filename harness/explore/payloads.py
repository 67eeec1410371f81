"""What a task is about to send, in words: the request line, the command and its key, the verb; never a password, never a body."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.model.masks import priorities_told

__all__ = ["HEAD", "Conversations"]

#: So much of what is sent is read; of a broker more, since a message's headers stand behind its body.
HEAD = 2048
_HTTP = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE) (\S{1,200}) HTTP/1\.[01]\r\n")
_SMTP = re.compile(rb"(HELO|EHLO|MAIL FROM|RCPT TO|DATA|QUIT|RSET|AUTH|STARTTLS|NOOP|VRFY)\b[^\r\n]*\r\n", re.IGNORECASE)
_TASK = re.compile(rb'"task": ?"([^"]{1,200})"')
_TLS_RECORDS = {20: "a step of the TLS handshake", 21: "the end of TLS", 22: "a step of the TLS handshake", 23: "encrypted data"}
#: Of these nobody needs the arguments, and some are secret.
_BARE = frozenset({"AUTH", "HELLO", "CLIENT", "ACL", "EVAL", "EVALSHA", "SCRIPT", "MULTI", "EXEC", "PING", "SELECT", "CONFIG"})
_MOST_COMMANDS = 6
_OWN_TIME = re.compile(rb"""redis\.p?call\(\s*['"]TIME['"]""", re.IGNORECASE)
_UNTIL = (b"EXAT", b"PXAT")
#: By the server's own clock: never among those that are too many to be shown.
_BY_CLOCK = frozenset({"TIME", "XPENDING", "EXPIREAT", "PEXPIREAT"})
_PUBLISHING = frozenset({"LPUSH", "RPUSH", "ZADD", "HSET"})


class Conversations:
    """Remembers per connection what was begun, so that the rest of it has a name too."""

    def __init__(self) -> None:
        self._begun: dict[str, str] = {}

    def words(self, connection: str, service: str, data: bytes) -> str:
        """``connection``: any name that stays its own. ``data``: the first bytes of one send."""
        if data[:1] == b"*" and data[1:2].isdigit():
            return _redis(service, data)
        request = _HTTP.match(data)
        if request:
            line = f"{request[1].decode()} {request[2].decode('ascii', 'replace').partition('?')[0]}"
            self._begun[connection] = line
            return f"{line} sent to {service}"
        verb = _SMTP.match(data)
        if verb:
            name = verb[1].decode().upper()
            if name == "DATA":
                self._begun[connection] = "the mail"
            return f"{name} sent to {service}"
        if len(data) > 2 and data[0] in _TLS_RECORDS and data[1] == 3:
            return f"{_TLS_RECORDS[data[0]]} sent to {service}"
        begun = self._begun.get(connection)
        if begun == "the mail":
            return f"the mail sent to {service}"
        return f"the rest of {begun} sent to {service}" if begun else f"data sent to {service}"

    def forget(self) -> None:
        """The connections are gone."""
        self._begun.clear()


def _redis(service: str, data: bytes) -> str:
    commands = list(_commands(data))
    if not commands:
        return f"data sent to {service}"
    names = {name for name, _ in commands}
    task = _TASK.search(data)
    if task and names & _PUBLISHING:
        return f"message of {task[1].decode('utf-8', 'replace')} published to {service}"
    if any(key.startswith("celery-task-meta-") for _, key in commands) and names & {"SET", "SETEX"}:
        return f"result stored in {service}"
    if _OWN_TIME.search(data) and "TIME" not in names:  # in a script
        commands.append(("TIME", ""))
    clocked = [(name, key) for name, key in commands[_MOST_COMMANDS:] if name in _BY_CLOCK or key.endswith((" EXAT", " PXAT"))]
    listed = [*commands[:_MOST_COMMANDS], *clocked[:1]]
    shown = ", ".join(f"{name} {key}" if key and name not in _BARE else name for name, key in listed)
    return f"{shown}{', …' if len(commands) > _MOST_COMMANDS else ''} sent to {service}"


def _commands(data: bytes) -> Iterator[tuple[str, str]]:
    """Name and first argument of each command that begins within the data (RESP 2 and 3: arrays of bulk strings)."""
    at = 0
    while at < len(data) and data[at : at + 1] == b"*":
        end = data.find(b"\r\n", at)
        if end < 0 or not data[at + 1 : end].isdigit():
            return
        count, at = int(data[at + 1 : end]), end + 2
        parts: list[bytes] = []
        for _ in range(count):
            end = data.find(b"\r\n", at)
            if end < 0 or data[at : at + 1] != b"$" or not data[at + 1 : end].isdigit():
                break
            size = int(data[at + 1 : end])
            parts.append(data[end + 2 : end + 2 + min(size, 60)])
            at = end + 2 + size + 2
        else:
            if parts:
                yield _shown(parts)
            continue
        if parts:
            yield _shown(parts)
        return


def _shown(parts: list[bytes]) -> tuple[str, str]:
    name, key = parts[0].decode("ascii", "replace").upper(), _readable(parts[1].decode("utf-8", "replace")) if len(parts) > 1 else ""
    options = [part.decode().upper() for part in parts[2:] if part.upper() in _UNTIL] if name in ("SET", "GETEX") else []
    return name, " ".join([key, *options[:1]])


def _readable(key: str) -> str:
    """On one line, and one word."""
    key = priorities_told(key)
    return key if key.isprintable() else "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in key)
