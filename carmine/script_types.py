"""What commands on scripts and functions give: `carmine.types` offers these names and loads this room for them.

Like `types.py` it imports nothing of carmine and holds no behaviour.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EngineStats", "FunctionStats", "Library", "LibraryFunction", "RunningFunction"]


class LibraryFunction(NamedTuple):
    """A function of a library on the server."""

    name: str
    description: str | None
    flags: set[str]


class Library(NamedTuple):
    """A library of functions on the server; its code only where it was asked for."""

    name: str
    engine: str
    functions: list[LibraryFunction]
    code: str | None


class RunningFunction(NamedTuple):
    """The function that the server is busy with: its name, the command as it was sent, the seconds it has taken."""

    name: str
    command: list[bytes]
    duration: float


class EngineStats(NamedTuple):
    """How much a script engine holds."""

    libraries: int
    functions: int


class FunctionStats(NamedTuple):
    """What runs now, if anything, and what each engine holds, by its name."""

    running: RunningFunction | None
    engines: dict[str, EngineStats]
