"""`hosts:` of services: each leads to one place, and to one that the app can be led to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.errors import ScenarioError
from harness.ports.registry import Registry
from harness.scenario import LoadedScenario
from harness.stores.http import HttpStore

SYSTEM = """system:
  app: shop:app
  egress: [{egress}]
  services:
    card_api: {{http: {{hosts: [{first}]}}}}
    mail_api: {{http: {{hosts: [{second}]}}}}
  workers: {{pay: {{pool: {pool}}}}}
load: [{{send: shop.pay, count: 1}}]
version: 1"""


def written(first: str, second: str = "", *, egress: str = "", pool: str = "prefork") -> str:
    return SYSTEM.format(first=first, second=second, egress=egress, pool=pool)


@pytest.fixture
def known(make_registry: Callable[..., Registry]) -> Registry:
    return make_registry(stores={"http": HttpStore})


def test_hosts_are_kept_in_one_spelling(load: Callable[..., list[LoadedScenario]], known: Registry) -> None:
    text = written("'https://API.Stripe.com/', 'http://api.stripe.com:80'", "'https://api.stripe.com:8443'", egress="api.stripe.com:9000")
    (one,) = load(text, known)
    assert one.stores["card_api"][1].hosts == ("https://api.stripe.com", "http://api.stripe.com")  # type: ignore[attr-defined]
    assert one.stores["mail_api"][1].places == (("api.stripe.com", 8443),)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (written("'https://a.example'", "«'https://a.example:443'"), "a.example:443 leads to `card_api` already"),
        (written("'https://a.example', «'https://a.example'"), "a.example:443 leads to `card_api` already"),
        (written("«'https://a.example'", egress="a.example"), "a.example:443 leads to this service, and `egress: a.example` opens"),
        (written("'https://a.example'", pool="gevent").replace("{pool: gevent", "«{pool: gevent"), "the pool `gevent`"),
    ],
)
def test_what_would_lead_nowhere_or_to_two_places_is_refused(
    refused: Callable[..., list[ScenarioError]], known: Registry, text: str, said: str
) -> None:
    (error,) = refused(text, known)
    assert said in error.what
