from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.gate.files import baseline_text, read_baseline, read_gate
from harness.model.gate import Measures
from tests.unit.gate.makers import baseline, cell, expected, gate


def test_a_baseline_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = baseline(cells={"b": expected(), "a": expected(samples=(Measures(p50=0.5, samples=5),))})
    text = baseline_text(written)
    (tmp_path / "b.json").write_text(text)
    assert read_baseline(tmp_path / "b.json") == written
    assert text.endswith("}\n") and text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert "null" not in text


def test_no_baseline_is_fine_and_no_gate_is_not(tmp_path: Path) -> None:
    assert read_baseline(tmp_path / "none.json") is None
    with pytest.raises(UsageError, match="no such file"):
        read_gate(tmp_path / "none.json")


def test_a_gate_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = gate(cell("a"))
    (tmp_path / "g.json").write_text(written.model_dump_json())
    assert read_gate(tmp_path / "g.json") == written


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ":1:2: this is not JSON"),
        ("[]", "it has no schema_version"),
        ('{"schema_version": 7}', "of schema version 7; this harness reads 1"),
        ('{"schema_version": 1, "commit": "c"}', "runtime: Field required"),
        ('{"schema_version": 1, "commit": "c", "runtime": "r", "machine": "m", "created": "t", "cels": {}}', "cels: Extra inputs"),
    ],
)
def test_a_broken_file_is_refused_with_its_name_and_what_to_do(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "celery-harness-baseline.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_baseline(path)
    said = str(caught.value)
    assert words in said and str(path) in said and "baseline accept" in said and caught.value.exit_code == 2


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_baseline(tmp_path)
