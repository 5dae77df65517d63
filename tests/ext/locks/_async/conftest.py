"""Clients for the tests of both worlds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio

from carmine.client._async.client import AsyncClient

Open = Callable[..., AsyncClient[Any]]


@pytest_asyncio.fixture
async def open_client(url: str, protocol: int) -> AsyncIterator[Open]:
    """Give a function that makes a client of the clean server (or of another URL), closed with the test."""
    opened: list[AsyncClient[Any]] = []

    def make(where: str = "", **options: Any) -> AsyncClient[Any]:
        opened.append(AsyncClient(where or url, **{"protocol": protocol, **options}))
        return opened[-1]

    yield make
    for client in opened:
        await client.aclose()


@pytest_asyncio.fixture
async def client(open_client: Open) -> AsyncClient[Any]:
    """Give a client of the clean server."""
    return open_client()
