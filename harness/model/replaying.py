"""What a scenario says of the explorer's work: its bounds; and, of one that it has saved, the end that it foresaw."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.model.quantities import Duration

__all__ = ["ExploreLimit", "Foreseen"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ExploreLimit(_Frozen):
    """Where exploring stops although there is more; what it left out is said."""

    worlds: Annotated[int, Field(ge=1, le=1_000_000)] = 2000
    time: Duration = Field(default=60.0, gt=0)
    kills: Annotated[int, Field(ge=1, le=100)] = Field(default=50, description="crashes one after another")


class Foreseen(_Frozen):
    """The end that `explore` has reached by true SIGKILLs in its own children; `replay --confirm` holds real workers against it."""

    word: str = Field(description="EFFECT, PARTIAL, LOST, STATE, LEAK")
    ended: Literal["succeeded", "failed", "lost", ""] = Field(default="", description="what became of the call; none: it is not compared")
    differences: tuple[dict[str, Any], ...] = Field(
        default=(), description="from what a clean execution leaves: collection, row, before, after, expected"
    )
    against: Literal["done", "undone"] = Field(default="done", description="undone: they are from the world before the call")
