"""Addresses, JSON, metrics and the command line: text in, text out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from harness.netproxy import program
from harness.netproxy.addresses import joined, parted
from harness.netproxy.differences import DIFFERENCES, expected
from harness.netproxy.fields import Fields, parse
from harness.netproxy.metrics import Counters
from harness.netproxy.refusals import Refusal
from harness.netproxy.server import main


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:80", "127.0.0.1", 80), ("name:0", "name", 0), (":65535", "", 65535), ("[::1]:80", "::1", 80)],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert parted(text) == (host, port)
    assert joined(host, port) == text


@pytest.mark.parametrize("text", ["", "name", "name:", "name:http", "name:-1", "name:65536", "::1:80", "name:٣"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        parted(text)


@pytest.mark.parametrize("body", [b"", b"  ", b"{", b"nonsense", b"NaN", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        parse(body)
    assert caught.value.status == 400


def test_fields_in_any_case_and_null_is_absent() -> None:
    fields = Fields(parse(b'{"Name": "a", "ENABLED": false, "port": null, "share": 1, "inner": null} trailing'))
    assert (fields.text("name", ""), fields.flag("enabled", True), fields.whole("port", 7), fields.number("share", 0.5)) == (
        "a",
        False,
        7,
        1,
    )
    assert fields.object("inner").whole("x", 3) == 3


@pytest.mark.parametrize(
    ("kind", "value"), [("text", 1), ("flag", 0), ("whole", 1.0), ("whole", True), ("whole", 1 << 63), ("number", "1")]
)
def test_wrong_types_are_refused(kind: str, value: Any) -> None:
    with pytest.raises(Refusal, match="bad request body: x must be"):
        getattr(Fields({"x": value}), kind)("x", 0)


def test_metrics_escape_labels_and_leave_out_what_waits() -> None:
    counters = Counters()
    assert counters.text(lambda counter: 0) == ""
    counter = counters.at(("upstream", 'a"\\\n', "127.0.0.1:1", "u:2"))
    counter.received, counter.sent = 12, 10
    assert counters.text(lambda counter: 4).splitlines() == [
        "# HELP toxiproxy_proxy_received_bytes_total ",
        "# TYPE toxiproxy_proxy_received_bytes_total counter",
        r'toxiproxy_proxy_received_bytes_total{direction="upstream",listener="127.0.0.1:1",proxy="a\"\\\n",upstream="u:2"} 12',
        "# HELP toxiproxy_proxy_sent_bytes_total ",
        "# TYPE toxiproxy_proxy_sent_bytes_total counter",
        r'toxiproxy_proxy_sent_bytes_total{direction="upstream",listener="127.0.0.1:1",proxy="a\"\\\n",upstream="u:2"} 6',
    ]


def test_the_installed_server_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    argv, words = program.find()
    assert argv == [sys.executable, "-m", "harness.netproxy"]
    assert "embedded" in words
    installed = tmp_path / "toxiproxy-server"
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    argv, words = program.find()
    assert argv == [str(installed)]
    assert str(installed) in words


@pytest.mark.parametrize("flag", ["-version", "--version"])
def test_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    assert capsys.readouterr().out.startswith("toxiproxy-server version 2.12.0")


@pytest.mark.parametrize("arguments", [["-port", "x"], ["-port", "65536"], ["-seed", "x"], ["-nonsense"], ["-vers"]])
def test_wrong_flags(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert arguments[0].strip("-") in capsys.readouterr().err


def test_a_port_in_use_ends_with_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["-host", "127.0.0.1", "-port", str(taken.getsockname()[1])]) == 1
    assert "address already in use" in capsys.readouterr().err.lower()


def test_differences_differ_and_give_their_reason() -> None:
    assert len({difference.name for difference in DIFFERENCES}) == len(DIFFERENCES)
    for difference in DIFFERENCES:
        assert difference.reason
        assert difference.question.endswith("?")
        assert expected(difference.name, embedded=True) != expected(difference.name, embedded=False)


def test_the_documentation_names_every_difference() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "netproxy.md").read_text()
    table = page.partition("## Differences")[2]
    words = {True: "yes", False: "no"}
    rows = [
        f"| {d.question} | {words.get(d.real, d.real)} | {words.get(d.embedded, d.embedded)} | {d.reason} |"  # type: ignore[call-overload]
        for d in DIFFERENCES
    ]
    assert table.strip().splitlines()[-len(rows) :] == rows
