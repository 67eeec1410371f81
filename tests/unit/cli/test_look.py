"""`celery-harness list`: every kind of thing under its own name."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from harness.assembly import registry
from harness.cli import main


def listed(what: str) -> dict[str, str]:
    done = CliRunner().invoke(main, ["list", what, "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, str] = json.loads(done.output)
    return found


def test_a_broker_is_what_a_scenario_may_name_as_one() -> None:
    assert listed("brokers") == {"rabbitmq": "", "redis": "also a result backend and a service"}
    assert listed("backends") == {"postgres": "also a service", "redis": "also a broker and a service"}


def test_every_kind_of_server_is_listed_as_something() -> None:
    assert {*listed("brokers"), *listed("backends")} == set(registry().brokers)


@pytest.mark.parametrize("what", ["faults", "checks", "services", "words"])
def test_what_has_a_summary_shows_it(what: str) -> None:
    assert listed(what) and all(listed(what).values())


def test_a_wrong_word_is_told_with_the_nearest_one() -> None:
    done = CliRunner().invoke(main, ["list", "brokres"])
    assert done.exit_code == 2
    assert "nothing to list under 'brokres'; did you mean `brokers`?" in done.output and "backends" in done.output
