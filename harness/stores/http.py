"""An HTTP API that the app calls: a real server on loopback whose answers a scenario programs, and whose effects it keeps."""

from __future__ import annotations

import fnmatch
import heapq
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.model.quantities import Duration
from harness.model.world import Collection, Row, StoreState
from harness.ports.store import SeenEffect, StoreHost, StoreParameters
from harness.stores._hosts import host_of
from harness.stores._http_server import Answer, LoopbackServer, Request
from harness.stores._tls_stream import server_context
from harness.stores._values import canonical

__all__ = ["HttpParameters", "HttpStore", "Logged", "Route"]

_SECRET = ("authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key")


class Route(BaseModel):
    """What the server does with some requests; the first route that matches counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = Field(default="*", description="POST, or * for any")
    path: str = Field(default="*", description="glob, e.g. /charges/*")
    status: int = Field(default=200, ge=200, le=599, description="of the answer; from 400 on nothing is done and no effect recorded")
    body: Any = Field(default=None, description="of the answer, as JSON; none: {'ok': true}")
    delay: Duration = Field(default=0.0, description="between accepting and answering")
    capacity: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="so many requests at a time, each for `delay`; others wait in line, and one that nobody waits for any more keeps "
        "its turn; none: any number; not in clean passes",
    )
    drop: Literal["after_accept"] | None = Field(
        default=None,
        description="after_accept: do it, then hang up without an answer; once per request, so a repeat is answered; not in clean passes",
    )
    fail_first: int = Field(default=0, ge=0, description="the first n requests of this route fail; not in clean passes")
    fail: Literal["once", "always"] | None = Field(
        default=None, description="per idempotency key, else per content: the first time (not in clean passes), or always"
    )
    fail_status: int = Field(default=503, ge=400, le=599, description="of answers to requests that `fail_first` and `fail` refuse")

    @field_validator("method")
    @classmethod
    def _as_sent(cls, value: str) -> str:
        return value.upper()

    @model_validator(mode="after")
    def _takes_time(self) -> Route:
        if self.capacity is not None and not self.delay:
            raise ValueError("capacity needs a `delay`: how long each request takes; without one nobody would ever wait")
        return self

    def matches(self, request: Request) -> bool:
        """Method and path; the query has no part in it."""
        return self.method in ("*", request.method) and fnmatch.fnmatchcase(request.path, self.path)


class HttpParameters(StoreParameters):
    """Keys of a service ``http``."""

    idempotency_key: str = Field(
        default="",
        description="a header, e.g. Idempotency-Key, or body.field; a repeat with it has no second effect",
    )
    routes: tuple[Route, ...] = ()
    headers: tuple[str, ...] = Field(default=(), description="request headers that belong to the effect")
    ignore_methods: tuple[str, ...] = Field(default=(), description="methods that are answered but are no effect, e.g. [GET]")
    hosts: tuple[str, ...] = Field(
        default=(), description="URLs without a path that the app has of its own, e.g. https://api.stripe.com: they lead to this service"
    )
    tls: Literal["wrong_name", "expired"] | None = Field(default=None, description="a bad certificate for the https among `hosts`")

    @field_validator("hosts")
    @classmethod
    def _plain_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(host_of(url)) for url in value)

    @model_validator(mode="after")
    def _has_a_certificate(self) -> HttpParameters:
        if self.tls and not self.certified:
            raise ValueError("`tls` spoils a certificate, and without a host of https there is none")
        return self

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """(host, port) of each of `hosts`."""
        return tuple((host.name, host.port) for host in map(host_of, self.hosts))

    @property
    def certified(self) -> tuple[str, ...]:
        """The names that its certificate holds."""
        return tuple(dict.fromkeys(host.name for host in map(host_of, self.hosts) if host.scheme == "https"))

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name.lower() in _SECRET:
                raise ValueError(f"{name} carries a secret and is never recorded")
        return value


class Logged(NamedTuple):
    """One request as it arrived. ``outcome``: accepted (an effect), repeated (answered as before), refused (an answer from 400 on)."""

    at: float  # CLOCK_MONOTONIC, seconds
    method: str
    path: str
    key: str
    outcome: Literal["accepted", "repeated", "refused"]
    status: int  # of the answer; 0: the connection was closed without one
    row: Row | None = None  # of an accepted or repeated request: as `observe` shows it


@dataclass
class _State:
    """All that `save` and `restore` carry."""

    requests: list[Row] = field(default_factory=list)
    answers: dict[tuple[str, str, str], Answer] = field(default_factory=dict)  # by (method, path, key)
    tries: Counter[tuple[int, str]] = field(default_factory=Counter)  # by (route, '' or what identifies the request)

    def copy(self) -> _State:
        """Rows and answers are never changed in place."""
        return _State(list(self.requests), dict(self.answers), self.tries.copy())


class HttpStore:
    """See `Store`. One collection ``requests``: a row per request that was accepted for the first time.

    The effect is done when the request has been read in full, before any delay: who hangs up early has caused it all the same.
    """

    kind: ClassVar[str] = "http"
    summary: ClassVar[str] = "an HTTP API with answers that you choose; what it accepted is its state"
    Parameters: ClassVar[type[StoreParameters]] = HttpParameters
    lists_in_order: ClassVar[bool] = True  # as they came

    def __init__(self, name: str, parameters: Any) -> None:
        self.name = name
        self.parameters: HttpParameters = parameters
        self._server: LoopbackServer | None = None
        self._told = ("", 0)  # where the app finds it
        self._lock = threading.Lock()
        self._state = _State()
        self._log: list[Logged] = []
        self._changes = 0
        self._clean = False
        self._busy: dict[int, list[float]] = {}  # route with a capacity -> when each of its places will be free again, as a heap

    def start(self, host: StoreHost) -> None:
        """Listen on a port of 127.0.0.1 that the system chooses."""
        self.clear()
        context = None
        if self.parameters.certified:
            files = host.certificate(self.name, self.parameters.certified, flaw=self.parameters.tls or "")
            context = server_context(str(files.certificate), str(files.key))
        self._server = LoopbackServer(self._answer, name=self.name, tls=context)
        self._told = host.expose(self.name, self._server.port)

    @property
    def _address(self) -> tuple[str, int]:
        assert self._server is not None, f"{self.name} is not started"
        return self._told

    def stands_for(self) -> tuple[tuple[str, int], ...]:
        """See `StandsFor`."""
        return self.parameters.places

    def offers(self) -> Mapping[str, str]:
        """``url`` without a slash at its end, ``host``, ``port``."""
        host, port = self._address
        return {"url": f"http://{host}:{port}", "host": host, "port": str(port)}

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The server's."""
        return (self._address,)

    def clear(self) -> None:
        """No effects, no remembered keys, no attempts, an empty log, nobody in line; connections stay."""
        with self._lock:
            self._state, self._log, self._busy = _State(), [], {}
            self._changes += 1

    def begin_pass(self, *, clean: bool) -> None:
        """See `FailsOnPurpose`: in a clean pass `fail_first`, `fail: once`, `drop` and `capacity` do nothing.

        A retry that they cause could double an effect, and the reference of one clean execution would hold it twice. What
        fails always is no fault but how the service is.
        """
        with self._lock:
            self._clean = clean

    def faults(self) -> tuple[str, ...]:
        """See `NamesFaults`."""
        found = []
        for route in self.parameters.routes:
            once = "fail" if route.fail == "once" else ""
            named = [name for name in ("fail_first", once, "drop", "capacity") if name and getattr(route, name)]
            found += [f"{' and '.join(named)} of {route.method} {route.path}"] if named else []
        return tuple(found)

    def observe(self) -> StoreState:
        """The effects: method, path, query, body, key, headers."""
        with self._lock:
            rows = tuple(self._state.requests)
        return StoreState(self.name, {"requests": Collection("requests", rows)})

    def touched(self) -> int:
        """The number of changes so far."""
        with self._lock:
            return self._changes

    def settled(self) -> bool:
        """See `Settles`: every request that has arrived in full is decided on; a delay before its answer is no reason to wait."""
        assert self._server is not None, f"{self.name} is not started"
        return self._server.settled()

    def numbers(self) -> dict[str, int]:
        """How many requests were accepted, repeated and refused since the store was emptied."""
        outcomes = Counter(entry.outcome for entry in self.log())
        return {"accepted": outcomes["accepted"], "repeated": outcomes["repeated"], "refused": outcomes["refused"]}

    def log(self) -> list[Logged]:
        """Every request since the store was emptied, in the order of their decisions. Not part of the state."""
        with self._lock:
            return list(self._log)

    def effects(self) -> list[SeenEffect]:
        """See `LogsEffects`."""
        return [SeenEffect(e.at, f"{e.method} {e.path}", e.outcome, "requests", e.row, e.status) for e in self.log()]

    def save(self) -> _State:
        """Effects, remembered keys and attempts."""
        with self._lock:
            return self._state.copy()

    def restore(self, image: Any) -> None:
        """The log goes on."""
        with self._lock:
            self._state = image.copy()
            self._changes += 1

    def stop(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        self._server = None

    def _answer(self, request: Request) -> Answer:
        """Decided and done under one lock: of two requests with one key at the same moment one is the first."""
        content = _body(request)
        key = self._key(request, content)
        number, route = next(((n, r) for n, r in enumerate(self.parameters.routes) if r.matches(request)), (-1, Route()))
        with self._lock:
            answer, outcome = self._decide(request, content, key, number, route)
            answer = replace(answer, delay=self._wait(number, route))
            row = None if outcome == "refused" else self._row(request, content, key)
            self._log.append(Logged(time.monotonic(), request.method, request.path, key, outcome, answer.status, row))
        return answer

    def _wait(self, number: int, route: Route) -> float:
        """Seconds until it is answered: in line, and for its own turn, which is taken now and kept whether anybody waits for it or not.

        So a client that gives up and asks again makes the line longer, which is how overload feeds itself (Bronson et al., Metastable
        Failures in Distributed Systems, HotOS 2021).
        """
        if route.capacity is None or self._clean:
            return route.delay
        now, busy = time.monotonic(), self._busy.setdefault(number, [])
        turn = now if len(busy) < route.capacity else max(now, heapq.heappop(busy))
        heapq.heappush(busy, turn + route.delay)
        return turn + route.delay - now

    def _decide(
        self, request: Request, content: Any, key: str, number: int, route: Route
    ) -> tuple[Answer, Literal["accepted", "repeated", "refused"]]:
        remembered = (request.method, request.path, key)
        if key and remembered in self._state.answers:
            return self._state.answers[remembered], "repeated"
        identity = repr((request.method, request.path, key or (request.query, request.body)))
        if self._fails(number, route, identity):
            return Answer(route.fail_status, {"error": "refused by the scenario"}), "refused"
        answer = Answer(route.status, {"ok": True} if route.body is None else route.body)
        if route.status >= 400:
            return answer, "refused"
        if request.method not in self.parameters.ignore_methods:
            self._state.requests.append(self._row(request, content, key))
            self._changes += 1
        if key:
            self._state.answers[remembered] = answer
        return (Answer(0, None) if self._drops(number, route, identity) else answer), "accepted"

    def _fails(self, number: int, route: Route, identity: str) -> bool:
        tries = self._state.tries
        tries[number, ""] += 1
        tries[number, identity] += 1
        once_more = route.fail == "once" and tries[number, identity] == 1
        return route.fail == "always" or (not self._clean and (once_more or tries[number, ""] <= route.fail_first))

    def _drops(self, number: int, route: Route, identity: str) -> bool:
        dropped = self._state.tries
        dropped[number, "drop " + identity] += 1
        return route.drop is not None and not self._clean and dropped[number, "drop " + identity] == 1

    def _key(self, request: Request, content: Any) -> str:
        place = self.parameters.idempotency_key
        if not place.startswith("body."):
            return request.headers.get(place.lower(), "") if place else ""
        for part in place.split(".")[1:]:
            content = content.get(part) if isinstance(content, Mapping) else None
        return "" if content is None else content if isinstance(content, str) else json.dumps(content, sort_keys=True)

    def _row(self, request: Request, content: Any, key: str) -> Row:
        headers = {name: request.headers.get(name.lower()) for name in self.parameters.headers}
        query = _flat(parse_qs(request.query, keep_blank_values=True))
        return {"method": request.method, "path": request.path, "query": query, "body": content, "key": key or None, "headers": headers}


def _body(request: Request) -> Any:
    """JSON and forms decoded, text as text, anything else in hex; None for no body."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if not request.body:
        return None
    try:
        if kind == "application/json" or kind.endswith("+json"):
            return json.loads(request.body)
        if kind == "application/x-www-form-urlencoded":
            return _flat(parse_qs(request.body.decode(), keep_blank_values=True))
    except (ValueError, RecursionError):
        pass
    return canonical(request.body)


def _flat(fields: Mapping[str, list[str]]) -> dict[str, Any]:
    return {name: values[0] if len(values) == 1 else values for name, values in sorted(fields.items())}
