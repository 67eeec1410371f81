"""Commands that start nothing: validate, schema, list, explain."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import HarnessError, UsageError
from harness.model.finding import EXPLANATIONS, Word

if TYPE_CHECKING:
    from harness.ports.broker import BrokerKind

__all__ = ["explain", "list_", "scenario_files", "schema", "validate"]

#: What a server of one kind can be to a scenario.
_ROLES = {"broker": "a broker", "backend": "a result backend", "service": "a service"}
_TABLES = ("faults", "checks", "services", "brokers", "backends", "runtimes", "words")


def scenario_files(paths: tuple[str, ...]) -> list[Path]:
    """Files as given; folders stand for every .yaml and .yml below them. UsageError where there is none."""
    found: list[Path] = []
    for given in paths:
        path = Path(given)
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml") and p.is_file())
        elif path.exists():
            found.append(path)
        else:
            near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else [], n=1)
            raise UsageError(f"{given}: no such file", hint=f"did you mean {path.parent / near[0]}?" if near else "")
    if not found:
        raise UsageError("no scenario file found in " + ", ".join(paths), hint="scenario files end in .yaml")
    return found


@click.command()
@click.argument("files", nargs=-1, required=True)
def validate(files: tuple[str, ...]) -> None:
    """Check scenario files without running anything; errors come with file:line:column."""
    from harness.assembly import registry
    from harness.scenario import load_scenarios

    bad = 0
    for path in scenario_files(files):
        try:
            cells = load_scenarios(path, registry(), seed=None)
        except HarnessError as exc:
            bad += 1
            click.echo(f"error: {exc}", err=True)
        else:
            click.echo(f"{path}: fine" + (f", {len(cells)} cells" if len(cells) > 1 else ""))
    if bad:
        raise click.exceptions.Exit(2)


@click.command()
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from harness.assembly import registry
    from harness.scenario import build_schema

    click.echo(json.dumps(build_schema(registry()), indent=2))


@click.command("list")
@click.argument("what", default="scenarios")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_(what: str, as_json: bool) -> None:
    """List faults, checks, services, brokers, backends, runtimes, words, or the scenarios in a folder (default: scenarios/)."""
    rows = _tables()[what] if what in _TABLES else _scenarios(what)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    width = max((len(name) for name in rows), default=0)
    for name, text in rows.items():
        click.echo(f"{name:<{width}}  {text}".rstrip())


def _tables() -> dict[str, dict[str, str]]:
    from harness.assembly import registry

    known = registry()
    servers = {role: {n: _also(kind, role) for n, kind in known.brokers.items() if role in _roles(kind)} for role in _ROLES}
    return {
        "faults": {n: f.summary for n, f in known.faults.items()},
        "checks": {n: c.summary for n, c in known.checks.items()},
        "services": {n: s.summary for n, s in known.stores.items()},
        "brokers": servers["broker"],
        "backends": servers["backend"],
        "runtimes": dict.fromkeys(known.runtimes, ""),
        "words": {w.value: EXPLANATIONS[w][0] for w in Word},
    }


def _roles(kind: BrokerKind) -> frozenset[str]:
    """What a scenario may use this kind of server for; a plugin's that does not say it, for everything."""
    return frozenset(getattr(kind, "roles", _ROLES))


def _also(kind: BrokerKind, role: str) -> str:
    others = [words for other, words in _ROLES.items() if other != role and other in _roles(kind)]
    return f"also {' and '.join(others)}" if others else ""


def _scenarios(folder: str) -> dict[str, str]:
    from harness.assembly import registry
    from harness.scenario import load_scenarios, nearest

    if not Path(folder).exists():
        raise UsageError(
            f"nothing to list under {folder!r}{nearest(folder, _TABLES)}", hint=f"{', '.join(_TABLES)}, or a folder of scenarios"
        )
    rows = {}
    for path in scenario_files((folder,)):
        try:
            first = load_scenarios(path, registry(), seed=None)[0].scenario
        except HarnessError as exc:
            rows[str(path)] = f"does not load: {str(exc).splitlines()[0]}"
        else:
            rows[str(path)] = first.description + (f"  [{', '.join(first.tags)}]" if first.tags else "")
    return rows


@click.command()
@click.argument("word")
def explain(word: str) -> None:
    """Say what a finding's WORD means, how it comes about, and what usually fixes it."""
    try:
        found = Word(word.upper())
    except ValueError:
        near = difflib.get_close_matches(word.upper(), [w.value for w in Word], n=1)
        hint = f"did you mean {near[0]}?" if near else "words: " + ", ".join(w.value for w in Word)
        raise UsageError(f"no finding is called {word!r}", hint=hint) from None
    meaning, cause, fix = EXPLANATIONS[found]
    click.echo(f"{found.value}  {meaning}\n\n  How   {cause}\n  Fix   {fix}")
