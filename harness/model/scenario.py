"""A scenario: system, load, timeline, checks. The shape of the file, and nothing that needs the registry.

Names of faults, checks, brokers and services are plain strings here; `harness.scenario` holds them against the
registry that it is given, and validates their parameters with the models that the registry's entries bring.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from harness.model.quantities import Duration, Rate
from harness.model.replaying import ExploreLimit, Foreseen
from harness.model.trace import Trace
from harness.model.trigger import Trigger

__all__ = [
    "BrokerSpec",
    "Build",
    "Call",
    "Chord",
    "Drain",
    "ExploreItem",
    "ExploreLimit",
    "LoadItem",
    "LocustSpec",
    "Scenario",
    "Step",
    "System",
    "TimeScale",
    "TimelineItem",
    "Trigger",
    "WorkerGroup",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _callable_path(value: str) -> str:
    module, _, name = value.partition(":")
    if not module or not name or " " in value:
        raise ValueError(f"{value!r} does not name an object: write module:name, such as sample_tasks.orders_world:charges")
    return value


#: "module:name" of something in the user's code; imported in a child process under the user's Python, never here.
ObjectPath = Annotated[str, AfterValidator(_callable_path)]


def _drawn_from(value: str) -> str:
    if value != "types" and (":" not in value or " " in value):
        raise ValueError(f"{value!r} is nothing to draw arguments from: write types, or module:strategy, such as shop.testing:charges")
    return value


#: 'types', or "module:name" of a strategy.
DrawnFrom = Annotated[str, AfterValidator(_drawn_from)]


class BrokerSpec(_Frozen):
    """A broker or result backend. ``broker: redis`` is short for ``broker: {kind: redis}``."""

    kind: str
    proxy: bool = Field(default=False, description="put a network proxy before it, also where no network fault needs one")
    tls: Literal[False, True, "wrong_name", "expired"] = Field(
        default=False,
        description="encrypt, with an authority made for the run; wrong_name, expired: with a certificate that no client may trust",
    )
    persistence: bool = Field(default=True, description="keep messages over a restart (Redis: append-only file, fsync always)")
    driver: str = Field(
        default="",
        pattern=r"^\w*$",
        description="postgres as result backend: SQLAlchemy driver, e.g. psycopg; none: SQLAlchemy's own default",
    )


class WorkerGroup(_Frozen):
    """Workers that are alike. Each replica is a process (or container) and a session of its own."""

    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    queues: tuple[str, ...] = Field(default=(), description="queues to consume; none: the app's own default")
    pool: Literal["prefork", "threads", "solo", "gevent", "eventlet"] = "prefork"
    concurrency: Annotated[int, Field(ge=1, le=256)] = 2
    prefetch_multiplier: Annotated[int, Field(ge=0)] | None = Field(default=None, description="none: the app's own")
    options: tuple[str, ...] = Field(default=(), description="further options of `celery worker`, e.g. --max-tasks-per-child=1")


class Build(_Frozen):
    """An image built from a Dockerfile of the user's. ``build: .`` is short for ``build: {context: .}``."""

    context: str = Field(default=".", description="folder, relative to the project's")
    dockerfile: str = Field(default="Dockerfile", description="relative to the context")
    target: str | None = None
    args: dict[str, str] = {}


class System(_Frozen):
    """What is started: the user's app on brokers, backends and services of our own."""

    app: ObjectPath
    python: str = Field(default="", description="interpreter of the environment that holds the app; none: the one running the harness")
    path: str = Field(default=".", description="working folder of worker and producer, relative to the scenario file's project")
    image: str | None = Field(
        default=None, description="containers: the image that holds the app; none: one made from `build` or from its requirements"
    )
    build: Build | str | None = Field(
        default=None, description="containers: the folder of your Dockerfile, or {context, dockerfile, target, args}"
    )
    requirements: str | None = Field(
        default=None,
        description="containers: requirements file or pyproject.toml to make an image from; none: what the project's folder has",
    )
    images: dict[Literal["redis", "rabbitmq", "postgres", "toxiproxy", "python"], str] = Field(
        default={}, description="containers: images in place of the default ones"
    )
    setup: ObjectPath | None = Field(default=None, description="called on every fresh world: tables, first rows")
    broker: BrokerSpec | str = "redis"
    backend: BrokerSpec | str | None = Field(
        default=None, description="result backend; none: results are disabled unless the app needs them"
    )
    redelivery: Duration | None = Field(
        default=None, gt=0, description="Redis: visibility timeout and both sweep options together; none: the app's own"
    )
    services: dict[str, str | dict[str, Any]] = {}
    env: dict[str, str] = Field(default={}, description="environment of the app; ${{ service.url }} is replaced")
    config: dict[str, Any] = Field(default={}, description="overrides of the app's own configuration; named in the verdict line")
    egress: tuple[str, ...] = Field(default=(), description="host or host:port that the app may connect to")
    wall: bool = Field(
        default=True,
        description="processes: the kernel holds workers and producer to what is declared, C libraries and child processes too",
    )
    workers: dict[str, WorkerGroup] = Field(default_factory=lambda: {"worker": WorkerGroup()})

    @model_validator(mode="after")
    def _one_image(self) -> "System":
        if self.image and self.build:
            raise ValueError("`image` and `build` both say where the workers' image comes from: write one")
        return self

    @property
    def build_spec(self) -> Build | None:
        """`build` with the short form written out."""
        return Build(context=self.build) if isinstance(self.build, str) else self.build

    @property
    def broker_spec(self) -> BrokerSpec:
        """The broker with the short form written out."""
        return self.broker if isinstance(self.broker, BrokerSpec) else BrokerSpec(kind=self.broker)

    @property
    def backend_spec(self) -> BrokerSpec | None:
        """The result backend with the short form written out."""
        if self.backend is None or isinstance(self.backend, BrokerSpec):
            return self.backend
        return BrokerSpec(kind=self.backend)


class Call(_Frozen):
    """One task with its arguments. A string names a callable or Hypothesis strategy that yields ``(args, kwargs)``."""

    send: str = Field(description="name of the task")
    args: Union[ObjectPath, tuple[Any, ...]] = ()
    kwargs: dict[str, Any] = {}
    queue: str | None = None
    countdown: Duration | None = None
    eta: Duration | None = Field(default=None, description="as a duration from the moment of publishing")
    expires: Duration | None = None
    priority: Annotated[int, Field(ge=0, le=255)] | None = None


class Chord(_Frozen):
    """A chord: the header's tasks in parallel, then the body once."""

    header: tuple[Call, ...] = Field(min_length=1)
    body: Call


#: Arrivals whose number follows from their rates over `for`, and what they need.
_SIZED_BY_TIME = {
    "ramp": ("rate", "for"),
    "step": ("rates", "for"),
    "spike": ("rate", "peak", "peak_at", "peak_for", "for"),
    "diurnal": ("rate", "period", "for"),
}


class LoadItem(_Frozen):
    """One stream of calls, open loop: arrivals do not wait for answers.

    Exactly one of ``send``, ``chain``, ``group`` and ``chord``; its size by ``count``, or by ``rate`` and ``for``.
    """

    send: str | None = None
    args: Union[ObjectPath, tuple[Any, ...]] = ()
    kwargs: dict[str, Any] = {}
    queue: str | None = None
    countdown: Duration | None = None
    eta: Duration | None = None
    expires: Duration | None = None
    priority: Annotated[int, Field(ge=0, le=255)] | None = None
    chain: tuple[Call, ...] = ()
    group: tuple[Call, ...] = ()
    chord: Chord | None = None

    arrival: Literal["constant", "ramp", "step", "spike", "diurnal", "burst", "poisson", "trace"] = "constant"
    rate: Rate | None = Field(default=None, description="arrivals per time; ramp: at its end; spike: beside it; diurnal: at noon")
    start_rate: Rate | None = Field(default=None, description="ramp: rate at its start; none: near 0")
    rates: tuple[Rate, ...] = Field(default=(), description="step: one after the other, each for an equal part of `for`")
    peak: Rate | None = Field(default=None, description="spike: rate from `peak_at` on, for `peak_for`")
    peak_at: Duration | None = Field(default=None, description="spike: when it begins, from the start of the stream")
    peak_for: Duration | None = Field(default=None, gt=0, description="spike: how long it lasts")
    low: Rate | None = Field(default=None, description="diurnal: rate at midnight, with which it begins; none: near 0")
    period: Duration | None = Field(default=None, gt=0, description="diurnal: length of a day")
    trace: str | None = Field(
        default=None,
        description="trace: a CSV file with a column `at`, or a run's result.json; relative to this file, or else to the working folder",
    )
    speed: Annotated[float, Field(gt=0, le=1000)] = Field(default=1.0, description="trace: 2 plays it twice as fast")
    prepare: bool = Field(default=False, description="make messages before the load begins, byte for byte as Celery would send them")
    publishers: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="connections that share this stream's calls")
    duration: Duration | None = Field(default=None, alias="for", gt=0)
    count: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    every: Duration | None = Field(default=None, gt=0, description="burst: time between bursts; `count` calls each")
    at: Duration = Field(default=0.0, description="when this stream begins, from the start of the load")
    _played: Trace | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _one_kind_and_a_size(self) -> "LoadItem":
        kinds = [k for k in ("send", "chain", "group", "chord") if getattr(self, k)]
        if len(kinds) != 1:
            raise ValueError(
                "a load item holds exactly one of send, chain, group and chord" + (f", not {' and '.join(kinds)}" if kinds else "")
            )
        if self.arrival in _SIZED_BY_TIME:
            self._needs(*_SIZED_BY_TIME[self.arrival])
        elif self.arrival == "burst":
            self._needs("count")
            if (self.every is None) != (self.duration is None):
                raise ValueError("repeated bursts need both `every` and `for`")
        elif self.arrival == "trace":
            self._needs("trace")
        elif self.rate is None:
            if self.count is None or self.duration is not None:
                raise ValueError("write `rate` and `for`, or `rate` and `count`, or `count` alone (all at once)")
            if self.arrival != "constant":
                raise ValueError(f"{self.arrival} arrivals need a `rate`")
        elif (self.duration is None) == (self.count is None):
            raise ValueError("with `rate`, write either `for` or `count`")
        return self

    def _needs(self, *keys: str) -> None:
        missing = [f"`{key}`" for key in keys if getattr(self, "duration" if key == "for" else key) in (None, ())]
        if missing:
            raise ValueError(f"arrival: {self.arrival} needs {' and '.join(missing)}")

    @property
    def played(self) -> Trace:
        """What is played where `arrival` is ``trace``; the loader has read it (`harness.scenario.traces`)."""
        if self._played is None:
            raise ValueError(f"the trace {self.trace} has not been read")
        return self._played

    def playing(self, trace: Trace) -> "LoadItem":
        """The same stream, with its trace."""
        item = self.model_copy()
        item._played = trace
        return item

    def planned(self) -> dict[str, Any]:
        """As the producer's plan has it (docs/journal.md): durations in seconds; `own`: what the calls of a trace say of themselves."""
        document = self.model_dump(mode="json", by_alias=True)
        if self._played is not None and self._played.own:
            document["own"] = [list(call) for call in self._played.own]
        return document


class LocustSpec(_Frozen):
    """Locust in place of the load: its users make the calls (docs/load.md)."""

    file: str = Field(description="locustfile, relative to the folder that you run in")
    users: Annotated[int, Field(ge=1, le=100_000)] = Field(default=1, description="at most so many at a time, over all processes")
    spawn_rate: Rate | None = Field(default=None, description="users started per time; none: all within a second")
    duration: Duration | None = Field(
        default=None, alias="for", gt=0, description="none: the locustfile's LoadTestShape says when it is over"
    )
    processes: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="Locust processes that share the users")
    options: tuple[str, ...] = Field(default=(), description="further options of Locust, e.g. --stop-timeout=5")


class TimelineItem(BaseModel):
    """One fault, planned by time (``at``) or by an event (``when``); further keys are the fault's own parameters."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    fault: str
    at: Duration | None = None
    when: Trigger | None = None
    duration: Duration | None = Field(default=None, alias="for", gt=0, description="healed after this long; none: at the end of the load")

    @model_validator(mode="after")
    def _planned_once(self) -> "TimelineItem":
        if (self.at is None) == (self.when is None):
            raise ValueError("a fault is planned either `at` a time or `when` an event happens")
        return self

    @property
    def parameters(self) -> dict[str, Any]:
        """The fault's own keys, as written."""
        return dict(self.model_extra or {})


class Step(_Frozen):
    """One step of a schedule, in the order of the file: exactly one of its keys. Numbers are indices from 0."""

    send: int | None = Field(default=None, description="load item; the step is over once it is published")
    fault: int | None = Field(default=None, description="timeline item; begins now, or is armed from now on")
    heal: tuple[int, ...] | None = Field(default=None, description="timeline items; over once healing was probed")
    wait: Duration | Literal["quiet"] | None = Field(default=None, description="a time, or until the system is quiet")


class Drain(_Frozen):
    """How long the system may take, after the load and the healing, to become quiet."""

    timeout: Duration = Field(default=60.0, gt=0)


class ExploreItem(_Frozen):
    """One task for `celery-harness explore`, with one set of arguments, or with several that are drawn."""

    task: str
    args: Union[DrawnFrom, tuple[Any, ...]] = Field(
        default=(), description="as they are; or `types`: drawn from the task's type hints; or module:strategy of pairs (args, kwargs)"
    )
    kwargs: dict[str, Any] = Field(default={}, description="as they are; of drawn arguments those that are the same in each set")
    rows: ObjectPath | None = Field(default=None, description="module:strategy; `setup` is called with what it gives, for each set anew")
    examples: Annotated[int, Field(ge=1, le=1000)] = Field(default=10, description="so many sets are drawn; `limit` is for each of them")
    limit: ExploreLimit = ExploreLimit()
    semantics: Literal["at_least_once", "at_most_once"] | None = Field(
        default=None, description="none: what the scenario's `semantics` says of the task, else what its acks give"
    )

    @model_validator(mode="after")
    def _examples_of_something(self) -> "ExploreItem":
        if "examples" in self.model_fields_set and not self.is_drawn:
            raise ValueError("`examples` says how many sets are drawn, and here all is written out")
        return self

    @property
    def is_drawn(self) -> bool:
        """Are there several sets?"""
        return isinstance(self.args, str) or self.rows is not None


class TimeScale(_Frozen):
    """Shortens times that Celery would wait for real; what was asked for is recorded and judged."""

    retries: Annotated[str, Field(pattern=r"^/\d+$", description="divide retry delays, e.g. /60")] = "/1"

    @property
    def retry_divisor(self) -> int:
        """60 for '/60'."""
        return max(1, int(self.retries[1:]))


class Scenario(_Frozen):
    """One scenario, its matrix and `extends` already resolved."""

    version: Literal[1]
    description: str = ""
    tags: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    extends: str | None = Field(default=None, description="another scenario file; mappings are merged, lists replaced")
    matrix: dict[str, tuple[Any, ...]] = {}
    runtime: Literal["auto", "containers", "processes"] = "auto"
    system: System
    load: tuple[LoadItem, ...] = ()
    locust: LocustSpec | None = Field(default=None, description="Locust's users make the calls, in place of `load`")
    timeline: tuple[TimelineItem, ...] = ()
    schedule: tuple[Step, ...] = Field(
        default=(), description="in place of load and timeline: calls and faults one after another, in exactly this order"
    )
    explore: tuple[ExploreItem, ...] = Field(default=(), description="tasks for `celery-harness explore`; a run leaves them alone")
    foreseen: Foreseen | None = Field(default=None, description="of a scenario that `explore` has saved: for `replay --confirm`")
    time: TimeScale = TimeScale()
    drain: Drain = Drain()
    checks: dict[str, dict[str, Any]] = {}
    thresholds: dict[str, tuple[str, ...]] = {}
    semantics: dict[str, Literal["at_least_once", "at_most_once"]] = Field(
        default={}, description="per task name or pattern; default from its acks"
    )

    @property
    def only_explores(self) -> bool:
        """Is there nothing to run? The calls of a `schedule` are its `load` by now."""
        return not self.load and self.locust is None
