"""RabbitMQ: which program, how it is started and addressed, and what Celery makes of it. docs/rabbitmq.md says why."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import psutil

from harness.brokers.rabbitmq_config import TAP_PREFIX, Layout, plugins, server_config, server_definitions, server_environment, vhost_rights
from harness.brokers.rabbitmq_connection import connect, failures
from harness.brokers.rabbitmq_inspector import RabbitInspector
from harness.brokers.rabbitmq_management import VHOST, Management
from harness.brokers.rabbitmq_memory import memory_of
from harness.errors import EnvironmentFault
from harness.ports.broker import BrokerInspector, ContainerPlan, Endpoint, ServerPlan, Tls

__all__ = ["RabbitBroker"]

#: Generic Unix archives and Homebrew link to their programs from PATH; packages put them beside a wrapper that insists on
#: the system user `rabbitmq` and its folders.
_PLACES = ("/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin", "/opt/homebrew/sbin", "/usr/local/sbin")
_CONTAINER_PLACES = "/opt/rabbitmq/sbin:/usr/lib/rabbitmq/bin"
_INSIDE = Path("/etc/celery-harness")
_CONTAINER_DATA = Path("/var/lib/celery-harness")
_CONTAINER_PORTS = {"management": 15672, "metrics": 15692}
_START_SECONDS = 60.0
_AGAIN_SECONDS = 10.0
#: `enable_queue_totals` of the management API, see `Management.queues`.
_OLDEST = (3, 10)


class RabbitBroker:
    """See `BrokerKind`."""

    kind = "rabbitmq"
    title = "RabbitMQ"
    roles = frozenset({"broker"})
    #: management: HTTP API. metrics: rabbitmq_prometheus. distribution, epmd: Erlang's own, of a process on this machine.
    further_ports: tuple[str, ...] = ("management", "metrics", "distribution", "epmd")
    semantics: Mapping[str, Any] = MappingProxyType(
        {
            # rabbitmq.com/docs/confirms#automatic-requeueing: at once, when the channel or its connection closes.
            "redelivers_on": "lost_connection",
            # rabbit_queue_consumers: a message is pending for the channel from the moment in which it leaves the queue.
            "pop_before_unacked": False,
            "restores_on_warm_stop": True,  # what was prefetched, as the connection closes
            # rabbitmq.com/docs/dlx: basic.reject without requeue, where the queue has an exchange for them.
            "dead_letters": True,
            # rabbitmq.com/docs/ttl; celery.app.base.Celery.send_task sets `expiration` wherever a task has `expires`.
            "drops_expired": True,
            # celery.app.base.Celery.send_task and celery.utils.quorum_queues: quorum queues that hang on a topic exchange;
            # for all other queues a worker holds the ETA task, unacked.
            "native_delay": "quorum queues on topic exchanges",
            "native_delay_since": (5, 5),  # Celery
            "flags_redelivered": True,  # rabbitmq.com/docs/confirms#redeliveries-and-idempotency; also what was only looked at
            "shows_unacked": True,  # their number; which ones, only the consumer that has them knows
            # rabbitmq.com/docs/consumers#acknowledgement-timeout: 30 min unacked, and the channel is closed (since 3.8.17).
            "consumer_timeout": 1800.0,
            # celery.app.defaults: broker_heartbeat. A peer that is frozen or cut off is given up after two missed ones.
            "heartbeat": 120.0,
            # kombu.transport.pyamqp: `confirm_publish` is a transport option, off unless the app sets it.
            "confirms_by_default": False,
            # A copy can be put behind a message, never in front of a backlog.
            "copies_next_in_turn": False,
        }
    )

    def find(self) -> tuple[str, str]:
        """The server's own script, past any wrapper, and the version that its folder or `rabbitmqctl` names."""
        found = [(program, version) for program in dict.fromkeys(_programs()) if (version := _version(program))]
        if usable := next((entry for entry in found if tuple(int(n) for n in entry[1].split(".")[:2]) >= _OLDEST), None):
            return usable
        if found:
            raise EnvironmentFault(
                f"RabbitMQ {found[0][1]} is too old: its management API counts messages only every few seconds",
                where=found[0][0],
                hint="3.10 or later will do; or use the containers runtime",
            )
        raise EnvironmentFault(
            "no RabbitMQ server: there is no rabbitmq-server on PATH or in lib/rabbitmq/bin",
            where="rabbitmq",
            hint="`apt install rabbitmq-server`, `brew install rabbitmq`, or use the containers runtime",
        )

    def plan(self, program: str, folder: Path, endpoint: Endpoint, *, persistence: bool) -> ServerPlan:
        """A node of its own: name, data, plugins, cookie, ports and epmd, all on loopback. Passwords are written as hashes only.

        What it holds is on disk with or without ``persistence``, as far as queues and messages are durable.
        """
        missing = [name for name in self.further_ports if not endpoint.ports.get(name)]
        if missing:
            raise EnvironmentFault(f"RabbitMQ needs a port for {', '.join(missing)}", where="rabbitmq")
        epmd = _epmd()
        layout = Layout(config=folder, data=folder / "node", tls=endpoint.tls)
        # The port is in the name: data of a node that lost the race for its port are not the next one's.
        env = server_environment(layout, node=f"harness-{endpoint.port}@localhost")
        ports = endpoint.ports
        env |= {
            "RABBITMQ_DIST_PORT": str(ports["distribution"]),
            "ERL_EPMD_PORT": str(ports["epmd"]),
            # An epmd that Erlang starts by itself is a daemon, and outlives everybody.
            "ERL_ZFLAGS": "-start_epmd false",
            "HOME": str(folder),
        }
        return ServerPlan(
            # With RABBITMQ_ALLOW_INPUT the script becomes the node by exec, so pid and parent-death signal are the node's.
            argv=(program, "-noinput"),
            env=env,
            files={
                layout.config_file: server_config(layout, endpoint.host, endpoint.port, ports["management"], ports["metrics"]),
                layout.definitions_file: server_definitions(endpoint, self.login),
                layout.plugins_file: plugins(),
                folder / ".erlang.cookie": layout.cookie(endpoint.password),
            },
            companions=((epmd, "-address", "127.0.0.1", "-port", str(ports["epmd"])),),
            start_seconds=_START_SECONDS,
        )

    def container(self, endpoint: Endpoint, *, persistence: bool) -> ContainerPlan:
        """The public image and one made of Debian's package differ in where the script lies; the node's name is the same in any
        container, so that a restarted one finds its data.
        """
        tls = endpoint.tls and Tls(_INSIDE / "ca.pem", _INSIDE / "server.pem", _INSIDE / "server.key")
        layout = Layout(config=_INSIDE, data=_CONTAINER_DATA, tls=tls)
        port = 5671 if tls else 5672
        files = {
            layout.config_file: server_config(layout, "0.0.0.0", port, *_CONTAINER_PORTS.values()),
            layout.definitions_file: server_definitions(endpoint, self.login),
            layout.plugins_file: plugins(),
        }
        if endpoint.tls and tls:
            pairs = zip(
                (tls.authority, tls.certificate, tls.key), (endpoint.tls.authority, endpoint.tls.certificate, endpoint.tls.key), strict=True
            )
            files |= {inside: outside.read_text() for inside, outside in pairs}
        script = f'export PATH="{_CONTAINER_PLACES}:$PATH" HOME={_CONTAINER_DATA}; mkdir -p "$HOME"; exec rabbitmq-server -noinput'
        return ContainerPlan(
            image="rabbitmq",
            argv=("sh", "-c", script),
            port=port,
            ports=_CONTAINER_PORTS,
            env=server_environment(layout, node="harness@localhost"),
            files={str(path): text for path, text in files.items()},
            start_seconds=_START_SECONDS,
        )

    def ready(self, endpoint: Endpoint, pid: int) -> bool:
        """It is our process that listens; the monitor can log in to the management API and over AMQP, and declare a quorum queue, which a
        busy node refuses for a while after it has begun to listen (INTERNAL_ERROR).

        The API knows the node's own process id as well, but only 5 s after the node is ready.
        """
        if pid and not _listens(pid, endpoint.port):
            return False
        management = Management(self._monitored(endpoint), timeout=2.0)
        try:
            if not any(node.get("running") for node in management.get("/api/nodes?disable_stats=true")):
                return False
            management.activity()
            connection = connect(self._monitored(endpoint), timeout=2.0)
            try:
                _try_quorum_queue(connection.channel())
            finally:
                connection.collect()
        except EnvironmentFault:
            return False
        except failures():
            return False
        finally:
            management.close()
        return True

    def reset(self, endpoint: Endpoint) -> bool:
        """A new virtual host in place of the old one: queues, exchanges, bindings, policies and messages go with that, and its
        connections are closed. Users and everything beyond it stay as they are: an app's login has no tag.
        """
        management = Management(self._monitored(endpoint), timeout=10.0)
        try:
            management.delete(f"/api/vhosts/{VHOST}")
            management.put(f"/api/vhosts/{VHOST}", {"tracing": False})  # this one setting survives, by name
            for entry in vhost_rights(endpoint, self.login):
                management.put(f"/api/permissions/{VHOST}/{quote(entry['user'], safe='')}", entry)
            management.cut_off(seconds=5.0)
            memory_of(endpoint).forget(management.dropped())
            return not management.queues() and self._ready_again(endpoint)
        except EnvironmentFault:
            return False
        finally:
            management.close()

    def _ready_again(self, endpoint: Endpoint) -> bool:
        """Within some seconds: as after a start, a busy node may refuse the first quorum queues of a new virtual host."""
        deadline = time.monotonic() + _AGAIN_SECONDS
        while not self.ready(endpoint, 0):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def renew(self, endpoint: Endpoint) -> bool:
        """See `RenewsLogins`. A connection that shows its password now is refused as it opens the virtual host: a user that is gone has
        no right to it (rabbit_access_control:check_vhost_access).
        """
        monitored = self._monitored(endpoint)
        ours = {monitored.user, *(own.user for own in endpoint.logins.values())}
        management = Management(monitored, timeout=10.0)
        try:
            for own in endpoint.logins.values():
                management.put(f"/api/users/{quote(own.user, safe='')}", {"password": own.password, "tags": ""})
            for user in management.get("/api/users"):
                if user["name"] not in ours:
                    management.delete(f"/api/users/{quote(user['name'], safe='')}")
        except EnvironmentFault:
            return False
        finally:
            management.close()
        return True

    def clients(self, endpoint: Endpoint) -> int:
        """By the management API's list of connections."""
        management = Management(self._monitored(endpoint))
        try:
            users = {login.user for login in endpoint.logins.values()}
            return sum(connection.get("user") in users for connection in management.connections())
        finally:
            management.close()

    def version(self, endpoint: Endpoint) -> str:
        """E.g. '3.10.8'."""
        management = Management(self._monitored(endpoint))
        try:
            return str(management.get("/api/overview")["rabbitmq_version"])
        finally:
            management.close()

    def login(self, role: str) -> str:
        """One user per role: monitor, worker, producer."""
        return role

    def url(self, endpoint: Endpoint, db: int = 0, *, role: str = "broker") -> str:
        """``amqp://user:password@host:port//`` (``amqps`` with TLS): the virtual host is '/'; ``db`` has no meaning here."""
        user, password = quote(endpoint.user or self.login("monitor"), safe=""), quote(endpoint.password, safe="")
        return f"{'amqps' if endpoint.tls else 'amqp'}://{user}:{password}@{endpoint.host}:{endpoint.port}//"

    def client_settings(self, redelivery: float | None) -> dict[str, Any]:
        """Nothing: RabbitMQ redelivers as soon as a connection is lost."""
        return {}

    def tls_settings(self, role: str, authority: Path) -> dict[str, Any]:
        """`broker_use_ssl` for py-amqp. ``server_hostname: None`` makes kombu fill in the URL's host (kombu.transport.pyamqp), and
        only with a host name does py-amqp compare it with the certificate (amqp.transport.SSLTransport).
        """
        return {"broker_use_ssl": {"ca_certs": str(authority), "cert_reqs": int(ssl.CERT_REQUIRED), "server_hostname": None}}

    def inspect(self, endpoint: Endpoint, db: int = 0, *, transport_options: Mapping[str, Any] | None = None) -> BrokerInspector:
        """An inspector; it connects at its first use and again after a restart of the server."""
        return RabbitInspector(self._monitored(endpoint))

    def _monitored(self, endpoint: Endpoint) -> Endpoint:
        return replace(endpoint, user=endpoint.user or self.login("monitor"))


def _try_quorum_queue(channel: Any) -> None:
    """Declared and deleted, under a name of its own: one that a kill left half made does not stand in the way."""
    name = f"{TAP_PREFIX}ready.{uuid.uuid4()}"
    channel.queue_declare(name, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
    channel.queue_delete(name)


def _listens(pid: int, port: int) -> bool:
    try:
        process = psutil.Process(pid)
        look = getattr(process, "net_connections", None) or process.connections  # its name before psutil 6
        return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in look("tcp"))
    except psutil.Error:
        return False


def _programs() -> Iterator[str]:
    on_path = shutil.which("rabbitmq-server")
    for folder in (*_PLACES, str(Path(on_path).parent) if on_path else ""):
        found = shutil.which("rabbitmq-server", path=folder) if folder else None
        if found:
            # Debian's, in its bin folder, is a link into the release; beside the real one lies rabbitmq-env. Its program on PATH is a
            # link too, to a wrapper.
            real = Path(found).resolve()
            if real.name == "rabbitmq-server" and (real.parent / "rabbitmq-env").is_file():
                yield str(real)


@lru_cache(maxsize=16)
def _version(program: str) -> str:
    """Of the folder where that names it (no Erlang started for it), else of `rabbitmqctl version`; '' where that fails."""
    home = Path(program).parent.parent
    if found := re.search(r"(\d+\.\d+\.\d+[\w.-]*)$", home.name):
        return found[1]
    for path in sorted((home / "plugins").glob("rabbit-[0-9]*")):
        return re.sub(r"^rabbit-|\.ez$", "", path.name)
    command = [str(Path(program).parent / "rabbitmqctl"), "version"]
    env = {**os.environ, "ERL_ZFLAGS": "-start_epmd false"}  # or it leaves an epmd behind
    try:
        answer = subprocess.check_output(command, env=env, text=True, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\d+\.\d+\.\d+[\w.-]*", answer)
    return found[0] if found else ""


def _epmd() -> str:
    """Erlang's port mapper: on PATH, or in the runtime's own folder, where Debian and the archives keep it."""
    erl = shutil.which("erl")
    beside = [Path(erl).resolve().parent] if erl else []
    roots = [*(p.parent for p in beside), Path("/usr/lib/erlang")]
    folders = [*beside, *(folder for root in roots for folder in sorted(root.glob("erts-*/bin")))]
    found = shutil.which("epmd") or next((p for folder in folders if (p := shutil.which("epmd", path=str(folder)))), None)
    if found is None:
        raise EnvironmentFault("RabbitMQ is installed, and Erlang's epmd is not found", where="rabbitmq", hint="is `erl` on PATH?")
    return found
