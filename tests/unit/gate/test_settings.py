from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.gate.settings import GateSettings, gate_settings

_PINNED = {"runtime": "processes"}


def _project(folder: Path, section: str) -> Path:
    (folder / "pyproject.toml").write_text(f'[project]\nname = "shop"\nseed = "not ours"\n\n{section}\n[tool.other]\nbudget = 5\n')
    return folder


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    settings = gate_settings(tmp_path, _PINNED)
    assert settings == GateSettings(runtime="processes")
    assert (settings.files, settings.tags, settings.budget, settings.tolerance) == (("scenarios",), ("ci",), 300.0, 0.10)
    assert settings.confirm and not settings.allow_overrides and not settings.require_all and settings.samples == 1


def test_the_section_is_read_and_the_command_line_goes_before_it(tmp_path: Path) -> None:
    section = '[tool.celery-harness.gate]\nruntime = "containers"\nbudget = "2m"\ntags = ["a", "b"]\nallow-overrides = true\nsamples = 2'
    _project(tmp_path, section)
    settings = gate_settings(tmp_path, {"budget": "30s", "tags": "c, d", "seed": None, "files": ("one", "two")})
    assert (settings.runtime, settings.budget, settings.tags, settings.files) == ("containers", 30.0, ("c", "d"), ("one", "two"))
    assert settings.allow_overrides and settings.samples == 2 and settings.seed is None


@pytest.mark.parametrize(
    ("section", "given", "words"),
    [
        (
            "[tool.celery-harness.gate]\nbugdet = '5m'",
            _PINNED,
            ":6: there is no key `bugdet` in [tool.celery-harness.gate]; did you mean `budget`",
        ),
        ("[tool.celery-harness.gate]\nbudget = '5'", _PINNED, ":6: `budget`: '5' is not a duration"),
        ("[tool.celery-harness.gate]\nallow_overrides = true", _PINNED, "did you mean `allow-overrides`"),
        ("[tool.celery-harness.gate]\nsamples = 0", _PINNED, ":6: `samples`"),
        ("[tool.celery-harness.gate]\nruntime = 'auto'", {}, ":6: a gate pins its runtime"),
        ("[tool]\ncelery-harness.gate.tolerance = '1'", _PINNED, ":6: `tolerance`: '1' is not a share"),
        ("", {"runtime": "auto"}, "--runtime: a gate pins its runtime: what `auto` takes depends on the machine"),
        ("", {}, "pinned, and none is named"),
        ("", {"runtime": "moon"}, "there is no runtime 'moon'"),
        ("", {**_PINNED, "tolerance": "10"}, "--tolerance: `tolerance`: '10' is not a share"),
        ("", {**_PINNED, "budget": "0s"}, "--budget: `budget`: Input should be greater than 0"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(tmp_path: Path, section: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        gate_settings(_project(tmp_path, section), given)
    assert words in str(caught.value) and caught.value.exit_code == 2
