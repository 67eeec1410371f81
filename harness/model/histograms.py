"""HDR histograms of latencies: small, mergeable without loss, the same format as every other tool that knows them.

In microseconds from 1 to 3.6e9 (an hour), three significant digits: a value is off by less than a thousandth of itself. Written as
Base64 of the compressed V2 encoding (https://github.com/HdrHistogram/HdrHistogram). Needs the package `hdrhistogram`, of the extra `load`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

__all__ = ["HIGHEST", "available", "bucketed", "decode", "encode", "merge", "percentile"]

LOWEST, HIGHEST, DIGITS = 1, 3_600_000_000, 3
#: A bucket's values share their first eleven bits: 2,048 is the power of two that three digits need.
_BITS = 11


def available() -> bool:
    """Is the package installed?"""
    return find_spec("hdrh") is not None


def bucketed(seconds: Iterable[float]) -> Counter[int]:
    """Lowest value of a bucket, in microseconds -> how many of these it holds. Infinite ones are left out; zero counts as the lowest
    value and what is longer than an hour as an hour.

    Recording one value after the other costs the package 5 µs each; to count them first, a tenth of that.
    """
    counts: Counter[int] = Counter()
    for value in seconds:
        if value == math.inf:
            continue
        micros = round(value * 1e6)
        micros = LOWEST if micros < LOWEST else HIGHEST if micros > HIGHEST else micros
        shift = micros.bit_length() - _BITS
        counts[micros if shift <= 0 else micros >> shift << shift] += 1
    return counts


def encode(buckets: Mapping[int, int]) -> str:
    """What `bucketed` counted, as text; '' without the package."""
    if not available():
        return ""
    histogram = _fresh()
    for value, count in buckets.items():
        histogram.record_value(value, count)
    return _text(histogram)


def decode(text: str) -> dict[int, int]:
    """Lowest value of a bucket in microseconds -> count. ValueError for what is no histogram; ImportError without the package."""
    histogram = _read(text)
    lowest = histogram.get_lowest_equivalent_value
    return {lowest(item.value_iterated_to): item.count_added_in_this_iter_step for item in histogram.get_recorded_iterator()}


def merge(texts: Iterable[str]) -> str:
    """One histogram of all that they counted, as if one had counted it. '' for none."""
    total = None
    for text in texts:
        histogram = _read(text)
        if total is None:
            total = histogram
        else:
            total.add(histogram)
    return _text(total) if total is not None else ""


def percentile(text: str, percent: float) -> float | None:
    """In seconds, as the histogram has it; None without a value."""
    histogram = _read(text)
    return histogram.get_value_at_percentile(percent) * 1e-6 if histogram.get_total_count() else None


def _fresh() -> Any:
    from hdrh.histogram import HdrHistogram

    return HdrHistogram(LOWEST, HIGHEST, DIGITS)


def _read(text: str) -> Any:
    from hdrh.histogram import HdrHistogram

    try:
        return HdrHistogram.decode(text)
    except Exception as exc:  # the package raises whatever base64, zlib and its own parser raise
        raise ValueError(f"this is no HDR histogram: {text[:40]!r} ({type(exc).__name__}: {exc})") from None


def _text(histogram: Any) -> str:
    return str(histogram.encode().decode("ascii"))
