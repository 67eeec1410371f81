"""Processes in containers at a real engine: lives and deaths, what they may do, and the network."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import pytest

from harness.errors import EnvironmentFault
from harness.runtimes.shared.environment import AGENT_FOLDER
from tests.conformance.containers_support import (
    PARENT,
    ContainerHost,
    Engine,
    image,
    left_of,
    module_host,
    parent,
    session_engine,
    spawn,
    until,
    wrote,
)

__all__ = ["module_host", "session_engine"]  # fixtures


# --- lives and deaths -----------------------------------------------------------------------------------------------


def test_a_sigkill_from_inside_ends_the_container_and_is_seen(host: ContainerHost) -> None:
    process, child = parent(host, "suicide")
    assert process.children() == [child]
    before = time.monotonic()
    process.tell("die")
    until(lambda: not process.alive(), "its death is told")
    assert process.status == -signal.SIGKILL
    assert process.down is not None and before <= process.down <= time.monotonic()
    assert process.kill() == () and process.children() == []
    with pytest.raises(EnvironmentFault, match="suicide ended early"):
        process.tell("anybody there?")


def test_sigterm_reaches_the_main_process_alone_and_its_status_comes_out(host: ContainerHost) -> None:
    process, _ = parent(host, "warm")
    process.signal_main(signal.SIGTERM)
    until(lambda: not process.alive(), "it leaves")
    assert process.status == 3
    assert wrote(process, "warm")


def test_the_engines_kill_takes_children_along(host: ContainerHost) -> None:
    process, child = parent(host, "killed")
    assert process.kill() == (process.pid, child)
    assert process.status == -signal.SIGKILL and not process.alive()


def test_a_child_is_killed_alone(host: ContainerHost) -> None:
    process, child = parent(host, "bereft")
    assert process.children() == [child]
    assert process.kill_child(child)
    until(lambda: process.children() == [], "the child is gone or a zombie")
    assert process.alive() and process.known_children == {child}
    assert not process.kill_child(process.pid_base + 4_000_000)
    process.kill()


def test_input_is_heard_and_ends(host: ContainerHost) -> None:
    process, _ = parent(host, "heard")
    process.tell("hello there")
    assert wrote(process, "heard hello there")
    process.close_input()
    process.close_input()
    assert wrote(process, "end of input")
    process.kill()


def test_paused_nothing_runs_and_resumed_it_goes_on(host: ContainerHost) -> None:
    process, child = parent(host, "frozen")
    process.children()
    process.pause()
    process.pause()
    process.tell("while frozen")
    time.sleep(0.3)  # time in which it would have answered
    assert "while frozen" not in process.log.read_text()
    assert process.children() == [child] and process.alive()
    process.resume()
    assert wrote(process, "heard while frozen")
    process.pause()
    assert process.kill() == (process.pid, child), "a frozen one can be killed too"


def _one_is_stopped() -> bool:
    """Of the processes that run PARENT, as the machine sees them: no other test stops one by a signal."""
    running = (one.info for one in psutil.process_iter(["cmdline", "status"]))
    return any(info["status"] == psutil.STATUS_STOPPED and PARENT in (info["cmdline"] or ()) for info in running)


def test_resume_thaws_what_was_stopped_from_inside(host: ContainerHost) -> None:
    process, _ = parent(host, "stopped")
    process.tell("freeze")
    wrote(process, "heard freeze")
    until(_one_is_stopped, "the signal that it sent itself has stopped all of its threads")
    process.tell("later")
    time.sleep(0.2)
    assert "heard later" not in process.log.read_text()
    process.resume()
    assert wrote(process, "heard later")
    process.kill()


def test_a_name_is_used_again_by_another_life(host: ContainerHost, engine: Engine) -> None:
    first, _ = parent(host, "again")
    first.tell("leave")
    until(lambda: not first.alive(), "it leaves")
    assert first.status == 7
    first.log.unlink()
    second, _ = parent(host, "again")
    assert second.pid != first.pid and second.alive()
    until(lambda: len([name for name in left_of(engine, host.run_id)[0] if "-again-" in name]) == 1, "the first container is removed")
    second.kill()


def test_starts_side_by_side(host: ContainerHost) -> None:
    began = time.monotonic()
    processes = [spawn(host, f"side-{number}", PARENT, stdin=True) for number in range(4)]
    took = time.monotonic() - began
    assert len({process.pid for process in processes}) == 4
    assert took < (time.monotonic() - began) / 2, "spawn does not wait, their pids do"
    host.check()
    for process in processes:
        process.kill()


def test_a_journal_has_pids_of_the_base(host: ContainerHost) -> None:
    program = (
        "import sys, os; from celery_harness_agent.journal import Journal; from celery_harness_agent.settings import Settings\n"
        "j = Journal(Settings({'journal': sys.argv[1], 'name': 'pay-1', 'role': 'worker', 'pid_base': int(sys.argv[2])}))\n"
        "pid = os.fork()\n"
        "if pid: os.waitpid(pid, 0)\n"
    )
    folder, base = host.folders.report / "journal", host.new_pid_base()
    process = host.spawn(
        "diary",
        "worker",
        ["python3", "-c", program, str(folder), str(base)],
        env={"PYTHONPATH": str(AGENT_FOLDER)},
        cwd=host.folders.common(),
        image=image("python"),
        log=host.folders.report / "diary.log",
        pid_base=base,
    )
    until(lambda: not process.alive(), "it ends")
    assert process.status == 0, process.log.read_text()
    opened = sorted((json.loads(path.read_bytes().partition(b"\n")[0]) for path in folder.iterdir()), key=lambda r: r["m"])
    assert {path.stem.partition("-")[0] for path in folder.iterdir()} == {str(record["pid"]) for record in opened}
    assert opened[0]["pid"] == process.pid == opened[1]["ppid"]
    assert opened[0]["ppid"] == base + 1


# --- what a worker may do -------------------------------------------------------------------------------------------


def test_a_worker_has_no_rights_no_engine_and_no_way_out(host: ContainerHost, engine: Engine) -> None:
    """Out would be: what this machine listens on, by the network's gateway; and the same Toxiproxy by its address on the default bridge."""
    program = """
import json, os, socket, sys
def reach(host, port):
    try:
        socket.create_connection((host, port), 2).close()
        return True
    except OSError:
        return False
status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
print('found ' + json.dumps({
    'capabilities': int(status['CapEff'], 16) | int(status['CapBnd'], 16), 'no_new_privileges': status['NoNewPrivs'].strip(),
    'uid': os.getuid(), 'socket': os.path.exists('/var/run/docker.sock'),
    'proxy': reach('toxiproxy', 8474), 'bridge': reach(sys.argv[1], 8474), 'machine': reach(sys.argv[2], int(sys.argv[3])),
    'agent_writable': os.access(os.environ['PYTHONPATH'], os.W_OK),
    'variables': sorted(os.environ)}), flush=True)
"""
    assert host.network is not None
    door = next(name for name in left_of(engine, host.run_id)[0] if "-toxiproxy-" in name).lstrip("/")
    bridge = engine.client.api.inspect_container(door)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    gateway = engine.client.api.inspect_network(host.network.id)["IPAM"]["Config"][0]["Gateway"]
    with socket.create_server(("0.0.0.0", 0)) as listener:
        process = spawn(host, "caged", program, bridge, gateway, str(listener.getsockname()[1]))
        found = json.loads(wrote(process, "found ").partition(" ")[2])
    assert found["capabilities"] == 0 and found["no_new_privileges"] == "1" and found["uid"] == os.getuid()
    assert not found["bridge"] and not found["machine"], "no way out"
    assert not found["socket"] and not found["agent_writable"]
    assert found["proxy"], "the network itself works"
    assert {"CELERY_HARNESS_PARENT", "PYTHONPATH", "HOME"} <= set(found["variables"])
    assert not [name for name in found["variables"] if name.startswith("DOCKER")]


def test_published_on_loopback_only(host: ContainerHost, engine: Engine) -> None:
    published = [
        (name, binding)
        for name in left_of(engine, host.run_id)[0]
        for bindings in (engine.client.api.inspect_container(name.lstrip("/"))["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or ()
    ]
    assert published and {binding["HostIp"] for _, binding in published} == {"127.0.0.1"}
    assert all("-toxiproxy-" in name for name, _ in published)


_PINGER = """
import socket, sys, time
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
peer.settimeout(1)
number = 0
while True:
    try:
        peer.sendall(b'x'); peer.recv(1); number += 1; print('echo', number, flush=True)
    except OSError as exc:
        print('silence', flush=True)
    time.sleep(0.02)
"""
_ECHO = """
import socket
listener = socket.create_server(('0.0.0.0', 7000))
print('listening', flush=True)
while True:
    peer, _ = listener.accept()
    while data := peer.recv(1): peer.sendall(data)
"""


def test_off_the_network_there_is_silence_and_back_on_it_the_connection_goes_on(host: ContainerHost) -> None:
    echo = spawn(host, "echo", _ECHO)
    wrote(echo, "listening")
    process = spawn(host, "pinger", _PINGER, "echo", "7000")
    wrote(process, "echo 3")
    assert host.joined(process)
    host.leave(process)
    host.leave(process)
    assert not host.joined(process)
    wrote(process, "silence")
    count = process.log.read_text().count("echo")
    host.join(process)
    host.join(process)
    assert host.joined(process)
    until(lambda: process.log.read_text().count("echo") > count + 3, "the same connection goes on", 30.0)
    process.kill()
    echo.kill()


def test_what_we_serve_on_loopback_is_reached_through_a_relay(host: ContainerHost) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[::-1])

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        where = host.expose("card_api", server.server_port)
        assert where == ("card-api", server.server_port), "a name that every HTTP framework takes"
        program = (
            "import urllib.request, sys\n"
            "for n in range(20):\n"
            "    data = bytes([65 + n]) * 100_000 + b'!'\n"
            "    with urllib.request.urlopen(f'http://{sys.argv[1]}:{sys.argv[2]}/', data, timeout=10) as answer:\n"
            "        assert answer.read() == data[::-1]\n"
            "print('all came back', flush=True)\n"
        )
        process = spawn(host, "caller", program, where[0], str(where[1]))
        assert wrote(process, "all came back")
    finally:
        server.shutdown()
        server.server_close()
