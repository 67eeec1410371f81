"""One request, or one mail, that is sent in several pieces: how many there are is for the kernel to say, and differs from run to run."""

from __future__ import annotations

from harness.egress.listener import Call

__all__ = ["Pieces"]

#: As `Conversations` names what comes after the head. Nobody has got it before its last byte has come, so all crashes in between are one.
_PIECES = ("the rest of ", "the mail sent ")


class Pieces:
    """Knows whether a send goes on with what the effect before it has begun."""

    def __init__(self) -> None:
        self._before: tuple[int, int, str] | None = None

    def goes_on(self, call: Call, words: str) -> bool:
        """``words``: of this effect. Where another effect stood in between, it is one of its own."""
        this = (call.thread, call.arguments[0], words) if words.startswith(_PIECES) else None
        same = this is not None and this == self._before
        self._before = this
        return same

    def forget(self) -> None:
        """Nothing was begun."""
        self._before = None
