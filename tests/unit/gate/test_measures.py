from __future__ import annotations

from harness.gate.measures import measures_of, typical
from harness.model.gate import Measures
from tests.unit.gate.makers import fault, run_result


def test_percentiles_by_nearest_rank() -> None:
    found = measures_of(run_result([0.0] * 100, [n / 100 for n in range(1, 101)]))
    assert (found.p50, found.p95, found.p99, found.samples) == (0.50, 0.95, 0.99, 100)
    assert found.throughput == 100.0


def test_too_few_tasks_say_nothing() -> None:
    def known(n: int) -> list[bool]:
        found = measures_of(run_result([0.0] * n, [1.0] * n))
        return [figure is not None for figure in (found.p50, found.p95, found.p99, found.throughput)]

    assert known(4) == [False] * 4
    assert known(5) == known(19) == [True, False, False, False]
    assert known(20) == known(99) == [True, True, False, True]
    assert known(100) == [True] * 4


def test_a_task_that_never_ended_has_no_latency() -> None:
    assert measures_of(run_result([0.0] * 6, [1.0] * 5 + [None])).samples == 5


def test_tasks_that_a_fault_or_its_recovery_touched_do_not_count() -> None:
    dues = [float(n) for n in range(40)]
    late = [0.5 if not 9 <= n <= 15 else 4.0 for n in range(40)]
    found = measures_of(run_result(dues, late, (fault(10.0, 12.0, recovery=3.0),)))
    # 9 lives until 13, 10 ... 15 are due in it; 14.5 is over before 15, but 15 is due at its end.
    assert found.samples == 33 and found.p95 == 0.5


def test_throughput_leaves_out_the_time_of_faults() -> None:
    dues = [float(n) for n in range(30)]
    calm = measures_of(run_result(dues, [0.0] * 30))
    # Of 0 ... 29 the ends at 10 ... 18 lie within two faults that overlap: 21 ends in 29 - 8 seconds.
    struck = measures_of(run_result(dues, [0.0] * 30, (fault(10.0, 15.0), fault(14.0, 18.0))))
    assert calm.throughput == round(30 / 29, 6)
    assert struck.throughput == round(21 / 21, 6)


def test_a_fault_that_never_began_touches_nothing() -> None:
    assert measures_of(run_result([0.0] * 5, [1.0] * 5, (fault(None),))).samples == 5


def test_a_run_that_never_came_to_its_tasks_has_no_figures() -> None:
    assert measures_of(run_result([], [], tasks=None)) == Measures()


def test_typical_is_the_median_of_what_is_known() -> None:
    samples = [Measures(p50=1.0, samples=5), Measures(p50=3.0, p95=9.0, samples=20), Measures(p50=2.0, samples=6)]
    assert typical(samples) == Measures(p50=2.0, p95=9.0, samples=6)
    assert typical([]) == Measures()
