"""Everything that a scenario or a command line may name is documented, and what the README shows exists."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from pydantic import BaseModel, RootModel

from harness.assembly import registry
from harness.cli import main
from harness.model.finding import EXPLANATIONS, Word
from tests.tidy.repository import ROOT, files, relative, section

_KNOWN = registry()
_DOCS = ROOT / "docs"
_CONTEXT = click.Context(main)
_COMMANDS = {name: main.get_command(_CONTEXT, name) for name in main.list_commands(_CONTEXT)}


def _parameters(model: type[BaseModel]) -> list[str]:
    """Keys as a scenario writes them; a mapping of names to something has none of its own."""
    if issubclass(model, RootModel):
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _assert_documented(page: str, name: str, parameters: list[str]) -> None:
    text = section((_DOCS / page).read_text(), name)
    assert text.strip(), f"docs/{page} has no section `{name}`"
    missing = [p for p in parameters if f"`{p}`" not in text]
    assert not missing, f"docs/{page}, section `{name}`, does not say what {missing} mean"


@pytest.mark.parametrize("name", sorted(_KNOWN.faults))
def test_each_fault_is_documented(name: str) -> None:
    _assert_documented("faults.md", name, _parameters(_KNOWN.faults[name].Parameters))


@pytest.mark.parametrize("name", sorted(_KNOWN.checks))
def test_each_check_is_documented(name: str) -> None:
    _assert_documented("checks.md", name, _parameters(_KNOWN.checks[name].Parameters))


@pytest.mark.parametrize("name", sorted(_KNOWN.stores))
def test_each_store_is_documented(name: str) -> None:
    _assert_documented("scenario-format.md", name, _parameters(_KNOWN.stores[name].Parameters))


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_each_command_is_documented(name: str) -> None:
    command = _COMMANDS[name]
    assert command is not None
    shown = [p for p in command.params if not getattr(p, "hidden", False)]
    options = [o for p in shown for o in p.opts if o.startswith("-") and o != "--help"]
    _assert_documented("commands.md", f"celery-harness {name}", options)


@pytest.mark.parametrize("word", list(Word))
def test_each_word_is_explained(word: Word) -> None:
    assert word in EXPLANATIONS
    assert f"`{word}`" in (_DOCS / "verdicts.md").read_text()


def _commands(page: Path) -> list[str]:
    """Lines of the console blocks; a prompt is not part of a command."""
    blocks = re.findall(r"```(?:console|sh|bash)\n(.*?)```", page.read_text(), re.DOTALL)
    return [line.removeprefix("$ ").strip() for block in blocks for line in block.splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("page", [p for p in files(".md") if "tests" not in p.parts], ids=relative)
def test_commands_in_pages_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in _commands(page):
        words = command.split()
        if words[0] == "make":
            assert words[1] in targets, f"{relative(page)}: no target for {command!r}"
        elif words[0] == "celery-harness" and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in _COMMANDS, f"{relative(page)}: no such command: {command!r}"
        for word in words:
            if word.startswith("scenarios/"):
                assert (ROOT / word).exists(), f"{relative(page)}: {word} does not exist"


@pytest.mark.parametrize("page", files(".md"), ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{relative(page)} links to {target}, which is not there"
