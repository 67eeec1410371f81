"""Celery's rules for the delay of a retry, as a policy that a scenario states.

Sources: ``celery/app/autoretry.py`` and ``celery.utils.time.get_exponential_backoff_interval`` (5.3 to 5.7), checked by
a test against the installed version. n is ``request.retries``, 0 at the first failure; factor =
``int(max(1.0, float(retry_backoff)))``; cap = ``int(retry_backoff_max)``; base = min(cap, factor * 2^n). Without jitter
the delay is base; with it ``randrange(base + 1)``, a whole number of seconds from 0 to base, so 0 s is legal.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.model.quantities import Duration, format_duration

__all__ = ["MEASURED", "Policy", "base_of", "delay_allowed", "is_one_of", "support"]

#: An ETA is computed before its publish is recorded: a delay measured between the two falls short by what lies between.
MEASURED = (0.5, 0.02)  # seconds below, seconds above


class Policy(BaseModel):
    """What is promised of a task's retries; what is left out is not judged."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    max_retries: Annotated[int, Field(ge=0)] | None = Field(default=None, description="retries after the first attempt; none: not judged")
    backoff: Literal["fixed", "exponential", "none"] | None = Field(
        default=None, description="fixed: `base` each time; exponential: base, 2 base, 4 base … up to `cap`; none: at once"
    )
    base: Duration | None = Field(default=None, description="fixed: the delay (Celery's default is 180s); exponential: retry_backoff (1s)")
    cap: Duration = Field(default=600.0, gt=0, description="exponential: retry_backoff_max")
    jitter: Literal["none", "full"] | None = Field(
        default=None, description="full: anything from 0 to the delay (Celery's retry_jitter); left out: exponential delays may be either"
    )
    retry_on: tuple[str, ...] = Field(default=(), description="exceptions that may be retried, by name; none given: all but `never`")
    never: tuple[str, ...] = Field(default=(), description="exceptions that must not be retried")
    within: Duration | None = Field(default=None, gt=0, description="total budget of one task: all delays asked for, and all its running")

    @model_validator(mode="after")
    def _jitter_of_something(self) -> Policy:
        if self.jitter == "full" and self.backoff not in ("fixed", "exponential"):
            raise ValueError("jitter: full needs backoff: exponential (or fixed) and its base")
        if self.base is not None and self.backoff not in ("fixed", "exponential"):
            raise ValueError("base needs backoff: exponential or backoff: fixed")
        return self


def base_of(policy: Policy, n: int) -> float | None:
    """The longest delay after the failure number n (from 0), in seconds; None: not judged."""
    if policy.backoff is None:
        return None
    if policy.backoff == "none":
        return 0.0
    if policy.backoff == "fixed":
        return 180.0 if policy.base is None else policy.base
    factor = int(max(1.0, policy.base if policy.base is not None else 1.0))
    cap = int(policy.cap)
    # 2^n without computing astronomical numbers for an unlimited task.
    return float(cap if n >= 64 else max(0, min(cap, factor * 2**n)))


def delay_allowed(policy: Policy, n: int, delay: float, *, exact: bool) -> bool:
    """Is this delay in the policy's support? ``exact`` as it was asked for, else measured (`MEASURED`)."""
    base = base_of(policy, n)
    if base is None:
        return True
    below, above = (0.0, 0.0) if exact else MEASURED
    if not _may_vary(policy):
        return base - below <= delay <= base + above
    if not -below <= delay <= base + above:
        return False
    return not exact or policy.backoff == "fixed" or delay == math.floor(delay)


def _may_vary(policy: Policy) -> bool:
    return policy.jitter == "full" or (policy.jitter is None and policy.backoff == "exponential")


def support(policy: Policy, n: int) -> str:
    """The support in words: '4.0 s', '0 to 4 s in whole seconds'."""
    base = base_of(policy, n)
    if base is None:
        return "any delay"
    if not _may_vary(policy):
        return format_duration(base)
    return f"0 to {base:g} s" + (" in whole seconds" if policy.backoff == "exponential" else "")


def is_one_of(exception: str, names: Iterable[str]) -> bool:
    """Does a recorded exception (qualified name) match one of these?

    By the full name or its last part. Only names are recorded, so of base classes just the built-in ones are known:
    ``ConnectionResetError`` is an ``OSError``; a subclass of the user's own must be named itself.
    """
    short = exception.rpartition(".")[2]
    for name in names:
        if name in (exception, short) or exception.endswith("." + name):
            return True
        wanted, actual = _builtin(name), _builtin(exception)
        if wanted is not None and actual is not None and issubclass(actual, wanted):
            return True
    return False


def _builtin(name: str) -> type[BaseException] | None:
    module, _, short = name.rpartition(".")
    found = getattr(builtins, short, None) if module in ("", "builtins") else None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
