"""Publish and subscribe with asyncio: a chat room that survives a lost connection.

python examples/pubsub.py redis://127.0.0.1:6379
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import carmine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Room:
    """A room of a chat, one channel.

    Args:
        client: Any asyncio client; a listener has a connection of its own.
        name: Which room.
    """

    def __init__(self, client: carmine.AsyncClient[str], name: str) -> None:
        self._client = client
        self._channel = carmine.key("room", name)

    async def say(self, who: str, text: str) -> int:
        """Send a line; return how many listen."""
        return await self._client.publish(self._channel, f"{who}: {text}")

    async def lines(self, entered: asyncio.Event) -> AsyncIterator[str]:
        """Give every line that is said from now on, and a word where some may be missing.

        Args:
            entered: Set when the room is entered: what is said from then on is heard.
        """
        async with self._client.pubsub() as pubsub:
            await pubsub.subscribe(self._channel)
            entered.set()
            async for message in pubsub:
                if isinstance(message, carmine.Reconnected):
                    yield "(the connection was lost for a moment; lines may be missing)"
                else:
                    yield message.payload


async def talk(url: str) -> None:
    """Let one listen and two speak."""
    async with carmine.connect_async(url) as client:
        room, entered = Room(client, "tea"), asyncio.Event()

        async def listen() -> None:
            async for line in room.lines(entered):
                print(line)
                if line.endswith("bye"):
                    return

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(listen())
            await entered.wait()
            await room.say("ada", "hello")
            await room.say("bob", "hi, and bye")


def main(url: str) -> None:
    """Run it."""
    asyncio.run(talk(url))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379")
