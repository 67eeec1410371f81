"""Init as a plain process, and what the harness makes of its words."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from harness.errors import EnvironmentFault
from harness.ports.clock import MonotonicClock
from harness.runtimes.containers.process import ContainerProcess, Life, Papers
from harness.runtimes.shared.environment import AGENT_FOLDER

_INIT = AGENT_FOLDER / "celery_harness_agent" / "init.py"


class _Init:
    """init.py outside a container: everything but process 1's own rights over others."""

    def __init__(self, folder: Path, program: str, **options: Path) -> None:
        self.papers = Papers(folder, "pay-1")
        self.log = folder / "log"
        words = {"--report": self.papers.report, "--log": self.log, "--control": self.papers.control}
        words |= {f"--{name}": path for name, path in options.items()}
        flat = [str(part) for pair in words.items() for part in pair]
        self.popen = subprocess.Popen([sys.executable, "-I", "-S", str(_INIT), *flat, "--", sys.executable, "-c", program])

    @property
    def pid(self) -> int:
        """The main process, once it runs."""
        return int(_until(lambda: self.papers.told().get("pid")))

    def wrote(self, text: str) -> None:
        """Wait for its output."""
        _until(lambda: self.log.exists() and text in self.log.read_text())

    def ended(self) -> int:
        """Its exit status."""
        return self.popen.wait(60)


def _until(condition: Any, seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    started: list[_Init] = []

    def begin(program: str, **options: Path) -> _Init:
        started.append(_Init(tmp_path, program, **options))
        return started[-1]

    yield begin
    for init in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(init.papers.told().get("pid") or init.popen.pid, signal.SIGKILL)
        init.popen.kill()
        init.popen.wait()


def test_the_status_is_the_main_processs(start: Any) -> None:
    init = start("import sys; print('hello'); sys.exit(7)")
    before = time.monotonic_ns()
    assert init.ended() == 7
    told = init.papers.told()
    assert told["status"] == 7 and told["pid_at"] <= told["status_at"] <= time.monotonic_ns() and told["status_at"] > before - 10**10
    assert "hello" in init.log.read_text()


def test_a_signal_that_ended_it_is_128_and_more_and_negative_in_the_report(start: Any) -> None:
    init = start("import os, signal; os.killpg(0, signal.SIGKILL)")
    assert init.ended() == 137 and init.papers.told()["status"] == -9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_signals_go_to_the_main_process_alone(start: Any, number: signal.Signals) -> None:
    init = start(
        "import os, signal, time\n"
        "def heard(n, _): os.write(1, f'heard {n} pid {os.getpid() == main}\\n'.encode()); os._exit(4)\n"
        f"signal.signal({int(number)}, heard); main = os.getpid()\n"
        "if os.fork() == 0:\n    time.sleep(0.5); os._exit(0)\n"
        "os.write(1, b'ready\\n')\nwhile True: time.sleep(0.05)\n"
    )
    init.wrote("ready")
    init.popen.send_signal(number)
    assert init.ended() == 4
    assert init.log.read_text().splitlines() == ["ready", f"heard {int(number)} pid True"]


def test_cont_goes_to_the_group(start: Any) -> None:
    init = start("import os, signal; print('before', flush=True); os.killpg(0, signal.SIGSTOP); print('after', flush=True)")
    init.wrote("before")
    _until(lambda: Path(f"/proc/{init.pid}/stat").read_text().rpartition(") ")[2][0] == "T")
    init.popen.send_signal(signal.SIGCONT)
    assert init.ended() == 0 and "after" in init.log.read_text()


def test_it_leads_a_session_and_knows_its_parent(start: Any) -> None:
    init = start("import os; print(os.getsid(0) == os.getpid(), os.getppid() == int(os.environ['CELERY_HARNESS_PARENT']), flush=True)")
    assert init.ended() == 0 and init.log.read_text() == "True True\n"


def test_input_and_answer(start: Any, tmp_path: Path) -> None:
    (tmp_path / "question").write_text("21")
    init = start(
        "import os, sys; os.write(int(os.environ['CELERY_HARNESS_OUT']), str(2 * int(sys.stdin.read())).encode())",
        stdin=tmp_path / "question",
        answer=tmp_path / "answer",
    )
    assert init.ended() == 0 and (tmp_path / "answer").read_text() == "42"


def test_the_control_socket(start: Any) -> None:
    init = start("import time; print('up', flush=True); time.sleep(60)")
    init.wrote("up")
    assert init.papers.ask(f"signal {init.pid} 0") == "1"
    assert init.papers.ask("signal 99999999 0") == "0"
    assert init.papers.ask("nonsense") is None or init.popen.poll() is None, "nonsense ends nothing"
    assert str(os.getpid()) in (init.papers.ask("children") or "").split(), "every process that it sees"
    assert init.papers.ask("group 15") == "1"
    assert init.ended() == 143
    assert init.papers.ask("children") is None


def test_it_says_what_all_of_it_uses(start: Any) -> None:
    program = "import os, time\nwhile time.process_time() < 0.2: pass\nos.write(1, b'ready')\ntime.sleep(60)"
    init = start(program)
    init.wrote("ready")
    seconds, size = (init.papers.ask("use") or "").split()
    assert float(seconds) >= 0.1 and int(size) > 1_000_000


def test_end_is_refused_outside_a_container(start: Any) -> None:
    """There it would be a SIGKILL to the whole machine."""
    init = start("import time; print('up', flush=True); time.sleep(60)")
    init.wrote("up")
    assert init.papers.ask("end") == "0"
    assert init.popen.poll() is None


def test_whoever_connects_and_stalls_holds_nothing_up_for_long(start: Any) -> None:
    init = start("import time; time.sleep(60)")
    init.pid  # noqa: B018
    with socket.socket(socket.AF_UNIX) as stalled:
        stalled.connect(str(init.papers.control))
        init.popen.send_signal(signal.SIGTERM)
        assert init.ended() == 143


def test_it_ends_when_the_harness_lets_go(start: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lifeline")
    held = os.open(tmp_path / "lifeline", os.O_RDWR)
    init = start("import time; print('up', flush=True); time.sleep(60)", lifeline=tmp_path / "lifeline")
    init.wrote("up")
    assert init.popen.poll() is None
    os.close(held)
    assert init.ended() == 137 and init.papers.told()["status"] == -9
    assert "the harness is gone" in init.log.read_text()


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, "-I", "-S", str(_INIT), "--", "/no/such/program"], capture_output=True, text=True, timeout=20)
    assert found.returncode == 127 and "cannot start /no/such/program" in found.stderr
    found = subprocess.run([sys.executable, "-I", "-S", str(_INIT), "--wrong", "x"], capture_output=True, text=True, timeout=20)
    assert found.returncode == 2 and "usage:" in found.stderr


# --- the harness's side ---------------------------------------------------------------------------------------------


class _Box:
    """The SDK's container: records what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refusal = 0

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.refusal:
            response = type("Response", (), {"status_code": self.refusal, "url": "", "reason": ""})()
            raise APIError("refused", response=response, explanation="refused")  # type: ignore[arg-type]

    def kill(self, signal: int) -> None:
        self._ask(f"kill {signal}")

    def pause(self) -> None:
        self._ask("pause")

    def unpause(self) -> None:
        self._ask("unpause")


class _Engine:
    @contextlib.contextmanager
    def asking(self, part: str, what: str) -> Iterator[None]:
        try:
            yield
        except APIError as exc:
            raise EnvironmentFault(f"{part} could not be {what}") from exc


def _process(folder: Path, **options: Any) -> tuple[ContainerProcess, _Box]:
    papers, box = Papers(folder, "pay-1"), _Box()
    engine: Any = _Engine()
    process = ContainerProcess("pay-1", "worker", folder / "log", MonotonicClock(), engine, papers, "box", pid_base=20_000_000, **options)
    process.container.set_result(box)
    return process, box


def _tell(process: ContainerProcess, **document: int) -> None:
    with process.papers.report.open("a") as stream:
        stream.write(json.dumps(document) + "\n")


def test_pids_are_the_inner_ones_plus_the_base(tmp_path: Path) -> None:
    process, _ = _process(tmp_path)
    assert process.pid == 20_000_001, "init's, while nothing is reported"
    _tell(process, pid=7, at=5_000_000_000)
    assert process.pid == 20_000_007


def test_the_end_is_the_reports_or_else_the_engines(tmp_path: Path) -> None:
    process, _ = _process(tmp_path)
    _tell(process, pid=7, at=1)
    _tell(process, status=-9, at=5_000_000_000)
    process.ended(137, 99.0)
    assert (process.status, process.down, process.alive()) == (-9, 5.0, False)
    process.ended(0, 100.0)
    assert (process.status, process.down) == (-9, 5.0), "once"
    other = tmp_path / "other"
    other.mkdir()
    for code, status in ((0, 0), (3, 3), (137, -9), (143, -15)):
        process, _ = _process(other)
        process.ended(code, 99.0)
        assert (process.status, process.down) == (status, 99.0)


@pytest.mark.parametrize(
    "half", [b'{"status": -9, "at', b"\xff\x00", b"12", b'["pid"]', b'{"status": 3}', b'{"status": null, "at": 2}', b"[" * 9999, b""]
)
def test_a_line_that_is_half_written_says_nothing(tmp_path: Path, half: bytes) -> None:
    papers = Papers(tmp_path, "pay-1")
    assert papers.told() == {}
    papers.report.write_bytes(b'{"pid": 7, "at": 1}\n' + half)
    assert papers.told() == {"pid": 7, "pid_at": 1}


def test_where_init_does_not_answer_the_engine_is_asked(tmp_path: Path) -> None:
    process, box = _process(tmp_path)
    threading.Timer(0.05, process.ended, (137, 1.0)).start()
    assert process.kill() == (20_000_001,)
    assert box.asked == ["kill 9"] and process.kill() == ()
    process, box = _process(tmp_path)
    process.signal_main(signal.SIGTERM)
    assert box.asked == ["kill 15"]
    box.refusal = 409
    process.signal_main(signal.SIGTERM)  # it ended meanwhile
    box.refusal = 500
    with pytest.raises(EnvironmentFault, match="pay-1 could not be signalled"):
        process.signal_main(signal.SIGTERM)


def test_pause_and_resume_are_asked_for_once(tmp_path: Path) -> None:
    process, box = _process(tmp_path)
    process.resume()
    process.pause()
    process.pause()
    process.resume()
    process.resume()
    assert box.asked == ["pause", "unpause"]
    process.ended(0, 1.0)
    with pytest.raises(EnvironmentFault, match="not running"):
        process.pause()


def test_a_start_that_failed_is_told_by_whoever_waits_for_it(tmp_path: Path) -> None:
    papers, engine = Papers(tmp_path, "pay-1"), _Engine()
    process = ContainerProcess("pay-1", "worker", tmp_path / "log", MonotonicClock(), engine, papers, "box", stdin=True)  # type: ignore[arg-type]
    process.failed_to_start()
    process.container.set_exception(EnvironmentFault("no such image"))
    assert not process.alive() and process.status == 125 and process.kill() == ()
    with pytest.raises(EnvironmentFault, match="no such image"):
        process.box()
    with pytest.raises(EnvironmentFault, match="pay-1 ended early"):
        process.tell("go")
    process.close_input()
    process.close_input()


def test_a_server_has_neither_input_nor_children_that_we_know(tmp_path: Path) -> None:
    engine: Any = _Engine()
    life = Life("broker", "broker", tmp_path / "log", MonotonicClock(), engine, pid_base=30_000_000)
    assert (life.pid, life.children(), life.kill_child(5)) == (30_000_001, [], False)
    with pytest.raises(EnvironmentFault, match="takes no input"):
        life.tell("hello")


def test_a_socket_in_a_deep_folder(tmp_path: Path) -> None:
    """Its path may have 107 bytes; ours may be longer."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    papers = Papers(deep, "pay-1")
    folder = os.open(deep, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{folder}/{papers.control.name}")
        listener.listen()
        os.close(folder)

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"12 13\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert papers.ask("children") == "12 13"
        thread.join()
