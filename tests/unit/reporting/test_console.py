from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from harness.model.finding import Finding, Step, Story, Word
from harness.ports.reporter import Progress
from harness.reporting.console import Console
from harness.reporting.ink import WIDTH, Ink
from harness.reporting.lanes_text import story_lines
from tests.unit.reporting import sample

FOLDER = Path("reports/0611-1422-7c3e")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Stream(io.StringIO):
    """A stream that says what it is."""

    def __init__(self, encoding: str = "utf-8", tty: bool = False) -> None:
        super().__init__()
        self._encoding, self._tty = encoding, tty

    @property
    def encoding(self) -> str:
        return self._encoding

    def isatty(self) -> bool:
        return self._tty


def shown(name: str, out: Stream, env: dict[str, str] | None = None) -> str:
    console = Console(out, env=env or {})
    result = sample.ALL[name]()
    console.begun("celery-harness run scenarios/payments/charge.yaml", "processes, Redis 7.2.5, 2 workers x 4, seed 20240741")
    console.finished(result, FOLDER)
    return out.getvalue()


def test_the_whole_screen_of_a_failure() -> None:
    text = shown("failing", Stream())
    lines = text.splitlines()
    for line in (
        "celery-harness run scenarios/payments/charge.yaml",
        "  clean x 2   62.0 s  3,000 tasks; they differ in orders.updated_at, charges.id",
        "     5.0 s    worker.kill        bit: 4 running tasks died; pay-1 back at 7.6 s",
        "  ✓ pass          no_loss        1,500 = 1,497 succeeded + 3 failed",
        "  ✕ FAIL          idempotent     2 orders charged twice, 88.40 EUR",
        "  ? inconclusive  state_agrees   23 results to compare, 30 needed",
        "                                 result_expires is 3 s; set 60 s or more",
        "EFFECT  Two orders were charged twice.",
        "     4.943     ●─────────▶┐",
        "    11.307                           ├────────▶ ② card charged a second time",
        "    11.392     ◀─────────────────────┘ acked, succeeded",
        "  ✕   41 │             card_api.charge(order_id, order.amount)",
        "  charges: before 0, after 2, expected 1",
        '  Fix  send a key that is the same on every delivery: key=f"order-{order_id}"',
        "  Report     reports/0611-1422-7c3e/report.html",
        "✕ FAIL  4 passed, 1 failed, 1 inconclusive   1 min 41 s   exit 1",
    ):
        assert line in lines
    assert any(re.fullmatch(r"  faults +KKK +PPPPP +DDDDD +Kill, Partition, Duplicate", line) for line in lines)


@pytest.mark.parametrize("name", sorted(sample.ALL))
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_piped_output_is_plain_and_narrow(name: str, encoding: str) -> None:
    text = shown(name, Stream(encoding))
    assert "\x1b" not in text and "\x00" not in text and "\u202e" not in text
    if encoding != "utf-8":
        assert text.isascii()
    if name != "hostile":  # a path or a command is never cut, so a hostile one may be as long as it likes
        assert [line for line in text.splitlines() if len(line) > WIDTH and "Reproduce" not in line] == []


def test_colour_only_on_a_terminal_without_no_color() -> None:
    assert "\x1b[" in shown("failing", Stream(tty=True))
    assert "\x1b" not in shown("failing", Stream(tty=True), {"NO_COLOR": "1"})
    assert "\x1b" not in shown("failing", Stream(tty=True), {"TERM": "dumb"})


def test_colour_changes_nothing_but_colour() -> None:
    assert ESCAPE.sub("", shown("failing", Stream(tty=True))) == shown("failing", Stream())


def test_escapes_of_the_run_never_reach_the_terminal() -> None:
    codes = set(ESCAPE.findall(shown("hostile", Stream(tty=True))))
    assert codes <= {"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[1;31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"}


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("passing", "✓ PASS  6 passed   1 min 41 s   exit 0"),
        ("inconclusive", "? INCONCLUSIVE  6 passed   1 min 41 s   exit 4"),
        ("environment", "! ENVIRONMENT  no check was judged   6.4 s   exit 3"),
        ("interrupted", "? INTERRUPTED  no check was judged   1 min 41 s   exit 130"),
    ],
)
def test_the_verdict_line(name: str, last: str) -> None:
    assert last in shown(name, Stream()).splitlines()


def test_reasons_against_a_pass_are_told() -> None:
    text = shown("inconclusive", Stream())
    assert "message.duplicate did not bite: 0 of 0 messages in queue payments" in text and "undeclared service" in text


def test_parts_are_told_once_and_as_they_end() -> None:
    out = Stream()
    console = Console(out, env={})
    console.begun("celery-harness run x.yaml", "processes")
    console.progress(Progress(phase="ready", text="Redis, pay-1", took=1.3))
    console.progress(Progress(phase="clean", text="3,000 tasks", took=62.0, detail={"name": "clean x 2"}))
    console.progress(Progress(phase="run", text="", at=3.0, done=10, total=20))
    before = out.getvalue()
    assert "  ready        1.3 s  Redis, pay-1\n  clean x 2   62.0 s  3,000 tasks\n" in before
    console.finished(sample.failing(), FOLDER)
    assert out.getvalue().count("  ready ") == out.getvalue().count("  clean x 2") == 1


def test_the_live_line_is_gone_when_the_run_ends() -> None:
    out = Stream(tty=True)
    console = Console(out, env={})
    console.progress(Progress(phase="run", text="half-way \x1b[2J", at=3.0, done=10, total=20))
    console.progress(Progress(phase="run", text="more", at=4.0, done=11, total=20))
    console.close()
    assert "\x1b[2J" not in out.getvalue()
    assert out.getvalue().endswith(("\x1b[?25h", "\x1b[2K", "\r\x1b[1A\x1b[2K", "\x1b[2K\x1b[?25h")) or "\x1b[?25h" in out.getvalue()


def test_a_reader_that_went_away_is_no_failure() -> None:
    class Closed(Stream):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    Ink(Closed(), env={}).write([[("", "text")]])


def test_a_long_story_fits_and_keeps_its_ends() -> None:
    steps = [Step(at=i * 0.1, kind="retry", lane="pay-1", to="broker", text=f"retry {i}", delivery=i) for i in range(60)]
    steps.append(Step(at=9.0, kind="lost", lane="broker", text="gone"))
    story = Story(title="t", task_id="x", task="t", steps=tuple(steps))
    finding = Finding(word=Word.LOST, headline="One task was lost.", story=story)
    lines = ["".join(text for _, text in line) for line in story_lines(finding, ["pay-1"])]
    assert len(lines) <= 24
    assert "retry 0" in lines[1] and "gone" in lines[-1] and any("more events" in line for line in lines)


@pytest.mark.parametrize(("runs", "ends", "delivers"), [(6, 6, 6), (7, 7, 7), (8, 8, 7), (11, 11, 1), (12, 11, 0)])
def test_a_long_story_leaves_out_beginnings_before_ends(runs: int, ends: int, delivers: int) -> None:
    steps = []
    for n in range(runs):
        for kind, lane in (("deliver", "broker"), ("start", "pay-1"), ("effect", "pay-1"), ("end", "pay-1")):
            steps.append(Step(at=float(n), kind=kind, lane=lane, to="pay-1", text=f"{kind} {n}.", note=f"{kind} {n}."))
    lines = _told(steps)
    kept = {kind: [n for n in range(runs) if any(f"{kind} {n}." in line for line in lines)] for kind in ("deliver", "end", "effect")}
    assert (len(kept["end"]), len(kept["deliver"]), len(kept["effect"])) == (ends, delivers, runs)
    assert not kept["deliver"] or delivers == 1 or {0, runs - 1} <= set(kept["deliver"]), "from the middle"


def _told(steps: list[Step]) -> list[str]:
    finding = Finding(word=Word.EFFECT, headline="h", story=Story(title="t", task_id="x", task="t", steps=tuple(steps)))
    return ["".join(text for _, text in line) for line in story_lines(finding, ["pay-1"])]


def test_many_lanes_fit_the_width() -> None:
    steps = [
        Step(at=float(i) / 10, kind="effect", lane="pay-1", to=f"store_number_{i}", text="something was written there") for i in range(9)
    ]
    assert max(map(len, _told(steps))) <= WIDTH


def test_lines_of_a_log_stay_lines() -> None:
    out = Stream()
    long = "x" * 40 + " " + "y" * 60
    error = f"broker (redis in a container) ended with status 7 before it was ready; its last lines:\n  one\n    deeper\n  {long}\n\n  last"
    console = Console(out, env={})
    console.finished(sample.ALL["environment"]().model_copy(update={"error": error}), FOLDER)
    lines = out.getvalue().splitlines()
    begin = lines.index("    one")
    assert lines[begin - 2].startswith("  broker (redis in a container) ended with status 7")
    assert lines[begin : begin + 4] == ["    one", "      deeper", f"    {long}", "    last"]
