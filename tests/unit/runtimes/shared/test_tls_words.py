from __future__ import annotations

from datetime import datetime, timezone

import pytest

from harness.runtimes.shared.tls_words import Contents, tls_failure

PYTHON = "consumer: Cannot connect to rediss://worker:**@127.0.0.1:1/0: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
UNTRUSTED = "the certificate was signed by an authority that is not trusted: "
PAST = Contents(("127.0.0.1",), datetime(2020, 2, 3, 4, 5, tzinfo=timezone.utc))
WRONG = Contents(("wrong.example",), datetime(2999, 1, 1, tzinfo=timezone.utc))
RIGHT = Contents(("127.0.0.1",), datetime(2999, 1, 1, tzinfo=timezone.utc))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            PYTHON + "IP address mismatch, certificate is not valid for '127.0.0.1'. (_ssl.c:1006)..",
            "the certificate is not for 127.0.0.1",
        ),
        (PYTHON + "Hostname mismatch, certificate is not valid for 'broker'. (_ssl.c:1006)", "the certificate is not for broker"),
        (PYTHON + "certificate has expired (_ssl.c:1006)", "the certificate has expired"),
        (PYTHON + "certificate is not yet valid (_ssl.c:1006)", "the certificate is not yet valid"),
        (PYTHON + "self-signed certificate in certificate chain (_ssl.c:1)", UNTRUSTED + "self-signed certificate in certificate chain"),
        (PYTHON + "self signed certificate (_ssl.c:1)", UNTRUSTED + "self signed certificate"),
        (PYTHON + "unable to get local issuer certificate (_ssl.c:1)", UNTRUSTED + "unable to get local issuer certificate"),
        (
            'connection to server at "127.0.0.1" failed: server certificate for "wrong.example" does not match host name "127.0.0.1"',
            "the certificate is for wrong.example, not for 127.0.0.1",
        ),
        (
            'server certificate for "a.example" (and 2 other names) does not match host name "db"',
            "the certificate is for a.example, not for db",
        ),
        (
            'connection to server at "127.0.0.1", port 5 failed: SSL error: certificate verify failed',
            "the certificate cannot be verified: it has expired, or an authority that is not trusted signed it",
        ),
        ('root certificate file "/x/authority.pem" does not exist', "the authority's certificate /x/authority.pem is not there"),
        ("server does not support SSL, but SSL was required", "the app asks for TLS and the server has none"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "the app asks for TLS and the server has none"),
        ("[SSL: RECORD_LAYER_FAILURE] record layer failure (_ssl.c:1028)", "the app asks for TLS and the server has none"),
        ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)", UNTRUSTED + "unknown CA"),
        ("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired", "the certificate has expired"),
        (
            "Error accepting a client connection: error:0A000412:SSL routines::sslv3 alert bad certificate",
            "the other side refused: bad certificate",
        ),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required", "the other side refused: certificate required"),
    ],
)
def test_words_of_python_libpq_and_openssl(line: str, sentence: str) -> None:
    assert tls_failure(["[INFO] celery@vm", line, "Trying again in 2.00 seconds... (1/100)"]) == sentence


def test_the_certificate_that_explains_it_completes_the_sentence() -> None:
    mismatch = [PYTHON + "IP address mismatch, certificate is not valid for '127.0.0.1'. (_ssl.c:1)"]
    assert tls_failure(mismatch, [RIGHT, WRONG]) == "the certificate is for wrong.example, not for 127.0.0.1"
    assert tls_failure(mismatch, [RIGHT]) == "the certificate is not for 127.0.0.1"
    expired = [PYTHON + "certificate has expired (_ssl.c:1)"]
    assert tls_failure(expired, [RIGHT, PAST]) == "the certificate expired on 2020-02-03 04:05 UTC"
    assert tls_failure(expired, [RIGHT, WRONG]) == "the certificate has expired"
    assert tls_failure(["SSL error: certificate verify failed"], [PAST]) == "the certificate expired on 2020-02-03 04:05 UTC"


def test_the_latest_line_counts() -> None:
    lines = [PYTHON + "certificate has expired (_ssl.c:1)", PYTHON + "certificate is not yet valid (_ssl.c:1)"]
    assert tls_failure(lines) == "the certificate is not yet valid"


@pytest.mark.parametrize("line", ["", "Connection refused", "Task pay.expired[1] received", "certificates were issued", "invalid password"])
def test_other_trouble_is_not_tls(line: str) -> None:
    assert tls_failure([line]) == ""
