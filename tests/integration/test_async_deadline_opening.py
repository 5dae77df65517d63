"""carmine.deadline() over what a pool does besides: on_connect, credentials, checks, spare connections; asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import ConnectTimeout, Outcome, ReadTimeout
from carmine.retry import Retry
from tests.integration.test_deadline_opening import QUIET, server
from tests.lab.clock import within

if TYPE_CHECKING:
    import contextlib

pytestmark = pytest.mark.asyncio


async def alone(client: carmine.AsyncClient[Any]) -> Any:
    async with client.connection() as connection:
        return await connection.incr("n")


async def asked(connection: Any) -> None:
    await connection.execute((b"CLIENT", b"NO-EVICT", b"ON"), True)


async def idle(connection: Any) -> None:
    await asyncio.sleep(30)


@pytest.mark.parametrize("prepare", [asked, idle])
async def test_on_connect_ends_with_it(stack: contextlib.ExitStack, prepare: Any) -> None:
    silent = stack.enter_context(server(lambda number, block: QUIET if b"NO-EVICT" in block else b":1\r\n"))
    async with carmine.AsyncClient(silent.url, protocol=3, on_connect=prepare, retry=Retry(3)) as client:
        with within(0.2, 0.19), pytest.raises((ReadTimeout, ConnectTimeout)) as caught, carmine.deadline(0.2):
            await alone(client)
        assert caught.value.outcome is Outcome.NOT_SENT, "what the caller asked for was not sent"
        assert b"INCR" not in b"".join(silent.received.values())
        assert client.pool.stats().open == 0


async def test_credentials_end_with_it(stack: contextlib.ExitStack) -> None:
    async def never() -> tuple[str, str]:
        await asyncio.sleep(30)
        return "user", "word"

    silent = stack.enter_context(server(lambda number, block: b":1\r\n"))
    async with carmine.AsyncClient(silent.url, protocol=3, credentials=never, retry=Retry(3)) as client:
        with within(0.2, 0.19), pytest.raises(ConnectTimeout, match="credentials"), carmine.deadline(0.2):
            await alone(client)
        assert silent.accepted == 0


async def test_the_check_of_a_borrowed_connection_ends_with_it(stack: contextlib.ExitStack) -> None:
    silent = stack.enter_context(server(lambda number, block: QUIET if b"PING" in block else b":1\r\n"))
    async with carmine.AsyncClient(silent.url, protocol=3, check=("borrow",), retry=Retry(1)) as client:
        assert await alone(client) == 1
        with within(0.2, 0.19), pytest.raises(TimeoutError), carmine.deadline(0.2):
            await alone(client)


async def test_spare_connections_take_no_more_than_half_of_it(stack: contextlib.ExitStack) -> None:
    silent = stack.enter_context(server(lambda number, block: b":1\r\n" if number == 1 else QUIET))
    async with carmine.AsyncClient(silent.url, protocol=3, min_idle=3, retry=Retry(1)) as client:
        with within(0.2), carmine.deadline(0.4):
            assert await alone(client) == 1
