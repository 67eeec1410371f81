"""What makes two worlds one: other numbers that a store gave, other random tokens, another order of rows. And what never does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.explore.canonical import canonical
from harness.explore.freezing import Freezer, changes
from harness.explore.varying import Varying
from harness.model.world import Collection

Rows = dict[str, list[dict[str, Any]]]

FIRST: Rows = {"db.payments": [{"id": 1, "note": "first", "token": None}], "db.lines": [], "api.requests": []}
NOW = 1_795_000_000.0


def token(number: int) -> str:
    return str(UUID(int=number * 0x1234567_89ABCDEF_0123456789, version=4))


def world(rows: Rows) -> dict[str, Collection]:
    return {
        "db.payments": Collection("payments", tuple(rows["db.payments"]), key=("id",), surrogate=("id",)),
        "db.lines": Collection("lines", tuple(rows["db.lines"]), references={"payment": "payments.id"}),
        "api.requests": Collection("requests", tuple(rows["api.requests"])),
    }


def varying() -> Varying:
    found = Varying()
    found.remember(world(FIRST))
    samples = []
    for number in (7_001, 7_002):
        payment = {"id": 2, "note": "x", "token": token(number)}
        request = {"method": "POST", "path": "/charges", "key": "payment-2", "body": {"payment_id": 2, "token": token(number + 10)}}
        samples.append(world({"db.payments": [payment], "db.lines": [], "api.requests": [request]}))
    found.learn(samples)
    return found


VARYING = varying()
GIVEN = {("db.payments", "id"): {1}}


def meaning(rows: Rows) -> tuple[str, ...]:
    """As ends are compared."""
    return canonical(Freezer(VARYING, GIVEN).freeze(changes(world(FIRST), world(rows))))


def key(rows: Rows) -> tuple[str, ...]:
    """As nodes are merged."""
    return canonical(Freezer(VARYING, GIVEN, now=NOW, ordered=True).freeze(changes(world(FIRST), world(rows))))


both = pytest.mark.parametrize("form", [meaning, key])


@st.composite
def worlds(draw: st.DrawFn) -> Rows:
    """Payments whose notes tell them apart, lines that point to them, requests that name them in words; some tokens are shared."""
    ids = draw(st.lists(st.integers(2, 40), min_size=1, max_size=4, unique=True))
    tokens = [token(number) for number in draw(st.lists(st.integers(1, 3), min_size=4, max_size=4))]
    payments = [{"id": 1, "note": "first", "token": None}]
    payments += [{"id": id, "note": f"note {'abcd'[n]}", "token": tokens[n]} for n, id in enumerate(ids)]
    lines = [{"payment": id, "text": draw(st.sampled_from("xyz"))} for id in draw(st.lists(st.sampled_from([1, *ids]), max_size=3))]
    requests = []
    for id in draw(st.lists(st.sampled_from(ids), max_size=3)):
        body = {"payment_id": id, "token": draw(st.sampled_from(tokens)), "amount": draw(st.sampled_from([500, 900]))}
        requests.append({"method": "POST", "path": "/charges", "key": f"payment-{id}", "body": body})
    return {"db.payments": payments, "db.lines": lines, "api.requests": requests}


def renumbered(rows: Rows, ids: dict[int, int]) -> Rows:
    found = copy.deepcopy(rows)
    for payment in found["db.payments"]:
        payment["id"] = ids.get(payment["id"], payment["id"])
    for line in found["db.lines"]:
        line["payment"] = ids.get(line["payment"], line["payment"])
    for request in found["api.requests"]:
        number = int(request["key"].rpartition("-")[2])
        request["key"] = f"payment-{ids.get(number, number)}"
        request["body"]["payment_id"] = ids.get(request["body"]["payment_id"], request["body"]["payment_id"])
    return found


def with_other_tokens(rows: Rows, names: Callable[[str], str]) -> Rows:
    found = copy.deepcopy(rows)
    for row in [*found["db.payments"], *(request["body"] for request in found["api.requests"])]:
        row["token"] = row["token"] and names(row["token"])
    return found


def new_ids(rows: Rows) -> list[int]:
    return sorted(payment["id"] for payment in rows["db.payments"] if payment["id"] != 1)


@given(worlds(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_other_numbers_other_tokens_and_another_order_are_the_same_world(rows: Rows, random: Random) -> None:
    other = renumbered(rows, dict(zip(new_ids(rows), random.sample(range(2, 90), len(new_ids(rows))), strict=True)))
    other = with_other_tokens(other, lambda value: token(int(value[:8], 16) + 100))
    for listed in other.values():
        random.shuffle(listed)
    assert meaning(other) == meaning(rows)


@given(worlds(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_nodes_are_merged_if_the_numbers_are_others_in_the_same_order(rows: Rows, random: Random) -> None:
    """The last of them is still the last one: a task can ask for that."""
    low, high = (renumbered(rows, {id: n + start for n, id in enumerate(new_ids(rows))}) for start in (1_000, 2_000))
    high = with_other_tokens(high, lambda value: token(int(value[:8], 16) + 100))
    for listed in high.values():
        random.shuffle(listed)
    assert key(low) == key(high)


@both
@given(rows=worlds(), random=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_row_more_or_less_is_another_world(form: Callable[[Rows], Any], rows: Rows, random: Random) -> None:
    name = random.choice([name for name, listed in rows.items() if listed])
    place = random.randrange(len(rows[name]))
    fewer, more = copy.deepcopy(rows), copy.deepcopy(rows)
    del fewer[name][place]
    more[name].append(more[name][place])
    assert len({form(rows), form(fewer), form(more)}) == 3


@both
@given(rows=worlds(), random=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_another_value_is_another_world(form: Callable[[Rows], Any], rows: Rows, random: Random) -> None:
    other = copy.deepcopy(rows)
    name = random.choice([name for name, listed in rows.items() if listed])
    row = random.choice(other[name])
    if name == "db.payments":
        row["note"] += "!"
    elif name == "db.lines":
        row["text"] += "!"
    else:
        row["body"]["amount"] += 1
    assert form(rows) != form(other)


@both
@given(rows=worlds(), random=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_token_that_is_missing_or_shared_by_others_is_another_world(form: Callable[[Rows], Any], rows: Rows, random: Random) -> None:
    missing = copy.deepcopy(rows)
    random.choice(missing["db.payments"][1:])["token"] = None
    assert form(missing) != form(rows)
    values = [payment["token"] for payment in rows["db.payments"][1:]]
    place = random.randrange(len(values))
    if values.count(values[place]) > 1:
        split = copy.deepcopy(rows)
        split["db.payments"][1 + place]["token"] = token(999)
        assert form(split) != form(rows)


@both
@given(rows=worlds())
@settings(max_examples=60, deadline=None)
def test_pointing_to_another_row_is_another_world(form: Callable[[Rows], Any], rows: Rows) -> None:
    ids = [1, *new_ids(rows)]
    for name, column in (("db.lines", "payment"), ("api.requests", "key")):
        for place, row in enumerate(rows[name]):
            for id in ids:
                other = copy.deepcopy(rows)
                other[name][place][column] = id if name == "db.lines" else f"payment-{id}"
                if other[name][place] != row:
                    assert form(other) != form(rows)


@both
def test_two_references_that_change_places(form: Callable[[Rows], Any]) -> None:
    payments = [{"id": 1, "note": "first", "token": None}, {"id": 2, "note": "a", "token": None}, {"id": 3, "note": "b", "token": None}]
    rows = {"db.payments": payments, "db.lines": [{"payment": 2, "text": "x"}, {"payment": 3, "text": "y"}], "api.requests": []}
    other = {**rows, "db.lines": [{"payment": 3, "text": "x"}, {"payment": 2, "text": "y"}]}
    assert form(rows) != form(other)


@both
def test_which_of_two_rows_holds_a_value(form: Callable[[Rows], Any]) -> None:
    lines = [{"payment": 2, "text": "x"}]
    one, other = (
        {
            "db.payments": [*FIRST["db.payments"], {"id": 2, "note": note, "token": None}, {"id": 3, "note": rest, "token": None}],
            "db.lines": lines,
            "api.requests": [],
        }
        for note, rest in (("paid", "open"), ("open", "paid"))
    )
    assert form(one) != form(other)


def test_rows_of_the_first_world_keep_their_numbers() -> None:
    one, other = ({**FIRST, "db.lines": [{"payment": payment, "text": "x"}]} for payment in (1, 2))
    assert meaning(one) != meaning(other)
    gone, renamed_first = {**FIRST, "db.payments": []}, {**FIRST, "db.payments": [{"id": 2, "note": "first", "token": None}]}
    assert len({meaning(FIRST), meaning(gone), meaning(renamed_first)}) == 3


def request(**body: Any) -> dict[str, Any]:
    return {"method": "POST", "path": "/charges", "key": None, "body": body}


def one_payment(id: int, **body: Any) -> Rows:
    payment = {"id": id, "note": "a", "token": None}
    return {"db.payments": [*FIRST["db.payments"], payment], "db.lines": [], "api.requests": [request(**body)]}


@pytest.mark.parametrize(
    "named",
    [
        lambda id: {"payment_id": id},
        lambda id: {"payment_id": str(id)},
        lambda id: {"payment": {"id": id}},
        lambda id: {"text": f"payments/{id}/receipt"},
        lambda id: {"text": f"Payment {id} is done"},
        lambda id: {"text": f"payment_id={id}"},
    ],
)
def test_a_number_is_an_id_where_something_says_so(named: Callable[[int], dict[str, Any]]) -> None:
    assert meaning(one_payment(5, **named(5))) == meaning(one_payment(6, **named(6)))
    assert meaning(one_payment(5, **named(5))) != meaning(one_payment(5, **named(6)))


@pytest.mark.parametrize(
    "unnamed",
    [lambda n: {"amount": n}, lambda n: {"text": f"attempt-{n}"}, lambda n: {"text": f"repayment-{n}"}, lambda n: {"payment_id": n + 0.5}],
)
def test_and_is_compared_as_it_is_elsewhere(unnamed: Callable[[int], dict[str, Any]]) -> None:
    assert meaning(one_payment(5, **unnamed(5))) != meaning(one_payment(6, **unnamed(6)))
    assert key(one_payment(5, **unnamed(5))) != key(one_payment(6, **unnamed(6)))


def test_nodes_are_not_merged_where_a_number_that_comes_next_stands_already_somewhere() -> None:
    """The next id will be 6 in one, 7 in the other; and "paid:6" is there. To a task that looks for it these are two worlds."""
    one, other = (one_payment(id, text="paid:6") for id in (5, 6))
    assert key(one) != key(other)
    assert key(one_payment(500, text="paid:6")) == key(one_payment(501, text="paid:6"))


def test_the_order_of_ids_tells_nodes_apart_but_not_ends() -> None:
    """`ORDER BY id DESC LIMIT 1` sees it; what an order of two inserts leaves at the end is no effect."""
    one, other = (
        {**FIRST, "db.payments": [*FIRST["db.payments"], {"id": a, "note": "a", "token": None}, {"id": b, "note": "b", "token": None}]}
        for a, b in ((500, 501), (501, 500))
    )
    assert key(one) != key(other)
    assert meaning(one) == meaning(other)


def test_a_time_that_varies_is_past_or_ahead_to_a_task_but_not_at_the_end() -> None:
    learnt = Varying()
    first, second = ({"db.leases": Collection("leases", ({"until": moment},))} for moment in (NOW + 10, NOW + 20))
    learnt.learn([first, second])

    def form(until: float, now: float | None) -> tuple[str, ...]:
        found = {"db.leases": Collection("leases", ({"until": until},))}
        return canonical(Freezer(learnt, {}, now=now, ordered=now is not None).freeze(changes({}, found)))

    assert form(NOW + 59.8, NOW) == form(NOW + 59.3, NOW)
    assert len({form(NOW + 60, NOW), form(NOW - 60, NOW), form(NOW + 3600, NOW)}) == 3
    assert form(NOW + 60, None) == form(NOW + 3600, None)
    assert form(NOW - 1, NOW) == form(NOW - 1000, NOW)


def test_a_long_number_that_looks_like_a_moment_by_chance_is_as_any_other() -> None:
    def keyed(number: int) -> dict[str, Collection]:
        return {"api.requests": Collection("requests", ({"key": f"order-{number}"},))}

    learnt, moment = Varying(), int((NOW + 60) * 1e9)
    learnt.learn([keyed(4_160_350_868_084_798_540), keyed(397_625_746_733_439_038)], [NOW, NOW + 2], NOW)
    for now in (NOW, None):
        freezer = [Freezer(learnt, {}, now=now, ordered=now is not None, span=(NOW, NOW + 9)) for _ in range(2)]
        one, other = (canonical(form.freeze(changes({}, keyed(n)))) for form, n in zip(freezer, (moment, 7 * 10**18 + 1), strict=True))
        assert one == other


def test_message_ids_are_alike_however_long_their_random_number_is() -> None:
    """`email.utils.make_msgid`: hundredths of a second, the process and 64 bits at random, with a dot between each."""

    def mail(at: float, process: int, drawn: int) -> dict[str, Collection]:
        return {"mail.mails": Collection("mails", ({"message_id": f"<{int(at * 100)}.{process}.{drawn}@localhost>"},))}

    learnt = Varying()
    learnt.learn([mail(NOW, 29160, 8_188_239_114_827_793_494), mail(NOW + 9, 29244, 2_080_898_164_791_135_029)], [NOW, NOW + 9], NOW)
    others = [mail(NOW + 1, 30191, 16_609_279_843_798_148_834), mail(NOW + 2, 30197, 852_309_780_949_258_652)]
    one, other = (canonical(Freezer(learnt, {}, now=NOW, ordered=True).freeze(changes({}, found))) for found in others)
    assert one == other


def test_numbers_between_the_same_letters_may_have_a_digit_more() -> None:
    def files(name: str) -> dict[str, Collection]:
        return {"docs.files": Collection("files", ({"path": f"new/1795000000.{name}.host", "size": 1},), key=("path",))}

    found = Varying()
    found.learn([files("M123456P11362Q1"), files("M234567P11399Q1")])
    names = ["M345678P12001Q1", "M9999P9999Q1", "M345678P12", "N345678P12001Q1"]
    forms = [canonical(Freezer(found, {}).freeze(changes({}, files(name)))) for name in names]
    assert forms[0] == forms[1] and len(set(forms)) == 3


def test_a_number_that_was_passed_over_is_none_that_will_be_given() -> None:
    """Of an AUTOINCREMENT each delivery may use one up: worlds without end, if each were another."""

    def form(given: int) -> tuple[str, ...]:
        orders = Collection("orders", ({"id": 1, "number": 7, "paid": 1},), key=("id",), surrogate=("id",))
        found = {"db.orders": orders, "db.orders~given": Collection("orders~given", ({"id": given},), surrogate=("id",))}
        return canonical(Freezer(Varying(), {}, now=NOW, ordered=True).freeze(changes({}, found)))

    assert form(5) != form(6) != form(7) != form(8) == form(9) == form(90)


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ("9f8e7d6c5b4a3921", True),
        ("f8e7d6c5b4a392", True),  # whose first digits would be zeros
        ("f8e7d6c5b4a3", False),
        ("9f8e7d6c5b4a392100000", False),
    ],
)
def test_a_token_may_lack_a_digit_or_two_and_is_not_half_a_one(value: str, same: bool) -> None:
    def keys(token: str) -> dict[str, Collection]:
        return {"cache.keys": Collection("keys", ({"key": "token", "value": token},), key=("key",))}

    learnt = Varying()
    learnt.learn([keys("a1b2c3d4e5f60718"), keys("0a9b8c7d6e5f4a3b")])
    one, other = (canonical(Freezer(learnt, {}).freeze(changes({}, keys(token)))) for token in ("a1b2c3d4e5f60718", value))
    assert (one == other) is same
