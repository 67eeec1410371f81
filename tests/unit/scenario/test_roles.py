"""What a kind of server may be used as."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.ports.registry import Registry
from harness.ports.store import StoreParameters


@pytest.fixture
def known_roles(make_registry: Callable[..., Registry]) -> Registry:
    kinds: Any = {
        "redis": SimpleNamespace(kind="redis", roles=frozenset({"broker", "backend", "service"})),
        "rabbitmq": SimpleNamespace(kind="rabbitmq", roles=frozenset({"broker"})),
        "postgres": SimpleNamespace(kind="postgres", roles=frozenset({"backend", "service"})),
        "theirs": SimpleNamespace(kind="theirs"),
    }
    stores: Any = {"postgres": SimpleNamespace(kind="postgres", summary="a fake", Parameters=StoreParameters)}
    return make_registry(brokers=kinds, stores=stores)


def system(keys: str) -> dict[str, str]:
    return {"system": f"system: {{app: 'shop.tasks:app', {keys}}}"}


@pytest.mark.parametrize(
    ("keys", "told", "hint"),
    [
        ("broker: «postgres", "`postgres` cannot be used as broker", "known: rabbitmq, redis and theirs"),
        ("broker: {kind: «postgres, tls: true}", "`postgres` cannot be used as broker", "known: rabbitmq, redis and theirs"),
        ("backend: «rabbitmq", "`rabbitmq` cannot be used as backend", "known: postgres, redis and theirs"),
        ("backend: {kind: «rabbitmq}", "`rabbitmq` cannot be used as backend", "known: postgres, redis and theirs"),
        ("backend: «postgre", "no backend of the kind `postgre`; did you mean `postgres`?", "known: postgres, redis and theirs"),
        ("broker: «postgre", "no broker of the kind `postgre`", "known: rabbitmq, redis and theirs"),
    ],
)
def test_a_server_is_used_as_what_it_can_be(
    refused: Callable[..., list[ScenarioError]], doc: Callable[..., str], known_roles: Registry, keys: str, told: str, hint: str
) -> None:
    (error,) = refused(doc(**system(keys)), known_roles)
    assert error.what.startswith(told)
    assert error.hint == hint


def test_nearness_never_leads_to_a_kind_of_another_role(
    refused: Callable[..., list[ScenarioError]], doc: Callable[..., str], known_roles: Registry
) -> None:
    (error,) = refused(doc(**system("broker: «postgre")), known_roles)
    assert "did you mean" not in error.what


@pytest.mark.parametrize(
    "keys", ["broker: rabbitmq, backend: postgres", "broker: redis, backend: redis", "broker: theirs, backend: theirs"]
)
def test_what_fits_is_taken(load: Callable[..., Any], doc: Callable[..., str], known_roles: Registry, keys: str) -> None:
    assert len(load(doc(**system(keys)), known_roles)) == 1


def test_what_a_postgres_service_offers(
    load: Callable[..., Any], refused: Callable[..., list[ScenarioError]], doc: Callable[..., str], known_roles: Registry
) -> None:
    keys = ("url", "host", "port", "user", "password", "database", "sslrootcert")
    env = ", ".join(f"{key.upper()}: '${{{{ db.{key} }}}}'" for key in keys)
    assert len(load(doc(**system(f"services: {{db: postgres}}, env: {{{env}}}")), known_roles)) == 1
    (error,) = refused(doc(**system("services: {db: postgres}, env: {A: «'${{ db.path }}'}")), known_roles)
    assert "path" in error.what
