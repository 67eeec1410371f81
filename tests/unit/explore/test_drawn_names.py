from __future__ import annotations

import random

from harness.explore.canonical import canonical
from harness.explore.drawn_names import DrawnNames, TemporaryNames
from harness.explore.freezing import Freezer, changes
from harness.explore.identities import without_varying
from harness.explore.varying import Varying
from harness.model.exploration import Stop
from harness.model.world import Collection


def stops(*words: str) -> list[Stop]:
    return [Stop(n, "open", "file", "docs", text, without_varying(f"docs: {text}")) for n, text in enumerate(words, 1)]


def files(*paths: str) -> dict[str, Collection]:
    return {"docs.files": Collection("files", tuple({"path": path, "size": 9} for path in paths), key=("path",))}


def drawn(dice: random.Random) -> str:
    return "".join(dice.choices("abcdefghijklmnopqrstuvwxyz0123456789_", k=8))


def test_a_name_that_is_drawn_is_the_same_wherever_it_stands() -> None:
    names = DrawnNames()
    one = stops("open own-wp99ff_z.tmp to write", "rename own-wp99ff_z.tmp to 7.txt")
    assert names.first_difference(one, stops("open own-l2ela43x.tmp to write", "rename own-l2ela43x.tmp to 7.txt")) is None
    assert names.first_difference(one, stops("open own-l2ela43x.tmp to write", "rename own-q2ela43y.tmp to 7.txt")) == 1
    assert names.first_difference(one, stops("open own-l2ela43x.tmp to write")) == 1
    assert names.plain("own-________.tmp or other-l2ela43x.tmp") == "own-<name>.tmp or other-l2ela43x.tmp"
    assert names.among(["{'path': 'own-12345678.tmp'}"]) and not names.among(["own-7.tmp"])


def test_what_only_comes_in_another_order_is_not_drawn() -> None:
    names = DrawnNames()
    assert names.first_difference(stops("open invoices", "open receipts"), stops("open receipts", "open invoices")) == 0
    assert names.first_difference(stops("open alpha"), stops("open gamma")) == 0
    assert names.first_difference(stops("open 20261122093000"), stops("open 20261123093111")) is None  # numbers vary as ever


def test_where_the_drawn_part_of_a_name_begins_and_ends() -> None:
    for before, after in (("own-", ".tmp"), ("letter-7_", ".new"), ("sub/job", "/data.txt"), ("own.", "")):
        names, dice = TemporaryNames(), random.Random(7)
        for _ in range(200):  # letters beside it that are equal by accident
            names.learn(f"{before}{drawn(dice)}{after}", f"{before}{drawn(dice)}{after}")
        assert all(names.holds(f"{before}{drawn(dice)}{after}") for _ in range(50)), (before, after)
        assert not names.holds(f"{before}short{after}")
    assert TemporaryNames().learn("order:4f3a9c21", "order:77aa01be") is None  # a short hexadecimal token: varies as such


def test_worlds_are_alike_whatever_was_drawn() -> None:
    """With an underscore in it, which separates words elsewhere, or without one; at whichever place."""
    dice = random.Random(1)
    forms = set()
    for _ in range(100):
        varying = Varying()
        varying.learn([files(f"own-{drawn(dice)}.tmp", "kept.txt") for _ in range(3)])
        world = files(f"own-{drawn(dice)}.tmp", f"own-{drawn(dice)}.tmp", "kept.txt")
        assert varying.is_temporary(str(world["docs.files"].rows[0]["path"])) and not varying.is_temporary("kept.txt")
        forms.add(canonical(Freezer(varying, {}).freeze(changes({}, world))))
    assert len(forms) == 1


def test_a_short_token_without_a_letter_is_one_all_the_same() -> None:
    """One in forty of eight hexadecimal digits has none."""
    varying = Varying()
    varying.learn([files("try-4f3a9c21"), files("try-77aa01be"), files("try-0b1c2d3e")])
    assert len({canonical(Freezer(varying, {}).freeze(changes({}, files(path)))) for path in ("try-12345678", "try-ab34cd56")}) == 1


def test_longer_names_with_a_hyphen_in_them_or_none() -> None:
    """As `secrets.token_urlsafe` draws them: the last character is one of four."""
    dice, letters = random.Random(3), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    def name() -> str:
        return f".stage-{''.join(dice.choices(letters, k=21))}{dice.choice('AQgw')}"

    forms = set()
    for _ in range(100):
        one, other, third = name(), name(), name()
        words = [(f"open {text} to write", f"rename {text} to 7.txt") for text in (one, other)]
        assert DrawnNames().first_difference(stops(*words[0]), stops(*words[1])) is None, words
        varying = Varying()
        varying.learn([files(text, "7.txt") for text in (one, other, third)])
        forms.add(canonical(Freezer(varying, {}).freeze(changes({}, files(name(), "7.txt")))))
        assert not varying.is_temporary(name())
    assert len(forms) == 1
