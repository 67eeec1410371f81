"""What a certificate says of an app's settings: Celery's own, and no secret."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery import Celery

from celery_harness_agent import config


def module(monkeypatch: pytest.MonkeyPatch, **names: Any) -> str:
    made = ModuleType("its_settings")
    vars(made).update(names)
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made.__name__


OTHERS = {
    "SENTRY_DSN": "https://key@sentry.example/7",
    "REPORT_URL": "https://me:pw@reports.example",
    "BASE": Path("/srv/me/shop"),
    "os": sys.modules["os"],
    "SECRET_KEY": "pw",
    "DATABASES": {"default": {"USER": "me", "HOST": "db.me.example"}},
}


@pytest.mark.parametrize(
    ("prefix", "own", "found"),
    [
        ("", {"task_acks_late": True, "timezone": "UTC"}, {"task_acks_late": True, "timezone": "UTC"}),
        ("", {"CELERY_ACKS_LATE": True, "BROKER_URL": "redis://a:pw@b"}, {"CELERY_ACKS_LATE": True}),
        ("CELERY", {"CELERY_TASK_ACKS_LATE": True, "CELERY_BROKER_URL": "redis://a:pw@b"}, {"CELERY_TASK_ACKS_LATE": True}),
        ("CELERY", {"TIME_ZONE": "UTC", "CELERY_OF_OURS": 3}, {"TIME_ZONE": "UTC"}),
    ],
)
def test_other_names_of_a_module_of_settings_are_left_out(
    monkeypatch: pytest.MonkeyPatch, prefix: str, own: dict[str, Any], found: dict[str, Any]
) -> None:
    app = Celery("shop", set_as_current=False)
    app.config_from_object(module(monkeypatch, **OTHERS, **own), namespace=prefix or None)
    assert config.changed(app.conf) == found


def test_names_and_passwords_in_addresses_are_masked_wherever_they_stand() -> None:
    app = Celery("shop", set_as_current=False)
    app.conf.update(
        cache_backend="memcached://me:p@s#s?@cache.example/",
        task_routes=[{"shop.pay": {"queue": "https://me:pw@q.example/a@b"}}],
        beat_schedule={"pay": {"task": "shop.pay", "args": ["redis://:pw@db.example/0", "me@home.example"]}},
    )
    assert config.changed(app.conf) == {
        "cache_backend": "memcached://**@cache.example/",
        "task_routes": [{"shop.pay": {"queue": "https://**@q.example/a@b"}}],
        "beat_schedule": {"pay": {"task": "shop.pay", "args": ["redis://**@db.example/0", "me@home.example"]}},
    }
