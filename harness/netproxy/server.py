"""The program: flags as Toxiproxy's server has them, one line that says where it listens, a clean end on SIGTERM and SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import re
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.netproxy.addresses import joined
from harness.netproxy.api import VERSION, Api
from harness.netproxy.web import talk

__all__ = ["main"]

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal comes. 0 then; 1 where the API's address cannot be had; 2 for a flag that is none."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args([re.sub("^-(?=[a-z])", "--", word) for word in words])  # Go takes one dash or two
    if options.version:
        print(f"toxiproxy-server version {VERSION}")
        return 0
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    try:
        asyncio.run(_serve(options))
    except OSError as error:
        print(f"error: {joined(options.host, options.port)}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m harness.netproxy", description=__doc__, allow_abbrev=False)

    def flag(name: str, **more: object) -> None:
        parser.add_argument(f"--{name}", **more)  # type: ignore[arg-type]

    flag("host", default="localhost", help="where the API listens (default: localhost)")
    flag("port", type=_port, default=8474, help="its port (default: 8474); 0 takes a free one and says which")
    flag("config", default="", metavar="FILE", help="JSON file with proxies to start with")
    flag("seed", type=int, default=None, help="of all randomness: the same one, the same toxic draws (default: a new one)")
    flag("proxy-metrics", action="store_true", help="count bytes per proxy under /metrics")
    flag("version", action="store_true", help="print the version and end")
    return parser


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")


async def _serve(options: argparse.Namespace) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    seed = random.SystemRandom().getrandbits(63) if options.seed is None else options.seed
    api = Api(seed, metrics=options.proxy_metrics)
    talks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = loop.create_task(talk(reader, writer, api.answer))
        talks.add(task)
        task.add_done_callback(talks.discard)

    server = await asyncio.start_server(connected, options.host, options.port, family=_family(options.host))
    try:
        await _populate(api, options.config)
        print(f"Listening on {joined(*server.sockets[0].getsockname()[:2])}", flush=True)
        _log.info("Toxiproxy API %s, seed %d", VERSION, seed)
        await stopped.wait()
    finally:
        server.close()
        api.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.sleep(0)  # sockets close in the loop's next turn


def _family(host: str) -> socket.AddressFamily:
    """One listener only: a name with two addresses would get two ports where any will do."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def _populate(api: Api, config: str) -> None:
    """As there, a file that cannot be read is said and does not stop the server."""
    if not config:
        return
    try:
        done, refusal = await api.populate(Path(config).read_bytes())
    except OSError as error:
        _log.error("%s: %s", config, error.strerror or error)
        return
    if refusal is not None:
        _log.error("%s: %s", config, refusal.message)
    _log.info("%d proxies from %s", len(done), config)
