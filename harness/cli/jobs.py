"""`run -j N`: each cell in a process of its own, so that one cell's signals and servers are never another's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from harness.cli.overview import Overview
from harness.errors import EnvironmentFault, Interrupted
from harness.model.result import RunResult
from harness.run.signals import InterruptGuard

if TYPE_CHECKING:
    from harness.cli.run import Chosen, Options

__all__ = ["end_with_parent", "run_in_parallel"]

_STOP_SECONDS = 60.0


@dataclass
class _Job:
    title: str
    process: subprocess.Popen[str]
    out: IO[str]
    err: IO[str]

    def said(self) -> tuple[str, str]:
        """All that it wrote."""
        texts = []
        for stream in (self.out, self.err):
            stream.seek(0)
            texts.append(stream.read())
            stream.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return texts[0], texts[1]


def _command(one: Chosen, options: Options) -> list[str]:
    command = [sys.executable, "-m", "harness.cli", "run", str(one.loaded.path), "--json", "--reports", str(options.reports)]
    command += ["--runtime", options.runtime, "--seed", str(one.loaded.scenario.seed), "--cell", str(one.index), "--lifeline"]
    return command + (["--keep"] if options.keep else [])


def end_with_parent() -> None:
    """SIGTERM for this process once nobody holds the other end of its input any more: a killed parent tells its children nothing."""

    def wait() -> None:
        while os.read(0, 1):  # not `sys.stdin`, whose lock a thread that waits would hold at our end
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def run_in_parallel(cells: Sequence[Chosen], options: Options) -> int:
    """Run all, at most ``options.jobs`` at a time; the exit code over all. The table grows by a row per ended cell."""
    waiting = list(cells)
    running: list[_Job] = []
    overview = Overview(len(cells), quiet=options.as_json, growing=True)
    with InterruptGuard() as guard:
        try:
            while waiting or running:
                guard.check()
                while waiting and len(running) < options.jobs:
                    running.append(_started(waiting.pop(0), options))
                for job in [j for j in running if j.process.poll() is not None]:
                    running.remove(job)
                    _report(job, overview, options)
                time.sleep(0.05)
        except (Interrupted, EnvironmentFault) as exc:
            _stop(running)
            overview.close(exc.exit_code)
            raise
        except BaseException:
            _stop(running)
            raise
    return overview.close()


def _started(one: Chosen, options: Options) -> _Job:
    """EnvironmentFault where the machine has no room for one more."""
    with ExitStack() as opened:
        try:
            out, err = (opened.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2))  # a pipe would fill and block the child
            child = subprocess.Popen(_command(one, options), stdin=subprocess.PIPE, stdout=out, stderr=err, text=True)
        except OSError as exc:
            hint = "fewer --jobs need less; the runs that had ended have their reports"
            raise EnvironmentFault(f"{one.title} cannot be started, so all runs were stopped: {exc}", hint=hint) from None
        opened.pop_all()
    return _Job(one.title, child, out, err)


def _report(job: _Job, overview: Overview, options: Options) -> None:
    out, err = job.said()
    if options.as_json:
        click.echo(out, nl=False)
    event = _last_result(out)
    if event is None:
        first, _, rest = err.strip().removeprefix("error: ").partition("\n")
        overview.add_ended(job.title, job.process.returncode, first or "ended without a result")
        if rest:
            click.echo(rest, err=True)
        return
    try:
        result = RunResult.model_validate(event["result"])
    except ValidationError:  # a figure that is no number became null
        overview.add_ended(job.title, job.process.returncode, "")
    else:
        overview.add(job.title, result)
    if job.process.returncode and not options.as_json:
        click.echo(f"{'':<6}Report  {Path(event['folder']) / 'report.html'}")


def _last_result(out: str) -> dict[str, Any] | None:
    """The event that carries the result."""
    for line in reversed(out.splitlines()):
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict) and isinstance(document.get("result"), dict):
            return document
    return None


def _stop(running: Sequence[_Job]) -> None:
    for job in running:
        job.process.send_signal(signal.SIGTERM)
    for job in running:
        try:
            job.process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            job.process.kill()
            job.process.wait()
        job.said()
