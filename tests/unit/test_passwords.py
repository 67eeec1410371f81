"""What is kept of a run says `***` where its passwords stood."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from harness.errors import EnvironmentFault
from harness.passwords import mask_files, masked, masked_bytes, masked_in, new_password
from harness.run.journal import JournalReader, parse_records


@dataclass(frozen=True)
class _Told:
    name: str
    lines: tuple[str, ...]


class _Model(BaseModel):
    told: dict[str, list[str]]
    count: int


def test_each_is_new_and_stands_in_a_url_as_it_is() -> None:
    made = {new_password() for _ in range(100)}
    assert len(made) == 100 and {len(password) for password in made} == {32}
    assert all(character.isascii() and (character.isalnum() or character in "-_") for password in made for character in password)


def test_text_is_masked_also_where_it_was_cut_off() -> None:
    password = new_password()
    url = f"redis://worker:{password}@127.0.0.1:6379/0"
    assert (
        masked(f"cannot reach {url}, {url!r}") == "cannot reach redis://worker:***@127.0.0.1:6379/0, 'redis://worker:***@127.0.0.1:6379/0'"
    )
    assert masked_bytes(url.encode()) == b"redis://worker:***@127.0.0.1:6379/0"
    for length in range(32):
        assert password[8 : 8 + length] not in masked(url[: url.index(password) + 8 + length]) or length == 0
    other = "redis://worker:hunter2@127.0.0.1:6379/0"
    assert masked(other) is other


def test_errors_values_and_models() -> None:
    password = new_password()
    assert password not in str(EnvironmentFault(f"no answer from redis://:{password}@localhost"))
    told = _Told(f"a {password}", (f"b {password}", "c"))
    assert masked_in(told) == _Told("a ***", ("b ***", "c"))
    assert masked_in({"x": [told]}) == {"x": [_Told("a ***", ("b ***", "c"))]}
    assert masked_in(_Model(told={"x": [password]}, count=3)) == _Model(told={"x": ["***"]}, count=3)
    other = _Told("a", ("b",))
    assert masked_in(other) is other


def test_files_keep_their_length_and_journals_their_records(tmp_path: Path) -> None:
    """The last line is torn, as a SIGKILL inside the copy leaves it; room that was never filled follows."""
    first, second = new_password(), new_password()
    records = [{"k": "open", "m": 1, "w": 2}, {"k": "end", "m": 3, "text": f"amqp://{first}@x and {second}"}, {"k": "ack", "m": 4}]
    data = b"".join(json.dumps(record).encode() + b"\n" for record in records) + f'{{"k":"end","text":"{first}'.encode() + bytes(4096)
    journal, log, empty = tmp_path / "journal" / "1-1.journal", tmp_path / "logs" / "pay-1.log", tmp_path / "logs" / "idle-1.log"
    for path, content in ((journal, data), (log, f"one\nto {first}@x\nthree".encode()), (empty, b"")):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    found, torn = parse_records(data)
    assert (found[1]["text"], torn) == ("amqp://***@x and ***", 1)
    mask_files(tmp_path)
    assert journal.stat().st_size == len(data)
    assert first.encode() not in journal.read_bytes() and second.encode() not in journal.read_bytes()
    assert [record for block in JournalReader(journal) for record in block] == found
    assert log.read_text() == f"one\nto ***@x{' ' * 29}\nthree" and empty.read_bytes() == b""
