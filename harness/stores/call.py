"""A store that only the app knows how to read: a callable of the user's returns its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from harness.errors import ScenarioError
from harness.model.scenario import ObjectPath
from harness.model.world import Collection, StoreState
from harness.ports.store import StoreHost, StoreParameters
from harness.stores._values import digest

__all__ = ["CallStore"]


class CallParameters(StoreParameters):
    """Keys of a service ``call``."""

    observe: ObjectPath = Field(description="module:name of a callable that returns {collection: [row, …]}, rows as mappings")
    clear: ObjectPath | None = Field(default=None, description="callable that empties the store; none: the system's `setup` does")
    save: ObjectPath | None = Field(default=None, description="callable that returns an image of the store, as JSON")
    restore: ObjectPath | None = Field(default=None, description="callable that takes such an image back")
    touched: ObjectPath | None = Field(
        default=None, description="callable that returns a value that changes with the state; none: all rows"
    )
    keys: dict[str, tuple[str, ...]] = Field(default={}, description="collection -> columns that identify a row")
    surrogate: dict[str, tuple[str, ...]] = Field(default={}, description="collection -> columns whose values the store makes up")


class CallStore:
    """See `Store`. Each look starts a child under the user's Python (about 0.3 s)."""

    kind: ClassVar[str] = "call"
    summary: ClassVar[str] = "a callable of yours that returns the rows to compare"
    Parameters: ClassVar[type[StoreParameters]] = CallParameters

    def __init__(self, name: str, parameters: Any) -> None:
        self.name, self.parameters = name, parameters
        self._host: StoreHost | None = None

    def start(self, host: StoreHost) -> None:
        """Nothing is run yet: the user's `setup` comes first."""
        self._host = host

    def offers(self) -> Mapping[str, str]:
        """Nothing: the app knows where its store is."""
        return {}

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """None that we know of; `egress` opens what the app needs."""
        return ()

    def clear(self) -> None:
        """By the user's callable, if there is one."""
        if self.parameters.clear:
            self._call(self.parameters.clear)

    def observe(self) -> StoreState:
        """What the callable returns; ScenarioError where that is not {collection: [row, …]}."""
        answer = self._call(self.parameters.observe)
        if not isinstance(answer, Mapping):
            raise self._refused(f"returned {type(answer).__name__}, not a mapping of collections to lists of rows")
        return StoreState(self.name, {str(name): self._collection(str(name), rows) for name, rows in answer.items()})

    def _collection(self, name: str, rows: Any) -> Collection:
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise self._refused(f"returned something else than a list of mappings for {name!r}")
        key, surrogate = self.parameters.keys.get(name, ()), self.parameters.surrogate.get(name, ())
        for row in rows:
            if missing := [column for column in (*key, *surrogate) if column not in row]:
                raise self._refused(f"returned a row of {name!r} without {missing[0]!r}, which the scenario names as one of its columns")
        return Collection(name, tuple(rows), key, surrogate)

    def _refused(self, what: str) -> ScenarioError:
        return ScenarioError(
            f"{self.parameters.observe} {what}", where=f"system.services.{self.name}", hint="return {'table': [{'column': 1}]}"
        )

    def touched(self) -> int:
        """By the user's callable, else by a look at everything."""
        return digest(self._call(self.parameters.touched or self.parameters.observe))

    def save(self) -> Any:
        """By the user's callable. ScenarioError where there is none."""
        return self._call(self._needed("save"))

    def restore(self, image: Any) -> None:
        """By the user's callable. ScenarioError where there is none."""
        self._call(self._needed("restore"), image)

    def _needed(self, what: str) -> str:
        path = getattr(self.parameters, what)
        if not path:
            where = f"system.services.{self.name}"
            raise ScenarioError(
                f"a store that is read by a callable cannot {what} its state by itself", where=where, hint=f"name a `{what}` callable"
            )
        return str(path)

    def _call(self, path: str, *arguments: Any) -> Any:
        assert self._host is not None, f"{self.name} is not started"
        return self._host.call_user_code(path, *arguments)

    def stop(self) -> None:
        """Nothing of ours to take down."""
        self._host = None
