"""What each child of a system is told: its settings file, and what the placeholders in its environment mean to it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.model.scenario import WorkerGroup
from harness.ports.broker import Endpoint
from harness.ports.store import StandsFor
from harness.runtimes.shared.environment import resolve_placeholders, write_private
from harness.runtimes.shared.hosting import ServerHandle
from harness.runtimes.shared.settings import Seat, dead_end, settings_document, worker_options
from harness.runtimes.shared.wiring import through

if TYPE_CHECKING:
    from harness.runtimes.shared.system import LocalSystem

__all__ = ["AUTHORITY_VARIABLES", "Seats"]

#: Of OpenSSL (Python's ssl, httpx, aiohttp), requests, curl, botocore, Node.js, gRPC.
AUTHORITY_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
)
_BACKEND_SCHEME = "db+postgresql://"


class Seats:
    """Addresses differ from child to child: each has links of its own to what a network fault may cut it off from."""

    def __init__(self, system: LocalSystem) -> None:
        self._system = system

    @property
    def trigger_folder(self) -> Path:
        """Where armed faults count their matches."""
        return self._system.common_folder() / "triggers"

    def settings(
        self,
        role: str,
        name: str,
        group: str = "",
        triggers: Sequence[Mapping[str, Any]] = (),
        *,
        pid_base: int = 0,
        outside: bool = False,
    ) -> Path:
        """Write the settings file of one child. ``group``: of a worker; a producer is a group of its own.

        ``outside``: it runs on this machine, wherever the others do.
        """
        system, plan = self._system, self._system.plan
        group = "producer" if role == "producer" else group
        user = "producer" if role == "producer" else "worker"
        ends = {s.spec.name: self._end(s, name, group, user, outside=outside) for s in system.servers}
        broker, backend = system.broker_server, system.backend_server
        tls: dict[str, Any] = {}
        for server in filter(None, (broker, backend)):
            if server.endpoint.tls is not None:
                tls.update(server.spec.kind.tls_settings(server.spec.role, server.endpoint.tls.authority))
        allow = [(end.host, end.port) for end in ends.values()]
        allow += [self._store_address(store, name, group, address) for store, address in self._store_addresses()]
        seat = Seat(
            role=role,
            name=name,
            broker=plan.broker.url(ends["broker"], role="broker"),
            backend=self._backend_url(backend, ends["backend"]) if backend else None,
            allow=allow,
            tls=tls,
            pid_base=pid_base,
            egress=system.egress(),
            names=self.names(name, group),
        )
        document = settings_document(
            plan,
            system.current,
            seat,
            root=(plan.root / plan.scenario.system.path).resolve() if outside else system.working_folder(),
            journal=system.journal,
            triggers=triggers,
            trigger_folder=self.trigger_folder,
        )
        part = name if role == "worker" else role
        return write_private(system.part_folder(part) / f"{role}-{name}.json", document)

    def names(self, client: str, group: str = "") -> list[dict[str, Any]]:
        """The app's own hosts that services stand for, as this client finds them; see the agent's names.py."""
        at: dict[str, str] = {}
        found = []
        for name, (host, port), address in self._stand_ins():
            made_up = at.setdefault(host, f"127.83.{len(at) // 250:d}.{len(at) % 250 + 1:d}")
            found.append({"host": host, "port": port, "at": made_up, "to": list(self._store_address(name, client, group, address))})
        return found

    def _stand_ins(self) -> list[tuple[str, tuple[str, int], tuple[str, int]]]:
        """(service, what the app says, where the service is), in the scenario's order."""
        stores = [(name, store) for name, store in self._system.stores.items() if isinstance(store, StandsFor)]
        return [(name, place, store.addresses()[0]) for name, store in stores for place in store.stands_for()]

    def _backend_url(self, server: ServerHandle, end: Endpoint) -> str:
        spec = self._system.plan.scenario.system.backend_spec
        url = server.spec.kind.url(end, role="backend")
        if spec is not None and spec.driver and url.startswith(_BACKEND_SCHEME):
            return url.replace("://", f"+{spec.driver}://", 1)
        return url

    def _end(self, server: ServerHandle, client: str, group: str, user: str, *, outside: bool = False) -> Endpoint:
        """A server as one client sees it. From outside of a network of containers it is seen as the harness sees it."""
        end = server.endpoint
        if outside and end.inside:
            return end.for_app(user, (end.host, end.port))
        direct = end.inside or (end.host, end.port)
        at = self._system.wiring.address(client, group, server.spec.name, direct) if group and end.port else direct
        return end.for_app(user, at)

    def _store_addresses(self) -> list[tuple[str, tuple[str, int]]]:
        served = {server.spec.name for server in self._system.servers}
        return [(name, address) for name, store in self._system.stores.items() for address in store.addresses() if name not in served]

    def _store_address(self, store: str, client: str, group: str, direct: tuple[str, int]) -> tuple[str, int]:
        return self._system.wiring.address(client, group, store, direct) if group else direct

    def offers(self, client: str = "", group: str = "", user: str = "worker", *, outside: bool = False) -> dict[str, Mapping[str, str]]:
        """What `${{ }}` may name, as this client should see it."""
        found: dict[str, Mapping[str, str]] = {}
        for name, store in self._system.stores.items():
            told: Mapping[str, str] = store.offers()
            for address in store.addresses():
                told = through(told, address, self._store_address(name, client, group, address))
            found[name] = told
        for server in self._system.servers:
            if server.spec.role != "service":
                end = self._end(server, client, group, user, outside=outside)
                url = server.spec.kind.url(end, role=server.spec.role)
                found[server.spec.role] = {"url": url, "host": end.host, "port": str(end.port)}
        return found

    def dead_ends(self) -> dict[str, Mapping[str, str]]:
        """What `${{ }}` means while nothing is started."""
        dead = {name: dead_end(self._system.scratch() / name, store.kind) for name, store in self._system.plan.stores.items()}
        return {**self.offers(), **dead}

    def app_env(self, offers: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """The scenario's `env`, placeholders filled in."""
        wanted = self._system.plan.scenario.system.env
        own = {"TMPDIR": str(self._system.scratch()), **self._for_names()}
        return {**own, **{k: resolve_placeholders(v, offers) for k, v in wanted.items()}}

    def _for_names(self) -> dict[str, str]:
        """The run's authority, where clients look for such a thing; and no proxy between them and a host that we stand for."""
        hosts = list(dict.fromkeys(host for _, (host, _), _ in self._stand_ins()))
        if not hosts:
            return {}
        authority = self._system.trusted()
        found = dict.fromkeys(AUTHORITY_VARIABLES, str(authority)) if authority is not None else {}
        for variable in ("NO_PROXY", "no_proxy"):
            before = os.environ.get(variable, "")
            found[variable] = before if before == "*" else ",".join([*filter(None, [before]), *hosts])
        return found

    def worker_options(self, name: str, group: WorkerGroup) -> list[str]:
        """Of `celery worker`."""
        return worker_options(name, self._system.plan.run_id, group)
