"""`matrix`: cells, their order and names, and what a placeholder becomes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.errors import ScenarioError
from harness.scenario import LoadedScenario

Load = Callable[..., list[LoadedScenario]]
Refused = Callable[..., list[ScenarioError]]
Doc = Callable[..., str]


def test_cells_are_the_product_and_are_named(load: Load, doc: Doc) -> None:
    loaded = load(
        doc(
            matrix="matrix: {broker: [redis, rabbitmq], late: [true, false]}",
            system="system: {app: 'a:b', broker: '${{ matrix.broker }}', config: {task_acks_late: '${{matrix.late}}'}}",
        )
    )
    assert [one.title for one in loaded] == [
        "orders [broker=redis, late=true]",
        "orders [broker=redis, late=false]",
        "orders [broker=rabbitmq, late=true]",
        "orders [broker=rabbitmq, late=false]",
    ]
    assert [one.scenario.system.broker for one in loaded] == ["redis", "redis", "rabbitmq", "rabbitmq"]
    assert [one.scenario.system.config["task_acks_late"] for one in loaded] == [True, False, True, False]
    assert loaded[3].cell == {"broker": "rabbitmq", "late": False}
    assert {one.name for one in loaded} == {"orders"}


def test_without_a_matrix_there_is_one_cell(load: Load, doc: Doc) -> None:
    (loaded,) = load(doc())
    assert loaded.cell == {}
    assert loaded.title == "orders"


def test_a_whole_placeholder_keeps_the_type_and_an_embedded_one_is_text(load: Load, doc: Doc) -> None:
    args = "args: ['${{ matrix.v }}', 'v=${{ matrix.v }}!']"
    cells = load(doc(matrix="matrix: {v: [1, 1.5, true, null, x]}", load=f"load: [{{send: a, count: 1, {args}}}]"))
    assert [repr(cell.scenario.load[0].args) for cell in cells] == [
        "(1, 'v=1!')",
        "(1.5, 'v=1.5!')",
        "(True, 'v=true!')",
        "(None, 'v=null!')",
        "('x', 'v=x!')",
    ]
    (nested,) = load(doc(matrix="matrix: {v: [{k: [1]}]}", load="load: [{send: a, count: 1, args: ['${{ matrix.v }}']}]"))
    assert nested.scenario.load[0].args == ({"k": [1]},)


def test_fault_check_and_service_may_come_from_the_matrix(load: Load, doc: Doc) -> None:
    (loaded,) = load(
        doc(
            matrix="matrix: {fault: [worker.kill], kind: [http], n: [2]}",
            system="system: {app: 'a:b', services: {api: '${{ matrix.kind }}'}, workers: {pay: {replicas: '${{ matrix.n }}'}}}",
            timeline="timeline: [{at: '${{ matrix.n }}s', fault: '${{ matrix.fault }}', target: 'pay-${{ matrix.n }}'}]",
        )
    )
    assert loaded.fault_kinds[0].name == "worker.kill"
    assert loaded.stores["api"][0] == "http"
    assert loaded.scenario.timeline[0].at == 2.0


def test_text_is_the_cell_and_loads_to_the_same_scenario(load: Load, doc: Doc) -> None:
    text = doc(
        matrix="matrix: {n: [1, 2]}",
        system="system: {app: 'a:b', env: {A: '08', B: 'true', C: '${{ broker.url }}'}}",
        load="load: [{send: a, rate: 5/s, for: '${{ matrix.n }}s', args: [2024-01-01, ü, null]}]",
        timeline="timeline: [{at: 1s, fault: worker.kill}]",
    )
    for loaded in load(text):
        (again,) = load(loaded.text)
        assert again.scenario == loaded.scenario
        assert again.faults == loaded.faults
        assert again.text == loaded.text
        assert "matrix" not in loaded.text


def test_an_error_that_all_cells_share_is_told_once(doc: Doc, refused: Refused) -> None:
    refused(doc(matrix="matrix: {n: [1, 2]}", seed="seed: '${{ matrix.n }}'", drain="drain: {timeout: «5}"))


def test_errors_of_single_cells_point_at_their_values(doc: Doc, refused: Refused) -> None:
    refused(doc(system="system: {app: 'a:b', broker: '${{ matrix.broker }}'}", matrix="matrix: {broker: [redis, «reddis, «kafka]}"))


@pytest.mark.parametrize(
    ("matrix", "what"),
    [
        ("matrix: «[a]", "`matrix` is a mapping of names to lists of values, not a list"),
        ("matrix: {a: «b}", "`matrix.a` is a list of values, such as [a, b], not `b`"),
        ("matrix: {a: «[]}", "`matrix.a` has no values: nothing would be run"),
        ("matrix: {a: [1, 2, «1]}", "`matrix.a` holds the number 1 twice"),
        ("«matrix: {a: &l [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], b: *l, c: *l}", "the matrix has 1,331 cells; at most 1,000 are run"),
    ],
)
def test_bad_matrix(doc: Doc, refused: Refused, matrix: str, what: str) -> None:
    (error,) = refused(doc(matrix=matrix))
    assert error.what == what


def test_true_and_1_are_two_values(load: Load, doc: Doc) -> None:
    assert len(load(doc(matrix="matrix: {a: [1, true, '1']}"))) == 3


def test_values_are_not_replaced_again(doc: Doc, refused: Refused) -> None:
    (error,) = refused(doc(matrix="matrix: {a: [x], b: [«'${{ matrix.a }}']}", description="description: '${{ matrix.b }}'"))
    assert "is not replaced again" in error.what
    system = "system: {app: 'a:b', env: {A: «'${{ matrix.${{ matrix.a }} }}'}}"
    (error,) = refused(doc(matrix="matrix: {a: [x]}", system=system))
    assert "`${{ matrix.x }}` came out of a placeholder" in error.what


def test_a_value_of_the_matrix_may_name_a_service(load: Load, doc: Doc) -> None:
    system = "system: {app: 'a:b', services: {db: sqlite}, env: {URL: '${{ matrix.url }}', RAW: '${{ db.path }}/${{ matrix.url }}'}}"
    (loaded,) = load(doc(matrix="matrix: {url: ['${{ db.url }}']}", system=system))
    assert loaded.scenario.system.env == {"URL": "${{ db.url }}", "RAW": "${{ db.path }}/${{ db.url }}"}
