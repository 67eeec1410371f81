"""The servers of a system: taken over where one waits that is proven clean, else started; removed, or left to the next system."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

from harness.errors import EnvironmentFault
from harness.model.scenario import BrokerSpec
from harness.ports.broker import BrokerKind, Endpoint, Tls
from harness.ports.network import host_name
from harness.ports.runtime import SystemPlan
from harness.runtimes.shared.authority import LASTING, Authority
from harness.runtimes.shared.hosted import Hosted
from harness.runtimes.shared.hosting import ServerHandle, ServerSpec
from harness.runtimes.shared.logs import log_tail
from harness.runtimes.shared.pool import Lease
from harness.runtimes.shared.session import Session
from harness.runtimes.shared.tls_words import contents, tls_failure

__all__ = ["Serving"]

_TITLES = {"broker": "Broker", "backend": "Result backend"}


class Serving(Hosted):
    """``session``: what the system may take from the one before it, and leave to the next; None: it is alone."""

    def __init__(self, plan: SystemPlan, session: Session | None) -> None:
        self.plan = plan
        self.clock = plan.clock
        self.session = session
        self.lease = Lease(session.servers if session else None)
        self.temporary: Path | None = None
        self.servers: list[ServerHandle] = []
        self.sound = False  # found at the end: it came to its end, and every process that had its logins is dead
        self._authority: Authority | None = None

    def lasts(self, spec: ServerSpec) -> bool:
        """May it outlive this system? Then it belongs to the session from the start. A certificate is the run's own; and what
        the app has every right to may have become anything.
        """
        return self.session is not None and not spec.tls and not spec.owned

    def _add_server(self, kind: BrokerKind, name: str, spec: BrokerSpec) -> ServerHandle:
        return self._new_server(ServerSpec(kind, name, name, spec.persistence, spec.tls))

    def _new_server(self, spec: ServerSpec) -> ServerHandle:
        origin = self.origin_of(spec) if self.lasts(spec) else ""
        server = self.lease.take(spec, origin, self.server_log(spec)) if origin else None
        if server is None:
            host = host_name(spec.name)
            self.lease.keep_only(lambda name: host_name(name) != host)  # two of one name would both be found under it
            server = self.make_server(spec, self._certificate(spec) if spec.tls else None)
            if origin:
                self.lease.made(server, origin)
        self.servers.append(server)
        return server

    def _certificate(self, spec: ServerSpec) -> Tls:
        flaw = spec.tls if isinstance(spec.tls, str) else ""
        return self._run_authority().issue(spec.name, self.certificate_hosts(spec), flaw=flaw)

    def certificate(self, name: str, hosts: Sequence[str], *, flaw: str = "") -> Tls:
        """See `StoreHost`."""
        return self._run_authority().issue(f"service-{name}", hosts, flaw=flaw, valid=LASTING)

    def trusted(self) -> Path | None:
        """PEM file for clients of services that stand for hosts: the run's authority; with ways out what this machine trusts too.

        None: no service has a certificate so far.
        """
        if self._authority is None:
            return None
        if not self.plan.scenario.system.egress:
            return self._authority.certificate
        bundle = self.common_folder() / "trusted.pem"
        if not bundle.exists():
            bundle.write_bytes(_trusted_here() + self._authority.certificate.read_bytes())
        return bundle

    def _run_authority(self) -> Authority:
        assert self.temporary is not None
        if self._authority is None:
            self._authority = Authority(self.temporary / "authority", self.common_folder() / "authority.pem")
        return self._authority

    def refuse_bad_certificate(self, who: str, said: str) -> None:
        """EnvironmentFault where what the app said follows from a certificate that the scenario wants to be bad."""
        bad = [contents(s.endpoint.tls.certificate) for s in self.servers if isinstance(s.spec.tls, str) and s.endpoint.tls]
        if bad and (why := tls_failure(said.splitlines(), bad)):
            raise EnvironmentFault(f"{who} cannot connect: {why}", hint="docs/tls.md says what is verified, and how")

    def start_servers(self) -> None:
        """Those that do not run yet."""
        for server in list(self.servers):
            _start(server)

    def server(self, kind: str, name: str, *, tls: bool | str = False, owned: bool = False) -> Endpoint:
        """See `StoreHost`: a server for that store alone, so a fault of the broker is not a fault of the store."""
        if kind not in self.plan.kinds:
            raise EnvironmentFault(f"no server of kind {kind} for service {name}")
        server = self._new_server(ServerSpec(self.plan.kinds[kind], name, "service", tls=tls, owned=owned))
        _start(server)
        return server.endpoint

    def server_of(self, part: str) -> ServerHandle | None:
        """See `Control`."""
        return next((s for s in self.servers if s.spec.name == part), None)

    def stop_server(self, part: str, *, keep: bool, kill: bool = False) -> None:
        """See `RestartsServers`."""
        self.lease.touch(part)
        super().stop_server(part, keep=keep, kill=kill)

    def pause_server(self, part: str) -> None:
        """See `PausesServers`."""
        self.lease.touch(part)
        super().pause_server(part)

    def silent(self) -> str:
        """See `HearsServers`."""
        silent = [s for s in self.servers if not self.lease.was_touched(s.spec.name) and s.alive() and not s.answers()]
        if not silent:
            return ""
        self.save_logs()
        tails = ["\n  ".join(log_tail(self.server_log(server.spec))) or "(none)" for server in silent]
        told = [f"{s.spec.name} ({s.spec.kind.title}) runs and does not answer" for s in silent]
        return "\n".join(f"{what}; its last lines:\n  {tail}" for what, tail in zip(told, tails, strict=True))

    def described_servers(self) -> dict[str, str]:
        """For the report."""
        found = {}
        for server in self.servers:
            tls = ", TLS" if server.endpoint.tls else ""
            whose = "from the run before, emptied for this one" if self.lease.took(server) else "started by this run"
            title = _TITLES.get(server.spec.role, f"Service {server.spec.name}")
            found[title] = f"{server.spec.kind.title} {server.version}{tls}, {whose}"
        return found

    def remove_servers(self, *, keep: bool) -> None:
        """``keep``: the run came to its end, so that those may stay that no fault has touched, once nobody is left who knows a login."""
        self.sound = keep and self.session is not None and self.all_dead()
        for server in self.servers:
            if not self.lease.give_back(server, sound=self.sound):
                server.remove()

    def save_logs(self) -> None:
        """What servers have written so far is in the run's logs when this returns."""
        for server in self.servers:
            server.save_log()


def _trusted_here() -> bytes:
    """The authorities of this machine, as OpenSSL finds them."""
    found = ssl.get_default_verify_paths().cafile
    return Path(found).read_bytes() + b"\n" if found else b""


def _start(server: ServerHandle) -> None:
    """One that was taken over runs already."""
    if not server.alive():
        server.start()
