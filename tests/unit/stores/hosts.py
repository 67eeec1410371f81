"""The least that a store needs of a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.ports.broker import Endpoint, Tls
from harness.runtimes.shared.authority import Authority


class FolderHost:
    def __init__(self, root: Path, answers: dict[str, Any] | None = None) -> None:
        self.root, self.answers, self.called = root, answers or {}, list[tuple[Any, ...]]()

    def folder(self, name: str) -> Path:
        path = self.root / name
        path.mkdir()
        return path

    def server(self, kind: str, name: str, *, tls: bool | str = False, owned: bool = False) -> Endpoint:
        raise AssertionError(kind)

    def expose(self, name: str, port: int) -> tuple[str, int]:
        return "127.0.0.1", port

    def certificate(self, name: str, hosts: Sequence[str], *, flaw: str = "") -> Tls:
        return Authority(self.root).issue(name, hosts, flaw=flaw)

    def call_user_code(self, path: str, *arguments: Any) -> Any:
        self.called.append((path, *arguments))
        return self.answers[path]
