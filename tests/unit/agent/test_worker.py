"""What a worker's start imports."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.unit.agent.conftest import AGENT

_LOOKS = """
import sys
from celery_harness_agent import worker
worker._program()
assert not {"click_repl", "prompt_toolkit"} & set(sys.modules)
from celery.bin.celery import celery
assert {"worker", "amqp", "inspect"} <= set(celery.commands)
from click_repl import register_repl
assert register_repl.__module__.startswith("click_repl")
"""


def test_celerys_program_comes_without_the_shell_of_amqp_which_is_the_users_to_import() -> None:
    done = subprocess.run([sys.executable, "-c", _LOOKS], env={**os.environ, "PYTHONPATH": AGENT}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
