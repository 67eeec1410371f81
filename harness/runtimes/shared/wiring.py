"""Which address each client uses for each dependency: the server's own, or a proxy's that network faults can get at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.errors import ScenarioError
from harness.ports.network import Link
from harness.runtimes.shared.hosting import ProxyHost

if TYPE_CHECKING:  # most scenarios need no proxy, and so no HTTP client either
    from harness.netproxy.client import Proxies, ProxyLink

__all__ = ["Wiring", "through"]

Address = tuple[str, int]


def through(offers: Mapping[str, str], direct: Address, proxied: Address) -> dict[str, str]:
    """What a service offers, with another address in place of its own."""
    if direct == proxied:
        return dict(offers)
    host, port = direct
    changed = {}
    for key, value in offers.items():
        if key == "host" and value == host:
            changed[key] = proxied[0]
        elif key == "port" and value == str(port):
            changed[key] = str(proxied[1])
        else:
            changed[key] = value.replace(f"{host}:{port}", f"{proxied[0]}:{proxied[1]}")
    return changed


class Wiring:
    """One link per (client, dependency) that a network fault may hit; all other connections are direct.

    ``wanted``: (worker group or 'producer', dependency). A client is one replica (pay-1), so that it alone can be cut off;
    its link stays the same over its restarts.
    """

    def __init__(self, wanted: frozenset[tuple[str, str]], host: Callable[[], ProxyHost]) -> None:
        self._wanted = wanted
        self._find_host = host
        self._host: ProxyHost | None = None
        self._proxies: Proxies | None = None
        self._links: dict[tuple[str, str], tuple[ProxyLink, Address, str]] = {}  # -> link, what it leads to, group

    @property
    def used(self) -> bool:
        """Does this scenario need a proxy at all?"""
        return bool(self._wanted)

    def address(self, client: str, group: str, dependency: str, direct: Address) -> Address:
        """Where `client` finds `dependency`."""
        if (group, dependency) not in self._wanted:
            return direct
        known = self._links.get((client, dependency))
        if known is None or known[1] != direct:
            host = self._open()
            assert self._proxies is not None
            link = self._proxies.create(client, dependency, listen=host.listen(), upstream=f"{direct[0]}:{direct[1]}")
            self._links[client, dependency] = known = (link, direct, group)
        assert self._host is not None
        return self._host.reached_at(known[0].address)

    def _open(self) -> ProxyHost:
        if self._host is None:
            from harness.netproxy.client import Proxies

            self._host = self._find_host()
            self._proxies = Proxies(*self._host.api(), last_lines=self._host.last_lines)
        return self._host

    def links(self, between: Sequence[str]) -> Sequence[Link]:
        """See `ShapesNetwork`."""
        first, second = between
        found = [
            link
            for (client, dependency), (link, _, group) in sorted(self._links.items(), key=lambda item: item[0])
            if {first, second} in ({client, dependency}, {group, dependency})
        ]
        if not found:
            raise ScenarioError(
                f"{first} and {second} do not talk to one another", hint="name a worker group or the producer, and a server"
            )
        return found

    def check(self) -> None:
        """EnvironmentFault where the proxy hangs. Free unless a call to it got no answer."""
        if self._proxies is not None:
            self._proxies.check()

    def refresh(self) -> None:
        """As new: no toxic of an earlier pass is left, every link takes connections."""
        if self._proxies is not None:
            self._proxies.reset()
