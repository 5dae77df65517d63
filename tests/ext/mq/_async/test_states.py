"""A server that comes back empty (S13), and one where another program wrote a queue's keys (S14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import ServerError, WrongTypeError
from carmine.ext.mq.keys import KINDS
from tests.ext.mq._async.helpers import claim_one, later
from tests.lab.matrix import current_leg

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from carmine.ext.mq._async.queue import AsyncQueue
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def test_a_restart_without_persistence_leaves_an_empty_queue(queue: AsyncQueue, server: RedisServer) -> None:
    """S13: it works as a new one does; who finishes what is gone is told that the claim is lost."""
    await queue.enqueue("a", mid="held")
    held = await claim_one(queue)
    await queue.enqueue("b", mid="waits")
    server.call("CONFIG", "SET", "save", "")
    server.restart()
    later(queue, 1)
    assert (await queue.status())[:3] == (0, 0, 0)
    assert await queue.message_status("waits") is None
    assert not await held.extend()
    assert (await queue.enqueue("c", mid="held")).action == "added"
    again = await claim_one(queue)
    assert (again.mid, again.content, again.attempt) == ("held", "c", 1)
    assert again.fence > held.fence


KEPT = {"messages": "lpush", "mids-ready": "set", "due": "set", "done": "set"}


@pytest.mark.parametrize("suffix", sorted(KEPT))
async def test_keys_of_another_program_are_named(queue: AsyncQueue, client: AsyncClient[Any], suffix: str) -> None:
    """S14: the error says which key, what it holds, and what belongs there."""
    key = f"carmine:mq:{queue.name}:{suffix}"
    await queue.enqueue("a", mid="a")
    await client.delete(key)
    await client.execute(KEPT[suffix], key, "x")
    held = "list" if KEPT[suffix] == "lpush" else "string"

    async def use() -> None:
        for _ in range(2):
            await queue.status()
            await queue.enqueue("b", mid="b")
            await queue.poll()

    with pytest.raises(ServerError, match="WRONGTYPE") as caught:
        await use()
    if current_leg().at_least_7:  # 6.2 wraps what a script met
        assert isinstance(caught.value, WrongTypeError)
        assert caught.value.key == key
    assert f"{key} holds a {held}, and the queue keeps a {KINDS[suffix]} there" in caught.value.__notes__[0]
    assert key not in str(caught.value)
