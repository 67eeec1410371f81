"""Containers under the agent's init: started in the background, held against what they report, asked one question."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault
from harness.ports.clock import Clock
from harness.runtimes.containers.engine import Box, Engine, log_lines
from harness.runtimes.containers.events import Watcher
from harness.runtimes.containers.folders import Folders
from harness.runtimes.containers.process import ContainerProcess, Lifeline, Papers
from harness.runtimes.containers.seats import SEATED, SeatedProcess, Seats
from harness.runtimes.shared.environment import AGENT_FOLDER, write_private

__all__ = ["Launcher", "Order"]

_STARTERS = 4
_ANSWER_SECONDS = 60.0
_REPORT_SECONDS = 20.0
_TICK = 0.005
_INIT = AGENT_FOLDER / "celery_harness_agent" / "init.py"


@dataclass(frozen=True, slots=True)
class Order:
    """A process to start: see `ContainerHost.spawn`. ``request``: a document for its standard input, whose answer is kept."""

    name: str
    kind: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    image: str
    log: Path
    pid_base: int = 0
    group: str = ""
    stdin: bool = False
    request: Mapping[str, Any] | None = None
    alone: bool = False


class Launcher:
    """Starts what runs under init. ``outline(name, image)``: the container's name, labels and network."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        watcher: Watcher,
        folders: Folders,
        outline: Callable[[str, str], Box],
        seats: Seats | None = None,
    ) -> None:
        self._seats = seats
        self._engine, self._clock, self._watcher, self._folders, self._outline = engine, clock, watcher, folders, outline
        self.failures: list[EnvironmentFault] = []
        self.every: list[ContainerProcess] = []
        self._removed: list[ContainerProcess] = []
        self.pool = ThreadPoolExecutor(_STARTERS, thread_name_prefix="containers")
        self._lifeline = Lifeline(folders.base / f"lifeline{folders.run and '-'}{folders.run}")

    def prepare(self) -> None:
        """The FIFO that ties every init's life to ours."""
        self._lifeline.open()

    def let_go(self) -> None:
        """Every init ends its container; starts under way come to their end. Never raises; also twice."""
        self._lifeline.close()
        for process in list(self.every):
            process.expected_end = True
            process.close_input()
        self.pool.shutdown(wait=True, cancel_futures=True)
        for process in self.every:
            if not process.container.done():
                self._fail(process, EnvironmentFault(f"{process.name} was not started any more"))
            if isinstance(process, SeatedProcess):
                self.remove(process)

    def launch(self, order: Order) -> ContainerProcess:
        """Returns at once; see `ContainerHost.spawn`."""
        outline = self._outline(order.name, order.image)
        papers = Papers(self._folders.part(order.name), outline.name.rpartition(f"-{order.name}-")[2] + f"-{order.name}")
        order.log.parent.mkdir(parents=True, exist_ok=True)
        seated = self._seats is not None and not order.alone and order.kind in SEATED
        process = (SeatedProcess if seated else ContainerProcess)(
            order.name,
            order.kind,
            order.log,
            self._clock,
            self._engine,
            papers,
            outline.name,
            group=order.group,
            pid_base=order.pid_base,
            stdin=order.stdin,
        )
        box = replace(
            outline,
            argv=[*order.argv[:1], "-I", "-S", str(_INIT), *self._options(order, papers), "--", *order.argv],
            env={"HOME": "/tmp", **order.env},
            network=None if order.alone else outline.network,
            alone=order.alone,
            mounts=self._folders.mounts(order.name),
            user=self._engine.me(),
            cwd=order.cwd,
            scratch=True,
            stands_for="python" if order.kind == "relay" else "",
        )
        self.every.append(process)
        if isinstance(process, SeatedProcess):
            self.pool.submit(self._start, process, partial(self._be_seated, process, order, box))
        else:
            self._watcher.expect(box.name, process.ended)
            self.pool.submit(self._start, process, partial(self._engine.start, box))
        return process

    def _be_seated(self, process: SeatedProcess, order: Order, box: Box) -> Any:
        assert self._seats is not None
        told = {name[2:]: value for name, value in zip(*[iter(self._options(order, process.papers))] * 2, strict=True)}
        paper = write_private(process.papers.order, {**told, "argv": list(order.argv), "env": dict(box.env), "cwd": str(order.cwd)})
        return self._seats.start(process, paper, box, order.argv[0])

    def _options(self, order: Order, papers: Papers) -> list[str]:
        lifeline = self._lifeline.for_part(papers.report.parent)
        options = {"--report": papers.report, "--log": order.log, "--control": papers.control, "--lifeline": lifeline}
        if order.request is not None:
            options |= {"--stdin": write_private(papers.stdin, order.request), "--answer": papers.answer}
        elif order.stdin:
            options["--stdin"] = papers.stdin
        return [str(part) for option in options.items() for part in option]

    def _start(self, process: ContainerProcess, begin: Callable[[], Any]) -> None:
        """In the pool. What went wrong is kept for `check`, and for whoever waits for this process."""
        try:
            before = self._clock.now()
            container = begin()
            process.started_as(container)
            self._hold_to_its_report(process, container, before)
        except EnvironmentFault as fault:
            self._fail(process, fault)
        except Exception as exc:
            self._fail(process, EnvironmentFault(f"{process.name} could not be started: {exc}"))
        else:
            process.container.set_result(container)

    def _fail(self, process: ContainerProcess, fault: EnvironmentFault) -> None:
        self._watcher.forget(process.box_name)
        if not process.expected_end:
            self.failures.append(fault)
        process.failed_to_start()
        process.container.set_exception(fault)

    def _hold_to_its_report(self, process: ContainerProcess, container: Any, before: float) -> None:
        """Init's first words prove that the container shares our folder and our clock; an engine elsewhere shares neither."""
        deadline = self._clock.now() + _REPORT_SECONDS
        while "pid" not in (told := process.papers.told()):
            if not process.alive() or self._clock.now() > deadline:
                tail = "\n  ".join([*log_lines(container), *last_lines(process.log)]) or "(none)"
                how = "still runs" if process.alive() else f"ended with status {process.status}"
                where = process.papers.report.parent
                raise EnvironmentFault(
                    f"{process.name}: its container {how} and reported nothing to {where}; its last lines:\n  {tail}",
                    hint="does the engine run on this machine? its image needs Python 3.8 or later",
                )
            time.sleep(_TICK)
        at = told["pid_at"] * 1e-9
        if not before - 1.0 <= at <= self._clock.now() + 1.0:
            raise EnvironmentFault(
                f"{process.name}: its container's monotonic clock differs from ours by {at - self._clock.now():+.1f} s",
                hint="the engine runs in a virtual machine or on another host, which is not supported; `--runtime processes` needs none",
            )

    def ask(self, order: Order) -> dict[str, Any]:
        """Start it, wait for its end, take its answer; nothing of it stays."""
        process = self.launch(order)
        try:
            process.box()
            ended = process.wait(_ANSWER_SECONDS)
            if self._watcher.lost:
                raise EnvironmentFault(self._watcher.lost)
            return self._answer(process, order.kind, ended)
        finally:
            process.expected_end = True
            self.remove(process)

    def nothing_left(self) -> bool:
        """Has every container that was started here been removed, or is it a seat, which is not ours?"""
        return all(isinstance(process, SeatedProcess) or process in self._removed for process in self.every)

    def remove(self, process: ContainerProcess) -> None:
        """Its container; a seat is only given up."""
        if isinstance(process, SeatedProcess):
            assert self._seats is not None
            self._seats.leave(process)
        else:
            self._watcher.forget(process.box_name)
            if not self._engine.remove(process.box_name):
                self._removed.append(process)

    def _answer(self, process: ContainerProcess, program: str, ended: bool) -> dict[str, Any]:
        answer: Any = None
        with contextlib.suppress(OSError, ValueError):
            answer = json.loads(process.papers.answer.read_bytes())
        if isinstance(answer, dict):
            return answer
        how = f"status {process.status}" if ended else f"still running after {_ANSWER_SECONDS:.0f} s"
        tail = "\n  ".join(last_lines(process.log))
        raise EnvironmentFault(
            f"the container that runs `{program}` for your app ended without an answer ({how})\n  {tail}",
            where=str(process.log),
            hint="the worker's image lacks Celery" if "No module named 'celery'" in tail else "",
        )


def last_lines(log: Path, lines: int = 12) -> list[str]:
    """Of a file; [] where there is none."""
    try:
        text = log.read_bytes()[-16_384:].decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
