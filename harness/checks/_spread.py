"""How improbable is it that delays drawn with full jitter lie this close together?

Under full jitter (``randrange(base + 1)``, celery.utils.time.get_exponential_backoff_interval) k delays are independent
and uniform over N = base + 1 whole seconds. Two exact statistics of a group:

- range R: P(R <= r) = ((N - r) (r + 1)^k - (N - r - 1) r^k) / N^k, counting the sequences that fit into one of the
  N - r windows of r + 1 values, less those counted twice;
- most frequent value M: P(M >= m) <= N * P(Binomial(k, 1/N) >= m), the union bound.

A group's p-value is twice the smaller one (Bonferroni). Groups are combined by Fisher's method: -2 sum(ln p) against
chi-square with 2g degrees of freedom, whose tail for even degrees is a finite sum. p-values of discrete statistics are
stochastically larger than uniform, so the combination errs towards 'nothing unusual', never towards an alarm.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

__all__ = ["SIGNIFICANT", "binomial_tail", "combined", "group_probability"]

#: A spread less probable than this under the policy refutes the policy.
SIGNIFICANT = 1e-6
_SMALLEST = 1e-300


def group_probability(delays: Sequence[int], base: int) -> float:
    """P-value of whole-second delays of one base being this concentrated; 1 for fewer than two, or where base is 0."""
    k, n = len(delays), base + 1
    if k < 2 or n < 2:
        return 1.0
    spread = max(delays) - min(delays)
    return min(1.0, 2 * min(range_probability(k, n, spread), n * binomial_tail(k, max(Counter(delays).values()), 1 / n)))


def range_probability(k: int, n: int, spread: int) -> float:
    """P(max - min <= spread) of k independent draws, uniform over n values."""
    if spread >= n - 1:
        return 1.0
    inside = (n - spread) * math.exp(k * math.log((spread + 1) / n))
    twice = (n - spread - 1) * math.exp(k * math.log(spread / n)) if spread else 0.0
    return max(0.0, inside - twice)


def binomial_tail(k: int, m: int, p: float) -> float:
    """P(Binomial(k, p) >= m)."""
    if m <= 0 or p >= 1:
        return 1.0
    if p <= 0 or m > k:
        return 0.0
    log_p, log_q = math.log(p), math.log1p(-p)
    total = 0.0
    for i in range(m, k + 1):
        term = math.exp(math.lgamma(k + 1) - math.lgamma(i + 1) - math.lgamma(k - i + 1) + i * log_p + (k - i) * log_q)
        total += term
        if i > k * p and term < total * 1e-12:
            break
    return min(1.0, total)


def combined(probabilities: Iterable[float]) -> float:
    """Fisher's method; 1 for no groups."""
    logs = [math.log(max(p, _SMALLEST)) for p in probabilities if p < 1]
    if not logs:
        return 1.0
    half = -sum(logs)
    # ln of exp(-half) * sum(half^i / i!, i < g), summed from the largest term.
    terms = [-half + i * math.log(half) - math.lgamma(i + 1) for i in range(len(logs))]
    top = max(terms)
    return min(1.0, math.exp(top) * sum(math.exp(t - top) for t in terms))
