"""Every method gives the value that its table says, the same on RESP2 and RESP3, for text and for bytes.

The tables are the files `replies_of_*.py`. They run here over a raw socket with the sync
facade, so that commands and decoders are proved without a client; a client's own test runs the same tables.
"""

from __future__ import annotations

import contextlib
import importlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands._sync import Commands
from carmine.errors import ServerError
from carmine.protocol import NEED_DATA, Parser, encode
from tests.integration.replies_of_administration import ADMINISTRATION, CLUSTERS
from tests.integration.replies_of_collections import LISTS, SCRIPTS, SETS, SORTED_SETS, TRANSACTIONS
from tests.integration.replies_of_places import BITMAPS, HYPERLOGLOGS, PLACES, VECTORS
from tests.integration.replies_of_streams import STREAMS
from tests.integration.replies_of_users import USERS
from tests.integration.replies_of_values import CONNECTION, HASHES, KEYS, SERVER, STRINGS
from tests.integration.reply_cases import LAST, Such, as_bytes, fits, run_case
from tests.lab.matrix import current_leg
from tests.lab.servers import wait_until
from tests.unit.command_tables import public_functions, typed
from tools.gen_facades import GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from carmine.commands.command import Command, Spec, Words
    from tests.integration.reply_cases import Call, Case
    from tests.lab.servers import RedisServer

MODULES = [importlib.import_module(f"carmine.commands.{group}") for group in GROUPS]
FUNCTIONS: dict[str, Callable[..., Command[Any]]] = {
    name: getattr(module, name) for module in MODULES for name in public_functions(module)
}
CASES = [
    *KEYS,
    *STRINGS,
    *HASHES,
    *LISTS,
    *SETS,
    *SORTED_SETS,
    *STREAMS,
    *BITMAPS,
    *HYPERLOGLOGS,
    *PLACES,
    *VECTORS,
    *SCRIPTS,
    *TRANSACTIONS,
    *CONNECTION,
    *SERVER,
    *USERS,
    *ADMINISTRATION,
]
HERE = fits(CASES, current_leg())
SAVING = {"save", "bgsave", "bgrewriteaof"}

NEVER_ALIKE = {
    *("acl_genpass", "acl_log"),
    *("client_id", "client_info", "client_list", "commandlog_get", "debug", "hello", "info", "lastsave", "lolwut"),
    *("object_idletime", "pttl", "slowlog_get", "slowlog_len", "time"),
    *("latency_graph", "latency_histogram", "memory_malloc_stats", "memory_stats", "vinfo", "vlinks", "xadd"),
    *("xinfo_consumers", "xinfo_stream", "xpending"),
}
"""Replies that change from call to call, or tell the protocol."""


class WireClient(Commands[Any]):
    """The sync facade on a socket of its own: one command, one reply.

    Args:
        path: The server's unix socket.
        protocol: 2 or 3.
        decode: Whether strings are read as text.
    """

    def __init__(self, path: str, protocol: int, decode: bool) -> None:
        self.decode = decode
        self.parser = Parser(protocol=protocol)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        if protocol == 3:
            self._ask((b"HELLO", 3))

    def close(self) -> None:
        self.socket.close()

    def _ask(self, words: Words) -> Any:
        self.socket.sendall(encode(*words))
        while (reply := self.parser.next_reply()) is NEED_DATA:
            block = self.socket.recv(65536)
            assert block, "the server closed the connection"
            self.parser.feed(block)
        return reply

    def _execute(self, spec: Spec, words: Words) -> Any:
        self.parser.decode = self.decode if spec.text is None else spec.text
        reply = self._ask(words)
        if isinstance(reply, Exception):
            raise reply
        return reply if spec.decode is None else spec.decode(reply)


@pytest.fixture
def open_client(server: RedisServer) -> Iterator[Callable[[int, bool], WireClient]]:
    with contextlib.ExitStack() as opened:

        def opener(protocol: int, decode: bool) -> WireClient:
            return opened.enter_context(contextlib.closing(WireClient(str(server.unix_path), protocol, decode)))

        yield opener


def prepare(server: RedisServer, tried: Case) -> None:
    """Do what a case wants done before."""
    if SAVING & {called.name for called, _ in tried.steps}:
        wait_until(lambda: not is_saving(server), "the end of what is being saved")
    for line in tried.setup:
        server.call(*line.split())


def is_saving(server: RedisServer) -> bool:
    """Whether a child of the server writes to disk, or is about to."""
    told = server.info("persistence")
    return any(
        told[name] != "0" for name in ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled")
    )


def invoke_on(client: Any) -> Callable[[str, tuple[Any, ...], dict[str, Any]], Any]:
    """Return the function that calls this client's methods."""
    return lambda name, args, options: getattr(client, name)(*args, **options)


def bytes_expected(called: Call, gives: Any) -> Any:
    """Return what a client of bytes must give where the table tells of text."""
    return as_bytes(gives) if text_of(called) is None else gives


def text_of(called: Call) -> bool | None:
    """Return how the strings of this call's reply are read: as the client does, or always as text or bytes."""
    args = tuple("x" if arg is LAST else arg for arg in called.args)
    return FUNCTIONS[called.name](*args, **called.options).spec.text


@pytest.mark.parametrize("tried", HERE, ids=repr)
def test_text(tried: Case, protocol: int, server: RedisServer, open_client: Callable[[int, bool], WireClient]) -> None:
    prepare(server, tried)
    run_case(tried, invoke_on(open_client(protocol, True)))


@pytest.mark.parametrize("tried", HERE, ids=repr)
def test_bytes(tried: Case, protocol: int, server: RedisServer, open_client: Callable[[int, bool], WireClient]) -> None:
    prepare(server, tried)
    run_case(tried, invoke_on(open_client(protocol, False)), bytes_expected)


LOOSE = [
    each
    for each in HERE
    if any(isinstance(gives, Such) for _, gives in each.steps)
    and not NEVER_ALIKE & {called.name for called, _ in each.steps}
]


@pytest.mark.parametrize("tried", LOOSE, ids=repr)
def test_what_is_told_loosely_is_alike_on_both_protocols(
    tried: Case, server: RedisServer, open_client: Callable[[int, bool], WireClient]
) -> None:
    found: list[list[Any]] = []
    for protocol in (2, 3):
        server.reset()
        prepare(server, tried)
        values: list[Any] = []
        invoke = invoke_on(open_client(protocol, True))

        def noted(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
            values.append(invoke(name, args, options))  # noqa: B023  # called within this round
            return values[-1]  # noqa: B023

        run_case(tried, noted)
        found.append(values)
    assert typed(found[0]) == typed(found[1])


def test_every_method_has_a_case() -> None:
    tables = [*CASES, *CLUSTERS]  # test_replies_of_clusters.py runs the latter
    assert {called.name for tried in tables for called, _ in tried.steps} == set(FUNCTIONS)


def test_the_facade_has_every_method() -> None:
    assert {name for name in vars(Commands) if not name.startswith("_")} == set(FUNCTIONS)


def test_a_running_function_is_told_with_its_arguments_as_bytes(
    server: RedisServer, protocol: int, open_client: Callable[[int, bool], WireClient]
) -> None:
    if not current_leg().at_least_7:
        pytest.skip("functions came with Redis 7.0")
    client, busy = open_client(protocol, True), open_client(protocol, True)
    client.function_load(
        "#!lua name=lib\nredis.register_function{function_name='spin', "
        "callback=function() while true do end end, flags={'no-writes'}}"
    )
    server.call("CONFIG", "SET", "busy-reply-threshold", 1)
    busy.socket.sendall(encode("FCALL", "spin", 1, b"\xff"))
    wait_until(lambda: client.function_stats().running is not None, "the function running")
    running = client.function_stats().running
    assert running is not None
    assert (running.name, running.command) == ("spin", [b"FCALL", b"spin", b"1", b"\xff"])
    assert type(running.duration) is float
    assert running.duration > 0
    assert client.function_kill() is True
    wait_until(lambda: client.function_stats().running is None, "the end of the function")
    with pytest.raises(ServerError):
        client.fcall("nonsense")
