"""tools/setup-engine leaves an engine that answers alone, and takes no other one's place."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[4]


def _run(tmp_path: Path, *, answers: bool, **environment: str) -> subprocess.CompletedProcess[str]:
    """With programs in place of Docker's and apt's that write down that they were called."""
    shims = tmp_path / "bin"
    shims.mkdir()
    for name in ("dockerd", "apt-get", "systemctl", "sudo", "debootstrap", "docker"):
        program = shims / name
        status = 0 if name == "docker" and answers else 1
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/calls"\nexit {status}\n')
        program.chmod(0o755)
    path = f"{shims}:{os.environ['PATH']}"
    variables = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"}
    return subprocess.run(
        [str(_ROOT / "tools" / "setup-engine")],
        env={**variables, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_an_engine_that_answers_is_left_as_it_is(tmp_path: Path) -> None:
    done = _run(tmp_path, answers=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "calls").read_text() == "docker info\n"


def test_an_engine_elsewhere_that_is_silent_is_named_and_not_replaced(tmp_path: Path) -> None:
    done = _run(tmp_path, answers=False, DOCKER_HOST="tcp://engine.example.org:2375")
    assert done.returncode == 1
    assert "DOCKER_HOST=tcp://engine.example.org:2375 does not answer" in done.stderr
    assert (tmp_path / "calls").read_text() == "docker info\n"
