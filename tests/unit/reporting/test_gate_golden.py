from __future__ import annotations

import pytest

from tests.unit.reporting import gate_golden


@pytest.mark.parametrize("name", sorted(gate_golden.documents()))
def test_it_is_written_as_people_have_read_it(name: str) -> None:
    assert gate_golden.documents()[name] == (gate_golden.FOLDER / name).read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in gate_golden.FOLDER.iterdir()} == set(gate_golden.documents())
