"""What a failed publish leaves open."""

from __future__ import annotations

__all__ = ["is_connection_error"]


def is_connection_error(exc: BaseException) -> bool:
    """Did the connection fail, so that the broker may have what was being sent?"""
    from kombu.exceptions import KombuError, OperationalError

    if isinstance(exc, OperationalError):
        return True
    return isinstance(exc, OSError) or (not isinstance(exc, KombuError) and "ConnectionError" in type(exc).__name__)
