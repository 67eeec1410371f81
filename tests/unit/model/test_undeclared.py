from __future__ import annotations

import pytest

from harness.model.undeclared import declaration, undeclared_services


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        ("api.stripe.com:443 (pay.py:3 charge)", 'declare it: `services: {stripe: {http: {hosts: ["https://api.stripe.com"]}}}`'),
        ("api.stripe.com (pay-1, by name)", 'declare it: `services: {stripe: {http: {hosts: ["https://api.stripe.com"]}}}`'),
        ("my-api.example:8443", 'declare it: `services: {my_api: {http: {hosts: ["https://my-api.example:8443"]}}}`'),
        ("legacy.example:80", 'declare it: `services: {legacy: {http: {hosts: ["http://legacy.example"]}}}`'),
        ("mail.example.com:587", "declare it, `services: {mail: smtp}`, and give the app its address by `env`"),
        ("10.0.0.7:5432", "declare it, `services: {postgres: postgres}`, and give the app its address by `env`"),
        ("10.0.0.7:8080 (pay-1: curl)", "declare it under `services`, and give the app its address by `env`"),
        ("[fd00::1]:5000", "declare it under `services`, and give the app its address by `env`"),
        ("unix:/run/docker.sock", "nothing can be declared for a socket of this machine"),
    ],
)
def test_what_to_declare(refused: str, said: str) -> None:
    assert declaration(refused) == said


def test_one_that_is_known_with_its_line_is_told_once() -> None:
    found = undeclared_services(["b.example:1", "a.example:443", "a.example:443 (pay.py:3 charge)", "b.example:1"])
    assert [one.partition(";")[0] for one in found] == [
        "undeclared service, connection refused: a.example:443 (pay.py:3 charge)",
        "undeclared service, connection refused: b.example:1",
    ]
