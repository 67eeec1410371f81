"""The images that we make ourselves, at a real engine: each serves as its public original does, and keeps nothing of this machine.

Slow only where they are not there yet; then as long as debootstrap and the package mirror take.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EnvironmentFault, ScenarioError
from harness.model.scenario import System
from harness.runtimes.containers.building import BUILD_NAME, BuildFailed, Building, make_image
from harness.runtimes.containers.engine import Engine
from harness.runtimes.containers.local_images import LOCAL_NAMES, TOXIPROXY_VERSION, build_local, local_tag
from harness.runtimes.containers.package_access import STAGE
from harness.runtimes.containers.worker_image import worker_image
from tests.parts import parts

pytestmark = pytest.mark.timeout(600)

_READY = 60.0
_REQUIREMENTS = "celery[redis]>=5.3\n"


@pytest.fixture(scope="module")
def client() -> Any:
    """An engine that has all local images; without one, or where they cannot be made, the tests are skipped, or fail under CI=true."""
    try:
        client = Engine.connect().client
        build_local(client, LOCAL_NAMES, say=print)
    except EnvironmentFault as fault:
        pytest.skip(f"needs a server: {fault}")
    return client


@pytest.fixture
def start(client: Any) -> Iterator[Callable[..., Any]]:
    """Start a container; it is removed after the test."""
    started: list[Any] = []

    def run(image: str, *command: str, **options: Any) -> Any:
        container = client.containers.create(image, list(command), name=f"cht-{uuid.uuid4().hex[:8]}", **options)
        started.append(container)
        container.start()
        container.reload()
        return container

    yield run
    for container in started:
        container.remove(force=True, v=True)


@pytest.fixture
def made(client: Any) -> Iterator[list[str]]:
    """Tags to remove after the test."""
    tags: list[str] = []
    yield tags
    for tag in tags:
        with contextlib.suppress(Exception):  # another run may be using what we made
            client.images.remove(tag)


def _until(container: Any, question: Callable[[], str | None]) -> str:
    """What the server answers as soon as it does; its log where it does not."""
    deadline = time.monotonic() + _READY
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if (answer := question()) is not None:
                return answer
        container.reload()
        if container.status == "exited":
            break
        time.sleep(0.1)
    raise AssertionError(f"no answer; {container.status}:\n{container.logs(tail=30).decode()}")


def _exec(container: Any, *command: str, **options: Any) -> str | None:
    done = container.exec_run(list(command), **options)
    return done.output.decode() if done.exit_code == 0 else None


def _get(container: Any, path: str, user: str = "") -> str:
    address = container.attrs["NetworkSettings"]["IPAddress"]
    headers = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()} if user else {}
    request = urllib.request.Request(f"http://{address}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return str(answer.read().decode())


def test_what_is_there_is_left_alone(client: Any) -> None:
    said: list[str] = []
    again = build_local(client, (), say=said.append)
    assert [image.name for image in again] == list(LOCAL_NAMES)
    assert all(image.seconds == 0 for image in again) and not said


@pytest.mark.exhaustive
def test_redis_serves_with_options_alone_as_anybody(start: Callable[..., Any]) -> None:
    for options in ({}, {"user": "12345", "cap_drop": ["ALL"]}):
        server = start(local_tag("redis"), "--port", "6380", "--requirepass", "word", **options)
        answer = _until(server, lambda server=server: _exec(server, "redis-cli", "-p", "6380", "-a", "word", "ping"))
        assert "PONG" in answer
        assert int((_exec(server, "stat", "-c", "%u", "/proc/1") or "0").strip()) != 0, "the server does not run as root"


@pytest.mark.exhaustive
def test_rabbitmq_serves_as_anybody_with_management_and_a_file_of_ours(start: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "our.conf").write_text("default_user = u\ndefault_pass = p\nlisteners.tcp.default = 5673\nloopback_users = none\n")
    (tmp_path / "our.conf").chmod(0o644)
    tmp_path.chmod(0o755)
    server = start(
        local_tag("rabbitmq"),
        user="12345",
        cap_drop=["ALL"],
        environment={"RABBITMQ_CONFIG_FILE": str(tmp_path / "our.conf")},
        volumes={str(tmp_path): {"bind": str(tmp_path), "mode": "ro"}},
    )
    overview = json.loads(_until(server, lambda: _get(server, ":15672/api/overview", "u:p")))
    # The management plugin answers before the broker's own port does.
    _until(server, lambda: "x" if b"started TCP listener on [::]:5673" in server.logs() else None)
    assert overview["rabbitmq_version"]
    assert "u\t[administrator]" in (_exec(server, "rabbitmqctl", "list_users") or "")


@pytest.mark.exhaustive
def test_postgres_makes_its_database_and_stops_at_once(start: Callable[..., Any]) -> None:
    server = start(
        local_tag("postgres"), "-c", "fsync=off", environment={"POSTGRES_USER": "u", "POSTGRES_PASSWORD": "p", "POSTGRES_DB": "shop"}
    )
    # On its own loopback the server trusts everybody, as the public image's does; from another container it does not.
    host = server.attrs["NetworkSettings"]["IPAddress"]
    query = ("psql", "-h", host, "-U", "u", "-d", "shop", "-Atc", "select current_database()")
    assert _until(server, lambda: _exec(server, *query, environment={"PGPASSWORD": "p"})) == "shop\n"
    assert _exec(server, *query, environment={"PGPASSWORD": "wrong"}) is None
    for program in ("initdb", "pg_ctl", "pg_dump"):
        assert _exec(server, program, "--version"), f"{program} is not on PATH"
    server.stop(timeout=20)
    server.reload()
    assert server.attrs["State"]["ExitCode"] == 0


@pytest.mark.exhaustive
def test_python_is_an_environment_of_its_own(start: Callable[..., Any]) -> None:
    box = start(local_tag("python"), "sleep", "60", network_mode="none")
    assert (_exec(box, "python", "--version") or "").startswith("Python 3.")
    assert _exec(box, "python", "-m", "pip", "--version")
    assert _exec(box, "sh", "-c", "python -m venv /tmp/v && /tmp/v/bin/pip --version", user="12345")


@pytest.mark.exhaustive
def test_toxiproxy_answers_as_the_version_that_we_ask_for(start: Callable[..., Any]) -> None:
    server = start(local_tag("toxiproxy"))
    assert json.loads(_until(server, lambda: _get(server, ":8474/version"))) == {"version": TOXIPROXY_VERSION}
    assert TOXIPROXY_VERSION in (_exec(server, "toxiproxy", "--version") or "")


@pytest.mark.parametrize("name", parts(LOCAL_NAMES, quick=["redis"]))
def test_nothing_of_this_machine_stays(client: Any, name: str) -> None:
    looking = f"ls -d {STAGE} 2>&1; cat /etc/apt/sources.list; ls /etc/apt/sources.list.d /var/lib/apt/lists /etc/apt/auth.conf.d"
    said = client.containers.run(local_tag(name), ["-c", looking], entrypoint="sh", remove=True, network_mode="none").decode()
    lines = [line for line in said.splitlines() if line and not line.endswith(":")]
    assert lines in (
        [f"ls: cannot access '{STAGE}': No such file or directory"],
        [f"ls: cannot access '{STAGE}': No such file or directory", "partial"],
    )
    config = client.api.inspect_image(local_tag(name))["Config"]
    assert not [entry for entry in config["Env"] if re.match(r"(?i)\w*proxy|apt_config|pip_(index|find|config)", entry)]
    assert STAGE not in json.dumps(config)


class _Index(BaseHTTPRequestHandler):
    """A package index that has nothing, and remembers who asked."""

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Authorization", ""))  # type: ignore[attr-defined]
        self.send_error(404 if self.headers.get("Authorization") else 401)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def index() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Index) as server:
        server.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


@pytest.mark.exhaustive
def test_a_workers_image_holds_celery_and_no_index_of_ours(
    client: Any, index: Any, made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "s3cret" + uuid.uuid4().hex
    address = f"127.0.0.1:{index.server_address[1]}"
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"http://somebody:{secret}@{address}/simple")
    # A marker that changes nothing but the digest: no image of an earlier run will do.
    (tmp_path / "requirements.txt").write_text(_REQUIREMENTS.strip() + f'; python_version != "{uuid.uuid4().int % 10**6}"\n')
    said: list[str] = []
    chosen = worker_image(client, root=tmp_path, system=System(app="shop:app"), say=said.append)
    made.append(chosen.reference)

    expected = "Basic " + base64.b64encode(f"somebody:{secret}".encode()).decode()
    assert expected in index.asked, "pip's settings of this machine did not reach the installation"
    version = client.containers.run(
        chosen.reference,
        ["python", "-c", "import celery, redis; print(celery.__version__)"],
        remove=True,
        network_mode="none",
        user="12345",
    )
    assert version.strip()
    described = json.dumps([client.api.inspect_image(chosen.reference), client.api.history(chosen.reference)])
    for hidden in (secret, address, "EXTRA_INDEX"):
        assert hidden not in described and hidden not in "\n".join(said)
    assert not _anywhere(client, chosen.reference, [secret.encode(), address.encode()])

    said.clear()
    again = worker_image(client, root=tmp_path, system=System(app="shop:app"), say=said.append)
    assert again == chosen and not said, "the same requirements are the same image"


def _anywhere(client: Any, reference: str, needles: list[bytes]) -> list[bytes]:
    """Which of these bytes are in any layer of an image, whatever file they are in."""
    found: set[bytes] = set()
    tail = b""
    for chunk in client.images.get(reference).save(chunk_size=2**22):
        window = tail + chunk
        found |= {needle for needle in needles if needle in window}
        tail = window[-max(map(len, needles)) :]
    return sorted(found)


@pytest.mark.exhaustive
def test_requirements_without_celery_are_the_users_matter(client: Any, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("redis\n")
    with pytest.raises(ScenarioError, match=r"(?s)requirements\.txt: Celery is not among.*add the line: celery\[redis\]"):
        worker_image(client, root=tmp_path, system=System(app="shop:app"), say=lambda line: None)


def test_requirements_that_cannot_be_met_show_what_pip_said(client: Any, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("celery==999\n")
    with pytest.raises(
        EnvironmentFault, match=r"(?s)requirements\.txt: pip could not install.*No matching distribution found for celery==999"
    ):
        worker_image(client, root=tmp_path, system=System(app="shop:app"), say=lambda line: None)


@pytest.mark.parametrize(("name", "missing"), [("redis", "no `python`"), ("python", "no Celery")])
def test_an_image_in_which_no_worker_can_run_is_named_with_what_it_lacks(client: Any, tmp_path: Path, name: str, missing: str) -> None:
    with pytest.raises(EnvironmentFault, match=f"{local_tag(name)}: it has {missing}"):
        worker_image(client, root=tmp_path, system=System(app="shop:app", image=local_tag(name)), say=lambda line: None)


def test_a_dockerfile_is_built_and_rebuilt_when_it_changes(client: Any, made: list[str], tmp_path: Path) -> None:
    (tmp_path / "celery.py").write_text("__version__ = '0'")  # stands for Celery: what matters here is the build
    (tmp_path / "Dockerfile").write_text(f"FROM {local_tag('python')}\nARG WORD\nENV WORD=$WORD PYTHONPATH=/app\nCOPY celery.py /app/\n")
    system = System.model_validate({"app": "shop:app", "build": {"args": {"WORD": "told"}}})
    first = worker_image(client, root=tmp_path, system=system, say=lambda line: None)
    made.append(first.reference)
    assert "WORD=told" in client.api.inspect_image(first.reference)["Config"]["Env"]
    assert worker_image(client, root=tmp_path, system=system, say=lambda line: None) == first
    (tmp_path / "celery.py").write_text("__version__ = '1'")
    second = worker_image(client, root=tmp_path, system=system, say=lambda line: None)
    assert second.reference == first.reference and second.id != first.id


def test_a_dockerfile_that_fails_names_its_step(client: Any, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {local_tag('python')}\nRUN echo before; exit 7\n")
    with pytest.raises(
        EnvironmentFault, match=r"(?s)Dockerfile: the build failed at Step 2/\d+ : RUN echo before; exit 7.*code: 7.*before"
    ):
        worker_image(client, root=tmp_path, system=System(app="shop:app", build="."), say=lambda line: None)
    with pytest.raises(ScenarioError, match=r"there is no Other in"):
        worker_image(
            client, root=tmp_path, system=System.model_validate({"app": "a:b", "build": {"dockerfile": "Other"}}), say=lambda line: None
        )


def test_a_failed_build_leaves_neither_container_nor_image(client: Any) -> None:
    name, tag = f"never{uuid.uuid4().hex[:8]}", "celery-harness/worker:never"
    said: list[str] = []
    with pytest.raises(BuildFailed) as caught:
        make_image(client, Building(name, local_tag("python"), tag, "run.sh", {"run.sh": b"echo '== at work'; exit 9"}), said.append)
    assert (caught.value.status, said) == (9, [f"{name}: at work"])
    assert not client.containers.list(all=True, filters={"name": BUILD_NAME + name})
    assert not client.images.list(tag)
