"""What the HTTP API answers instead of doing what was asked. Wording and numbers are Toxiproxy's: clients match on them."""

from __future__ import annotations

__all__ = [
    "INVALID_STREAM",
    "INVALID_TYPE",
    "PROXY_EXISTS",
    "PROXY_NOT_FOUND",
    "TOXIC_EXISTS",
    "TOXIC_NOT_FOUND",
    "Refusal",
    "bad_body",
    "missing",
]


class Refusal(Exception):
    """An answer of ``status`` (an HTTP code) with ``message``."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    def body(self) -> dict[str, object]:
        """The JSON object that goes out."""
        return {"error": self.message, "status": self.status}


PROXY_NOT_FOUND = ("proxy not found", 404)
PROXY_EXISTS = ("proxy already exists", 409)
TOXIC_NOT_FOUND = ("toxic not found", 404)
TOXIC_EXISTS = ("toxic already exists", 409)
INVALID_STREAM = ("stream was invalid, can be either upstream or downstream", 400)
INVALID_TYPE = ("invalid toxic type", 400)


def bad_body(why: str) -> Refusal:
    """The request's body is not what it must be."""
    return Refusal(f"bad request body: {why}", 400)


def missing(field: str) -> Refusal:
    """A field without which nothing can be done."""
    return Refusal(f"missing required field: {field}", 400)
