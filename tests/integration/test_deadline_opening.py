"""carmine.deadline() over what a pool does besides: on_connect, checks, spare connections; the blocking client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import DeadlineExceeded, Outcome, ReadTimeout
from carmine.retry import Retry
from tests.lab.clock import within
from tests.lab.scripted import HELLO_3, Scripted

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

QUIET = b""


def server(answer: Callable[[int, bytes], bytes]) -> Scripted:
    """Give a server that shakes hands, and answers as told afterwards."""

    def play(number: int, block: bytes) -> bytes:
        told = answer(number, block)
        return HELLO_3 + b"+OK\r\n" * block.count(b"SETINFO") if b"HELLO" in block and told else told

    return Scripted(play)


def once(connection: Any) -> None:
    connection.execute((b"CLIENT", b"NO-EVICT", b"ON"), True)


def many(connection: Any) -> None:
    connection.execute_many([(b"CLIENT", b"NO-EVICT", b"ON")], True, [])


def patient(connection: Any) -> None:
    connection.execute((b"CLIENT", b"NO-EVICT", b"ON"), True, 20.0)


@pytest.mark.parametrize("prepare", [once, many, patient])
def test_on_connect_ends_with_it(stack: contextlib.ExitStack, prepare: Any) -> None:
    silent = stack.enter_context(server(lambda number, block: QUIET if b"NO-EVICT" in block else b":1\r\n"))
    client = stack.enter_context(carmine.Client(silent.url, protocol=3, on_connect=prepare, retry=Retry(3)))
    with within(0.2, 0.19), pytest.raises(ReadTimeout) as caught, carmine.deadline(0.2):
        client.incr("n")
    assert caught.value.outcome is Outcome.NOT_SENT, "what the caller asked for was not sent"
    assert b"INCR" not in b"".join(silent.received.values())
    assert client.pool.stats().open == 0


def test_on_connect_has_the_usual_time_without_it(stack: contextlib.ExitStack) -> None:
    silent = stack.enter_context(server(lambda number, block: QUIET if b"NO-EVICT" in block else b":1\r\n"))
    client = carmine.Client(silent.url, protocol=3, on_connect=once, retry=Retry(1), read_timeout=0.1)
    with stack.enter_context(client), within(0.1, 0.09), pytest.raises(ReadTimeout) as caught:
        client.incr("n")
    assert caught.value.outcome is Outcome.NOT_SENT


def test_what_on_connect_was_given_is_as_ever_afterwards(stack: contextlib.ExitStack) -> None:
    answering = stack.enter_context(server(lambda number, block: b"+OK\r\n" * block.count(b"*")))
    seen: list[Any] = []
    client = stack.enter_context(carmine.Client(answering.url, protocol=3, on_connect=seen.append))
    with carmine.deadline(10):
        assert client.set("k", "v") is True
    assert seen[0].execute == seen[0]._io.execute
    assert seen[0].execute_many == seen[0]._io.execute_many


def test_the_check_of_a_borrowed_connection_ends_with_it(stack: contextlib.ExitStack) -> None:
    silent = stack.enter_context(server(lambda number, block: QUIET if b"PING" in block else b":1\r\n"))
    client = stack.enter_context(carmine.Client(silent.url, protocol=3, check=("borrow",), retry=Retry(1)))
    assert client.incr("n") == 1
    with within(0.2, 0.19), pytest.raises(TimeoutError), carmine.deadline(0.2):
        client.incr("n")


def test_spare_connections_take_no_more_than_half_of_it(stack: contextlib.ExitStack) -> None:
    silent = stack.enter_context(server(lambda number, block: b":1\r\n" if number == 1 else QUIET))
    client = stack.enter_context(carmine.Client(silent.url, protocol=3, min_idle=3, retry=Retry(1)))
    with within(0.2), carmine.deadline(0.4):
        assert client.incr("n") == 1
    with pytest.raises(DeadlineExceeded), carmine.deadline(0):
        client.incr("n")
