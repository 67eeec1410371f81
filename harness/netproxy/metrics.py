"""Bytes counted per proxy and direction, in Prometheus's text format under Toxiproxy's names."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Counter", "Counters"]

#: A direction, a proxy's name, where it listens, where it leads.
Labels = tuple[str, str, str, str]
_LABELS = ("direction", "proxy", "listener", "upstream")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Counter:
    """Bytes of one direction: ``received`` from its source, and ``sent``, i.e. handed to its target's socket."""

    __slots__ = ("received", "sent")

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0


class Counters:
    """All counters of a server. They outlive their proxies, and go on where one of the same labels comes again."""

    def __init__(self) -> None:
        self._found: dict[Labels, Counter] = {}

    def at(self, labels: Labels) -> Counter:
        """The counter with these labels."""
        return self._found.setdefault(labels, Counter())

    def text(self, unsent: Callable[[Counter], int]) -> str:
        """Everything that ever counted. ``unsent``: bytes that were handed to sockets and still wait for room there."""
        lines: list[str] = []
        for kind in ("received", "sent"):
            name = f"toxiproxy_proxy_{kind}_bytes_total"
            values = {
                labels: counter.received if kind == "received" else counter.sent - unsent(counter)
                for labels, counter in sorted(self._found.items())
            }
            if values:
                lines += [f"# HELP {name} ", f"# TYPE {name} counter"]
            lines += [f"{name}{{{_shown(labels)}}} {value}" for labels, value in values.items()]
        return "".join(f"{line}\n" for line in lines)


def _shown(labels: Labels) -> str:
    pairs = sorted(zip(_LABELS, labels, strict=True))
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs)
