"""Settings and addresses where servers are encrypted."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from celery_harness_agent import config
from celery_harness_agent.settings import Settings

VERIFIED = {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": "/run/authority.pem"}
OURS = {"broker_use_ssl": VERIFIED, "redis_backend_use_ssl": VERIFIED}
URL = "rediss://worker:secret@127.0.0.1:7000/0"


class Silent:
    def emit(self, line: str) -> None: ...


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, "")  # put back afterwards, whatever the agent sets
    found = Settings({"broker": URL, "backend": URL, "config": OURS})
    config.force_addresses(found)
    assert os.environ["CELERY_BROKER_URL"] == URL
    yield found


def app(**own: Any) -> Celery:
    found = Celery("app", broker="redis://elsewhere/0", set_as_current=False)
    found.conf.update(own)
    for _ in range(2):  # the agent merges more than once
        config.merge(found.conf, OURS)
    return found


def test_an_app_without_a_word_on_tls_verifies(settings: Settings) -> None:
    assert app().conf.broker_use_ssl == VERIFIED
    assert app(broker_use_ssl=True).conf.broker_use_ssl == VERIFIED


def test_what_the_app_says_of_verification_stays_and_its_authority_does_not(settings: Settings) -> None:
    own = {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False, "ssl_ca_certs": "/etc/production.pem", "ssl_min_version": 771}
    kept = {**own, "ssl_ca_certs": "/run/authority.pem"}
    found = app(broker_use_ssl=own, redis_backend_use_ssl={"ssl_cert_reqs": ssl.CERT_OPTIONAL})
    assert found.conf.broker_use_ssl == kept
    assert found.conf.redis_backend_use_ssl == {**VERIFIED, "ssl_cert_reqs": ssl.CERT_OPTIONAL}


def test_other_mappings_are_ours_key_by_key(settings: Settings) -> None:
    conf: dict[str, Any] = {"broker_transport_options": {"ssl_cert_reqs": 1, "sep": ":"}}
    config.merge(conf, {"broker_transport_options": {"ssl_cert_reqs": 2}})
    assert conf == {"broker_transport_options": {"ssl_cert_reqs": 2, "sep": ":"}}


def test_encrypted_addresses_are_ours_without_a_word_of_warning(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        config.demand_our_servers(app(), settings, Silent())  # type: ignore[arg-type]
    assert caplog.records == []


@pytest.mark.parametrize(
    "foreign",
    ["redis://worker:secret@127.0.0.1:7000/0", "rediss://worker:other@127.0.0.1:7000/0", "rediss://worker:secret@127.0.0.1:7001/0"],
)
@pytest.mark.parametrize("setting", ["broker_read_url", "broker_write_url", "result_backend"])
def test_another_address_is_refused_also_one_in_the_clear(
    settings: Settings, setting: str, foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = {"broker_read_url": "CELERY_BROKER_READ_URL", "broker_write_url": "CELERY_BROKER_WRITE_URL"}
    monkeypatch.setenv(variable.get(setting, "CELERY_RESULT_BACKEND"), foreign)
    with pytest.raises(SystemExit) as caught:
        config.demand_our_servers(app(), settings, Silent())  # type: ignore[arg-type]
    assert caught.value.code == 78
