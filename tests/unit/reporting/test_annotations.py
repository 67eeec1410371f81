from __future__ import annotations

from pathlib import Path

import pytest

from harness.reporting.annotations import MOST_ANNOTATIONS, SUMMARY_LIMIT, annotation_lines, append_summary, command
from harness.reporting.gate_markdown import gate_blocks
from harness.reporting.gate_places import Places
from harness.reporting.gate_remarks import remarks
from tests.unit.reporting import gate_sample

PLACES = Places(Path("/project"), Path("/project"))


def lines_of(name: str) -> list[str]:
    return annotation_lines(remarks(gate_sample.ALL[name](), PLACES))


def understood(line: str) -> tuple[str, dict[str, str], str]:
    """(name, properties, message), read as the runner reads a command (actions/runner, `ActionCommand.TryParseV2`)."""
    head, message = line[2:].split("::", 1)
    name, _, given = head.partition(" ")
    properties = dict(pair.split("=", 1) for pair in given.split(",") if pair)

    def undone(text: str, more: tuple[tuple[str, str], ...] = ()) -> str:
        for sign, code in (*more, ("\r", "%0D"), ("\n", "%0A"), ("%", "%25")):
            text = text.replace(code, sign)
        return text

    return name, {key: undone(value, ((":", "%3A"), (",", "%2C"))) for key, value in properties.items()}, undone(message)


def test_a_finding_is_an_error_on_its_line() -> None:
    name, properties, message = understood(lines_of("mixed")[0])
    assert name == "error" and properties["file"] == "shop/orders.py" and properties["line"] == "41"
    assert properties["title"] == "EFFECT: Two orders were charged twice."
    assert message.splitlines()[1].startswith("Fix: send a key") and 'f"order-{order_id}"' in message


@pytest.mark.parametrize("name", sorted(gate_sample.ALL))
def test_each_is_one_command_whatever_the_texts_hold(name: str) -> None:
    for line in lines_of(name):
        assert line.startswith(("::error ", "::warning ")) and len(line.splitlines()) == 1
        assert set(understood(line)[1]) in ({"title"}, {"file", "line", "title"})
        assert "\x1b" not in line and "\u202e" not in line


def test_hostile_names_come_back_as_they_were() -> None:
    _, properties, _ = understood(lines_of("hostile")[0])
    assert properties["file"] == gate_sample.HOSTILE_FILE and "::error::a%0Ab" in properties["title"]


@pytest.mark.parametrize("text", ["100%", "%0A", "%25", "a\nb", "::error::x", "a,b:c", ""])
def test_escapes_are_those_that_the_runner_undoes(text: str) -> None:
    assert understood(command("error", {"title": text}, text)) == ("error", {"title": text}, text)


def test_more_than_github_keeps_are_counted_in_the_last() -> None:
    lines = lines_of("huge")
    assert len(lines) == MOST_ANNOTATIONS and "9,991 more remarks" in lines[-1]


def test_the_summary_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_text("# before\n")
    append_summary(path, ["one", "two"])
    assert path.read_text() == "# before\none\n\ntwo\n\n"


def test_a_summary_that_is_too_long_is_cut_at_a_block_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_text("x" * 1000)
    append_summary(path, ["# verdict", "é" * (SUMMARY_LIMIT // 2 - 400), "<details>last</details>"])
    data = path.read_bytes()
    assert len(data) <= SUMMARY_LIMIT and b"# verdict" in data and b"last" not in data and "1 MiB" in data.decode()[-100:]


def test_a_summary_that_is_full_already_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_bytes(b"x" * SUMMARY_LIMIT)
    append_summary(path, gate_blocks(gate_sample.mixed(), PLACES))
    assert path.stat().st_size == SUMMARY_LIMIT


def test_ten_thousand_findings_fit(tmp_path: Path) -> None:
    append_summary(tmp_path / "summary", gate_blocks(gate_sample.huge(), PLACES))
    text = (tmp_path / "summary").read_text()
    assert "1 MiB" not in text and "… and 9,900 more" in text
