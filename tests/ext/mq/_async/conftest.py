"""A client and a queue whose clock the test sets, for both worlds."""

from __future__ import annotations

from collections.abc import AsyncIterator  # noqa: TC003 - as in the tests of integration
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from carmine.client._async.client import AsyncClient
from carmine.ext.mq._async.queue import AsyncQueue
from tests.ext.mq._async.helpers import Seen
from tests.ext.mq.ancestor import T0, Ancestor

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer


@pytest_asyncio.fixture
async def client(url: str, protocol: int) -> AsyncIterator[AsyncClient[Any]]:
    """Give a client of the clean server, on both protocols in turn."""
    async with AsyncClient(url, protocol=2 if protocol == 2 else 3) as made:
        yield made


@pytest.fixture
def queue(client: AsyncClient[Any]) -> AsyncQueue:
    """Give a queue at T0; `queue._now += 1000` lets a second go by."""
    made = AsyncQueue(client, "jobs")
    made._now = T0
    return made


@pytest.fixture
def ancestor(server: RedisServer) -> Ancestor:
    """Give the pen that writes the same queue as the ancestor does."""
    return Ancestor(server, "jobs")


@pytest.fixture
def seen() -> Seen:
    """Give a handler that writes down what it is given."""
    return Seen()
