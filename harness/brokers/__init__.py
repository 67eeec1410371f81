"""Brokers by the name that a scenario gives them. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from harness.brokers.postgres import PostgresServer
from harness.brokers.rabbitmq import RabbitBroker
from harness.brokers.redis import RedisBroker
from harness.ports.broker import BrokerKind

__all__ = ["BROKERS"]

BROKERS: Mapping[str, BrokerKind] = {"postgres": PostgresServer(), "rabbitmq": RabbitBroker(), "redis": RedisBroker()}
