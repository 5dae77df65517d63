"""What tests of asyncio alone share: a client of a pool of one, canaries in every shape, a cancellation by steps."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from carmine.client._async.client import AsyncClient
from carmine.retry import Retry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


ONCE = Retry(1)


@pytest_asyncio.fixture
async def client(url: str, protocol: Any) -> AsyncIterator[AsyncClient[str]]:
    async with AsyncClient(url, protocol=protocol, pool_size=1, pool_timeout=5) as made:
        yield made


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds that nobody announces."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        await asyncio.sleep(0.001)


_tokens = iter(range(1 << 40))


async def one(client: AsyncClient[str]) -> None:
    token = f"one-{next(_tokens)}"
    assert await client.echo(token) == token


async def batch(client: AsyncClient[str]) -> None:
    tokens = [f"batch-{next(_tokens)}" for _ in range(5)]
    async with client.pipeline() as pipeline:
        for token in tokens:
            pipeline.echo(token)
    assert pipeline.replies == tokens


async def transaction(client: AsyncClient[str]) -> None:
    token = f"tx-{next(_tokens)}"
    async with client.transaction(f"watched-{token}") as tx:
        assert await tx.now.echo(token) == token
        reply = tx.echo(token)
    assert reply.value == token


async def pinned(client: AsyncClient[str]) -> None:
    async with client.connection() as connection:
        await connection.select(3)
        token = f"pinned-{next(_tokens)}"
        assert await connection.echo(token) == token


async def together(client: AsyncClient[str]) -> None:
    token = f"exec-{next(_tokens)}"
    async with client.transaction() as tx:
        replies = [tx.echo(token), tx.echo(token)]
    assert [reply.value for reply in replies] == [token, token]


async def alone(client: AsyncClient[str]) -> None:
    token = f"alone-{next(_tokens)}"
    async with client.connection() as connection:
        assert await connection.echo(token) == token


async def blocking(client: AsyncClient[str]) -> None:
    assert await client.blpop("nothing-here", timeout=0.002) is None


SHAPES: list[Callable[[AsyncClient[str]], Any]] = [one, batch, transaction, together, alone, pinned, blocking]


async def cancel_after(steps: int, task: asyncio.Task[Any]) -> bool:
    """Cancel a task after so many rounds of the loop; False when it had ended by then."""
    for _ in range(steps):
        await asyncio.sleep(0)
        if task.done():
            await task
            return False
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return True
