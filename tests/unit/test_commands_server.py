"""The group "server": what goes out, and what is refused before anything does."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import server, server_commands, server_health
from carmine.commands.flags import READONLY
from carmine.commands.server_health import LatencyEvent, LatencyHistogram
from carmine.errors import UsageError
from carmine.protocol.values import Verbatim
from tests.unit.command_tables import check_goes_out, check_shape, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

GOES_OUT: list[tuple[Any, ...]] = [
    (server.bgrewriteaof(), (b"BGREWRITEAOF",), []),
    (server.bgsave(), (b"BGSAVE",), []),
    (server.bgsave(schedule=True), (b"BGSAVE", b"SCHEDULE"), []),
    (server.bgsave(cancel=True), (b"BGSAVE", b"CANCEL"), []),
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
    (server_health.latency_doctor(), (b"LATENCY", b"DOCTOR"), []),
    (server_health.latency_graph("fork"), (b"LATENCY", b"GRAPH", "fork"), []),
    (server_health.latency_histogram(), (b"LATENCY", b"HISTOGRAM"), []),
    (server_health.latency_histogram("get", "set"), (b"LATENCY", b"HISTOGRAM", "get", "set"), []),
    (server_health.latency_history("fork"), (b"LATENCY", b"HISTORY", "fork"), []),
    (server_health.latency_latest(), (b"LATENCY", b"LATEST"), []),
    (server_health.latency_reset(), (b"LATENCY", b"RESET"), []),
    (server_health.latency_reset("fork"), (b"LATENCY", b"RESET", "fork"), []),
    (server_health.memory_doctor(), (b"MEMORY", b"DOCTOR"), []),
    (server_health.memory_malloc_stats(), (b"MEMORY", b"MALLOC-STATS"), []),
    (server_health.memory_purge(), (b"MEMORY", b"PURGE"), []),
    (server_health.memory_stats(), (b"MEMORY", b"STATS"), []),
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
    assert told == public_functions(server, server_commands, server_health)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: wrong.bgsave(schedule=True, cancel=True), "BGSAVE takes only one of schedule, cancel"),
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


HISTOGRAM_2 = ["get", ["calls", 3, "histogram_usec", [1, 2, 8, 3]], "set", ["calls", 1, "histogram_usec", [4, 1]]]
HISTOGRAM_3 = {
    "get": {"calls": 3, "histogram_usec": {1: 2, 8: 3}},
    "set": {"calls": 1, "histogram_usec": {4: 1}},
}
MEMORY = {"peak.allocated": 9, "peak.percentage": 98.5, "fragmentation": 1.0, "db.0": {"overhead.total": 7}}


@pytest.mark.parametrize(
    ("command", "resp2", "resp3", "result"),
    [
        (server_health.latency_doctor(), "fine", Verbatim("txt", "fine"), "fine"),
        (
            server_health.latency_histogram(),
            HISTOGRAM_2,
            HISTOGRAM_3,
            {"get": LatencyHistogram(3, {1: 2, 8: 3}), "set": LatencyHistogram(1, {4: 1})},
        ),
        (server_health.latency_histogram("x"), [], {}, {}),
        (server_health.latency_history("fork"), [[7, 5], [9, 6]], [[7, 5], [9, 6]], [(7, 5), (9, 6)]),
        (
            server_health.latency_latest(),
            [["fork", 7, 5, 9]],
            [["fork", 7, 5, 9, 14, 2]],
            [LatencyEvent("fork", 7, 5, 9)],
        ),
        (
            server_health.memory_stats(),
            ["peak.allocated", 9, "peak.percentage", "98.5", "fragmentation", "1", "db.0", ["overhead.total", 7]],
            MEMORY,
            MEMORY,
        ),
        (server_health.memory_purge(), "OK", "OK", True),
    ],
    ids=lambda value: getattr(getattr(value, "spec", None), "name", ""),
)
def test_shape(command: Command[Any], resp2: Any, resp3: Any, result: Any) -> None:
    check_shape(command, resp2, resp3, result)


def test_looking_at_the_server_may_be_repeated_and_changing_it_not() -> None:
    health = [command for command, *_ in GOES_OUT if command.spec.name.startswith(("LATENCY", "MEMORY"))]
    changing = {command.spec.name for command in health if not command.spec.flags & READONLY}
    assert changing == {"LATENCY RESET", "MEMORY PURGE"}
