"""`run -j N`: each cell in a process of its own, so that one cell's signals and servers are never another's."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import click

from harness.errors import Interrupted
from harness.model.verdict import EXIT_CODES, Verdict, combine
from harness.run.signals import InterruptGuard

if TYPE_CHECKING:
    from harness.cli.run import Options
    from harness.scenario import LoadedScenario

__all__ = ["run_in_parallel"]

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
        return texts[0], texts[1]


def _command(loaded: LoadedScenario, options: Options, index: int) -> list[str]:
    command = [sys.executable, "-m", "harness.cli", "run", str(loaded.path), "--json", "--reports", str(options.reports)]
    command += ["--runtime", options.runtime, "--seed", str(loaded.scenario.seed), "--cell", str(index)]
    return command + (["--keep"] if options.keep else [])


def run_in_parallel(cells: Sequence[tuple[LoadedScenario, int]], options: Options) -> int:
    """Run all, at most ``options.jobs`` at a time; the exit code over all. A line per finished cell."""
    waiting = list(cells)
    running: list[_Job] = []
    codes: list[int] = []
    with InterruptGuard() as guard:
        try:
            while waiting or running:
                guard.check()
                while waiting and len(running) < options.jobs:
                    loaded, index = waiting.pop(0)
                    out, err = (tempfile.TemporaryFile("w+") for _ in range(2))  # noqa: SIM115 (a pipe would fill and block the child)
                    child = subprocess.Popen(_command(loaded, options, index), stdout=out, stderr=err, text=True)
                    running.append(_Job(f"{loaded.path} {loaded.title}", child, out, err))
                for job in [j for j in running if j.process.poll() is not None]:
                    running.remove(job)
                    codes.append(_report(job, options))
                time.sleep(0.05)
        except Interrupted:
            _stop(running)
            raise
    known = {code: verdict for verdict, code in EXIT_CODES.items()}
    worst = EXIT_CODES[combine(known.get(code, Verdict.ENVIRONMENT) for code in codes if code != 2)]
    return 2 if 2 in codes and worst != EXIT_CODES[Verdict.FAIL] else worst


def _report(job: _Job, options: Options) -> int:
    out, err = job.said()
    if options.as_json:
        click.echo(out, nl=False)
        return job.process.returncode
    result = _last_result(out)
    if result is None:
        click.echo(f"{job.title}\n  {err.strip() or 'ended without a result'}", err=True)
        return job.process.returncode
    failed = [f"{c['name']}: {c['summary']}" for c in result.get("checks", []) if c["verdict"] != "pass"]
    click.echo(f"{result['verdict']:<13} {job.title}" + "".join(f"\n  {line}" for line in failed))
    return job.process.returncode


def _last_result(out: str) -> dict[str, Any] | None:
    for line in reversed(out.splitlines()):
        try:
            document = json.loads(line)
        except ValueError:
            continue
        result = document.get("result") if isinstance(document, dict) else None
        if isinstance(result, dict):
            return result
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
