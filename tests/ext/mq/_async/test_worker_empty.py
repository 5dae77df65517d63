"""run_until_empty: what is left is seen, wherever it moves meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator  # noqa: TC003 - as in the tests of integration
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

import carmine
import carmine.ext.mq
from carmine import Hooks
from carmine._bridge import aio
from carmine.client._async.client import AsyncClient
from carmine.ext.mq._async.queue import AsyncQueue
from carmine.ext.mq._async.worker import AsyncWorker
from carmine.ext.mq.core.values import Result
from carmine.ext.mq.errors import QueueError
from tests.ext.mq._async.helpers import Seen, claim_one, until_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.ext.mq._async.message import AsyncMessage

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def client(url: str) -> AsyncIterator[AsyncClient[Any]]:
    """Give a client; what depends on the protocol is in the tests of the queue."""
    async with AsyncClient(url) as made:
        yield made


@pytest.fixture
def queue(client: AsyncClient[Any]) -> AsyncQueue:
    """Give a queue by the server's clock."""
    return AsyncQueue(client, "jobs")


async def test_run_until_empty_tells_what_it_could_not_do(
    client: AsyncClient[Any], queue: AsyncQueue, seen: Seen
) -> None:
    await queue.enqueue("v", backoff=60)
    worker = AsyncWorker(client, "jobs", seen.quick)
    assert await worker.run_until_empty() == 0, "what rests is not waited for"
    with pytest.raises(QueueError, match="1 messages were left"):
        await worker.run_until_empty(0.1, backoffs=True)
    assert worker.status().state == "stopped"
    assert "jobs" in repr(worker)


class Meanwhile(Hooks):
    """Does something once, right after a client was given an answer."""

    def __init__(self) -> None:
        self.what: list[Callable[[], object]] = []

    def on_command_end(self, name: str, address: str, seconds: float, error: BaseException | None) -> None:
        if self.what:
            self.what.pop()()


@pytest.mark.parametrize("backoff", [0.0, 60.0])
async def test_a_message_put_behind_its_own_run_while_the_queue_is_asked_what_is_left(
    queue: AsyncQueue, url: str, backoff: float
) -> None:
    """Before the handler's end it is locked, after it there is what waits behind: at no time is nothing left."""
    await queue.enqueue("first", mid="m")
    message: Any = await claim_one(queue)

    def end() -> None:
        with carmine.Client(url) as other:
            jobs = carmine.ext.mq.Queue(other, "jobs")
            assert jobs.enqueue("again", mid="m", can_requeue=True).success
            assert jobs.finish_many([(message, Result("success", backoff=backoff))]) == [True]

    meanwhile = Meanwhile()
    async with AsyncClient(url, hooks=meanwhile) as client:
        asked = AsyncQueue(client, "jobs")
        await asked.status()  # the script is known, the connection is open
        meanwhile.what.append(end)
        assert await asked._left(backoffs=True) == 1
        assert not meanwhile.what
        assert await asked._left(backoffs=True) == 1
        assert await asked._left(backoffs=False) == int(backoff == 0)
        assert (await asked.status()).done == 1


async def test_run_until_empty_sees_what_was_put_into_a_queue_it_had_asked(
    client: AsyncClient[Any], queue: AsyncQueue, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the second queue into the first, in the moment between the two questions."""
    second, asked, left = AsyncQueue(client, "second"), aio.Signal(), queue._left

    async def handler(message: AsyncMessage) -> None:
        if message.queue.name == second.name:
            assert await asked.wait(10)
            await queue.enqueue("moved")
        await seen.quick(message)

    async def left_first(backoffs: bool) -> int:
        found = await left(backoffs)
        if not await asked.wait(0.0):
            assert found == 0
            asked.give()
            await until_status(second, "m", "done-awaiting-gc", None)
        return found

    monkeypatch.setattr(queue, "_left", left_first)
    await second.enqueue("v", mid="m")
    worker = AsyncWorker(client, [queue, second], handler, concurrency=1, throttle=0.2)  # so that it claims later
    assert await worker.run_until_empty() == 2
    assert [message.content for message in seen.messages] == ["v", "moved"]
