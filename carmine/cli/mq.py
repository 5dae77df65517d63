"""`carmine mq`: the commands of the message queue, and what they have in common.

Exit status 0: done; 1: the server or the queue stands against it; 2: the command line cannot be used; either is told by
one sentence on stderr. Only what its docstring says is ever changed. The URL, whose password nobody gets to see, comes
from --url, else from the variable CARMINE_URL, which other users of the machine cannot read from a list of processes.
"""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import carmine

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.cli.screen import Screen

__all__ = ["add_to"]

_LOCAL: Final = "redis://127.0.0.1:6379/0"
_USED_WRONGLY: Final = 2


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser], told: str) -> None:
    """Describe these commands to the parser."""
    group = commands.add_parser("mq", help=told)
    some = group.add_subparsers(dest="mq_command", metavar="command", required=True)
    _add_worker(some)
    _add_looks(some)
    _add_enqueue(some)
    _add_changes(some)


def _run(asked: argparse.Namespace, screen: Screen) -> int:
    client = carmine.connect(asked.url or os.environ.get("CARMINE_URL") or _LOCAL)
    asked.url = None  # error reporters print what is at hand
    with client:
        work = getattr(import_module(f"carmine.cli.{asked.room}"), asked.action)
        status: int = work(asked, screen, client)
        return status


def _add(
    some: argparse._SubParsersAction[argparse.ArgumentParser], room: str, name: str, told: str
) -> argparse.ArgumentParser:
    parser = some.add_parser(name, help=told, description=f"{told[0].upper()}{told[1:]}.")
    parser.add_argument("--url", help=f"the server; else CARMINE_URL, else {_LOCAL}")
    parser.set_defaults(run=_run, room=room, action=name, command=f"mq {name}", plain=True, misuse=_USED_WRONGLY)
    return parser


def _add_for_screen(
    some: argparse._SubParsersAction[argparse.ArgumentParser],
    room: str,
    name: str,
    told: str,
    output: str = "one JSON object instead of text",
    **json: Any,
) -> argparse.ArgumentParser:
    parser = _add(some, room, name, told)
    parser.add_argument("--json", help=output, **json or {"action": "store_true"})
    parser.add_argument("--plain", action="store_true", help="no colours, as where the output is no terminal")
    parser.set_defaults(plain=False)
    return parser


def _add_worker(some: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(some, "mq_worker", "worker", "handle the messages of queues until TERM or INT")
    parser.add_argument("handler", metavar="module:handler", help="a function, plain or async, that takes a message")
    parser.add_argument(
        "--queue", dest="queues", action="append", required=True, help="a queue; of several the earlier comes first"
    )
    parser.add_argument("--concurrency", type=int, default=8, metavar="N", help="messages at once (8)")
    parser.add_argument("--lease", type=float, default=60.0, metavar="SECONDS", help="see docs/queue.md (60)")
    parser.add_argument("--retry", metavar="SECONDS,...", help="backoffs after failed attempts (grow up to 1 h)")
    parser.add_argument("--max-attempts", type=int, default=20, metavar="N", help="then a dead letter; 0: never (20)")
    parser.add_argument("--at-most-once", action="store_true", help="nothing is handled twice, and what fails is gone")
    parser.add_argument(
        "--drain", type=float, default=30.0, metavar="SECONDS", help="for handlers to end, once told to end (30)"
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info", help="(info)")


def _add_looks(some: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add_for_screen(some, "mq_look", "status", "count the messages of queues")
    parser.add_argument("queues", nargs="*", metavar="queue", help="all queues if none is given")
    parser.add_argument(
        "--watch", type=float, nargs="?", const=1.0, metavar="SECONDS", help="again and again (every second)"
    )
    parser = _add_for_screen(some, "mq_look", "peek", "show some messages, in no order", "an object each")
    _add_letters(parser, 1_000_000)
    parser = _add_for_screen(some, "mq_look", "dead", "show dead letters, the oldest first", "an object each")
    parser.add_argument("--offset", type=int, default=0, metavar="N", help="leave out so many of the oldest")
    _add_letters(parser, 1_000)


def _add_letters(parser: argparse.ArgumentParser, most: int) -> None:
    parser.add_argument("queue")
    parser.add_argument("--limit", type=_between(1, most), default=20, metavar="N", help="how many at most (20)")
    parser.add_argument(
        "--chars", type=_between(16, 1_000_000), default=200, metavar="N", help="of a content and an error (200)"
    )


def _add_enqueue(some: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    told = "the message is JSON, and so is the answer"
    parser = _add_for_screen(some, "mq_put", "enqueue", "put a message into a queue", told, nargs="?", const=True)
    parser.add_argument("queue")
    parser.add_argument("message", nargs="?", help='a text, or JSON with --json behind it; "-" or none: from stdin')
    parser.add_argument("--lines", action="store_true", help="each line of stdin is a message")
    parser.add_argument("--mid", help="its id, under which the queue has it once")
    parser.add_argument("--backoff", type=float, metavar="SECONDS", help="before it is handed out")
    parser.add_argument("--lease", type=float, metavar="SECONDS", help="instead of the worker's")
    parser.add_argument("--max-size", type=int, metavar="N", help="refuse it where the queue has as many messages")
    parser.add_argument("--update", action="store_true", help="replace the content that waits")
    parser.add_argument("--requeue", action="store_true", help="where it is being handled: once more afterwards")
    parser.add_argument("--reset-backoff", action="store_true", help="where it waits: begin its backoff anew")


def _add_changes(some: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add_for_screen(some, "mq_change", "pause", "hand out no message until resume")
    parser.add_argument("queues", nargs="+", metavar="queue")
    parser = _add_for_screen(some, "mq_change", "resume", "hand out messages again")
    parser.add_argument("queues", nargs="+", metavar="queue")
    parser = _add_for_screen(some, "mq_change", "replay", "put dead letters back into their queue")
    _add_mids(parser)
    parser = _add_for_screen(some, "mq_change", "purge", "remove dead letters for good")
    _add_mids(parser)
    _add_yes(parser)
    parser = _add_for_screen(some, "mq_change", "clear", "remove all messages and dead letters of queues for good")
    parser.add_argument("queues", nargs="*", metavar="queue", help="its exact name")
    parser.add_argument("--all", action="store_true", help="all queues of the database")
    parser.add_argument("--forget", action="store_true", help="their names and pauses too")
    _add_yes(parser)


def _add_mids(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("queue")
    parser.add_argument("mids", nargs="*", metavar="mid")
    parser.add_argument("--all", action="store_true", help="all dead letters")


def _add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _between(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"is not between {least} and {most}")
        return value

    return number
