"""Containers that serve one run after another: a process in one sees what it would see in a container of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.ports.clock import MonotonicClock
from harness.runtimes.shared.environment import AGENT_FOLDER, write_private
from tests.conformance.containers_support import (
    PARENT,
    ContainerHost,
    ContainerProcess,
    Engine,
    image,
    left_of,
    make_host,
    session_engine,
    until,
    wrote,
)
from tests.parts import parts

pool = pytest.importorskip(
    "harness.runtimes.containers.pool", reason="needs a server: testcontainers is not installed", exc_type=ImportError
)
__all__ = ["session_engine"]  # fixtures

#: What a process can learn of where it is, as far as it does not differ between two containers of its own either.
PROBE = """
import json, os, resource, signal, socket, sys
mounted = {line.split()[4] for line in open('/proc/self/mountinfo')}
def names(folder):
    ways = {name for name in os.listdir(folder) if any((m + '/').startswith(os.path.join(folder, name) + '/') for m in mounted)}
    return sorted(set(os.listdir(folder)) - (ways if folder == '/tmp' else set()))
print('saw', json.dumps({
    'environment': {k: v for k, v in os.environ.items() if k != 'CELERY_HARNESS_PARENT'},
    'parent': [os.getppid(), os.environ['CELERY_HARNESS_PARENT']],
    'ids': [os.getuid(), os.getgid(), os.getgroups(), os.umask(0o22)],
    'leads': [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
    'folder': os.getcwd(), 'arguments': sys.argv, 'path': sys.path, 'host': socket.gethostname(),
    'files': sorted(os.listdir('/proc/self/fd')), 'streams': [os.readlink(f'/proc/self/fd/{n}') for n in (0, 1, 2)],
    'limits': {n: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith('RLIMIT_')},
    'signals': {n: str(signal.getsignal(n)) for n in range(1, 32)}, 'blocked': sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    'capabilities': [l for l in open('/proc/self/status') if l.startswith(('Cap', 'NoNewPrivs', 'Seccomp:', 'SigB', 'SigI', 'SigC'))],
    'folders': {f: names(f) for f in ('/', '/tmp', '/dev', '/dev/shm', '/dev/mqueue', '/etc', '/var/tmp', '/run', '/root', '/opt')},
    'processes': sorted(p for p in os.listdir('/proc') if p.isdigit() and p not in ('1', str(os.getpid()))),
    'memory': [len(open('/proc/sysvipc/' + k).readlines()) for k in ('shm', 'sem', 'msg')],
    'rank': [os.nice(0), sorted(os.sched_getaffinity(0)), open('/proc/self/oom_score_adj').read()],
    'ports': [len(open('/proc/net/' + k).readlines()) for k in ('tcp', 'udp')],
}), flush=True)
"""
#: What is taken back, so that the container can go on.
TAKEN_BACK = {
    "nothing": "",
    "files in /tmp": "os.makedirs('/tmp/a/b'); open('/tmp/a/b/c', 'w').write('x'); os.chmod('/tmp/a/b', 0); os.chmod('/tmp/a', 0)",
    "links in /tmp": "os.symlink('/etc', '/tmp/etc'); os.symlink('/gone', '/tmp/gone'); os.mkfifo('/tmp/fifo')",
    "shared memory": "open('/dev/shm/left', 'w').write('x')",
    "a semaphore": "import multiprocessing as m; s = m.get_context('spawn').Semaphore(); os._exit(0)",
    "a daemon": (
        "if os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n    import signal\n    for n in range(1, 32):\n"
        "      if n not in (9, 19): signal.signal(n, signal.SIG_IGN)\n    time.sleep(600)\n  os._exit(0)\ntime.sleep(0.3)"
    ),
    "a compiled module": "import compileall; compileall.compile_dir('/usr/lib/python3/dist-packages', quiet=2, maxlevels=0, force=True)",
    "an open port": "import socket; s = socket.create_server(('127.0.0.1', 8000))",
}
#: A connection over loopback of which the listening side closes first.
CLOSING = (
    "import socket\nat = ('127.0.0.1', {})\ns = socket.create_server(at); c = socket.create_connection(at); a, _ = s.accept()\n"
    "a.close(); c.close()\ntime.sleep(0.1)"
)
#: What only a new container is without.
STAYS = {
    "a file in the image's folders": "open('/etc/left', 'w').write('x')",
    "a file that was changed": "open('/etc/passwd', 'a').write('#')",
    "a file that was changed and looks as before": (
        "s = os.stat('/etc/passwd'); t = open('/etc/passwd').read()\nwith open('/etc/passwd', 'w') as f: f.write(t[:-2] + '#\\n')\n"
        "os.utime('/etc/passwd', ns=(s.st_atime_ns, s.st_mtime_ns))"
    ),
    "a file that was removed": "os.unlink('/etc/issue')",
    "the name of the host's file": "open('/etc/hosts', 'a').write('127.0.0.1 left\\n')",
    "a file's rights": "os.chmod('/etc/issue', 0o600)",
    "a folder": "os.mkdir('/opt/left')",
    "a device folder's file": "open('/dev/left', 'w').write('x')",
    "System V's memory": "import ctypes; assert ctypes.CDLL(None).shmget(7, 4096, 0o1600) >= 0",
    "System V's semaphores": "import ctypes; assert ctypes.CDLL(None).semget(7, 1, 0o1600) >= 0",
    "a connection that closes": CLOSING.format(8000),
    "a connection that closes on a port that the kernel could have chosen": CLOSING.format(40_000),
    "the priority of process 1": "os.setpriority(os.PRIO_PROCESS, 1, 5)",
    "the processors of process 1": "os.sched_setaffinity(1, {max(os.sched_getaffinity(1))})",
    "the limits of process 1": "import resource as r; r.prlimit(1, r.RLIMIT_STACK, (1 << 20, r.prlimit(1, r.RLIMIT_STACK)[1]))",
    "how soon process 1 is killed": "open('/proc/1/oom_score_adj', 'w').write('500')",
    "a folder's attributes": "os.setxattr('/opt', 'user.left', b'x')",
    "a file beside compiled modules": (
        "os.makedirs('/usr/lib/python3/__pycache__', exist_ok=True); open('/usr/lib/python3/__pycache__/left.nbi', 'w').write('x')"
    ),
}


class Runs:
    """Runs on one site, each with a host of its own."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.session: Any = pool.ContainerSession()
        self.number = 0
        for name in ("reports", "root"):
            (folder / name).mkdir()

    def begin(self) -> ContainerHost:
        self.number += 1
        run_id, reports = f"0102-000000-{self.number:04x}", self.folder / "reports"
        report = reports / str(self.number)
        report.mkdir()
        site = self.session.site(self.engine, MonotonicClock(), image, reports=reports, root=self.folder / "root", ports=1)
        folders = replace(site.folders, report=report, run=run_id)
        return ContainerHost(run_id, MonotonicClock(), folders, image, engine=self.engine, site=site)


@pytest.fixture(scope="module")
def runs(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    found = Runs(engine, tmp_path_factory.mktemp("runs"))
    try:
        yield found
    finally:
        found.session.close()
        assert left_of(engine, found.session.id) == ([], [])


def start(
    host: ContainerHost, program: str, name: str = "pay-1", *, settings: dict[str, Any] | None = None, **options: Any
) -> ContainerProcess:
    base = host.new_pid_base()
    told = write_private(host.folders.part(name) / "settings.json", settings) if settings else ""
    return host.spawn(
        name,
        "worker",
        ["python3", "-c", "import os, sys, time\n" + program],
        env={"PYTHONPATH": str(AGENT_FOLDER), "OF_THE_APP": "x", **({"CELERY_HARNESS_AGENT": str(told)} if told else {})},
        cwd=Path("/usr"),
        image=image("python"),
        log=host.folders.report / f"{name}-{base}.log",
        pid_base=base,
        wait=True,
        **options,
    )


def seen(host: ContainerHost) -> tuple[dict[str, Any], str]:
    """What a process sees, and the container that it was in."""
    process = start(host, PROBE)
    told: dict[str, Any] = json.loads(wrote(process, "saw ").removeprefix("saw "))
    told["streams"] = [text.replace(str(process.log), "its log") for text in told["streams"]]
    container = process.container_id
    until(lambda: not process.alive(), "it ends")
    assert process.status == 0
    return told, container


@pytest.fixture(scope="module")
def alone(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """As a process sees it that has a container of its own."""
    host = make_host(engine, tmp_path_factory.mktemp("alone"))
    try:
        return seen(host)[0]
    finally:
        host.close()


def test_a_seat_shows_what_a_container_of_its_own_shows(runs: Runs, alone: dict[str, Any]) -> None:
    first = runs.begin()
    told, container = seen(first)
    first.close()
    second = runs.begin()
    again, same = seen(second)
    second.close()
    assert {k: (told[k], alone[k]) for k in told if told[k] != alone[k]} == {}
    assert {k: (again[k], alone[k]) for k in told if again[k] != alone[k]} == {}
    assert same == container


@pytest.mark.parametrize("what", parts(TAKEN_BACK, quick=["nothing", "files in /tmp", "shared memory", "a daemon"]))
def test_what_can_be_taken_back_is_gone(runs: Runs, alone: dict[str, Any], what: str) -> None:
    first = runs.begin()
    process = start(first, TAKEN_BACK[what])
    until(lambda: not process.alive(), "it ends")
    assert process.status == 0, process.log.read_text()
    first.close()
    second = runs.begin()
    told, container = seen(second)
    second.close()
    assert told == alone
    assert container == process.container_id


@pytest.mark.parametrize(
    "what",
    parts(
        STAYS,
        quick=[
            "a file that was changed and looks as before",
            "the limits of process 1",
        ],
    ),
)
def test_after_what_cannot_be_taken_back_the_next_one_gets_another_container(runs: Runs, alone: dict[str, Any], what: str) -> None:
    first = runs.begin()
    process = start(first, STAYS[what])
    until(lambda: not process.alive(), "it ends")
    assert process.status == 0, process.log.read_text()
    first.close()
    second = runs.begin()
    told, container = seen(second)
    second.close()
    assert told == alone
    assert container != process.container_id


def test_a_closing_connection_to_where_it_may_connect_is_no_reason_for_another(runs: Runs) -> None:
    dial = "import socket; socket.create_connection(('toxiproxy', 8474)).close(); time.sleep(0.1)\nprint('closing', *open('/proc/net/tcp'))"
    for allowed in ([["toxiproxy", 8474]], [["broker", 6379]]):
        first = runs.begin()
        process = start(first, dial, name=f"to-{allowed[0][0]}", settings={"allow": allowed})
        wrote(process, "closing")
        until(lambda process=process: not process.alive(), "it ends")
        assert f"{8474:04X}" in process.log.read_text(), "the kernel still has it"
        first.close()
        second = runs.begin()
        again = start(second, "", name=process.name)
        second.close()
        assert (again.container_id == process.container_id) == (allowed[0][0] == "toxiproxy")


def test_one_that_was_frozen_from_outside_while_it_waited_is_not_used(runs: Runs, engine: Engine) -> None:
    first = runs.begin()
    process: Any = start(first, "")
    until(lambda: not process.alive(), "it ends")
    seat = process.seat
    first.close()
    assert seat.cleaning.result(30), "it has said that it is clean"
    engine.client.api.pause(process.container_id)
    second = runs.begin()
    assert start(second, "").container_id != process.container_id
    second.check()
    second.close()


def test_a_site_whose_toxiproxy_was_killed_while_it_waited_is_given_up(runs: Runs, engine: Engine) -> None:
    first = runs.begin()
    first.open()
    first.close()
    assert first.ends_clean()
    labels = [f"celery-harness.session={runs.session.id}", "celery-harness.part=toxiproxy"]
    (door,) = engine.client.api.containers(filters={"label": labels})
    engine.client.api.kill(door["Id"])
    second = runs.begin()
    assert wrote(start(second, "print('here', flush=True)"), "here")
    second.check()
    second.close()


def test_a_process_in_a_seat_is_killed_signalled_paused_and_told_as_any_other(runs: Runs) -> None:
    host = runs.begin()
    process = start(host, PARENT, stdin=True)
    words = wrote(process, "pid ").split()
    assert process.pid == process.pid_base + int(words[1]) and list(process.children()) == [process.pid_base + int(words[3])]
    process.tell("hello")
    wrote(process, "heard hello")
    process.pause()
    process.resume()
    process.tell("leave")
    until(lambda: not process.alive(), "it leaves")
    assert process.status == 7
    after = start(host, PARENT, stdin=True)
    wrote(after, "pid ")
    assert after.container_id != process.container_id, "it was paused by the engine"
    assert len(after.kill()) == 2 and after.status == -9
    again = start(host, PARENT, stdin=True)
    wrote(again, "pid ")
    assert again.container_id == after.container_id
    again.tell("die")
    until(lambda: not again.alive(), "it kills its group")
    assert again.status == -9
    host.close()


def test_a_process_that_cannot_begin_is_told(runs: Runs) -> None:
    host = runs.begin()
    process = start(host, "sys.exit(5)")
    until(lambda: not process.alive(), "it ends")
    assert process.status == 5
    host.check()
    host.close()


def test_a_name_that_the_next_run_does_not_want_is_gone_and_one_of_another_kind_is_another(runs: Runs, engine: Engine) -> None:
    host = runs.begin()
    kept, other = start(host, "", name="stays-1"), start(host, "", name="goes-1")
    host.close()
    host = runs.begin()
    host.open()
    host.seats.keep_only({"stays-1"})
    names = {c["Names"][0] for c in engine.client.api.containers(all=True, filters={"label": f"celery-harness.session={runs.session.id}"})}
    assert not any("goes-1" in name for name in names)
    again = start(host, "", name="stays-1")
    assert again.container_id == kept.container_id != other.container_id
    host.close()


def test_a_site_whose_proxies_cannot_be_put_right_is_given_up(runs: Runs, engine: Engine) -> None:
    from harness.netproxy.client import Proxies
    from harness.ports.network import Toxic

    host = runs.begin()
    host.open()
    link = Proxies(*host.api()).create("pay-1", "broker", listen=host.listen(), upstream="broker:6379")
    link.add(Toxic("timeout", "upstream", {"timeout": 0}))
    link.disable()
    host.close()
    assert host.ends_clean(), "a run's link goes, with its toxics"
    assert not Proxies(*host.api()).links()
    host = runs.begin()
    host.open()
    port = host.publish("broker", 6379)
    (own,) = Proxies(*host.api()).links()
    own.add(Toxic("latency", "upstream", {"latency": 1000}))
    host.close()
    assert not host.ends_clean(), "nobody disturbs our own ways to a server"
    runs.session.leave_site()
    assert left_of(engine, runs.session.id) == ([], [])
    host = runs.begin()
    host.open()
    assert host.publish("broker", 6379) > 0 and port > 0
    host.close()
    assert host.ends_clean()
