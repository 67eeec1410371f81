from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hdrh.histogram import HdrHistogram

from harness.model import histograms
from harness.model.histograms import HIGHEST, bucketed, decode, encode, merge, percentile


def waits(seed: int, count: int = 5_000) -> list[float]:
    """From microseconds to minutes."""
    rng = random.Random(seed)
    return [rng.lognormvariate(-3, 3) for _ in range(count)]


def test_eight_workers_merged_are_the_one_that_had_all_to_the_byte() -> None:
    eight = [waits(seed) for seed in range(8)]
    single = encode(bucketed(value for values in eight for value in values))
    parts = [encode(bucketed(values)) for values in eight]
    assert merge(parts) == single
    assert merge(reversed(parts)) == single
    assert merge([merge(parts[:3]), merge(parts[3:])]) == single
    assert decode(single) == sum((bucketed(values) for values in eight), Counter())
    assert merge([]) == ""


def test_it_is_what_the_package_itself_would_have_counted() -> None:
    values = waits(1)
    theirs = HdrHistogram(1, HIGHEST, 3)
    for value in values:
        theirs.record_value(min(HIGHEST, max(1, round(value * 1e6))))
    assert encode(bucketed(values)) == theirs.encode().decode()


def test_no_value_is_off_by_a_thousandth_of_itself() -> None:
    exact = sorted(value for value in waits(2) if 1e-6 <= value <= 3600)
    text = encode(bucketed(exact))
    for percent in (1, 10, 50, 90, 95, 99, 99.9, 100):
        true = exact[max(0, math.ceil(round(percent / 100 * len(exact), 9)) - 1)]
        assert percentile(text, percent) == pytest.approx(true, rel=1e-3, abs=1e-6)
    worst = max(abs(bucket - round(v * 1e6)) / round(v * 1e6) for v in exact for bucket in bucketed([v]))
    assert worst < 1 / 1024


def test_the_ends_of_the_range() -> None:
    assert bucketed([0.0, 1e-7, 1e-6]) == {1: 3}
    longest = bucketed([3600.0, 86_400.0])
    assert sum(longest.values()) == 2 and percentile(encode(longest), 100) == pytest.approx(3600, rel=1e-3)
    assert bucketed([math.inf]) == {}
    assert percentile(encode(Counter()), 99) is None


@pytest.mark.parametrize("text", ["", "nothing", "HISTFAAAAAB4nJNpmSzMwMDAAAAJ", "ä"])
def test_what_is_no_histogram_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no HDR histogram"):
        decode(text)
    with pytest.raises(ValueError, match="no HDR histogram"):
        merge([encode(Counter({1: 1})), text])


def test_without_the_package_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histograms, "available", lambda: False)
    assert encode(Counter({5: 1})) == ""
