"""What each request of the HTTP API does. Paths, codes and bodies are Toxiproxy's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from harness.netproxy import refusals
from harness.netproxy.fields import Fields, parse
from harness.netproxy.metrics import Counter, Counters
from harness.netproxy.proxy import Proxy
from harness.netproxy.refusals import Refusal, bad_body, missing
from harness.netproxy.toxics import KINDS, Setting

__all__ = ["VERSION", "Api", "Reply"]

#: The release of Toxiproxy whose API this is, and whose it isn't.
VERSION = "2.12.0+celery-harness"
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Reply:
    """An answer over HTTP."""

    status: int
    body: bytes = b""
    kind: str = _JSON


def _json(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode())


Handler = Callable[[list[str], bytes], Awaitable[Reply]]


class Api:
    """All proxies of one server. One request is done at a time: each sees what the one before it left."""

    def __init__(self, seed: int, *, metrics: bool = False) -> None:
        self.proxies: dict[str, Proxy] = {}
        self._seed = seed
        self._metrics = metrics
        self._counters = Counters()
        self._lock = asyncio.Lock()
        self._routes: dict[str, dict[str, Handler]] = {
            "/proxies": {"GET": self._index, "POST": self._create},
            "/proxies/*": {"GET": self._show, "POST": self._update, "PATCH": self._update, "DELETE": self._delete},
            "/proxies/*/toxics": {"GET": self._toxics, "POST": self._add},
            "/proxies/*/toxics/*": {"GET": self._toxic, "POST": self._change, "PATCH": self._change, "DELETE": self._remove},
            "/populate": {"POST": self._populate},
            "/reset": {"POST": self._reset},
            "/version": {"GET": self._version},
            **({"/metrics": dict.fromkeys(("GET", "POST", "PATCH", "DELETE"), self._expose)} if metrics else {}),
        }

    async def answer(self, method: str, target: str, body: bytes) -> Reply:
        """What a request gets: never an exception."""
        parts = [unquote(part) for part in urlsplit(target).path.split("/")[1:]]
        pattern = "/" + "/".join("*" if place in (1, 3) and parts[0] == "proxies" else part for place, part in enumerate(parts))
        handlers = self._routes.get(pattern) if all(parts) else None
        if handlers is None:
            return Reply(404, b"404 page not found\n", _TEXT)
        if method not in handlers:
            return Reply(405, b"", _TEXT)
        try:
            async with self._lock:
                return await handlers[method](parts[1::2], body)
        except Refusal as refusal:
            return Reply(refusal.status, json.dumps(refusal.body()).encode() + b"\n", _TEXT)

    def close(self) -> None:
        """Every listener and every connection."""
        for proxy in self.proxies.values():
            proxy.stop()

    async def populate(self, body: bytes) -> tuple[list[Proxy], Refusal | None]:
        """Make, replace or leave each proxy of a JSON list; those done so far, and what stopped it."""
        done: list[Proxy] = []
        try:
            wanted = parse(body)
            if not isinstance(wanted, list):
                raise bad_body("an array of proxies is wanted")
            entries = [Fields(entry, "a proxy") for entry in wanted]
            for place, entry in enumerate(entries, 1):
                for name in ("name", "upstream"):
                    if not entry.text(name, ""):
                        raise missing(f"{name} at proxy {place}")
            made = [(self._made(entry), entry.flag("enabled", True)) for entry in entries]
            for proxy, enabled in made:
                done.append(await self._put(proxy, enabled))
        except Refusal as refusal:
            return done, refusal
        return done, None

    # Proxies.

    def _made(self, given: Fields) -> Proxy:
        name, upstream = given.text("name", ""), given.text("upstream", "")
        return Proxy(name, given.text("listen", ""), upstream, seed=self._seed, counters=self._counters)

    async def _put(self, proxy: Proxy, enabled: bool) -> Proxy:
        there = self.proxies.get(proxy.name)
        if there is not None:
            if await there.leads(proxy.listen, proxy.upstream):
                return there
            there.stop()
        if enabled:
            await proxy.start()
        self.proxies[proxy.name] = proxy
        return proxy

    def _proxy(self, names: list[str]) -> Proxy:
        if names[0] not in self.proxies:
            raise Refusal(*refusals.PROXY_NOT_FOUND)
        return self.proxies[names[0]]

    async def _index(self, names: list[str], body: bytes) -> Reply:
        return _json({name: proxy.shown() for name, proxy in sorted(self.proxies.items())})

    async def _create(self, names: list[str], body: bytes) -> Reply:
        given = Fields(parse(body))
        proxy, enabled = self._made(given), given.flag("enabled", True)
        if not proxy.name:
            raise missing("name")
        if not proxy.upstream:
            raise missing("upstream")
        if proxy.name in self.proxies:
            raise Refusal(*refusals.PROXY_EXISTS)
        if enabled:
            await proxy.start()
        self.proxies[proxy.name] = proxy
        return _json(proxy.shown(), 201)

    async def _show(self, names: list[str], body: bytes) -> Reply:
        return _json(self._proxy(names).shown())

    async def _update(self, names: list[str], body: bytes) -> Reply:
        proxy, given = self._proxy(names), Fields(parse(body))
        await proxy.update(given.text("listen", proxy.listen), given.text("upstream", proxy.upstream), given.flag("enabled", proxy.enabled))
        return _json(proxy.shown())

    async def _delete(self, names: list[str], body: bytes) -> Reply:
        self._proxy(names).stop()
        del self.proxies[names[0]]
        return Reply(204)

    # Toxics.

    def _setting(self, names: list[str]) -> Setting:
        found = self._proxy(names).find(names[1])
        if found is None:
            raise Refusal(*refusals.TOXIC_NOT_FOUND)
        return found

    async def _toxics(self, names: list[str], body: bytes) -> Reply:
        return _json(self._proxy(names).shown()["toxics"])

    async def _add(self, names: list[str], body: bytes) -> Reply:
        proxy, given = self._proxy(names), Fields(parse(body))
        stream, kind = given.text("stream", "downstream"), given.text("type", "")
        name = given.text("name", "") or f"{kind}_{stream}"
        given.number("toxicity", 1.0)
        if stream.lower() not in proxy.chains:
            raise Refusal(*refusals.INVALID_STREAM)
        if kind not in KINDS:
            raise Refusal(*refusals.INVALID_TYPE)
        if proxy.find(name) is not None:
            raise Refusal(*refusals.TOXIC_EXISTS)
        setting = Setting(KINDS[kind], name, stream)
        setting.change(given)
        proxy.add(setting)
        return _json(setting.shown())

    async def _toxic(self, names: list[str], body: bytes) -> Reply:
        return _json(self._setting(names).shown())

    async def _change(self, names: list[str], body: bytes) -> Reply:
        setting = self._setting(names)
        setting.change(Fields(parse(body)))
        self._proxy(names).changed(setting)
        return _json(setting.shown())

    async def _remove(self, names: list[str], body: bytes) -> Reply:
        self._proxy(names).remove(self._setting(names))
        return Reply(204)

    # The whole server.

    async def _populate(self, names: list[str], body: bytes) -> Reply:
        done, refusal = await self.populate(body)
        shown = {"proxies": [proxy.shown() for proxy in done] or None}
        if refusal is not None:
            return _json({**refusal.body(), **shown}, refusal.status)
        return _json(shown, 201)

    async def _reset(self, names: list[str], body: bytes) -> Reply:
        for proxy in self.proxies.values():
            await proxy.start()
            proxy.clear()
        return Reply(204)

    async def _version(self, names: list[str], body: bytes) -> Reply:
        return _json({"version": VERSION})

    async def _expose(self, names: list[str], body: bytes) -> Reply:
        def unsent(counter: Counter) -> int:
            return sum(connection.unsent(counter) for proxy in self.proxies.values() for connection in proxy.connections)

        return Reply(200, self._counters.text(unsent).encode(), _METRICS)
