from __future__ import annotations

import base64
import hashlib
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from harness.brokers import BROKERS
from harness.brokers import rabbitmq as module
from harness.brokers.rabbitmq import RabbitBroker
from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint, Login, Tls
from tests.ports import free_port

PORTS = {"management": 7001, "metrics": 7002, "distribution": 7003, "epmd": 7004}
LOGINS = {"worker": Login("worker", "w0rker-secret"), "producer": Login("producer", "pr0ducer-secret")}
ENDPOINT = Endpoint("127.0.0.1", 7000, "m0nitor-secret", user="monitor", logins=LOGINS, ports=PORTS)


def fake(folder: Path, name: str, does: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without RabbitMQ."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(module, "_PLACES", ())
    return tmp_path


def test_the_table_names_it() -> None:
    assert BROKERS["rabbitmq"].kind == "rabbitmq"
    assert BROKERS["rabbitmq"].roles == {"broker"}


def test_the_installed_one_is_found_past_the_wrapper_without_starting_erlang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.subprocess, "check_output", lambda *a, **k: pytest.fail("not needed"))
    program, version = RabbitBroker().find()
    assert Path(program).name == "rabbitmq-server" and (Path(program).parent / "rabbitmq-env").is_file()
    assert int(version.split(".")[0]) >= 3


def test_an_archives_release_is_found_through_its_link_on_path(nowhere: Path) -> None:
    script = fake(nowhere / "rabbitmq_server-4.1.2" / "sbin", "rabbitmq-server", "")
    fake(script.parent, "rabbitmq-env", "")
    (nowhere / "bin").mkdir()
    (nowhere / "bin" / "rabbitmq-server").symlink_to(script)
    assert RabbitBroker().find() == (str(script), "4.1.2")


def test_where_no_folder_names_the_version_the_plugins_or_the_program_do(nowhere: Path) -> None:
    script = fake(nowhere / "bin", "rabbitmq-server", "")
    fake(script.parent, "rabbitmq-env", "")
    fake(script.parent, "rabbitmqctl", f'echo "$ERL_ZFLAGS" >> {nowhere}/asked; echo 3.13.7')
    assert RabbitBroker().find() == RabbitBroker().find() == (str(script), "3.13.7")
    assert (nowhere / "asked").read_text() == "-start_epmd false\n", "asked once, and no epmd is left"
    other = fake(nowhere / "other" / "sbin", "rabbitmq-server", "")
    (nowhere / "other" / "plugins" / "rabbit-3.12.1").mkdir(parents=True)
    assert module._version(str(other)) == "3.12.1"


def test_one_that_is_too_old_is_refused_with_its_version(nowhere: Path) -> None:
    script = fake(nowhere / "rabbitmq_server-3.8.9" / "sbin", "rabbitmq-server", "")
    fake(script.parent, "rabbitmq-env", "")
    (nowhere / "bin").mkdir()
    (nowhere / "bin" / "rabbitmq-server").symlink_to(script)
    with pytest.raises(EnvironmentFault, match=r"RabbitMQ 3\.8\.9 is too old"):
        RabbitBroker().find()


def test_a_wrapper_without_the_release_beside_it_is_no_server(nowhere: Path) -> None:
    fake(nowhere / "bin", "rabbitmq-server", "")
    with pytest.raises(EnvironmentFault, match="no RabbitMQ server") as caught:
        RabbitBroker().find()
    assert "apt install rabbitmq-server" in caught.value.hint


def test_no_password_is_written_or_passed_in_clear(tmp_path: Path) -> None:
    plan = RabbitBroker().plan("/x/rabbitmq-server", tmp_path, ENDPOINT, persistence=True)
    everything = " ".join([*plan.argv, *plan.env.values(), *plan.files.values(), *(w for c in plan.companions for w in c)])
    for password in ("m0nitor-secret", "w0rker-secret", "pr0ducer-secret"):
        assert password not in everything
    users = {u["name"]: u for u in json.loads(plan.files[tmp_path / "definitions.json"])["users"]}
    assert [(n, u["tags"]) for n, u in users.items()] == [("monitor", "administrator"), ("worker", ""), ("producer", "")]
    salted = base64.b64decode(users["worker"]["password_hash"])
    assert hashlib.sha256(salted[:4] + b"w0rker-secret").digest() == salted[4:]


def test_a_node_of_its_own(tmp_path: Path) -> None:
    plan = RabbitBroker().plan("/x/rabbitmq-server", tmp_path, ENDPOINT, persistence=False)
    config = plan.files[tmp_path / "rabbitmq.conf"]
    assert "listeners.tcp.1 = 127.0.0.1:7000\n" in config and "0.0.0.0" not in config
    assert plan.env["RABBITMQ_NODENAME"] == "harness-7000@localhost"
    assert plan.env["HOME"] == str(tmp_path)
    assert plan.companions[0][1:] == ("-address", "127.0.0.1", "-port", "7004")
    paths = [v for k, v in plan.env.items() if k.endswith(("_FILE", "_DIR", "_BASE")) and v != "/dev/null"]
    assert len(paths) >= 6 and all(Path(p).is_relative_to(tmp_path) for p in paths)
    assert "node" not in {path.name for path in plan.files}


def test_ports_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="management, metrics, distribution, epmd"):
        RabbitBroker().plan("/x/rabbitmq-server", tmp_path, Endpoint("127.0.0.1", 7000), persistence=True)


def test_with_tls_the_broker_speaks_nothing_else(tmp_path: Path) -> None:
    tls = Tls(tmp_path / "ca", tmp_path / "cert", tmp_path / "key")
    for path, text in ((tls.authority, "A"), (tls.certificate, "C"), (tls.key, "K")):
        path.write_text(text)
    endpoint = Endpoint("127.0.0.1", 7000, "p", user="monitor", ports=PORTS, tls=tls)
    config = RabbitBroker().plan("/x/rabbitmq-server", tmp_path, endpoint, persistence=True).files[tmp_path / "rabbitmq.conf"]
    assert "listeners.tcp = none\n" in config and "listeners.ssl.1 = 127.0.0.1:7000\n" in config
    container = RabbitBroker().container(endpoint, persistence=True)
    assert container.port == 5671
    assert [container.files[f"/etc/celery-harness/{n}"] for n in ("ca.pem", "server.pem", "server.key")] == ["A", "C", "K"]
    assert "ssl_options.keyfile = /etc/celery-harness/server.key\n" in container.files["/etc/celery-harness/rabbitmq.conf"]


def test_in_a_container_the_same_node_finds_its_data_again() -> None:
    plans = [RabbitBroker().container(Endpoint("127.0.0.1", port, "p", user="monitor"), persistence=True) for port in (1, 2)]
    assert plans[0] == plans[1]
    plan = plans[0]
    assert (plan.image, plan.port, dict(plan.ports)) == ("rabbitmq", 5672, {"management": 15672, "metrics": 15692})
    assert plan.env["RABBITMQ_NODENAME"].endswith("@localhost")
    assert "ERL_ZFLAGS" not in plan.env, "there is no companion: the node starts its epmd"
    assert "listeners.tcp.1 = 0.0.0.0:5672\n" in plan.files["/etc/celery-harness/rabbitmq.conf"]
    assert "'p'" not in str(plan.files)


def test_the_containers_script_takes_the_release_before_a_wrapper(tmp_path: Path) -> None:
    plan = RabbitBroker().container(Endpoint("127.0.0.1", 1, "p", user="monitor"), persistence=True)
    fake(tmp_path / "bin", "rabbitmq-server", 'echo "$HOME $@"')
    script = plan.argv[2].replace("/opt/rabbitmq/sbin:/usr/lib/rabbitmq/bin", str(tmp_path / "bin"))
    script = script.replace("/var/lib/celery-harness", str(tmp_path / "home"))
    answer = subprocess.check_output([*plan.argv[:2], script], text=True, env={"PATH": os.environ["PATH"]})
    assert answer == f"{tmp_path}/home -noinput\n"
    assert (tmp_path / "home").is_dir()


def test_urls_are_quoted_and_per_login() -> None:
    kind, endpoint = RabbitBroker(), Endpoint("127.0.0.1", 7000, "a/b@c:d", user="monitor", logins=LOGINS)
    assert kind.url(endpoint) == "amqp://monitor:a%2Fb%40c%3Ad@127.0.0.1:7000//"
    assert kind.url(endpoint.for_app("worker", at=("10.0.0.2", 80))) == "amqp://worker:w0rker-secret@10.0.0.2:80//"
    tls = Endpoint("127.0.0.1", 7000, "p", tls=Tls(Path("a"), Path("c"), Path("k")))
    assert kind.url(tls) == "amqps://monitor:p@127.0.0.1:7000//"


def test_kombu_reads_the_url_as_it_is_meant() -> None:
    from kombu import Connection

    connection = Connection(RabbitBroker().url(Endpoint("127.0.0.1", 7000, "a/b@c:d%", user="u")))
    assert (connection.userid, connection.password, connection.virtual_host) == ("u", "a/b@c:d%", "/")


def test_tls_settings_verify_the_authority_and_survive_json() -> None:
    settings = json.loads(json.dumps(RabbitBroker().tls_settings("broker", Path("/ca.pem"))))
    assert settings == {"broker_use_ssl": {"ca_certs": "/ca.pem", "cert_reqs": int(ssl.CERT_REQUIRED), "server_hostname": None}}


def test_semantics_that_oracles_rest_on() -> None:
    semantics = RabbitBroker.semantics
    assert semantics["redelivers_on"] == "lost_connection" and semantics["pop_before_unacked"] is False
    assert semantics["dead_letters"] is True and semantics["drops_expired"] is True
    from celery.app.defaults import NAMESPACES, flatten

    defaults = {name: option.default for name, option in flatten(NAMESPACES)}
    assert defaults["broker_heartbeat"] == semantics["heartbeat"]
    assert RabbitBroker().client_settings(5.0) == RabbitBroker().client_settings(None) == {}


def test_nobody_and_strangers_are_not_ready() -> None:
    endpoint = Endpoint("127.0.0.1", free_port(), "p", user="monitor", ports={"management": free_port(), "metrics": free_port()})
    assert not RabbitBroker().ready(endpoint, os.getpid())
    assert not RabbitBroker().ready(endpoint, 0)


def test_help_needs_no_amqp() -> None:
    code = "import sys, harness.brokers; sys.exit('amqp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
