"""The command line: which words there are, what runs for them, and the exit status.

Status 0: all is well; 1: something is wrong, said in one sentence on stderr; 2: the command line cannot be read;
130: interrupted. A traceback is shown for a bug of carmine alone. What is said on stderr holds no control character,
whoever wrote it.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn

import carmine
from carmine.cli.screen import screen_for
from carmine.errors import CarmineError, UsageError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_COMMANDS: Final = {
    "demo": "a walk through what carmine does, on a server of its own",
    "doctor": "what this installation is, and what a server is like from here",
    "mq": "the message queue: a worker, and a look and a hand on queues",
    "tundra": "archived keys: how many, whether they are sound, and all of them back after a disaster",
}
"""Each is a module beside this one; only the one that is asked for is loaded."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with status 2; the message repeats words that a script may have from anybody."""
        super().error(printable(message))


def _empty_parser() -> argparse.ArgumentParser:
    return _Parser(prog="carmine", description="A Redis and Valkey client: see what it does.")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = _empty_parser()
    parser.set_defaults(misuse=1)  # the status for a UsageError
    parser.add_argument("--version", action="version", version=f"carmine {carmine.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    for name, told in _COMMANDS.items():
        if name in words:
            import_module(f"carmine.cli.{name}").add_to(commands, told)
        else:
            commands.add_parser(name, help=told)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    Args:
        words: The command line without the program's name; None takes this process's own.
    """
    words = sys.argv[1:] if words is None else words
    parser = _parser(words)
    asked = parser.parse_args(words)
    if asked.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        status: int = asked.run(asked, screen_for(sys.stdout, plain=asked.plain))
        sys.stdout.flush()
        return status
    except CarmineError as problem:
        sys.stdout.flush()
        sys.stderr.write(f"carmine {asked.command}: {printable(str(problem))}\n")
        return int(asked.misuse) if isinstance(problem, UsageError) else 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\ncarmine {asked.command}: interrupted\n")
        return 130
    except BrokenPipeError:
        # `carmine doctor | head -1`: the reader has what it wanted. Python flushes stdout once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
