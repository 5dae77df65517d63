"""MONITOR: every command that a server executes, line by line, over a connection of its own.

Invariants: a line is delivered whole, once, in order; nothing is read that nobody waits for; the connection never goes
back to the pool. A lost connection ends the iteration with its error: what was executed meanwhile nobody can tell.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from carmine import _checks
from carmine.client.monitor_lines import MonitorLine, parse_line
from carmine.errors import ProtocolError, ReadTimeout, ServerError, UsageError

if TYPE_CHECKING:
    from types import TracebackType

    from carmine.client.async_engine import AsyncEngine
    from carmine.transport.async_connection import AsyncConnection

__all__ = ["AsyncMonitor"]

T = TypeVar("T")


class AsyncMonitor(Generic[T]):
    """The commands that a server executes, from the beginning of the block; made by `client.monitor()`.

    A server that is watched is slower, and what it shows may be secret. Commands with passwords are left out by it.
    """

    def __init__(self, client: AsyncEngine, text: bool) -> None:
        self._client = client
        self._text = text
        self._connection: AsyncConnection | None = None
        self._is_closed = False

    async def next_line(self, timeout: float | None = None) -> MonitorLine[T] | None:  # noqa: ASYNC109 - both worlds have it
        """Return the next command; None when there was none within `timeout` seconds (None: no limit).

        Raises:
            UsageError: Outside the block.
            NetworkError: The connection was lost.
        """
        connection = self._connection
        if connection is None:
            raise UsageError("a monitor lives in its block: `with client.monitor() as lines:`")
        line = await connection.next_push(math.inf if timeout is None else _checks.seconds("timeout", timeout))
        if line is None:
            return None
        if isinstance(line, ServerError):
            raise line
        return parse_line(line, self._text)

    def __aiter__(self) -> Self:
        """Return the iterator, which ends when the block does."""
        return self

    async def __anext__(self) -> MonitorLine[T]:
        """Return the next command, however long it takes."""
        try:
            line = await self.next_line()
        except Exception:
            if self._is_closed:
                raise StopAsyncIteration from None
            raise
        assert line is not None
        return line

    async def aclose(self) -> None:
        """Close the connection; an iteration ends. Harmless the second time."""
        self._is_closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._discard(connection)

    async def _discard(self, connection: AsyncConnection) -> None:
        connection.close()
        await self._client._give_back(connection)

    async def __aenter__(self) -> Self:
        """Take a connection, and return when the server has begun to tell."""
        if self._connection is not None or self._is_closed:
            raise UsageError("this monitor was used already; make another one with client.monitor()")
        connection = await self._client._borrow("a monitor")
        try:
            connection.stream()
            patience = self._client._pool.options.read_timeout
            began = time.monotonic()
            await connection.send((b"MONITOR",))
            reply: Any = await connection.next_push(math.inf if patience is None else patience)
            if isinstance(reply, ServerError):
                reply.command, reply.address = "MONITOR", str(connection.address)
                raise reply
            if reply is None:
                raise ReadTimeout(
                    f"no answer to MONITOR within {time.monotonic() - began:.3g} s", address=str(connection.address)
                )
            if reply != b"OK":
                raise ProtocolError("the answer to MONITOR is none that Redis documents", offset=0)
        except BaseException:
            await self._discard(connection)
            raise
        self._connection = connection
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self.aclose()
