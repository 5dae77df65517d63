"""Commands of the group "server" by which a server tells of its commands: COMMAND and what stands below it.

Names and facts come as str, on Client[bytes] too; the same shapes on both protocols, and whatever the version has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine.commands import decoders
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.commands.words import only_one

if TYPE_CHECKING:
    from carmine.types import Arg


def _key_spec(raw: Any) -> dict[str, Any]:
    told = decoders.mapping(raw)
    told["flags"] = decoders.members(told["flags"])
    for step in ("begin_search", "find_keys"):
        told[step] = decoders.mapping(told[step])
        told[step]["spec"] = decoders.mapping(told[step]["spec"])
    return told


def _command_info(raw: Any) -> dict[str, Any]:
    name, arity, flags, first, last, step, categories, *more = raw
    tips, specs, subcommands = more or ((), (), ())  # none before Redis 7.0
    return {
        "name": name,
        "arity": arity,
        "flags": decoders.members(flags),
        "first_key": first,
        "last_key": last,
        "step": step,
        "acl_categories": decoders.members(categories),
        "tips": decoders.members(tips),
        "key_specs": [_key_spec(each) for each in specs],
        "subcommands": [_command_info(each) for each in subcommands],
    }


def _command_infos(raw: Any) -> list[dict[str, Any] | None]:
    return [None if each is None else _command_info(each) for each in raw]


def _document(raw: Any) -> dict[str, Any]:
    told = decoders.mapping(raw)
    for name, value in told.items():
        if name == "arguments":
            told[name] = [_document(each) for each in value]
        elif name == "subcommands":
            told[name] = _documents(value)
        elif name in ("flags", "doc_flags"):
            told[name] = decoders.members(value)
        elif name == "history":
            told[name] = [tuple(each) for each in value]
    return told


def _documents(raw: Any) -> dict[str, dict[str, Any]]:
    return {name: _document(told) for name, told in decoders.mapping(raw).items()}


def _keys_and_flags(raw: Any) -> list[tuple[Any, set[str]]]:
    return [(key, {flag if isinstance(flag, str) else flag.decode() for flag in flags}) for key, flags in raw]


_COMMAND = spec("COMMAND", _command_infos, text=True)
_COMMAND_COUNT = spec("COMMAND COUNT")
_COMMAND_DOCS = spec("COMMAND DOCS", _documents, text=True)
_COMMAND_GETKEYS = spec("COMMAND GETKEYS")
_COMMAND_GETKEYSANDFLAGS = spec("COMMAND GETKEYSANDFLAGS", _keys_and_flags)
_COMMAND_INFO = spec("COMMAND INFO", _command_infos, text=True)
_COMMAND_LIST = spec("COMMAND LIST", text=True)


def command() -> Command[list[dict[str, Any]]]:
    """COMMAND: read the facts of all commands that the server knows, as `command_info` gives them.

    Wire: Sets and maps on RESP3, lists on RESP2.

    Since: 2.8.13. Cost: O(commands). Source: redis.io/commands/command
    """
    return Command(_COMMAND, (b"COMMAND",))


def command_count() -> Command[int]:
    """COMMAND COUNT: count the commands that the server knows.

    Since: 2.8.13. Cost: O(1). Source: redis.io/commands/command-count
    """
    return Command(_COMMAND_COUNT, (b"COMMAND", b"COUNT"))


def command_docs(*names: str) -> Command[dict[str, dict[str, Any]]]:
    """COMMAND DOCS: read the server's documentation of commands.

    Args:
        *names: The commands; none asks for all. Unknown ones are left out.

    Returns:
        By name: summary, since, group, arguments and more, as maps and lists; flags as sets.

    Wire: Maps and sets on RESP3, lists on RESP2.

    Since: 7.0.0. Cost: O(commands). Source: redis.io/commands/command-docs
    """
    return Command(_COMMAND_DOCS, (b"COMMAND", b"DOCS", *names))


def command_getkeys(*words: Arg) -> Command[list[Text]]:
    """COMMAND GETKEYS: have the server find the keys in a command.

    Args:
        *words: The command, name and arguments.

    Since: 2.8.13. Cost: O(arguments). Source: redis.io/commands/command-getkeys
    """
    return Command(_COMMAND_GETKEYS, (b"COMMAND", b"GETKEYS", *words))


def command_getkeysandflags(*words: Arg) -> Command[list[tuple[Text, set[str]]]]:
    """COMMAND GETKEYSANDFLAGS: have the server find the keys in a command, and what is done to each.

    Args:
        *words: The command, name and arguments.

    Returns:
        `(key, flags)` for each key, such as `("k", {"RW", "update"})`.

    Since: 7.0.0. Cost: O(arguments). Source: redis.io/commands/command-getkeysandflags
    """
    return Command(_COMMAND_GETKEYSANDFLAGS, (b"COMMAND", b"GETKEYSANDFLAGS", *words))


def command_info(*names: str) -> Command[list[dict[str, Any] | None]]:
    """COMMAND INFO: read the facts of commands.

    Args:
        *names: The commands; none asks for all.

    Returns:
        For each name a dict with `name`, `arity`, `flags`, `first_key`, `last_key`, `step`, `acl_categories`,
        `tips`, `key_specs`, `subcommands`; None where the server does not know it.

    Wire: Sets and maps on RESP3, lists on RESP2.

    Since: 2.8.13. Cost: O(commands). Source: redis.io/commands/command-info
    """
    return Command(_COMMAND_INFO, (b"COMMAND", b"INFO", *names))


def command_list(
    *, module: str | None = None, aclcat: str | None = None, pattern: str | None = None
) -> Command[list[str]]:
    """COMMAND LIST: read the names of the commands that the server knows.

    Args:
        module: Only those of this module.
        aclcat: Only those in this ACL category.
        pattern: Only names that match.

    Raises:
        UsageError: More than one condition.

    Since: 7.0.0. Cost: O(commands). Source: redis.io/commands/command-list
    """
    only_one("COMMAND LIST", module=module is not None, aclcat=aclcat is not None, pattern=pattern is not None)
    for token, value in ((b"MODULE", module), (b"ACLCAT", aclcat), (b"PATTERN", pattern)):
        if value is not None:
            return Command(_COMMAND_LIST, (b"COMMAND", b"LIST", b"FILTERBY", token, value))
    return Command(_COMMAND_LIST, (b"COMMAND", b"LIST"))
