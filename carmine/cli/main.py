"""The command line: which words there are, what runs for them, and the exit status.

Status 0: all is well; 1: something is wrong, said in one sentence on stderr; 2: the command line cannot be read;
130: interrupted. A traceback is shown for a bug of carmine alone.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

import carmine
from carmine.cli import demo, doctor
from carmine.cli.screen import screen_for
from carmine.errors import CarmineError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="carmine", description="A Redis and Valkey client: see what it does.")
    parser.add_argument("--version", action="version", version=f"carmine {carmine.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo.add_to(commands)
    doctor.add_to(commands)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    Args:
        words: The command line without the program's name; None takes this process's own.
    """
    parser = _parser()
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
        sys.stderr.write(f"carmine {asked.command}: {problem}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\ncarmine {asked.command}: interrupted\n")
        return 130
    except BrokenPipeError:
        # `carmine doctor | head -1`: the reader has what it wanted. Python flushes stdout once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
