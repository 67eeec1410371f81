"""Tokens that are signed with a time: others each time, and of one look, wherever a hyphen stands in them."""

from __future__ import annotations

import base64
import hashlib
import hmac

from harness.explore.freezing import Freezer, changes
from harness.explore.varying import Varying
from harness.model.world import Collection

NOW = 1_790_000_000


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(user: int, now: int) -> str:
    """As itsdangerous does it."""
    said = f"{text(b'user %d' % user)}.{text(now.to_bytes(4, 'big'))}"
    return f"{said}.{text(hmac.new(b'secret', said.encode(), hashlib.sha1).digest())}"


def world(user: int, now: int, copy: str = "") -> dict[str, Collection]:
    value = signed(user, now)
    rows = ({"key": "session", "value": value}, {"key": "mail", "value": f"https://shop/?t={copy or value}&x=1"})
    return {"cache.keys": Collection("keys", rows, key=("key",))}


def form(varying: Varying, found: dict[str, Collection]) -> list[str]:
    return sorted(f"{row.text} {len(set(row.atoms))}" for row in Freezer(varying, {}).freeze(changes({}, found)))


def test_another_moment_is_none_and_another_user_is() -> None:
    for begun in range(NOW, NOW + 40_000, 997):
        varying = Varying()
        seen = [float(begun), begun + 2.0, begun + 86_400.0]
        varying.learn([world(7, int(at)) for at in seen], seen, begun)
        here = form(varying, world(7, begun))
        assert form(varying, world(7, begun + 3)) == here == form(varying, world(7, begun + 90_000))
        assert form(varying, world(8, begun)) != here
