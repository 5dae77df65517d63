"""`carmine tundra`: how a store stands, whether its archives are sound, and all of them back after a disaster.

Exit status 0: all is well; 1: something is not, each archive that fails is named; 2: the command line cannot be used.
Nothing but `restore` changes anything. The server's URL comes from --url, else from CARMINE_URL; the secret that seals
archives from CARMINE_TUNDRA_MAC_KEYS or a file, never from the command line, which others can read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import carmine
from carmine.cli import tundra_look
from carmine.cli.tundra_store import opened

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from carmine.cli.screen import Screen

__all__ = ["add_to"]

_LOCAL: Final = "redis://127.0.0.1:6379/0"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser], told: str) -> None:
    """Describe these commands to the parser."""
    group = commands.add_parser("tundra", help=told, description=f"{told[0].upper()}{told[1:]}.")
    some = group.add_subparsers(dest="tundra_command", metavar="command", required=True)
    _add(some, "status", tundra_look.status, "count archived keys and those that wait for a worker", needs_store=False)
    parser = _add(some, "verify", tundra_look.verify, "fetch archives and check that each would be restored")
    parser.add_argument("keys", nargs="*", metavar="key", help="all archives if none is given")
    parser = _add(some, "restore", tundra_look.restore, "bring back every archived key that the server has not")
    parser.add_argument("--marks", action="store_true", help="set the marks alone: keys come back when asked for")


def _add(
    some: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    work: Callable[..., int],
    told: str,
    *,
    needs_store: bool = True,
) -> argparse.ArgumentParser:
    parser = some.add_parser(name, help=told, description=f"{told[0].upper()}{told[1:]}.")
    parser.add_argument("--url", help=f"the server; else CARMINE_URL, else {_LOCAL}")
    parser.add_argument("--queue", default="default", help="the store's queue (default)")
    if needs_store:
        place = parser.add_mutually_exclusive_group(required=True)
        place.add_argument(
            "--store", help="disk:PATH, redis://... (a second server), s3://BUCKET/PREFIX, dynamodb://TABLE/KEY_NS"
        )
        place.add_argument(
            "--from",
            dest="factory",
            metavar="module:function",
            help="a function: client -> TundraStore",
        )
        parser.add_argument("--mac-keys-file", metavar="FILE", help="a hexadecimal key a line; else the environment's")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument("--plain", action="store_true", help="no colours, as where the output is no terminal")
    parser.set_defaults(run=_run, work=work, command=f"tundra {name}", misuse=2, needs_store=needs_store)
    return parser


def _run(asked: argparse.Namespace, screen: Screen) -> int:
    client: carmine.Client[Any] = carmine.connect(asked.url or os.environ.get("CARMINE_URL") or _LOCAL)
    asked.url = None  # error reporters print what is at hand
    with client, opened(asked, client) as store:
        status: int = asked.work(asked, screen, store)
        return status
