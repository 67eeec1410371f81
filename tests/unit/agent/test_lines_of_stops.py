"""Which of the user's lines a thread is at, as another process reads it."""

from __future__ import annotations

import asyncio
import inspect
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from celery_harness_agent.frames import Frames
from celery_harness_agent.lines_of_stops import Lines
from celery_harness_agent.shared_page import END_OF_TEXTS, PLACES, TEXTS, SharedPage
from harness.explore.shared_page import SharedPage as Reader

#: A library: what it does when it is awaited, and an effect of its own.
_LIBRARY = """
class Awaited:
    def __await__(self):
        yield
        effect()

def effect():
    seen.append(struct.unpack_from("<IIII", page.memory, PLACES)[2])
"""


def seen_by(run: Callable[[Any], None]) -> list[int]:
    """Where ``run``, which is given the library, was at each effect: lines from its own first one on."""
    page, seen = SharedPage(), list[int]()
    struct.pack_into("<I", page.memory, END_OF_TEXTS, TEXTS)
    library: dict[str, Any] = {"seen": seen, "page": page, "struct": struct, "PLACES": PLACES}
    exec(compile(_LIBRARY, "<library>", "exec"), library)
    lines = Lines(page, Frames(str(Path(__file__).parent)))
    lines.start()
    try:
        run(library)
    finally:
        lines.stop()
    first = inspect.getsourcelines(run)[1]
    return [line - first for line in seen]


def test_a_coroutine_that_goes_on_is_at_its_await() -> None:
    def run(library: Any) -> None:
        async def both() -> None:
            await library["Awaited"]()
            await library["Awaited"]()

        asyncio.run(both())

    assert seen_by(run) == [2, 3]


def test_a_generator_that_goes_on_is_in_the_middle_of_its_line() -> None:
    def run(library: Any) -> None:
        def produced() -> Iterator[None]:
            return (library["effect"]() for _ in range(1))

        for _ in produced():
            library["effect"]()

    assert seen_by(run) == [2, 5]


def test_after_a_yield_it_is_where_the_generator_was_asked() -> None:
    def run(library: Any) -> None:
        def produced() -> Iterator[int]:
            for number in range(2):
                yield (number, library["effect"]())[0]

        for _ in produced():
            library["effect"]()

    assert seen_by(run) == [3, 6, 3, 6]


def test_the_lines_that_called_it_are_known_too(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def inner():\n    look()\n\n\ndef outer():\n    for _ in 'ab':\n        inner()\n")
    shown = SharedPage()
    page, found = Reader(shown.descriptor, tmp_path), list[Any]()
    page.begin(0.0, 0)
    namespace: dict[str, object] = {"__name__": "shop", "look": lambda: found.append(page.place(threading.get_native_id(), 0))}
    exec(compile((tmp_path / "shop.py").read_text(), str(tmp_path / "shop.py"), "exec"), namespace)
    lines = Lines(shown, Frames(str(tmp_path)))
    lines.start()
    try:
        namespace["outer"]()  # type: ignore[operator]
    finally:
        lines.stop()
    page.close()
    told = [(one.line, one.hit, [(by.function, by.line, by.hit) for by in one.by]) for one in found]
    assert told == [(2, 1, [("outer", 7, 1)]), (2, 2, [("outer", 7, 2)])]
