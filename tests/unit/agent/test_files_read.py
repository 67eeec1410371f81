"""Which files the project's code reads, beside its modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
    assert [Path(path).name for path in files.take()] == ["gone.json", "helper.py", "loader.py", "prices.json", "seed.sql"]
    assert files.take() == [] and "os.system" not in files.events()


PROJECT = """
import json, os, sqlite3, sys
from pathlib import Path
from celery_harness_agent.files_read import FilesRead
from celery_harness_agent.frames import Frames

files = FilesRead(Frames(os.getcwd()))
tell = files.events()
sys.addaudithook(lambda event, arguments: tell[event](event, arguments) if event in tell else None)
import shop
print(json.dumps([os.path.relpath(path) for path in files.take()]))
"""
SHOP = """
import importlib
import sqlite3
from pathlib import Path

HERE = Path(__file__).parent
for name in ("local_settings", "json", "shelf.nails"):
    try:
        __import__(name)
    except ImportError:
        pass
try:
    importlib.import_module("settings_of_here")
except ImportError:
    pass
list((HERE / "plugins").glob("*.txt"))
sqlite3.connect(f"file:{HERE}/prices.sqlite3?mode=ro", uri=True).close()
"""


def test_what_is_asked_for_in_vain_folders_and_databases(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    for name, text in (("shop.py", SHOP), ("prices.sqlite3", ""), ("shelf/__init__.py", "")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    agent = Path(__file__).resolve().parents[3] / "harness" / "agent"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{agent}", "PYTHONDONTWRITEBYTECODE": "1"}
    told = subprocess.run([sys.executable, "-c", PROJECT], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, check=True, timeout=60)
    in_vain = ["local_settings.py", "local_settings/__init__.py", "shelf/nails.py", "shelf/nails/__init__.py"]
    in_vain += ["settings_of_here.py", "settings_of_here/__init__.py"]
    assert json.loads(told.stdout) == sorted([*in_vain, "plugins", "prices.sqlite3", "shelf/__init__.py", "shop.py"])
