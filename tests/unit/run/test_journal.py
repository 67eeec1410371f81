"""Journals that their writers left in any state, read whole and while they grow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.run.journal import JournalReader, JournalTail, parse_records, read_header
from tests.unit.run.journals import Source


def line(number: int) -> bytes:
    return json.dumps({"k": "ack", "m": number}).encode() + b"\n"


def numbers(records: list[dict[str, int]]) -> list[int]:
    return [record["m"] for record in records]


@pytest.mark.parametrize(
    ("data", "expected", "torn"),
    [
        (b"", [], 0),
        (line(1) + line(2), [1, 2], 0),
        (line(1) + b"\0" * 9 + line(2), [1, 2], 0),  # room that was never filled
        (line(1) + b'{"k":"a\0\0\0ck","m":7}\n' + line(2), [1, 2], 1),
        (line(1) + b'{"k":"ac' + b"\0" * 9 + line(2), [1, 2], 1),  # died half-way; others wrote on
        (line(1) + b'{"k":"ack","m":5\n' + line(2), [1, 2], 1),
        (b'{"k":"ack","m":1\n"x":2}\n', [], 2),  # two torn lines that join into one valid object
        (b"17\n" + line(2), [2], 1),
        (b'{"k":"ack"}\n' + line(2), [2], 1),
        (b'{"k":"ack","m":null}\n' + line(2), [2], 1),
    ],
)
def test_torn_records_are_counted_and_no_other_is_lost(data: bytes, expected: list[int], torn: int) -> None:
    records, found = parse_records(data)
    assert (numbers(records), found) == (expected, torn)


def test_a_file_is_read_over_chunk_ends_and_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "1-1.journal"
    chunk, data, count = 1 << 20, bytearray(), 0
    while len(data) < 3 * chunk:
        if chunk - len(data) % chunk < 200:
            data += b"\0" * (chunk - len(data) % chunk)
        count += 1
        data += line(count)
    path.write_bytes(bytes(data) + b"\0" * chunk)
    reader = JournalReader(path)
    assert [n for records in reader for n in numbers(records)] == list(range(1, count + 1))
    assert reader.torn == 0


def test_a_record_that_its_writer_did_not_finish_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "1-1.journal"
    path.write_bytes(line(1) + b'{"k":"end","m":2' + b"\0" * 100)
    reader = JournalReader(path)
    assert [n for records in reader for n in numbers(records)] == [1]
    assert reader.torn == 1


def test_a_torn_header_leaves_what_the_name_says(tmp_path: Path) -> None:
    path = tmp_path / "77-123.journal"
    path.write_bytes(b'{"k":"op\0\0')
    header = read_header(path)
    assert (header.pid, header.opened, header.wall_offset, header.role) == (77, 123, None, "")


def test_the_tail_yields_each_record_once_with_its_process(tmp_path: Path) -> None:
    tail = JournalTail(tmp_path / "journal")
    assert tail.poll() == []
    (tmp_path / "journal").mkdir()
    one = Source(tmp_path / "journal", 11, "w-1")
    one.put("ready", 0)
    records = tail.poll()
    assert [(r["k"], r["_pid"], r["_name"], r["_role"]) for r in records] == [("open", 11, "w-1", "worker"), ("ready", 11, "w-1", "worker")]
    assert tail.poll() == []
    two = Source(tmp_path / "journal", 12, "w-2")
    one.put("down", 1)
    assert sorted((r["k"], r["_pid"]) for r in tail.poll()) == [("down", 11), ("open", 12)]
    two.put("ready", 2)
    assert [r["k"] for r in tail.poll()] == ["ready"]
    assert (tail.records, tail.torn) == (5, 0)


def test_the_tail_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    source = Source(tmp_path, 11)
    tail = JournalTail(tmp_path)
    tail.poll()
    whole = source.line("ready", 1)
    source.raw(whole[:10])
    assert tail.poll() == []
    source.raw(whole[10:])
    assert [r["k"] for r in tail.poll()] == ["ready"]
    assert tail.torn == 0


def test_a_copy_whose_end_shows_before_its_beginning_gets_one_more_poll(tmp_path: Path) -> None:
    source = Source(tmp_path, 11)
    tail = JournalTail(tmp_path)
    tail.poll()
    whole, before = source.line("ready", 1), source.path.read_bytes()
    source.raw(b"\0" * 16 + whole[16:])
    assert tail.poll() == []
    source.path.write_bytes(before + whole)
    assert [r["k"] for r in tail.poll()] == ["ready"]
    source.raw(b"\0" * 16 + whole[16:])
    assert tail.poll() == [] and tail.torn == 0
    assert tail.poll() == [] and tail.torn == 1
    source.put("down", 2)
    assert [r["k"] for r in tail.poll()] == ["down"]


def test_the_tail_crosses_from_one_chunk_into_the_next(tmp_path: Path) -> None:
    source = Source(tmp_path, 11)
    tail = JournalTail(tmp_path)
    tail.poll()
    chunk = 1 << 20
    source.raw(b"\0" * (chunk - source.path.stat().st_size))
    assert tail.poll() == []
    source.raw(source.line("ready", 1) + b"\0" * chunk)
    assert [r["k"] for r in tail.poll()] == ["ready"]


def test_the_tail_reads_a_line_longer_than_a_peek(tmp_path: Path) -> None:
    source = Source(tmp_path, 11)
    tail = JournalTail(tmp_path)
    tail.poll()
    source.put("settings", 1, tasks={f"task{n}": {"acks_late": True} for n in range(10_000)})
    source.put("ready", 2)
    assert [r["k"] for r in tail.poll()] == ["settings", "ready"]


@settings(deadline=None)  # the machine may be busy
@given(cut=st.integers(0, 400), gap=st.integers(0, 40))
def test_a_kill_at_any_byte_costs_at_most_the_record_under_way(cut: int, gap: int) -> None:
    data = b"".join(line(n) for n in range(20))
    cut = min(cut, len(data))
    whole = data[:cut].count(b"\n")
    records, torn = parse_records(data[:cut] + b"\0" * gap + (b"\n" if gap == 0 else b""))
    assert numbers(records) == list(range(whole)) or (gap == 0 and numbers(records) == list(range(whole + 1)))
    assert torn <= 1


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(1, 60), max_size=30))
def test_polling_between_any_two_writes_yields_everything_in_order(sizes: list[int]) -> None:
    import tempfile

    data, count = b"".join(line(n) for n in range(60)), 60
    with tempfile.TemporaryDirectory() as name:
        source = Source(Path(name), 5, header=False)
        tail, seen, position = JournalTail(Path(name)), [], 0
        for size in sizes:
            source.raw(data[position : position + size])
            position += size
            seen += numbers(tail.poll())
        source.raw(data[position:])
        seen += numbers(tail.poll())
    assert seen == list(range(count)) and tail.torn == 0
