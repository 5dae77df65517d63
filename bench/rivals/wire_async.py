"""R, the wire of asyncio: a Protocol with a FIFO of futures.

A future is settled when one more reply's length of bytes has come. No parsing, no client. Every call writes its own
bytes, as the simplest correct code would.
"""

from __future__ import annotations

import asyncio
from collections import deque

from bench import data, resp
from bench.rivals.tasks import Loop
from bench.rivals.work import Work, checked


class Wire(asyncio.Protocol):
    """Settles futures in order, one for each ``size`` bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._have = 0
        self.waiting: deque[asyncio.Future[bytes]] = deque()

    def data_received(self, received: bytes) -> None:
        """Settle as many futures as whole replies have come."""
        have, size, take = self._have + len(received), self._size, self.waiting.popleft
        while have >= size:
            have -= size
            take().set_result(received)
        self._have = have


class Rival:
    """One connection."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._loop = Loop()
        self._sock = resp.connect(address)
        self._request = resp.pack(["GET", data.KEY])
        self._sock.sendall(self._request)
        reader = resp.Reader(self._sock)
        self._reply, self._value = reader.read()
        reader.close()
        self._sock.setblocking(False)
        self._transport, self._wire = self._loop.run(self._connect())

    def versions(self) -> dict[str, str]:
        """Return nothing: there is no package."""
        return {}

    def get_1(self) -> Work:
        """One GET at a time."""
        return self._compared(self._loop.one_by_one(self._get), 0)

    def get_50(self) -> Work:
        """50 GETs at once."""
        return self._compared(self._loop.at_once(self._get, 50), 50)

    def get_5000(self) -> Work:
        """5,000 GETs at once."""
        return self._compared(self._loop.at_once(self._get, 5000), 5000)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    async def _connect(self) -> tuple[asyncio.Transport, Wire]:
        loop = asyncio.get_running_loop()
        transport, wire = await loop.create_connection(lambda: Wire(len(self._reply)), sock=self._sock)
        return transport, wire

    async def _get(self) -> bytes:
        waiter: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._wire.waiting.append(waiter)
        self._transport.write(self._request)
        return await waiter

    def _compared(self, work: Work, width: int) -> Work:
        def answer() -> object:
            work.answer()
            return [self._value] * width if width else self._value

        return checked(work, answer)
