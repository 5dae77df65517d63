"""Servers that say something during the handshake, and hang up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

import carmine
from carmine.errors import ConnectionLost, HandshakeFailed, Outcome, ServerError
from carmine.retry import Retry
from tests.lab.scripted import HELLO_3, Scripted

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.faults

DENIED: Final = b"-DENIED Redis is running in protected mode\r\n"
NO_INFO: Final = b"-ERR unknown subcommand 'SETINFO'\r\n"
NO_HELLO: Final = b"-ERR unknown command 'HELLO'\r\n"


def first_then(first: bytes, later: bytes) -> Callable[[int, bytes], Any]:
    """Return a play: the first connection hears this and the end, every later one what a sound server says."""

    def play(number: int, block: bytes) -> Any:
        return [first, None] if number == 1 else later * block.count(b"*")

    return play


@pytest.mark.parametrize("options", [{"protocol": 2}, {"protocol": 2, "db": 3}], ids=["plain", "with a database"])
def test_a_refusal_that_answers_no_command_of_ours(options: dict[str, Any]) -> None:
    with Scripted(lambda number, block: [DENIED, None]) as server, carmine.Client(server.url, **options) as client:
        with pytest.raises(ConnectionLost, match="protected mode") as caught:
            client.ping()
        assert str(caught.value).count(f"[127.0.0.1:{server.port}]") == 1
        assert caught.value.outcome is Outcome.NOT_SENT
        assert isinstance(caught.value.__cause__, ServerError)
        assert server.accepted == 1  # it would say so again
        assert client.pool.stats().open == 0


@pytest.mark.parametrize("protocol", [None, 3])
def test_a_refusal_that_answers_hello(protocol: Any) -> None:
    with (
        Scripted(lambda number, block: [DENIED, None]) as server,
        carmine.Client(server.url, protocol=protocol) as client,
    ):
        with pytest.raises(HandshakeFailed, match="protected mode"):
            client.ping()
        assert server.accepted == 1


def test_a_connection_cut_behind_a_harmless_error_is_opened_anew() -> None:
    with Scripted(first_then(NO_INFO, b"+OK\r\n")) as server, carmine.Client(server.url, protocol=2) as client:
        assert client.execute("ECHO", "x") == "OK"
        assert server.accepted == 2


def test_a_connection_cut_behind_a_missing_hello_is_opened_anew() -> None:
    def play(number: int, block: bytes) -> Any:
        if number == 1:
            return [NO_HELLO, None]
        return (HELLO_3 if b"HELLO" in block else b"+OK\r\n") + b"+OK\r\n" * (block.count(b"*") - 1)

    with Scripted(play) as server, carmine.Client(server.url) as client:
        assert client.execute("ECHO", "x") == "OK"
        assert server.accepted == 2


def test_a_connection_cut_behind_part_of_the_answers_is_lost() -> None:
    with (
        Scripted(lambda number, block: [NO_INFO, None]) as server,
        carmine.Client(server.url, protocol=2, retry=Retry(1)) as client,
    ):
        with pytest.raises(ConnectionLost, match="closed the connection during the handshake"):
            client.ping()
        assert client.pool.stats().open == 0
