"""toxiproxy-python for one server.

The library keeps host and port on a class, which all its users in a process share, sets no timeouts and lets `requests`
send loopback calls to a proxy of the environment's. So each server gets a copy of its modules, whose HTTP is ours; the
library itself, which the user's own tests may use, stays as it is.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import urlsplit

from harness.netproxy.exchange import Answered

__all__ = ["Send", "open_library"]

_LIBRARY = "toxiproxy"
_numbers = itertools.count()


class Send(Protocol):
    """Do one request and return a reply that is no error."""

    def __call__(self, method: str, path: str, body: Any = None) -> Answered:
        """``path`` begins with a slash."""


class _Requests:
    """What the library takes for the module `requests`: it asks for no more than this."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def get(self, url: str, params: Any = None) -> Answered:
        return self._send("GET", urlsplit(url).path)

    def delete(self, url: str) -> Answered:
        return self._send("DELETE", urlsplit(url).path)

    def post(self, url: str, data: Any = None, json: Any = None) -> Answered:
        return self._send("POST", urlsplit(url).path, json)


def open_library(host: str, port: int, send: Send) -> Any:
    """A `toxiproxy.Toxiproxy` whose every request goes through ``send``. ImportError where the library is missing."""
    original = importlib.util.find_spec(_LIBRARY)
    if original is None or original.origin is None:
        raise ImportError(f"{_LIBRARY}-python is not installed")
    copy = _copied(original, f"_celery_harness_{_LIBRARY}_{next(_numbers)}")
    copy.api.requests = _Requests(send)
    server = copy.Toxiproxy()
    server.update_api_consumer(host, port)
    return server


def _copied(original: ModuleSpec, name: str) -> Any:
    """The package once more, under another name; forgotten by `sys.modules` as soon as it has imported its parts."""
    assert original.origin is not None
    spec = importlib.util.spec_from_file_location(
        name, original.origin, submodule_search_locations=list(original.submodule_search_locations or ())
    )
    assert spec is not None and spec.loader is not None
    package: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    try:
        spec.loader.exec_module(package)
    finally:
        for known in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
            del sys.modules[known]
    return package
