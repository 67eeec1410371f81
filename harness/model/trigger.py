"""An event inside a worker at which a fault strikes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["EffectPoint", "Trigger"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class EffectPoint(_Frozen):
    """A call to the kernel that others can notice, as `explore` numbers them; what strikes there strikes while it is pending."""

    number: Annotated[int, Field(ge=1, description="counted from 1 in one execution of the task")]
    identity: str = Field(default="", description="what has to stand there, as `explore` names it; none: whatever it is")
    delivery: Annotated[int, Field(ge=1)] = Field(default=1, description="in this execution of the call, from 1; its retries count too")


class Trigger(_Frozen):
    """An event inside a worker: the n-th time that a task reaches a point, counted over all workers; or one given call's."""

    task: str
    reaches: str = Field(
        default="start",
        description="start, end, before_ack, after_ack, a line: file.py:41, file.py:41#2 (second hit in one execution), or effect",
    )
    nth: Annotated[int, Field(ge=1)] = 1
    call: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="only this call of the load (from 1): the same arguments in every run with the same seed"
    )
    effect: EffectPoint | None = Field(default=None, description="of `reaches: effect`: which; `explore` shows their numbers")

    @model_validator(mode="after")
    def _effect_is_named(self) -> "Trigger":
        if (self.reaches == "effect") != (self.effect is not None):
            raise ValueError("`reaches: effect` and `effect: {number: 4}` belong together")
        if self.effect is not None and self.nth != 1:
            raise ValueError("of an effect, `delivery` says in which execution: leave out `nth`")
        return self
