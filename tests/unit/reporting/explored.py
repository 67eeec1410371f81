"""Explorations, as they are told: one that fails, one certified, one undecided, and one whose texts want to be more than text."""

from __future__ import annotations

from harness.model.exploration import Coverage, Delivery, Exploration, Flaw, Place, Rerun, Stop, Wake

HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>\u202e\x1b[31m"
POST = {"method": "POST", "path": "/charges", "body": {"order": 7}}
WORDS = (
    "open db.sqlite3 to write",
    "POST /charges sent to api",
    "write to db.sqlite3-journal",
    "write to db.sqlite3-journal",
    "delete db.sqlite3-journal",
)
LINES = (1, 2, 3, 3, 3)
FIRST = tuple(
    Stop(n, "write", "net" if "POST" in words else "file", "db", words, words, Place("shop", "charge", "shop.py", line))
    for n, (words, line) in enumerate(zip(WORDS, LINES, strict=True), 1)
)
CHARGED = {"collection": "api.requests", "row": POST, "before": 0, "after": 1, "expected": 0}
PAID = {
    "collection": "db.orders",
    "row": {"number": 7},
    "before": {"status": "new"},
    "after": {"status": "paid"},
    "expected": {"status": "new"},
}
TWICE = {"collection": "api.requests", "row": POST, "before": 0, "after": 2, "expected": 1}
STORY = (
    "Killed before write to db.sqlite3-journal (shop.py:3, charge). The last effect before that was: POST /charges sent to api.",
    "What it left: api.requests POST /charges, order 7: 1, before 0.",
    "The broker delivered the message again.",
    "It succeeded.",
    "api.requests POST /charges, order 7: 2, expected 1.",
)
HEADLINE = "After a crash at shop.py:2: api.requests POST /charges, order 7: 2, expected 1."
COVERAGE = Coverage(worlds=9, deliveries=12, stops=6, kills=2, excluded=("power loss",))
ENVIRONMENT = {"points": "effects", "python": "3.11.2", "celery": "5.5.0", "arch": "x86_64", "seed": "3"}


def failing(**fields: object) -> Exploration:
    """A charge without a key: a crash between the request and the commit charges twice."""
    flaw = Flaw(
        "EFFECT",
        HEADLINE,
        STORY,
        (Delivery(0, 3), Delivery()),
        FIRST[2:3],
        (TWICE,),
        "Send a key.",
        True,
        FIRST[1].place,
        2,
        saved="plans/shop.charge-1.yaml",
    )
    wakes = (
        Wake(1, 2, 1, (), 0, "same"),
        Wake(3, 5, 2, (CHARGED,), 1, "EFFECT", (TWICE,)),
        Wake(6, 6, 3, (PAID, CHARGED), 2, "same"),
    )
    given = {"headline": f"{HEADLINE} It fails in 3 ways of 9 worlds.", "flaws": (flaw,), "wakes": wakes, "coverage": COVERAGE}
    return _exploration("fails", {**given, **fields})


def certified(stops: int = 5, **fields: object) -> Exploration:
    """The same with a key; ``stops``: of how many different crash points."""
    first = tuple(
        Stop(n, "write", "file", "db", f"write {n} to db", f"w{n}", Place("shop", "pay", "shop.py", n)) for n in range(1, stops + 1)
    )
    wakes = (Wake(1, stops, 1, (), 0, "same"), Wake(stops + 1, stops + 1, 2, (PAID,), 1, "same"))
    coverage = Coverage(9, 12, stops + 1, 2, excluded=("power loss",), covered=("the loss of the whole worker",), replayed=4)
    given = {"task": "shop.pay", "headline": "A crash at any moment ends as one clean execution does.", "wakes": wakes, "first": first}
    return _exploration("certified", {**given, "coverage": coverage, **fields})


def undecided(**fields: object) -> Exploration:
    """A bound was reached."""
    coverage = Coverage(5, 8, 6, 1, unvisited=12, bounds=("5 worlds",))
    given = {"task": "shop.book", "headline": "No crash breaks it, but the bound of 5 worlds left out 12.", "coverage": coverage}
    wakes = (Wake(1, 5, 1, (), 0, "same"), Wake(6, 6, 2, (PAID,), 1, "open"))
    return _exploration("inconclusive", {**given, "doubts": ("the bound of 5 worlds left out 12",), "wakes": wakes, **fields})


def hostile() -> Exploration:
    """Every text of it."""
    place = Place("shop", HOSTILE, f"{HOSTILE}.py", 1)
    row = {"collection": HOSTILE, "row": {HOSTILE: HOSTILE}, "before": None, "after": HOSTILE, "expected": {"a": HOSTILE}}
    rerun = Rerun((), "done", refused=HOSTILE)
    flaw = Flaw("EFFECT", HOSTILE, (HOSTILE, f"Killed before {HOSTILE}"), (), (), (row,), HOSTILE, True, place, rerun=rerun)
    first = (Stop(1, "write", "file", HOSTILE, HOSTILE, HOSTILE, place),)
    wakes = (Wake(1, 1, 1, (row,), 1, "EFFECT", (row,)),)
    given = {
        "task": HOSTILE,
        "args": [HOSTILE],
        "headline": HOSTILE,
        "flaws": (flaw,),
        "doubts": (HOSTILE,),
        "first": first,
        "wakes": wakes,
    }
    return _exploration(
        "fails", {**given, "coverage": COVERAGE, "environment": {"python": HOSTILE, "points": "lines", "points_why": HOSTILE}}
    )


def _exploration(verdict: str, fields: dict[str, object]) -> Exploration:
    given = {"task": "shop.charge", "args": [7], "kwargs": {}, "first": FIRST, "seconds": 2.1, "environment": ENVIRONMENT}
    return Exploration(**{**given, **fields}, verdict=verdict)  # type: ignore[arg-type]
