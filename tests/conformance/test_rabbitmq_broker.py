"""What the harness promises of every broker kind, on a real RabbitMQ with real Celery workers."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme
from celery import Celery
from kombu import Connection, Queue

from harness.brokers import BROKERS
from harness.brokers.rabbitmq import RabbitBroker
from harness.brokers.rabbitmq_inspector import RabbitInspector
from harness.errors import EnvironmentFault
from harness.ports.broker import BrokerKind, Tls
from harness.ports.clock import derived_random
from tests.parts import parts
from tests.unit.brokers.rabbit_server import RabbitServer, running
from tests.unit.brokers.servers import eventually, worker

MODULE = "tests.conformance.rabbitmq_app:app"
TYPES = ["classic", "quorum"]
PAST = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)


def send(rabbit: RabbitServer, task: str, *args: Any, kind: str = "classic", **options: Any) -> None:
    """By a producer process with the producer's login, as the harness does it."""
    code = "import json, sys; from tests.conformance.rabbitmq_app import app; task, args, options = json.load(sys.stdin)\n"
    code += "app.send_task(task, args, **options)"
    env = {**os.environ, "BROKER": rabbit.url("producer"), "QUEUE_TYPE": kind}
    root = Path(__file__).resolve().parents[2]
    subprocess.run(
        [sys.executable, "-c", code], input=json.dumps([task, args, options]), text=True, env=env, cwd=root, check=True, timeout=30
    )


def environment(rabbit: RabbitServer, folder: Path, kind: str = "classic") -> dict[str, str]:
    return {"BROKER": rabbit.url("worker"), "QUEUE_TYPE": kind, "LOG": str(folder / "log")}


def test_every_kind_says_what_it_does() -> None:
    kind: BrokerKind = RabbitBroker()
    assert kind.kind in BROKERS
    assert {"redelivers_on", "pop_before_unacked", "dead_letters"} <= set(kind.semantics)
    assert kind.client_settings(None) == {}


@pytest.mark.parametrize("kind", parts(TYPES, quick=["quorum"]))
def test_a_worker_with_everything_on_runs_with_its_login(rabbit: RabbitServer, looker: RabbitInspector, tmp_path: Path, kind: str) -> None:
    """Mingle, gossip, heartbeats, events and remote control: all that a worker declares and binds, the worker's login may."""
    root = Path(__file__).resolve().parents[2]
    env = {**os.environ, **environment(rabbit, tmp_path, kind)}
    log = tmp_path / "log"
    command = [sys.executable, "-m", "celery", "-A", MODULE, "worker", "-P", "solo", "-E", "-n", "w@test", "-l", "INFO"]
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out, cwd=root, start_new_session=True)
    try:
        send(rabbit, "note", str(tmp_path / "mark"), "done", kind=kind)
        eventually(lambda: (tmp_path / "mark").exists(), 30)
        app = Celery("control", broker=rabbit.url("producer"), set_as_current=False)
        assert eventually(lambda: app.control.ping(timeout=1.0), 60) == [{"w@test": {"ok": "pong"}}]
        app.close()
        eventually(lambda: looker.depth() == (0, 0))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert "ACCESS_REFUSED" not in log.read_text() and "Traceback" not in log.read_text(), log.read_text()


@pytest.mark.parametrize("kind", parts(TYPES, quick=["classic"]))
def test_a_killed_workers_message_comes_back_at_once(rabbit: RabbitServer, looker: RabbitInspector, tmp_path: Path, kind: str) -> None:
    mark = str(tmp_path / "mark")
    send(rabbit, "hold", mark, kind=kind, task_id="t1", headers={"celery_harness_message": "m1"})
    with worker(MODULE, environment(rabbit, tmp_path, kind), "-P", "solo", "-n", "one@test", "-Q", "pay"):
        eventually(lambda: Path(mark).exists(), 30)
        eventually(lambda: looker.depth() == (0, 1))
        (held,) = looker.look(0.0)
        assert (held.place, held.queue, held.message_id) == ("unacked", "pay", "")
    (held,) = looker.look(0.0)
    assert (held.place, held.queue, held.message_id, held.task_id) == ("ready", "pay", "m1", "t1")
    Path(mark + ".go").touch()
    with worker(MODULE, environment(rabbit, tmp_path, kind), "-P", "solo", "-n", "two@test", "-Q", "pay"):
        eventually(lambda: Path(mark).read_text() == "begun\nbegun\n", 30)
        eventually(lambda: looker.depth() == (0, 0))
    assert looker.look(0.0) == []


@pytest.mark.parametrize("kind", parts(TYPES, quick=["quorum"]))
def test_a_rejected_task_is_a_dead_letter(rabbit: RabbitServer, looker: RabbitInspector, tmp_path: Path, kind: str) -> None:
    connection = rabbit.connection("worker")
    connection.channel().queue_declare("dead", durable=True, auto_delete=False, arguments={"x-queue-type": kind})
    connection.collect()
    send(rabbit, "refuse", kind=kind, task_id="t1", headers={"celery_harness_message": "m1"})
    with worker(MODULE, environment(rabbit, tmp_path, kind), "-P", "solo", "-n", "one@test", "-Q", "pay"):
        held = eventually(lambda: [h for h in looker.look(0.0) if h.place == "dead_letter"], 30)
    assert [(h.queue, h.message_id, h.task_id) for h in held] == [("dead", "m1", "t1")]
    assert looker.depth() == (0, 0)


@pytest.mark.exhaustive
def test_a_retry_on_a_quorum_queue_waits_in_the_broker_and_comes(rabbit: RabbitServer, looker: RabbitInspector, tmp_path: Path) -> None:
    """Native delayed delivery (Celery 5.5 and later): no moment between the two runs in which the broker looks empty."""
    mark = tmp_path / "mark"
    with worker(MODULE, environment(rabbit, tmp_path, "quorum"), "-P", "solo", "-n", "one@test", "-Q", "pay"):
        send(rabbit, "again", str(mark), kind="quorum", task_id="t1")
        eventually(lambda: mark.exists() and mark.read_text(), 30)
        places: set[str] = set()
        while mark.read_text() == "0\n":
            depth = looker.depth()
            assert depth != (0, 0) or mark.read_text() != "0\n"
            places |= {h.place for h in looker.look(0.0)}
        eventually(lambda: looker.depth() == (0, 0))
    assert "delayed" in places
    assert mark.read_text() == "0\n1\n"


@pytest.mark.parametrize("together", [False, True])
def test_a_copy_is_a_delivery_of_its_own(rabbit: RabbitServer, looker: RabbitInspector, together: bool) -> None:
    seen: set[str] = set()

    def copy() -> int:
        return looker.duplicate("pay", share=1.0, count=1, together=together, rng=derived_random(1, "copy"), seen=seen)

    if together:
        declare(rabbit)
        assert copy() == 0
    send(rabbit, "note", "x", "y", task_id="t1", headers={"celery_harness_message": "m1"})
    assert eventually(copy) == 1 and seen == {"m1"}
    connection = rabbit.connection("worker")
    channel = connection.channel()
    deliveries = [channel.basic_get("pay"), channel.basic_get("pay")]
    assert [m.headers["id"] for m in deliveries] == ["t1", "t1"]
    assert [m.headers["celery_harness_message"] for m in deliveries] == ["m1", "m1"]
    assert [m.headers.get("celery_harness_copy", 0) > 0 for m in deliveries] == [False, True]
    assert deliveries[0].body == deliveries[1].body
    channel.basic_ack(deliveries[0].delivery_tag)
    assert eventually(lambda: looker.depth() == (0, 1)), "acknowledging one leaves the other"
    channel.basic_ack(deliveries[1].delivery_tag)
    assert eventually(lambda: looker.depth() == (0, 0))
    connection.collect()


def declare(rabbit: RabbitServer) -> None:
    connection = rabbit.connection("worker")
    arguments = {"x-queue-type": "classic", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    connection.channel().queue_declare("pay", durable=True, auto_delete=False, arguments=arguments)
    connection.collect()


def test_closing_twice_and_using_again(looker: RabbitInspector) -> None:
    looker.close()
    looker.close()
    assert looker.depth() == (0, 0)


# --- a server of their own: restarts, TLS, what is left ---------------------------------------------------------------


def authority(folder: Path, *names: str, **options: Any) -> tuple[Tls, Path]:
    """Files of a server's certificate for these names, and the authority's."""
    ca = trustme.CA()
    issued = ca.issue_cert(*names, **options)
    paths = Tls(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    ca.cert_pem.write_to_path(str(paths.authority))
    paths.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    paths.key.write_bytes(issued.private_key_pem.bytes())
    return paths, paths.authority


def open_as_an_app(url: str, ca: Path) -> None:
    """As Celery does it: the URL, and the settings of ours."""
    settings = RabbitBroker().tls_settings("broker", ca)["broker_use_ssl"]
    with Connection(url, ssl=settings, connect_timeout=30) as connection:
        connection.connect()


@pytest.mark.exhaustive
def test_messages_survive_a_kill_over_tls_and_nothing_is_left(tmp_path: Path) -> None:
    tls, ca = authority(tmp_path, "127.0.0.1", "localhost")
    with running(RabbitServer(tmp_path / "rabbit", tls=tls)) as rabbit:
        assert rabbit.process is not None
        assert rabbit.url().startswith("amqps://")
        open_as_an_app(rabbit.url("worker"), ca)
        with socket.create_connection((rabbit.endpoint.host, rabbit.endpoint.port), timeout=5) as plain:
            plain.sendall(b"AMQP\x00\x00\x09\x01")
            plain.settimeout(10)
            assert not plain.recv(4).startswith(b"\x01"), "the broker speaks AMQP without TLS"
        app = Celery("tls", broker=rabbit.url("producer"), set_as_current=False)
        app.conf.update(RabbitBroker().tls_settings("broker", ca), broker_transport_options={"confirm_publish": True})
        quorum = Queue("quorum", queue_arguments={"x-queue-type": "quorum"})
        with app.connection_for_write() as connection:
            quorum(connection.default_channel).declare()  # at once: a server that is ready does not refuse
        for number in range(20):
            app.send_task("pay", task_id=str(number), queue=quorum if number % 2 else "pay")
        app.close()
        declared = time.monotonic()
        looker = rabbit.inspector()
        node = [psutil.Process(rabbit.process.pid), *psutil.Process(rabbit.process.pid).children(recursive=True)]
        eventually(lambda: looker.depth() == (20, 0))
        # RabbitMQ 3.10 loses a quorum queue that it made less than about a second before a kill (docs/rabbitmq.md).
        eventually(lambda: time.monotonic() > declared + 3.0)
        rabbit.kill()
        with pytest.raises(EnvironmentFault):
            looker.depth()
        authority(tmp_path, "elsewhere.example", not_after=PAST)
        rabbit.start()
        assert looker.depth() != (0, 0), "not even while the quorum queue has no leader"
        assert len(looker.look(0.0)) == 20, "the harness looks in, whatever the name and dates say"
        with pytest.raises(ssl.SSLCertVerificationError):
            open_as_an_app(rabbit.url("worker"), ca)
        assert {h.task_id for h in looker.look(0.0)} == {str(number) for number in range(20)}
        looker.close()
        mapper = rabbit.companions[0]
        node += [psutil.Process(rabbit.process.pid), *psutil.Process(rabbit.process.pid).children(recursive=True)]
    eventually(lambda: not any(map(_runs, node)))
    assert mapper.poll() is not None
    mine = rabbit.endpoint.ports["epmd"]
    assert not [c for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == mine and c.status == psutil.CONN_LISTEN]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ends while it is looked at
        return False


@contextlib.contextmanager
def serving(tls: Tls) -> Iterator[str]:
    """The URL of a server that shows this certificate and knows no AMQP. kombu tries more than once."""

    def serve() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        while not over.is_set():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"amqps://u:p@127.0.0.1:{address[1]}//"
        finally:
            over.set()
            socket.create_connection(address).close()
            thread.join()


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        (["elsewhere.example"], {}, "IP address mismatch"),
        (["127.0.0.1"], {"not_after": PAST}, "certificate has expired"),
    ],
)
def test_a_bad_certificate_is_refused_by_the_app_before_it_logs_in(tmp_path: Path, names: list[str], options: Any, says: str) -> None:
    tls, ca = authority(tmp_path, *names, **options)
    with serving(tls) as url, pytest.raises(ssl.SSLCertVerificationError, match=says):
        open_as_an_app(url, ca)


def test_an_authority_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    tls, _ = authority(tmp_path, "127.0.0.1")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    _, ca = authority(stranger, "127.0.0.1")
    with serving(tls) as url, pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        open_as_an_app(url, ca)
