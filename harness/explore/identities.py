"""What makes two stops of two executions the same: words without what varies by itself."""

from __future__ import annotations

import re
from functools import lru_cache

from harness.model.masks import SUPER_JOURNAL

__all__ = ["without_tokens", "without_varying"]

_TOKENS = (
    # uuid4, with and without its dashes; digests and tokens in hex
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<![0-9A-Za-z])[0-9a-f]{16,}(?![0-9A-Za-z])"), "<token>"),
    # tempfile's names: a prefix that may be the user's, then eight of [a-z0-9_]
    (re.compile(r"(?<![A-Za-z0-9])tmp[a-z0-9_]{8}(?![a-z0-9_])"), "tmp<token>"),
    (SUPER_JOURNAL, "-mj<token>"),
    # secrets.token_urlsafe and the like: long, with digits and both cases
    (re.compile(r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[a-z])(?=[\w-]*[A-Z])[\w-]{16,}"), "<token>"),
)
_VARYING = (*_TOKENS, (re.compile(r"\d+"), "#"))


@lru_cache(maxsize=4096)
def without_varying(text: str) -> str:
    """``payment-17 in tmpx3k9_a1b`` and ``payment-18 in tmpq7wz02mn`` are one."""
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text


def without_tokens(text: str) -> str:
    """Only what nobody chose is left out: other numbers stay."""
    for pattern, replacement in _TOKENS:
        text = pattern.sub(replacement, text)
    return text
