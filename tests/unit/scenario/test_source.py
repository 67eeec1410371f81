"""What YAML itself finds wrong, in plain words and at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenario.source import read_tree
from harness.scenario.tree import find, place_of, plain

MARK = "«"

BAD = {
    "duplicate key": ("a: 1\nb: 2\n«a: 3\n", "`a` is written twice; the first is in line 1"),
    "duplicate key further in": ("a:\n  b: 1\n  «b: 2\n", "`b` is written twice; the first is in line 2"),
    "tab": ("a:\n«\t- b\n", "a tab: YAML is indented with spaces"),
    "empty": ("«", "the file is empty"),
    "only comments": ("«# nothing\n", "the file is empty"),
    "list": ("«- a\n- b\n", "a scenario is a mapping (`version: 1`, `system:`, ...), not a list"),
    "text": ("«hello\n", "not text"),
    "two documents": ("a: 1\n«---\nb: 2\n", "the file holds several documents"),
    "second colon": ("a: b«: c\n", "a second `: ` in one line"),
    "indentation": ("a: 1\n b«: 2\n", "a line that is indented differently"),
    "list then key": ("- a\n«b: 1\n", "its indentation differs"),
    "open bracket": ("a: [1, 2\nb«: 3\n", "a `]` or `,` is missing in the list"),
    "open brace": ("a: {b: 1\nc«: 3\n", "a `}` or `,` is missing in the mapping"),
    "unquoted placeholder in braces": ("a: {b: $«{{ db.url }}}\n", 'quote placeholders: "${{ db.url }}"'),
    "open quotation mark": ('a: «"b\nc: d\n', "a quotation mark is not closed"),
    "unknown alias": ("a: «*b\n", "there is no anchor for the alias 'b'"),
    "alias of itself": ("a: «&a [*a]\n", "the alias *a stands inside of what it names"),
    "at sign": ("a: «@b\n", "a value cannot begin with @"),
    "number as a key": ("«1: a\n", "a key is text: quote it, as in '1':"),
    "null as a key": ("«~: a\n", "a key is text: quote it, as in '~':"),
    "list as a key": ("? «[a]\n: b\n", "a key is text, not a list or a mapping"),
    "tag": ("a: «!!binary aGk=\n", "the tag !!binary is not known"),
    "own tag": ("a: «!env HOME\n", "the tag !env is not known"),
    "tag that lies": ("a: «!!int x\n", "`x` is not what its tag !!int says"),
    "merge of text": ("<<: «x\n", "`<<` takes a mapping"),
    "control character": ("a: b«\x07\n", "the character U+0007"),
}


def write(folder: Path, text: str) -> Path:
    path = folder / "a.yaml"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(("text", "what"), BAD.values(), ids=list(BAD))
def test_bad_yaml(tmp_path: Path, text: str, what: str) -> None:
    before, _, after = text.partition(MARK)
    path = write(tmp_path, before + after)
    with pytest.raises(ScenarioError) as caught:
        read_tree(path)
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    assert caught.value.where == f"{path}:{line}:{column}"
    assert what in str(caught.value)


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("# zoë\nname: ".encode() + b"caf\xe9\n")
    with pytest.raises(ScenarioError, match="the byte 0xe9 is not UTF-8") as caught:
        read_tree(path)
    assert caught.value.where == f"{path}:2:10"
    assert caught.value.hint == "save the file as UTF-8"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    tree = read_tree(path)
    assert plain(tree) == {"a": 1}
    assert str(tree.place) == f"{path}:1:1"


def test_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text("a: 1")
    with pytest.raises(ScenarioError, match="there is no such file") as caught:
        read_tree(tmp_path / "order.yaml")
    assert caught.value.where == str(tmp_path / "order.yaml")
    assert caught.value.hint == "did you mean `orders.yaml`?"


def test_a_folder_and_a_broken_link_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="this is a folder"):
        read_tree(tmp_path)
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    with pytest.raises(ScenarioError, match="the file cannot be read"):
        read_tree(loop)
    with pytest.raises(ScenarioError, match="the file cannot be read"):
        read_tree(Path("a\0b.yaml"))


def test_nesting_without_end(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="nested too deeply"):
        read_tree(write(tmp_path, "a: " + "[" * 20_000))


def test_aliases_that_explode(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ScenarioError, match="more than 200,000 values"):
        read_tree(write(tmp_path, "\n".join(lines)))


def test_values_keep_their_types(tmp_path: Path) -> None:
    text = "a: 1\nb: 1.5\nc: true\nd:\ne: ~\nf: yes\ng: '5'\nh: 2024-01-01\ni: 5s\nj: 0x1f\nk: 12:30\nl: {m: [1, {n: x}]}\n2024-01-01: y\n"
    assert plain(read_tree(write(tmp_path, text))) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": None, "f": "yes", "g": "5", "h": "2024-01-01",
        "i": "5s", "j": 31, "k": "12:30", "l": {"m": [1, {"n": "x"}]}, "2024-01-01": "y",
    }  # fmt: skip


def test_merge_keys_and_aliases(tmp_path: Path) -> None:
    text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\none: {<<: *b, x: 5}\ntwo: {<<: [*m, *b]}\n"
    tree = read_tree(write(tmp_path, text))
    assert plain(tree)["one"] == {"x": 5, "y": 2}
    assert plain(tree)["two"] == {"x": 1, "y": 3, "z": 4}
    assert place_of(tree, ("one", "y")).line == 1


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        (("a",), False, (2, 3)),
        (("a", "b"), True, (2, 3)),
        (("a", "b"), False, (2, 6)),
        (("a", "b", 1, "c"), False, (2, 14)),
        (("a", "empty"), False, (3, 3)),
        (("a", "nope", "x"), False, (2, 3)),
        ((), False, (1, 1)),
        (("text",), False, (5, 7)),
    ],
)
def test_places(tmp_path: Path, path: tuple[str | int, ...], key: bool, expected: tuple[int, int]) -> None:
    tree = read_tree(write(tmp_path, "a:\n  b: [1, {c: 2}]\n  empty:\n\ntext: |\n  x\n"))
    place = place_of(tree, path, key=key)
    assert (place.line, place.column) == expected


def test_find_never_walks_past_the_end(tmp_path: Path) -> None:
    tree = read_tree(write(tmp_path, "a: [1]\n"))
    for path in (("b",), ("a", 1), ("a", -1), ("a", "x"), ("a", 0, "x"), (0,)):
        assert find(tree, *path) is None


def test_carriage_returns_do_not_shift_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "version: 1\r\nno: [1,\r\n  2]\r\n")
    assert str(place_of(read_tree(path), ("no", 1))) == f"{path}:3:3"
