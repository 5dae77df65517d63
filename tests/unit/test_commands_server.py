"""The group "server": what goes out, and what is refused before anything does."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import server, server_commands
from carmine.errors import UsageError
from tests.unit.command_tables import check_goes_out, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

GOES_OUT: list[tuple[Any, ...]] = [
    (server.bgrewriteaof(), (b"BGREWRITEAOF",), []),
    (server.bgsave(), (b"BGSAVE",), []),
    (server.bgsave(schedule=True), (b"BGSAVE", b"SCHEDULE"), []),
    (server_commands.command(), (b"COMMAND",), []),
    (server_commands.command_count(), (b"COMMAND", b"COUNT"), []),
    (server_commands.command_docs("get"), (b"COMMAND", b"DOCS", "get"), []),
    (server_commands.command_getkeys("SET", "k", 1), (b"COMMAND", b"GETKEYS", "SET", "k", 1), []),
    (server_commands.command_getkeysandflags("GET", "k"), (b"COMMAND", b"GETKEYSANDFLAGS", "GET", "k"), []),
    (server_commands.command_info("get", "set"), (b"COMMAND", b"INFO", "get", "set"), []),
    (server_commands.command_list(), (b"COMMAND", b"LIST"), []),
    (server_commands.command_list(module="m"), (b"COMMAND", b"LIST", b"FILTERBY", b"MODULE", "m"), []),
    (server_commands.command_list(aclcat="read"), (b"COMMAND", b"LIST", b"FILTERBY", b"ACLCAT", "read"), []),
    (server_commands.command_list(pattern="x*"), (b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN", "x*"), []),
    (server.config_get("max*", "save"), (b"CONFIG", b"GET", "max*", "save"), []),
    (server.config_resetstat(), (b"CONFIG", b"RESETSTAT"), []),
    (server.config_rewrite(), (b"CONFIG", b"REWRITE"), []),
    (server.config_set("a", 1), (b"CONFIG", b"SET", "a", 1), []),
    (server.config_set("a", 1, "b", "x"), (b"CONFIG", b"SET", "a", 1, "b", "x"), []),
    (server.dbsize(), (b"DBSIZE",), []),
    (server.flushall(), (b"FLUSHALL",), []),
    (server.flushall(asynchronous=True), (b"FLUSHALL", b"ASYNC"), []),
    (server.flushdb(), (b"FLUSHDB",), []),
    (server.flushdb(asynchronous=True), (b"FLUSHDB", b"ASYNC"), []),
    (server.info(), (b"INFO",), []),
    (server.info("memory", "cpu"), (b"INFO", "memory", "cpu"), []),
    (server.lastsave(), (b"LASTSAVE",), []),
    (server.lolwut(), (b"LOLWUT",), []),
    (server.lolwut(5, 60, 3), (b"LOLWUT", b"VERSION", 5, 60, 3), []),
    (server.memory_usage("k"), (b"MEMORY", b"USAGE", "k"), ["k"]),
    (server.memory_usage("k", 0), (b"MEMORY", b"USAGE", "k", b"SAMPLES", 0), ["k"]),
    (server.role(), (b"ROLE",), []),
    (server.save(), (b"SAVE",), []),
    (server.slowlog_get(), (b"SLOWLOG", b"GET"), []),
    (server.slowlog_get(-1), (b"SLOWLOG", b"GET", -1), []),
    (server.slowlog_len(), (b"SLOWLOG", b"LEN"), []),
    (server.slowlog_reset(), (b"SLOWLOG", b"RESET"), []),
    (server.swapdb(0, 1), (b"SWAPDB", 0, 1), []),
    (server.time(), (b"TIME",), []),
]

wrong: Any = SimpleNamespace(**(vars(server) | vars(server_commands)))
"""The same functions, without the types that would keep a checked caller from these mistakes."""


@pytest.mark.parametrize("row", GOES_OUT, ids=lambda row: repr(row[1]))
def test_goes_out(row: tuple[Any, ...]) -> None:
    check_goes_out(*row)


def test_every_function_has_a_case() -> None:
    told = {name.replace("-", "_") for name in named(command for command, *_ in GOES_OUT)}
    assert told == public_functions(server, server_commands)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: wrong.config_set("a", 1, "CANARY"), "CONFIG SET takes names and values in turn"),
        (
            lambda: wrong.command_list(module="m", pattern="p"),
            "COMMAND LIST takes only one of module, aclcat, pattern",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_before_anything_goes_out(call: Callable[[], Command[Any]], sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)) as caught:
        call()
    assert "CANARY" not in str(caught.value)
