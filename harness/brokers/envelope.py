"""Kombu's envelope: how a message lies in a virtual transport's list, read without trusting any of it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

__all__ = ["MESSAGE_HEADER", "Envelope"]

MESSAGE_HEADER = "celery_harness_message"
COPY_HEADER = "celery_harness_copy"


@dataclass(frozen=True, slots=True)
class Envelope:
    """One item of a queue. Whatever it does not say, or says as nonsense, is empty; ``document`` is None for what is no envelope."""

    document: Mapping[str, Any] | None = None
    message_id: str = ""
    task_id: str = ""
    task: str = ""
    retries: int = 0
    eta: float | None = None  # seconds since the epoch
    tag: str = ""
    priority: int = 0
    copy: int = 0

    @classmethod
    def parse(cls, raw: bytes) -> Envelope:
        """Of a list item as Redis returns it; never raises."""
        try:
            return cls.of(json.loads(raw))
        except (ValueError, RecursionError):
            return cls()

    @classmethod
    def of(cls, document: Any) -> Envelope:
        """Of a decoded item. Celery's protocol 2 has the facts in the headers, protocol 1 in the body."""
        if not (isinstance(document, Mapping) and isinstance(document.get("properties"), Mapping) and "body" in document):
            return cls()
        properties = document["properties"]
        headers = document.get("headers")
        headers = headers if isinstance(headers, Mapping) else {}
        facts = headers if "task" in headers else {**_body_facts(document, properties), **headers}
        task_id, retries = _text(facts.get("id")), _count(facts.get("retries"))
        return cls(
            document=document,
            message_id=_text(headers.get(MESSAGE_HEADER)) or (f"foreign:{task_id}:{retries}" if task_id else ""),
            task_id=task_id,
            task=_text(facts.get("task")),
            retries=retries,
            eta=_moment(facts.get("eta")),
            tag=_text(properties.get("delivery_tag")),
            priority=_priority(properties.get("priority")),
            copy=_count(headers.get(COPY_HEADER)),
        )

    def duplicate(self, number: int, tag: str, *, redelivered: bool) -> bytes:
        """The same message as a delivery of its own: a fresh tag (one shared would share its entry in `unacked`) and our mark.

        ``redelivered`` sets the flag where Celery reads it, in ``properties.delivery_info``, and in the headers as kombu does.
        """
        assert self.document is not None
        headers, properties = dict(self.document.get("headers") or {}), dict(self.document["properties"])
        headers[COPY_HEADER] = number
        properties["delivery_tag"] = tag
        if redelivered:
            headers["redelivered"] = True
            properties["delivery_info"] = {**(properties.get("delivery_info") or {}), "redelivered": True}
        return json.dumps({**self.document, "headers": headers, "properties": properties}).encode()


def _body_facts(document: Mapping[str, Any], properties: Mapping[str, Any]) -> Mapping[str, Any]:
    body = document["body"]
    try:
        text = base64.b64decode(body) if properties.get("body_encoding") == "base64" else body
        decoded = json.loads(text)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        return {}
    return decoded if isinstance(decoded, Mapping) and isinstance(decoded.get("task"), str) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _priority(value: Any) -> int:
    """0 to 9, as kombu's virtual channel clamps it (`Channel._get_message_priority`)."""
    try:
        return max(0, min(9, int(value)))
    except (TypeError, ValueError, OverflowError):
        return 0


def _moment(value: Any) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None
