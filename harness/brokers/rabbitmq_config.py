"""What a RabbitMQ node of ours is told: configuration, users and rights, plugins, environment."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.ports.broker import Endpoint, Login, Tls

__all__ = [
    "QUORUM_STATISTICS",
    "STATISTICS",
    "TAP_PREFIX",
    "Layout",
    "plugins",
    "server_config",
    "server_definitions",
    "server_environment",
    "vhost_rights",
]

#: Seconds between the counts that a queue which is in use publishes of itself: classic queues (RabbitMQ's default is 5 s) and quorum
#: queues (5 s too). 28 quorum queues, as native delayed delivery has them, cost 0.04 of a core at 100 ms.
STATISTICS = 0.05
QUORUM_STATISTICS = 0.1
#: Our own queues begin with it, and no app may touch them.
TAP_PREFIX = "celery-harness."

#: AMQP rights are regular expressions over names, one each for configure, write and read. Celery gives a queue and its exchange
#: the same name, declares both wherever it publishes or consumes, and binds (write on the queue, read on the exchange) in both places;
#: so worker and producer need all three on whatever the app names. Not theirs: the firehose, which shows everybody's messages,
#: and our tap. They have no tag, hence no management API, no policies, no other virtual host.
_APPS = r"^(?!amq\.rabbitmq\.|celery-harness\.).*$"
_EVERYTHING = ".*"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a node's files lie, as the node sees them."""

    config: Path
    data: Path
    tls: Tls | None = None

    @property
    def config_file(self) -> Path:
        """rabbitmq.conf."""
        return self.config / "rabbitmq.conf"

    @property
    def definitions_file(self) -> Path:
        """Users, virtual host and rights, loaded at each start."""
        return self.config / "definitions.json"

    @property
    def plugins_file(self) -> Path:
        """Which plugins are on."""
        return self.config / "enabled_plugins"

    def cookie(self, password: str) -> str:
        """What Erlang's distribution asks of a peer: known to those who know the monitor's password."""
        return hashlib.sha256(b"erlang cookie " + password.encode()).hexdigest()


def plugins() -> str:
    """Management for counts, metrics for the activity that proves them fresh."""
    return "[rabbitmq_management,rabbitmq_prometheus].\n"


def server_config(layout: Layout, host: str, port: int, management: int, metrics: int) -> str:
    """rabbitmq.conf. With TLS the AMQP port speaks nothing else; management and metrics are the harness's own, and plain."""
    listener = "ssl" if layout.tls else "tcp"
    settings = {
        "listeners.tcp" if layout.tls else "listeners.ssl": "none",
        f"listeners.{listener}.1": f"{host}:{port}",
        "management.tcp.ip": host,
        "management.tcp.port": str(management),
        "prometheus.tcp.ip": host,
        "prometheus.tcp.port": str(metrics),
        # Nobody asks for rates and histories; what a queue publishes of itself is read as it is.
        "management_agent.disable_metrics_collector": "true",
        "management.rates_mode": "none",
        "loopback_users": "none",
        "load_definitions": str(layout.definitions_file),
        "collect_statistics_interval": str(round(STATISTICS * 1000)),
        # Alarms block every publisher; how full this machine's disk and memory are is not what a run is about.
        "disk_free_limit.absolute": "1MB",
        "vm_memory_high_watermark.relative": "0.9",
        "log.console": "true",
        "log.console.level": "warning",
        "log.file": "false",
    }
    if layout.tls:
        settings |= {
            "ssl_options.cacertfile": str(layout.tls.authority),
            "ssl_options.certfile": str(layout.tls.certificate),
            "ssl_options.keyfile": str(layout.tls.key),
            "ssl_options.verify": "verify_none",  # of the client: it shows a password, no certificate
            "ssl_options.fail_if_no_peer_cert": "false",
        }
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


def server_definitions(endpoint: Endpoint, login: Callable[[str], str]) -> str:
    """Users with salted hashes (rabbit_password_hashing_sha256), and what each may do in the virtual host '/'."""
    monitor = endpoint.user or login("monitor")
    users = [_user(monitor, endpoint.password, "administrator")]
    users += [_user(own.user, own.password, "") for own in _own_logins(endpoint, monitor)]
    return json.dumps({"users": users, "vhosts": [{"name": "/"}], "permissions": vhost_rights(endpoint, login)}, indent=1)


def vhost_rights(endpoint: Endpoint, login: Callable[[str], str]) -> list[dict[str, str]]:
    """Who may do what in the virtual host '/'."""
    monitor = endpoint.user or login("monitor")
    return [_rights(monitor, _EVERYTHING), *(_rights(own.user, _APPS) for own in _own_logins(endpoint, monitor))]


def _own_logins(endpoint: Endpoint, monitor: str) -> list[Login]:
    return [own for own in {entry.user: entry for entry in endpoint.logins.values()}.values() if own.user != monitor]


def _user(name: str, password: str, tags: str) -> dict[str, str]:
    salt = hashlib.sha256(f"salt {name} {password}".encode()).digest()[:4]
    hashed = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    return {"name": name, "password_hash": hashed, "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": tags}


def _rights(user: str, names: str) -> dict[str, str]:
    return {"user": user, "vhost": "/", "configure": names, "write": names, "read": names}


def server_environment(layout: Layout, *, node: str) -> dict[str, str]:
    """The variables that keep a node away from the machine's own installation."""
    return {
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_CONFIG_FILE": str(layout.config_file),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",  # the machine's own, which may set any of these
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(layout.data / "advanced.config"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(layout.data / "generated"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(layout.plugins_file),
        "RABBITMQ_PLUGINS_EXPAND_DIR": str(layout.data / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(layout.data / "data"),
        "RABBITMQ_LOG_BASE": str(layout.data / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_ALLOW_INPUT": "1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            f"-kernel inet_dist_use_interface {{127,0,0,1}} -rabbit quorum_tick_interval {round(QUORUM_STATISTICS * 1000)} +B i"
        ),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP_SECONDS": "0",
        "LC_ALL": "C.UTF-8",
    }
