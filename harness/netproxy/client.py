"""Toxiproxy through toxiproxy-python, the real server or the embedded one: every call ends in time, every failure says whose."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from harness.errors import EnvironmentFault
from harness.netproxy.addresses import parted
from harness.netproxy.exchange import Answered, exchange
from harness.netproxy.library import open_library
from harness.ports.network import Toxic, Traffic

__all__ = ["Proxies", "ProxyLink"]

_SEPARATOR = "--"
_SAMPLE = re.compile(r"^toxiproxy_proxy_(received|sent)_bytes_total\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
#: Seconds: of calls to a server that has just kept silent, and the last chance that it has to say something.
_IMPATIENT, _LAST_CHANCE = 1.0, 3.0
_HINT = "look at the last lines of its log; a proxy that hangs is stopped with its run"
T = TypeVar("T")


class _Refused(Exception):
    """The server answered, and said no."""

    def __init__(self, reply: Answered) -> None:
        super().__init__(reply.complaint)
        self.status = reply.status_code
        self.complaint = reply.complaint


class Proxies:
    """The proxies of one server. Several servers, and several threads, do not get in one another's way.

    ``timeout``: seconds that a call may take in all. Everything raises EnvironmentFault but `ready`, with the server's
    ``last_lines`` where it gave no proper answer.
    """

    def __init__(self, host: str, port: int, *, timeout: float = 5.0, last_lines: Callable[[], Sequence[str]] = tuple) -> None:
        self.host = host
        self.port = port
        self.timeout = timeout
        self.silence: EnvironmentFault | None = None  # of the first of the latest calls that got no answer in time
        self._last_lines = last_lines
        self._library = open_library(host, port, self._send)

    def ready(self) -> bool:
        """Does it answer?"""
        try:
            self.version()
        except EnvironmentFault:
            return False
        return True

    def version(self) -> str:
        """Of the server."""
        return str(self._ask("", "say its version", lambda: self._send("GET", "/version").json()["version"]))

    def create(self, client: str, dependency: str, *, listen: str, upstream: str) -> "ProxyLink":
        """A proxy ``client--dependency``; one of the same name goes first. ``listen`` and ``upstream``: host:port."""
        name = f"{client}{_SEPARATOR}{dependency}"

        def made() -> Any:
            self._gone(f"/proxies/{quote(name, safe='')}")
            return self._library.create(upstream=upstream, name=name, listen=listen)

        proxy = self._ask(name, f"listen on {listen} for {upstream}", made)
        link = ProxyLink(self, client, dependency, proxy)
        link.begin()
        return link

    def delete(self, link: "ProxyLink") -> None:
        """Close and forget it; gone already is fine."""
        self._ask(link.name, "go", lambda: self._gone(link.path))

    def links(self) -> Sequence["ProxyLink"]:
        """All that were made as ``client--dependency``."""
        found = self._ask("", "name its proxies", self._library.proxies)
        ends = {name: name.partition(_SEPARATOR) for name in sorted(found) if _SEPARATOR in name}
        return [ProxyLink(self, client, dependency, found[name]) for name, (client, _, dependency) in ends.items()]

    def reset(self) -> None:
        """Every proxy enabled, no toxic left."""
        self._ask("", "enable all and remove every toxic", self._library.reset)

    def check(self) -> None:
        """Raise what a call before met that got no answer, where there is still none. Free unless there was such a call.

        So a server that hangs is given up after two tries, however often others would have tried to heal what it does.
        """
        fault = self.silence
        if fault is None:
            return
        try:
            exchange(self.host, self.port, "GET", "/version", None, min(_LAST_CHANCE, self.timeout))
        except TimeoutError:
            raise fault from None
        except (OSError, http.client.HTTPException):
            pass  # it says something, if only that it is gone, which is told elsewhere
        self.silence = None

    @property
    def _patience(self) -> float:
        return self.timeout if self.silence is None else min(_IMPATIENT, self.timeout)

    # For links.

    def _ask(self, name: str, what: str, call: Callable[[], T]) -> T:
        """``call``, and every way in which it may fail as one error. ``what``: what the server was to do."""
        where = f"proxy {name} of Toxiproxy at {self.host}:{self.port}" if name else f"Toxiproxy at {self.host}:{self.port}"
        try:
            answer = call()
            self.silence = None
            return answer
        except _Refused as refused:
            raise EnvironmentFault(f"refused to {what}: {refused.status} {refused.complaint}", where=where, hint=_HINT) from None
        except TimeoutError:
            fault = self._silent(f"hangs: asked to {what}, it gave no answer within {self._patience:g} s", where)
            self.silence = self.silence or fault
            raise fault from None
        except (OSError, http.client.HTTPException) as error:
            why = "the connection was refused" if isinstance(error, ConnectionRefusedError) else f"{type(error).__name__}: {error}"
            raise self._silent(f"cannot be reached, asked to {what}: {why}", where) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EnvironmentFault(f"is no Toxiproxy: asked to {what}, it answered {error!r}", where=where, hint=_HINT) from None

    def _silent(self, what: str, where: str) -> EnvironmentFault:
        tail = "\n  ".join(self._last_lines())
        return EnvironmentFault(f"{what}; its last lines:\n  {tail}" if tail else what, where=where, hint=_HINT)

    def _send(self, method: str, path: str, body: Any = None) -> Answered:
        reply = exchange(self.host, self.port, method, path, body, self._patience)
        if reply.status_code >= 400:
            raise _Refused(reply)
        return reply

    def _gone(self, path: str) -> None:
        try:
            self._send("DELETE", path)
        except _Refused as refused:
            if refused.status != 404:
                raise

    def _counted(self, name: str) -> Traffic:
        """All that the server ever counted under this name. 404 where it counts nothing at all."""
        totals = {"sent_in": 0, "sent_out": 0, "received_in": 0, "received_out": 0}
        for line in self._send("GET", "/metrics").content.decode().splitlines():
            if not (sample := _SAMPLE.match(line)):
                continue
            labels = {key: re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], value) for key, value in _LABEL.findall(sample[2])}
            if labels["proxy"] == name:
                side = "in" if sample[1] == "received" else "out"
                totals[f"{'sent' if labels['direction'] == 'upstream' else 'received'}_{side}"] += int(float(sample[3]))
        return Traffic(**totals)


class ProxyLink:
    """See `harness.ports.network.Link`. ``name`` is the proxy's."""

    def __init__(self, proxies: Proxies, client: str, dependency: str, proxy: Any) -> None:
        self.client = client
        self.dependency = dependency
        self.name: str = proxy.name
        self.path = f"/proxies/{quote(self.name, safe='')}"
        self._proxies = proxies
        self._proxy = proxy
        self._proxy.name = quote(self.name, safe="")  # the library puts it into addresses as it is
        self._before = Traffic()
        self.counts_live = "celery-harness" in proxies.version()

    def __repr__(self) -> str:
        return f"<ProxyLink {self.name} at {self._proxy.listen}>"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port on which the server says that it listens."""
        return parted(self._proxy.listen)

    def begin(self) -> None:
        """Count traffic from here: a server goes on counting for a name that it had before."""
        self._before = self._proxies._ask(self.name, "count its bytes", self._counted_if_any)

    def add(self, toxic: Toxic) -> None:
        """Disturb it, and see that the server took every attribute: a misspelt one does nothing there without a word."""
        self._proxies._ask(self.name, f"take the toxic {toxic.label} {dict(toxic.attributes)}", lambda: self._put(toxic))

    def remove(self, label: str) -> None:
        """Without this toxic; gone already is fine."""
        self._proxies._ask(
            self.name, f"remove the toxic {label}", lambda: self._proxies._gone(f"{self.path}/toxics/{quote(label, safe='')}")
        )

    def toxics(self) -> Sequence[str]:
        """Names of the toxics in force."""
        return list(self._proxies._ask(self.name, "name its toxics", self._proxy.toxics))

    def disable(self) -> None:
        """Close every connection and refuse new ones."""
        self._proxies._ask(self.name, "close all connections and listen no more", self._proxy.disable)

    def enable(self) -> None:
        """Take connections again."""
        self._proxies._ask(self.name, "listen again", self._proxy.enable)

    def enabled(self) -> bool:
        """Does the proxy take connections?"""
        return bool(
            self._proxies._ask(self.name, "say whether it listens", lambda: self._proxies._send("GET", self.path).json()["enabled"])
        )

    def traffic(self) -> Traffic:
        """Since it was made. The Go server counts a connection's bytes when it closes; ours counts each as it passes."""
        return self._proxies._ask(self.name, "count its bytes", lambda: self._proxies._counted(self.name)).since(self._before)

    def _put(self, toxic: Toxic) -> None:
        there = self._proxy.toxics().get(toxic.label)
        if there is not None and (there.type, there.stream) != (toxic.type, toxic.stream):
            self._proxy.destroy_toxic(quote(toxic.label, safe=""))
            there = None
        if there is None:
            self._proxy.add_toxic(
                name=toxic.label, type=toxic.type, stream=toxic.stream, toxicity=toxic.toxicity, attributes=dict(toxic.attributes)
            )
        else:  # the library cannot change one; what is not named goes back to 0, as in a new one
            attributes = {**dict.fromkeys(there.attributes, 0), **toxic.attributes}
            self._proxies._send(
                "PATCH", f"{self.path}/toxics/{quote(toxic.label, safe='')}", {"attributes": attributes, "toxicity": toxic.toxicity}
            )
        taken = self._proxy.toxics()[toxic.label].attributes
        if ignored := sorted(name for name, value in toxic.attributes.items() if taken.get(name) != value):
            self._gone_again(toxic.label)
            raise EnvironmentFault(
                f"a toxic {toxic.type} takes no {', '.join(ignored)}; it has {', '.join(sorted(taken)) or 'no attributes'}",
                where=f"proxy {self.name} of Toxiproxy at {self._proxies.host}:{self._proxies.port}",
                hint="write its attributes as Toxiproxy does",
            )

    def _counted_if_any(self) -> Traffic:
        try:
            return self._proxies._counted(self.name)
        except _Refused as refused:
            if refused.status != 404:
                raise
            return Traffic()  # a server without -proxy-metrics: `traffic` will say so when somebody asks

    def _gone_again(self, label: str) -> None:
        self._proxies._gone(f"{self.path}/toxics/{quote(label, safe='')}")
