"""The environment of a child, and the file with its settings."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import ScenarioError
from harness.runtimes.shared.leftovers import owner

__all__ = ["AGENT_FOLDER", "agent_environment", "resolve_placeholders", "write_private"]

#: Put on the path of every child as a folder (or mounted): it imports nothing of ours.
AGENT_FOLDER = Path(__file__).resolve().parents[2] / "agent"
_PLACEHOLDER = re.compile(r"\$\{\{\s*([\w-]+)\.([\w-]+)\s*\}\}")


def resolve_placeholders(text: str, offers: Mapping[str, Mapping[str, str]]) -> str:
    """``${{ db.url }}`` -> what the service offers. The loader has checked the names already."""

    def value(found: re.Match[str]) -> str:
        try:
            return offers[found[1]][found[2]]
        except KeyError:
            raise ScenarioError(
                f"system.env: nothing offers ${{{{ {found[1]}.{found[2]} }}}}", hint="a service offers url, host and port"
            ) from None

    return _PLACEHOLDER.sub(value, text)


def agent_environment(run_id: str, settings: Path) -> dict[str, str]:
    """What the agent itself is told, beside its place on the path."""
    return {
        "PYTHONUNBUFFERED": "1",
        "CELERY_HARNESS_RUN": run_id,
        "CELERY_HARNESS_OWNER": owner(),
        "CELERY_HARNESS_AGENT": str(settings),
    }


def write_private(path: Path, document: Mapping[str, Any]) -> Path:
    """JSON that may hold credentials: mode 0600, complete before it has its name."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".settings-")
    with os.fdopen(descriptor, "w") as stream:
        json.dump(document, stream)
    Path(name).replace(path)
    return path
