"""What the tables of the command groups are checked with: words, keys, waiting time, and shapes of replies."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from carmine.commands.flags import BLOCKING, block_seconds, command_keys
from carmine.protocol import encode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from carmine.commands.command import Command
    from carmine.types import Arg

__all__ = ["check_goes_out", "check_shape", "named", "public_functions", "typed"]


def public_functions(*modules: ModuleType) -> set[str]:
    """Name the functions of these modules that become methods."""
    return {
        name
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    }


def named(commands: Iterable[Command[Any]]) -> set[str]:
    """Name the methods that a table of commands has cases of."""
    return {command.spec.name.lower().replace(" ", "_") for command in commands}


def check_goes_out(command: Command[Any], words: tuple[Arg, ...], keys: list[Any], waits: float | None = None) -> None:
    """Check the words of a command, that its spec is that of its name, and what the table reads out of the words."""
    assert command.words == words
    assert [type(word) for word in command.words] == [type(word) for word in words]
    name = command.spec.name.split()
    assert [bytes(word) for word in command.words[: len(name)] if isinstance(word, bytes)] == [
        part.encode() for part in name
    ]
    assert encode(*command.words).startswith(b"*%d\r\n$" % len(words))
    assert command_keys(command.spec, command.words) == keys
    assert block_seconds(command.spec, command.words) == waits
    assert bool(command.spec.flags & BLOCKING) is (waits is not None)


def typed(value: Any) -> Any:
    """Return a value with the types of all its parts, so that == tells 1 from True and a tuple from its subclass."""
    if isinstance(value, dict):
        return type(value), [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return type(value), {typed(item) for item in value}
    if isinstance(value, list):
        return type(value), [typed(item) for item in value]
    if isinstance(value, tuple):
        return type(value), tuple(typed(item) for item in value)
    return type(value), repr(value) if isinstance(value, (float, Exception)) else value


def check_shape(command: Command[Any], resp2: Any, resp3: Any, result: Any) -> None:
    """Check that both wire shapes of a reply become the same result, down to the types."""
    decode = command.spec.decode or (lambda raw: raw)
    assert typed(decode(resp2)) == typed(result)
    assert typed(decode(resp3)) == typed(result)
