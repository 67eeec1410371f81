"""What conformance tests share."""

from __future__ import annotations

from tests.unit.brokers.rabbit_fixtures import channel, looker, module_rabbit, rabbit

__all__ = ["channel", "looker", "module_rabbit", "rabbit"]
