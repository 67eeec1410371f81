from __future__ import annotations

import base64
import gzip
import json
import pickle
import time
import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from harness.explore.canonical import canonical
from harness.explore.freezing import Freezer, changes
from harness.explore.habits import Habit
from harness.explore.judged import Unseen
from harness.explore.leaves import leaves
from harness.explore.varying import Varying
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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sunday, 22 November 2026", "Wednesday, 01 March 2028"),
        ("20261122", "20280301"),
        ("20261122T235959Z", "20280301T000001Z"),
        ("202611222359", "202803010001"),
    ],
)
def test_a_date_is_no_token_however_it_is_written(one: str, other: str) -> None:
    """It need not be the same in all places where a task writes it, since the day may be another when it comes to the second."""
    varying = learnt(bag({"at": one, "again": one}), bag({"at": other, "again": other}))
    assert form(varying, bag({"at": one, "again": other})) == form(varying, bag({"at": other, "again": other}))


def test_what_is_pushed_again_varies_as_what_was_there_before() -> None:
    """A list that is longer than any that a clean execution left."""

    def pushed(*ats: float, n: int = 7) -> dict[str, Collection]:
        return keys(("recent", [json.dumps({"n": n, "at": at}) for at in ats]))

    varying = learnt(pushed(1.5), pushed(2.5))
    assert form(varying, pushed(3.5, 1.5)) == form(varying, pushed(4.5, 2.5)) != form(varying, pushed(2.5))
    assert form(varying, pushed(1.5, 1.5)) != form(varying, pushed(1.5, 1.5, n=8))


def test_an_element_that_stays_the_same_is_no_other_one() -> None:
    varying = learnt(keys(("k", ["head", A])), keys(("k", ["head", B])))
    assert form(varying, keys(("k", ["head", C]))) == form(varying, keys(("k", ["head", A]))) != form(varying, keys(("k", ["tail", A])))
    assert form(varying, keys(("k", ["head", C, D]))) == form(varying, keys(("k", ["head", A, B])))


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


def test_the_ends_of_pieces_vary_more_than_all_of_it() -> None:
    """Of a long file each piece ends somewhere else each time; but of the whole nothing may be missing, and nothing may be twice."""
    habit = Habit()
    for one, other in ((8190, 8201), (16_383, 16_390), (24_570, 24_577), (90_100, 90_116)):
        habit.add_sizes(one, other)
    assert [habit.about(size) for size in (8130, 8300, 16_200, 24_800)] == ["#0", "#0", "#1", "#2"]
    assert habit.about(90_000) == habit.about(90_250) == "#3"
    assert [habit.about(size) for size in (0, 4000, 12_300, 88_000, 92_000)] == [0, 4000, 12_300, 88_000, 92_000]


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


@pytest.mark.parametrize("copied", [False, True])
def test_files_are_alike_by_chance_unless_one_is_a_copy(copied: bool) -> None:
    """What is compressed holds the second in which that was done: two of them are alike where both were made in the same one."""

    def world(*digests: str) -> dict[str, Collection]:
        rows = ({"path": f"{n}.gz", "size": 39, "sha256": digest * 64, "text": None} for n, digest in enumerate(digests))
        return {"docs.files": Collection("files", tuple(rows), key=("path",))}

    varying = learnt(world("a", "a" if copied else "b"), world("c", "c" if copied else "d"))
    assert (form(varying, world("e", "e")) == form(varying, world("e", "f"))) is not copied


def held(text: str) -> dict[str, Collection]:
    row = {"path": "log", "size": len(text), "sha256": text, "text": text}
    return {"files.files": Collection("files", (row,), key=("path",))}


@pytest.mark.parametrize("rest", ["", "x" * 5000 + "\n"])
def test_what_is_appended_once_too_often_is_not_hidden_by_a_token_above_it(rest: str) -> None:
    """However long the file is, and although it was seen without the line too."""
    varying = Varying()
    varying.learn([held(f"{token}\n{rest}") for token in (A, B)])
    varying.learn([held(f"{token}\n{rest}+10\n") for token in (A, B)])
    assert form(varying, held(f"{C}\n{rest}+10\n")) == form(varying, held(f"{A}\n{rest}+10\n"))
    assert len({form(varying, held(f"{C}\n{rest}" + "+10\n" * times)) for times in range(4)}) == 4


def test_of_texts_that_differ_in_more_than_words_the_lines_count() -> None:
    def signed(signature: str, times: int = 1) -> dict[str, Collection]:
        return held(f"{signature}\n" + "+10\n" * times)

    varying = learnt(signed("Zm9v+YmFy/cXV4"), signed("Zm9vYm/FycX+V4"), signed("Zm9vYmFycXV4A+"))
    assert form(varying, signed("m9v/YmFy/cXV4+")) == form(varying, signed("Zm9v+YmFy/cXV4"))
    assert form(varying, signed("m9v/YmFy/cXV4+", 2)) != form(varying, signed("Zm9v+YmFy/cXV4"))


def test_a_word_that_is_another_later_is_none_that_varies() -> None:
    varying = Varying()
    for word in ("new", "paid"):
        varying.learn([keys(("order", f"{word}:{token}")) for token in (A, B, D)])
    assert form(varying, keys(("order", f"paid:{C}"))) == form(varying, keys(("order", f"paid:{A}")))
    assert form(varying, keys(("order", f"paid:{C}"))) != form(varying, keys(("order", f"new:{C}")))


def coded(code: Any, sent: Any, clock: str = "") -> dict[str, Collection]:
    return {**bag({"path": "/sms", "code": sent, "at": clock}), **keys(("code", {"value": code, "at": clock}))}


@pytest.mark.parametrize("make", [int, str, lambda code: f"Your code is {code}."])
def test_a_short_code_that_is_kept_and_sent_is_one(make: Any) -> None:
    seen = (1_795_330_729.0, 1_795_330_731.0)
    codes = ("493817", "820164")
    varying = Varying()
    varying.learn([coded(int(code), make(code)) for code in codes], seen, seen[0])
    assert form(varying, coded(555123, make("555123"))) == form(varying, coded(493817, make("493817")))
    assert form(varying, coded(555123, make("493817"))) != form(varying, coded(493817, make("493817")))


def test_the_time_of_day_is_no_code() -> None:
    seen = (1_795_330_729.0, 1_795_330_731.0)
    clocks = [time.strftime("%H%M%S", time.gmtime(at)) for at in seen]
    varying = Varying()
    varying.learn([coded(1, 1, clock) for clock in clocks], seen, seen[0])
    one, other = coded(1, 1, "123456"), coded(1, 1, "654321")
    assert form(varying, {**one, "cache.keys": other["cache.keys"]}) == form(varying, one)


def test_where_a_piece_of_a_long_text_ends_is_a_matter_of_luck() -> None:
    """Its lines differ in their length, and so does what is cut off; but nothing is like the whole."""

    def exported(seed: int, end: int | None = None) -> dict[str, Collection]:
        return held("".join(f"{n},{100_000 * ((seed * 7919 + n) % 90 + 5)}\n" for n in range(1500))[:end])

    varying = Varying()
    for end in (8192, 16_384, None):
        varying.learn([exported(seed, end) for seed in (1, 2, 3)])
    for end in (8192, 16_384, None):
        assert len({form(varying, exported(seed, end)) for seed in range(12)}) == 1
    assert form(varying, held(exported(4)["files.files"].rows[0]["text"] + "1,2\n")) != form(varying, exported(4))


def test_what_is_compared_less_closely_is_told() -> None:
    def sample(day: int, content: str) -> dict[str, Collection]:
        return {
            "db.plans": Collection("plans", ({"ref": "p7", "until": f"2026-11-{day}", "at": f"2026-11-{day - 20:02}"},), key=("ref",)),
            "docs.files": Collection("files", ({"path": "a.bin", "size": 9, "sha256": content, "text": None},), key=("path",)),
        }

    begun, varying = 1_793_491_200.0, Varying()  # the first of November
    varying.learn([sample(22, "x"), sample(22, "y")], [begun + 86_400, begun + 86_402], begun)
    assert [name for name, _ in varying.vague()] == ["docs.files"]
    varying.learn([sample(22, "x"), sample(24, "y")], [begun + 86_400, begun + 3 * 86_400], begun)
    assert [name for name, _ in varying.vague()] == ["docs.files"]  # three weeks from now, on each day
    varying.learn([sample(22, "x"), sample(29, "y")], [begun + 86_400, begun + 3 * 86_400], begun)
    assert [words.partition(":")[0] for _, words in varying.vague()] == [
        "what is in a.bin (docs.files)",
        "how far ahead at (db.plans) lies, but within the hour",
        "how far ahead until (db.plans) lies, but within the hour",
    ]


def _hex(raw: bytes) -> str:
    return f"x'{raw.hex()}'"


@pytest.mark.parametrize(
    "encode",
    [
        lambda value: _hex(pickle.dumps(value)),
        lambda value: _hex(pickle.dumps({**value, "at": datetime.fromtimestamp(value["at"])}, protocol=3)),
        lambda value: _hex(zlib.compress(json.dumps(value).encode())),
        lambda value: _hex(zlib.compress(pickle.dumps(value))),
        lambda value: _hex(gzip.compress(json.dumps(value).encode())),
        lambda value: base64.b64encode(json.dumps(value).encode()).decode(),
        lambda value: base64.urlsafe_b64encode(zlib.compress(pickle.dumps(value))).decode().rstrip("="),
    ],
)
def test_inside_of_what_is_encoded_only_what_varies_is_left_out(encode: Callable[[dict[str, Any]], str]) -> None:
    def world(count: int, at: float) -> dict[str, Collection]:
        return keys(("cart:7", encode({"count": count, "at": at})))

    now = time.time() // 1 + 0.123456
    varying = learnt(world(1, now), world(1, now + 2.5))
    assert form(varying, world(1, now + 7.25)) == form(varying, world(1, now))
    assert form(varying, world(2, now)) != form(varying, world(1, now))


@pytest.mark.parametrize("text", ["Washington and others", "eyes wide shut", "x'80no'", "x'8004952e2e'", "x'789c0000000000'"])
def test_what_looks_encoded_and_is_not_is_a_text(text: str) -> None:
    assert list(leaves(text)) == [((), text)]


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (712, 355, True),
        ("712", "355", True),
        (0.25, 0.75, True),
        ("took 17 ms", "took 9 ms", True),
        ("some words", "other words, and more", True),
        (A, B, False),
        (712_345_678, 355_123_456, False),
        (1_793_491_200.5, 1_793_491_203.5, False),
        ("2026-11-01 00:00:00.5", "2026-11-01 00:00:03.5", False),
        (1, 1, False),
    ],
)
def test_what_varies_and_is_neither_a_time_nor_known_again_is_told(one: Any, other: Any, told: bool) -> None:
    varying, begun = Varying(), 1_793_491_200.0
    varying.learn([keys(("points:7", one)), keys(("points:7", other))], [begun, begun + 3], begun)
    words = "what is in value of points:<digits> (cache.keys): it varies by itself, so that its look alone is compared"
    assert list(varying.vague()) == ([("cache.keys", words)] if told else [])


@pytest.mark.parametrize(
    ("shown", "doubt"),
    [(lambda: repr(time.monotonic()), True), (time.monotonic_ns, True), (lambda: time.monotonic() - 5000, False), (time.time, False)],
)
def test_a_clock_that_no_waiting_moves_is_a_doubt_where_it_is_kept(shown: Callable[[], Any], doubt: bool) -> None:
    unseen = Unseen({}, ("broker",))
    unseen.begin()
    varying = learnt(keys(("last:7", 5_000_000.25)), keys(("last:7", 6_000_000.5)))
    unseen.note_clock(varying, changes({}, keys(("last:7", shown()))))
    assert any("time.monotonic()" in words for words in unseen.doubts()) is doubt


def test_numbers_of_a_sequence_are_known_by_where_they_stand() -> None:
    """And each is itself: the one that a row has is the one that was sent."""

    def world(number: int, sent: int, other: int = 1) -> dict[str, Collection]:
        rows = ({"key": "invoice:7", "value": f"R-{number:05d}"}, {"key": "count", "value": str(other)})
        return {
            "cache.keys": Collection("keys", rows, key=("key",)),
            "api.requests": Collection("requests", ({"body": {"number": sent}},)),
        }

    varying = Varying()
    varying.remember({"cache.keys": Collection("keys", ({"key": "left", "value": "1"},), key=("key",))})
    varying.learn([world(1, 1), world(1001, 1001)], skipped=[1000])
    forms = [canonical(Freezer(varying, {}).freeze(changes({}, one))) for one in (world(1, 1), world(2, 2), world(2, 1), world(2, 2, 2))]
    assert forms[0] == forms[1] != forms[2] and forms[0] != forms[3]
    assert not [words for _, words in varying.vague()]
