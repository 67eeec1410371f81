"""Which change usually mends it, told from what differs. Where the pattern is not certain, the general one is named."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.explore.judge import HELD, looks_held
from harness.model.exploration import Stop
from harness.model.masks import number

__all__ = ["UNSTORED", "counted_again", "fix_for"]

_GENERAL = "Let each effect be such that doing it again changes nothing, or record in the same transaction that it was done."
_EARLY = (
    "Acknowledge late (acks_late=True, and task_reject_on_worker_lost=True) once the task is safe to run twice; or declare that it may be "
    "lost: semantics: at_most_once."
)
_REJECTED = "Reject a message for good only where the work is done, or was given to somebody else: that it comes again says neither."
_BY_WORD = {
    "LOST": _EARLY,
    "STORM": "Bound the attempts (max_retries), and let what keeps failing go to a queue of its own.",
    "STATE": (
        "Let a later delivery see that the work is done, and succeed: INSERT … ON CONFLICT DO NOTHING, or look for what is there first."
    ),
    "STUCK": "Wait for something that passes by itself: a lock with an expiry, a state that the next delivery may take over.",
}
_LOCK = "Give what is held an expiry (SET key token NX EX seconds) longer than the work, or let the same message take it over."
_TEMPORARY = "Write to a temporary name that is the same on every delivery, so that the next one takes it over, and rename it at the end."
_LOCK_FILE = (
    "Hold the file by flock, which ends with its process, rather than by its being there; or let the same message take it over, by what "
    "stands in it."
)
_REQUEST = "Send an idempotency key that is the same on every delivery, made from the arguments alone."
_READ = (
    "If the request changes nothing where it goes, say so in the scenario (`ignore_methods: [GET]` of that service); "
    "else send an idempotency key that is the same on every delivery."
)
#: A file by whose being there somebody holds something, rather than one that is half written.
_LOCKS = re.compile(HELD + r"|[^a-z](?:pid|running|busy)(?:[^a-z]|$)", re.IGNORECASE)
#: Methods that mostly only ask (RFC 9110, 9.2.1).
_SAFE = re.compile(r"\b(?:GET|HEAD|OPTIONS)\b")
_KEY = (
    "The requests carried different keys: make the key from the arguments alone, without anything random, the time or the attempt's number."
)
_MAIL = (
    "A mail cannot be taken back: note in one transaction that it is to be sent (an outbox), and send from there under a fixed Message-ID."
)
_ROWS = "Give the row a unique key made from the arguments, and write it with INSERT … ON CONFLICT DO NOTHING (or DO UPDATE)."
_COUNTER = (
    "Write what the value shall be instead of by how much it changes; or record in the same transaction which message was applied, "
    "and skip it the next time."
)
_TALLY = (
    "Write what the value shall be instead of by how much it changes; or let each call count once: put its id into a set (SADD, ZADD) and "
    "take the set's size. A limit of calls may do without that; then it is not certified."
)
_SEQUENCE = (
    " If the counter only gives numbers, of which a gap means nothing, say so in the scenario: "
    "`sequences: [{key}]` under `redis:` of {service}."
)
_INCREMENT = re.compile(r"\bINCR(?:BY)? (\S+?)(?:,| sent to )")
_FILE = "Write the whole file under a temporary name and rename it: never append to it, and never leave half of it under its own name."
_DAMAGE = (
    "Keep SQLite's journal on disk, or a write-ahead log (PRAGMA journal_mode=WAL): without one a crash in a commit damages the database."
)
_HELD = (
    "Let nothing that a killed delivery leaves keep the next one from succeeding: give what is held an expiry (SET key token NX EX "
    "seconds), or let the same message take it over."
)
_MARKER = "Something says that the work is done before it is: set that mark after the effect, or in one transaction with it."


UNSTORED = (
    "Return what the result's serializer can hold: names, numbers and texts, no sets or objects; or keep no result (ignore_result=True). "
    "Celery stores it once the work is done, and tells a failure where it cannot."
)


def fix_for(word: str, differences: Sequence[Mapping[str, Any]], effect: Stop | None, *, lost: bool = True) -> str:
    """As `_fix_for`; and how to say that a counter of Redis counts nothing, where one went further than one execution takes it."""
    return _fix_for(word, differences, effect, lost=lost) + (_about_sequences(differences, effect) if word == "EFFECT" else "")


def _about_sequences(differences: Sequence[Mapping[str, Any]], effect: Stop | None) -> str:
    services = [str(one.get("collection")).partition(".")[0] for one in differences if counted_again(one)]
    if not services or services[0] in ("broker", "backend"):
        return ""
    found = _INCREMENT.search(effect.words) if effect is not None else None
    return _SEQUENCE.format(key=found[1] if found else "its key", service=services[0])


def _fix_for(word: str, differences: Sequence[Mapping[str, Any]], effect: Stop | None, *, lost: bool = True) -> str:
    """The pattern of the fix. ``effect``: the last call that changed something before the kill; ``lost``: where the word is LOST, did its
    message die with its worker, rather than that it was rejected later?"""
    if word == "LOST" and not lost:
        return _REJECTED
    if word == "LEAK":
        if not _of_files(differences):
            return _LOCK
        return _LOCK_FILE if any(_LOCKS.search(str(one.get("row"))) for one in differences) else _TEMPORARY
    if word in _BY_WORD:
        return _BY_WORD[word]
    extra = [one for one in differences if _more(one)]
    missing = [one for one in differences if _less(one)]
    if any(looks_held(one) for one in extra) and (missing or word == "PARTIAL"):
        return _LOCK
    if _is(extra, "damage"):
        return _DAMAGE
    for found, fix in ((_http_fix(extra), None), (_is(extra, "mails"), _MAIL)):
        if found:
            return fix or str(found)
    if differences and len(missing) == len(differences):
        return _MARKER if effect is not None else _GENERAL
    if _of_files(extra or differences):
        return _FILE
    if any(counted_again(one) for one in differences):
        return _TALLY
    if any(_number(one) for one in differences):
        return _COUNTER
    if word == "PARTIAL" and _is(extra, "keys"):  # by a name that does not say that somebody holds it
        return _HELD
    return _ROWS if extra else _MARKER if missing and effect is not None else _GENERAL


def _http_fix(extra: Sequence[Mapping[str, Any]]) -> str:
    requests = [one for one in extra if str(one.get("collection", "")).endswith(".requests")]
    if not requests:
        return ""
    if all(_SAFE.search(str(one.get("row"))) for one in requests):
        return _READ
    return _KEY if any(_keyed(one) for one in requests) else _REQUEST


def _keyed(difference: Mapping[str, Any]) -> bool:
    """Did the request carry a key, and was it not recognised all the same?"""
    row = difference.get("row")
    if isinstance(row, Mapping):
        return row.get("key") not in (None, "")
    text = str(row)
    return "key" in text and not any(none in text for none in ("'key': None", '"key": null', "key=None"))


def _is(differences: Sequence[Mapping[str, Any]], collection: str) -> bool:
    return any(str(one.get("collection", "")).endswith(f".{collection}") for one in differences)


def _of_files(differences: Sequence[Mapping[str, Any]]) -> bool:
    return _is(differences, "files")


def _count(value: Any) -> float | None:
    if value is None:
        return 0
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _more(difference: Mapping[str, Any]) -> bool:
    """Is something there that should not be, or more often?"""
    after, expected = difference.get("after"), difference.get("expected")
    counts = _count(after), _count(expected)
    if counts[0] is not None and counts[1] is not None:
        return counts[0] > counts[1]
    return expected is None and after is not None


def _less(difference: Mapping[str, Any]) -> bool:
    after, expected = difference.get("after"), difference.get("expected")
    counts = _count(after), _count(expected)
    if counts[0] is not None and counts[1] is not None:
        return counts[0] < counts[1]
    return after == difference.get("before")


def counted_again(difference: Mapping[str, Any]) -> bool:
    """Is it a key of Redis whose number went further than one execution takes it?"""
    after, expected = difference.get("after"), difference.get("expected")
    is_key = str(difference.get("collection")).partition(".")[2].startswith("keys")
    if not (is_key and isinstance(after, Mapping) and isinstance(expected, Mapping)):
        return False
    found, wanted = (str(side.get("value", "")) for side in (after, expected))
    return found.isdigit() and wanted.isdigit() and int(found) > int(wanted)


def _number(difference: Mapping[str, Any]) -> bool:
    """Is it one row whose number went too far?"""
    after, expected = difference.get("after"), difference.get("expected")
    return isinstance(after, Mapping) and isinstance(expected, Mapping) and after != expected and _in_numbers(after, expected)


def _in_numbers(after: Any, expected: Any) -> bool:
    """Do they differ in nothing but numbers?"""
    if number(after) is not None and number(expected) is not None:
        return True
    if isinstance(after, Mapping) and isinstance(expected, Mapping):
        return after.keys() == expected.keys() and all(_in_numbers(after[name], expected[name]) for name in after)
    if isinstance(after, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(after) == len(expected) and all(map(_in_numbers, after, expected))
    return bool(after == expected)
