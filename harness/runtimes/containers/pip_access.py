"""This machine's pip settings, as a build in a container needs them: indexes, certificates, wheels that lie here."""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.runtimes.containers.building import Content
from harness.runtimes.containers.package_access import STAGE

__all__ = ["pip_files"]

#: What says where packages come from, and which of them; not how pip behaves on this machine.
_SETTINGS = (
    "index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "cert", "client-cert", "proxy", "timeout", "retries",
    "constraint", "prefer-binary", "only-binary", "no-binary", "pre", "use-feature", "use-deprecated",
)  # fmt: skip
_ARCHIVES = (".whl", ".tar.gz", ".zip")


def pip_files(environment: Mapping[str, str] = os.environ) -> tuple[dict[str, Content], dict[str, str], str]:
    """(files to lay beside a build, variables that lead pip to them, the settings as text)."""
    files: dict[str, Content] = {}
    variables = {"PIP_CONFIG_FILE": f"{STAGE}/pip/pip.conf", "PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    lines = ["[global]"]
    for name, value in _effective(environment).items():
        kept = [moved for word in value.split() if (moved := _moved(name, word, files))]
        if kept:
            lines.append(f"{name} = " + "\n    ".join(kept))
        if name == "cert" and kept:
            variables["PIP_CERT"] = kept[0]  # stronger than the file, and set for every build
    text = "\n".join([*lines, ""])
    files["pip/pip.conf"] = text.encode()
    netrc = Path(environment.get("NETRC") or Path.home() / ".netrc")
    if netrc.is_file() and os.access(netrc, os.R_OK):
        files["pip/netrc"] = netrc.read_bytes()
        variables["NETRC"] = f"{STAGE}/pip/netrc"
    return files, variables, text


def _effective(environment: Mapping[str, str]) -> dict[str, str]:
    """As pip merges them: machine, user, environment of Python, PIP_CONFIG_FILE, then PIP_… variables; [install] over [global]."""
    merged: dict[str, str] = {}
    for path in _configuration_files(environment):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue  # pip on this machine would complain as well; a build can do without
        for section in ("global", "install"):
            if parser.has_section(section):
                merged.update({name.replace("_", "-"): value for name, value in parser.items(section)})
    for variable, value in environment.items():
        if variable.startswith("PIP_"):
            merged[variable.removeprefix("PIP_").lower().replace("_", "-")] = value
    return {name: merged[name] for name in _SETTINGS if merged.get(name, "").strip()}


def _configuration_files(environment: Mapping[str, str]) -> Iterator[Path]:
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:  # pip's way to say: none of them
        return
    home = Path.home()
    for folder in reversed((environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")):
        yield Path(folder) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    yield Path(sys.prefix) / "pip.conf"
    if named:
        yield Path(named)


def _moved(name: str, word: str, files: dict[str, Content]) -> str:
    """A word of a setting as it holds inside: a local file or folder moves along; one that is not there is left out."""
    if name not in ("cert", "client-cert", "constraint", "find-links"):
        return word
    path = Path(word.removeprefix("file://")).expanduser()
    if "://" in word and not word.startswith("file://"):
        return word
    if path.is_file():
        files[place := f"pip/{name}-{len(files)}-{path.name}"] = path
        return f"{STAGE}/{place}"
    if name == "find-links" and path.is_dir():
        folder = f"pip/links-{len(files)}"
        archives = [entry for entry in sorted(path.iterdir()) if entry.name.endswith(_ARCHIVES)]
        files.update({f"{folder}/{entry.name}": entry for entry in archives})
        return f"{STAGE}/{folder}" if archives else ""
    return ""
