from __future__ import annotations

from typing import Any

from harness.explore.canonical import canonical
from harness.explore.freezing import Freezer, changes
from harness.explore.varying import Habit, Varying
from harness.model.world import Collection

A, B, C, D = (f"{n * 8}-1111-4111-8111-{n * 12}" for n in "abcd")


def keys(*rows: tuple[str, Any]) -> dict[str, Collection]:
    return {"cache.keys": Collection("keys", tuple({"key": key, "value": value} for key, value in rows), key=("key",))}


def bag(*rows: dict[str, Any]) -> dict[str, Collection]:
    return {"api.requests": Collection("requests", rows)}


def form(varying: Varying, world: dict[str, Collection]) -> tuple[str, ...]:
    return canonical(Freezer(varying, {}).freeze(changes({}, world)))


def learnt(*worlds: dict[str, Collection], first: dict[str, Collection] | None = None) -> Varying:
    found = Varying()
    found.remember(first or {})
    found.learn(worlds)
    return found


def test_a_random_token_is_some_token() -> None:
    varying = learnt(bag({"path": "/a", "token": A}), bag({"path": "/a", "token": B}))
    assert form(varying, bag({"path": "/a", "token": C})) == form(varying, bag({"path": "/a", "token": A}))
    assert form(varying, bag({"path": "/a", "token": None})) != form(varying, bag({"path": "/a", "token": A}))
    assert form(varying, bag({"path": "/b", "token": A})) != form(varying, bag({"path": "/a", "token": A}))


def test_the_same_one_at_two_places_stays_the_same() -> None:
    varying = learnt(bag({"token": A, "again": A}), bag({"token": B, "again": B}))
    assert form(varying, bag({"token": C, "again": C})) == form(varying, bag({"token": A, "again": A}))
    assert form(varying, bag({"token": C, "again": D})) != form(varying, bag({"token": A, "again": A}))


def test_also_inside_of_other_texts_that_were_never_seen_before() -> None:
    varying = learnt(bag({"token": A}), bag({"token": B}))
    one = {**bag({"token": A}), **keys((f"lock:{A}", "x"))}
    same = {**bag({"token": C}), **keys((f"lock:{C}", "x"))}
    other = {**bag({"token": C}), **keys((f"lock:{D}", "x"))}
    assert form(varying, one) == form(varying, same) != form(varying, other)


def test_what_is_around_a_token_still_counts() -> None:
    varying = learnt(bag({"key": f"charge-7-{A}"}), bag({"key": f"charge-7-{B}"}))
    assert form(varying, bag({"key": f"charge-7-{C}"})) == form(varying, bag({"key": f"charge-7-{A}"}))
    assert form(varying, bag({"key": f"charge-8-{C}"})) != form(varying, bag({"key": f"charge-7-{A}"}))


def test_inside_of_json_only_what_varies_is_left_out() -> None:
    text = '{"order": 7, "at": "%s", "n": %d}'
    varying = learnt(keys(("o", text % ("2026-11-21T10:00:00Z", 1))), keys(("o", text % ("2026-11-22T11:11:11Z", 1))))
    assert form(varying, keys(("o", text % ("2026-11-25T10:00:09Z", 1)))) == form(varying, keys(("o", text % ("2026-11-21T10:00:00Z", 1))))
    assert form(varying, keys(("o", text % ("2026-11-21T10:00:00Z", 2)))) != form(varying, keys(("o", text % ("2026-11-21T10:00:00Z", 1))))
    assert form(varying, keys(("o", text % ("", 1)))) != form(varying, keys(("o", text % ("2026-11-21T10:00:00Z", 1))))


def test_keys_that_vary_by_their_look_and_without_one() -> None:
    by_look = learnt(keys((f"lock:{A}", "x"), ("fixed", "1")), keys((f"lock:{B}", "x"), ("fixed", "1")))
    assert form(by_look, keys((f"lock:{C}", "x"))) == form(by_look, keys((f"lock:{A}", "x")))
    assert form(by_look, keys(("fixed", "1"))) != form(by_look, keys(("other", "1")))
    without = learnt(keys(("tmp/qwertyui.part", "x"), ("tmp/keep", "y")), keys(("tmp/zxcvbnma.part", "x"), ("tmp/keep", "y")))
    assert form(without, keys(("tmp/asdfghjk.part", "x"))) == form(without, keys(("tmp/qwertyui.part", "x")))
    assert form(without, keys(("tmp/asdfghjk.part", "x"), ("tmp/zxcvbnma.part", "x"))) != form(without, keys(("tmp/qwertyui.part", "x")))
    assert form(without, keys(("tmp/keep", "y"))) != form(without, keys(("tmp/left", "y")))


def test_nothing_of_the_first_world_is_taken_for_random() -> None:
    first = bag({"token": D})
    varying = learnt(bag({"token": A}), bag({"token": B}), first=first)
    assert form(varying, bag({"token": D})) != form(varying, bag({"token": A}))


def test_small_values_that_vary_are_no_identities() -> None:
    """Two dice are equal by accident now and then: that must not make another world."""
    varying = learnt(bag({"a": 3, "b": 3}), bag({"a": 5, "b": 2}), bag({"a": 1, "b": 6}))
    assert form(varying, bag({"a": 4, "b": 4})) == form(varying, bag({"a": 4, "b": 2}))


def test_what_is_sometimes_not_there_is_not_learnt() -> None:
    varying = learnt(bag({"token": A}), bag({"token": None}))
    assert form(varying, bag({"token": A})) != form(varying, bag({"token": B}))


def test_what_was_learnt_before_stays() -> None:
    varying = learnt(bag({"token": A}), bag({"token": B}))
    varying.learn([keys(("k", A)), keys(("k", B))])
    one, other = ({**bag({"token": t}), **keys(("k", u))} for t, u in ((A, A), (B, B)))
    assert form(varying, one) == form(varying, other)


def test_rows_are_paired_by_what_they_have_in_common() -> None:
    """The order in which requests come says nothing; only tokens are learnt, not the amounts."""
    one = bag({"amount": 1, "token": A}, {"amount": 2, "token": B})
    other = bag({"amount": 2, "token": C}, {"amount": 1, "token": D})
    varying = learnt(one, other)
    assert form(varying, one) == form(varying, other)
    assert form(varying, bag({"amount": 3, "token": A})) != form(varying, bag({"amount": 1, "token": A}))


def test_half_of_a_file_is_not_about_as_long_as_all_of_it() -> None:
    habit = Habit()
    for one, other in ((8192, 8192), (19_308, 19_304), (8190, 8192)):
        habit.add_sizes(one, other)
    assert habit.about(8192) == habit.about(8196) == "#0"
    assert habit.about(19_300) == habit.about(19_310) == "#1"
    assert (habit.about(0), habit.about(12_000)) == (0, 12_000)


def test_what_a_task_keeps_under_its_own_id_is_kept_under_that_of_any_message() -> None:
    varying = Varying()
    one, other, free = (f"{digit * 8}-1111-4111-8111-111111111111" for digit in "123")
    varying.name_id(one)
    varying.name_id(other)
    varying.name_id("7")
    assert varying.ids_in(f"job:{one}") == [one]
    assert varying.ids_in(f"job:{free}") == varying.ids_in("7") == []
    rows = [Collection("keys", ({"key": "sold", "value": {i: stamp}},), key=("key",)) for i, stamp in ((one, "1.5"), (one, "2.5"))]
    varying.learn([{"cache.keys": row} for row in rows])
    assert varying.habit("cache.keys", varying.kind("cache.keys", rows[0], rows[0].rows[0]), ("value", other)) is not None
