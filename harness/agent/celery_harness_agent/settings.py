"""The settings that the harness hands to its agent: one JSON file, named by CELERY_HARNESS_AGENT."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

EX_CONFIG = 78


class Settings:
    """See docs/journal.md, "Settings". Missing keys have the value that does nothing."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.run: str = document.get("run") or ""
        self.pass_name: str = document.get("pass") or ""
        self.role: str = document.get("role") or ""
        self.name: str = document.get("name") or ""
        self.journal: str = document.get("journal") or ""
        self.app: str = document.get("app") or ""
        self.root: str = os.path.realpath(document.get("root") or ".")
        self.broker: str = document.get("broker") or ""
        self.backend: str | None = document.get("backend")
        self.config: dict[str, Any] = document.get("config") or {}
        self.allow: list[tuple[str, int]] = [(str(host), int(port)) for host, port in document.get("allow") or ()]
        self.egress: list[str] = [str(entry) for entry in document.get("egress") or ()]
        self.names: list[dict[str, Any]] = document.get("names") or []
        self.retry_divisor: float = float(document.get("retry_divisor") or 1)
        self.triggers: list[dict[str, Any]] = document.get("triggers") or []
        self.live: bool = bool(document.get("live"))
        self.trigger_folder: str = document.get("trigger_folder") or ""
        self.plan: dict[str, Any] = document.get("plan") or {}
        #: Added to every pid that is recorded: containers number their processes from 1, each for itself.
        self.pid_base: int = int(document.get("pid_base") or 0)
        #: Of a Locust worker on another machine: it is told nothing by its environment, and shares no file with the run.
        self.elsewhere: bool = bool(document.get("elsewhere"))
        self.env: dict[str, str] = document.get("env") or {}
        self.token: str = document.get("token") or ""
        #: Of Locust's master: the file that such a worker needs, and what it may connect to.
        self.worker_file: str = document.get("worker_file") or ""
        self.allow_elsewhere: list[tuple[str, int]] = [(str(host), int(port)) for host, port in document.get("allow_elsewhere") or ()]


def load() -> Settings:
    """Read the file; exits with 78 and a message where there is none: an unguarded worker must never run."""
    path = os.environ.get("CELERY_HARNESS_AGENT", "")
    try:
        return Settings(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as exc:
        sys.stderr.write(f"harness agent: CELERY_HARNESS_AGENT={path} cannot be read: {exc}\n")
        sys.exit(EX_CONFIG)
