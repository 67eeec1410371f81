"""What every test may rely on: servers or a clear word about them, and a look for whatever was left behind."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.ports import free_port

if TYPE_CHECKING:
    from tests.unit.brokers.rabbit_server import RabbitServer

#: Set for the whole session and inherited by every process that a test starts (CELERY_* is not): how leftovers are recognised.
SESSION = "HARNESS_TEST_SESSION"

#: With an engine on the machine `auto` would take containers; tests that mean these say so.
os.environ.setdefault("CELERY_HARNESS_RUNTIME", "processes")

#: A shell that starts the tests in the background has SIGINT ignored, and so had all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_IN_CI = os.environ.get("CI") == "true"
_ROOM = 2 << 30
_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
#: Programs that may outlive their last word by a moment, e.g. a killed worker's children.
_GRACE = 5.0


def _program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"needs a server: {names[0]} is not on PATH (`make test` installs it where it may)")


@pytest.fixture(scope="session")
def redis_server_program() -> str:
    """Path of redis-server or valkey-server; without one the test is skipped, or fails under CI=true."""
    return _program("redis-server", "valkey-server")


@pytest.fixture(scope="session")
def chromium_program() -> str:
    """Path of a Chromium; without one the test is skipped, or fails under CI=true."""
    return _program(*_CHROMIUMS)


@pytest.fixture(scope="session")
def rabbit_node() -> Iterator[RabbitServer]:
    """A RabbitMQ for all tests of this process that want one: its start costs more than most tests. Each module has it `module_rabbit`."""
    from tests.unit.brokers.rabbit_server import RabbitServer, running  # imports Celery, which most tests do without

    with tempfile.TemporaryDirectory(prefix="rabbit-", dir=_in_memory()) as name, running(RabbitServer(Path(name))) as server:
        yield server


def _in_memory() -> str | None:
    """A folder whose files are on no disk, where there is room. On a disk that several tests write to, a quorum queue waits for seconds
    until its log is written, and RabbitMQ gives the channel up (INTERNAL_ERROR)."""
    folder = Path("/dev/shm")
    return str(folder) if os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > _ROOM else None


#: Files whose tests share `rabbit_node`: one process of `pytest -n` runs all of them, or each process would start a RabbitMQ.
_OF_ONE_RABBIT = re.compile(r"test_(rabbitmq_(broker|copies|drops|inspector|node|places)|native_delay|prepared)\.py$")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile`, but for `_OF_ONE_RABBIT`."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            return "rabbitmq" if _OF_ONE_RABBIT.search(file) else file

    return Scheduling(config, log)


@pytest.fixture(name="free_port")
def a_free_port() -> int:
    """A loopback port where nobody listens."""
    return free_port()


@pytest.fixture
def alone_with_leftovers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For a test that kills a harness and looks at what it leaves, or that runs `clean`: this removes what *any* killed run left.

    One such test at a time, over all processes of `pytest -n`. Everything else that a test starts is its own, at the container engine too.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "leftovers.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a child that a test forked may still hold the file open


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Under CI=true a skip for want of a server is a failure: green must mean that it ran."""
    report = yield
    if _IN_CI and report.skipped and not hasattr(report, "wasxfail") and "needs a server" in str(report.longrepr):  # type: ignore[attr-defined]
        report.outcome = "failed"  # type: ignore[attr-defined]
        report.longrepr = f"CI=true, and {item.nodeid} was skipped: {report.longrepr}"  # type: ignore[attr-defined]
    return report


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After the last test: no process, no listening port and no temporary file of this session."""
    tmp_path_factory.getbasetemp()  # pytest's own folder stays where it is
    session, scratch = uuid.uuid4().hex, Path(tempfile.mkdtemp(prefix="cht-"))
    scratch.chmod(0o711)  # servers that refuse root run as another user, below it
    before = {name: os.environ.get(name) for name in (SESSION, "TMPDIR")}
    os.environ.update({SESSION: session, "TMPDIR": str(scratch)})
    tempfile.tempdir = None
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        tempfile.tempdir = None
        processes = leftover_processes(session, grace=_GRACE)
        files = sorted(_told(path) for path in scratch.iterdir())
        shutil.rmtree(scratch, ignore_errors=True)
    assert not processes, "processes left behind by the tests:\n" + "\n".join(processes)
    assert not files, "temporary files left behind by the tests:\n" + "\n".join(files)


#: Entry of the session's temporary folder: the test at whose end it was there first.
_first_seen: dict[str, str] = {}


@pytest.fixture(autouse=True)
def who_left_it(nothing_left_behind: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """So that what is left at the end has a name."""
    yield
    for entry in Path(tempfile.gettempdir()).iterdir():
        _first_seen.setdefault(entry.name, request.node.nodeid)


def _told(path: Path) -> str:
    below = sorted(str(file.relative_to(path)) for file in path.rglob("*"))
    return f"{path.name}, there since {_first_seen.get(path.name, 'the last test')}, with {', '.join(below[:8]) or 'nothing in it'}"


def leftover_processes(session: str, *, grace: float) -> list[str]:
    """Processes of this test session that are still there after ``grace`` seconds, with what they listen on."""
    deadline = time.monotonic() + grace
    while True:
        found = [process for process in psutil.process_iter() if _belongs(process, session)]
        if not found or time.monotonic() > deadline:
            return [_describe(process) for process in found]
        psutil.wait_procs(found, timeout=0.2)


def _belongs(process: psutil.Process, session: str) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(SESSION) == session and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _describe(process: psutil.Process) -> str:
    try:
        ports = [c.laddr.port for c in process.net_connections(kind="inet") if c.status == psutil.CONN_LISTEN]
        return f"{process.pid} {' '.join(process.cmdline())[:200]}" + (f" listens on {ports}" if ports else "")
    except psutil.Error:
        return f"{process.pid} (gone while we looked)"


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """The command line handles signals in its own way once it was called, and not every test calls it in a process of its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)
