"""Which files the project's code reads, beside its modules."""

from __future__ import annotations

import os
from pathlib import Path

from celery_harness_agent.files_read import FilesRead
from celery_harness_agent.frames import Frames


def test_files_of_the_project_that_are_read_or_given_to_programs(tmp_path: Path) -> None:
    for name in ("prices.json", "seed.sql", "helper.py", "loader.py", "out.txt", "x.egg-info/entry_points.txt", ".git/HEAD"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files = FilesRead(Frames(str(tmp_path)))
    tell = files.events(programs=True)
    for name in ("prices.json", "x.egg-info/entry_points.txt", ".git/HEAD", "gone.json"):
        tell["open"]("open", (str(tmp_path / name), "r", os.O_RDONLY | os.O_CLOEXEC))
    for path, mode, flags in ((str(tmp_path / "out.txt"), "w", os.O_WRONLY), (7, "r", os.O_RDONLY), ("/etc/hostname", "r", os.O_RDONLY)):
        tell["open"]("open", (path, mode, flags))
    tell["subprocess.Popen"]("subprocess.Popen", ("python", ["python", tmp_path / "helper.py", b"7"], None, None))
    tell["os.system"]("os.system", (f"python {tmp_path}/loader.py < {tmp_path}/seed.sql 'unclosed".encode(),))
    assert [Path(path).name for path in files.take()] == ["helper.py", "loader.py", "prices.json", "seed.sql"]
    assert files.take() == [] and list(files.events()) == ["open"]
