"""Connections beside those of the pool, for waiters' subscriptions and for renewals.

No place of the pool is taken, so neither can keep a holder from giving back, nor a user's commands keep a lease from
being renewed. Invariant: the pool knows them: it closes them with itself, and lets go of them after fork().
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from carmine.client.deadline import limit
from carmine.errors import PoolClosed
from carmine.ext.locks._worlds import aio
from carmine.transport.hooks import tell

if TYPE_CHECKING:
    from carmine.transport.async_connection import AsyncConnection
    from carmine.transport.async_pool import AsyncPool

__all__ = ["Beside"]


class Beside:
    """What a pub/sub takes for its client.

    Args:
        pool: Whose options the connections have.
    """

    def __init__(self, pool: AsyncPool) -> None:
        self._pool = pool
        self._hooks: Any = pool.options.hooks

    @property
    def read_timeout(self) -> float | None:
        """Seconds that the pool's users give a reply."""
        return self._pool.options.read_timeout

    async def open(self, until: float) -> AsyncConnection:
        """Open a connection, which is its caller's until he closes it.

        Args:
            until: When the caller's time is over (time.monotonic()).

        Raises:
            CarmineError: As for a connection of the pool.
        """
        pool = self._pool
        if pool.is_closed:
            raise PoolClosed(f"the pool of {pool.options.address} is closed; make a new client")
        began = time.monotonic()
        where = str(pool.options.address)
        hooks = self._hooks
        try:
            connection = await aio.open_beside(pool, min(until, limit()))
        except Exception as problem:
            tell(hooks, "on_error", where, problem)
            raise
        if hooks is not None:
            connection.on_close = lambda: tell(hooks, "on_close", where)
        connection.pin("locks")  # it may be silent for long
        connection.note = None  # but takes no place, and is to blame for no PoolTimeout
        tell(hooks, "on_connect", where, time.monotonic() - began)
        if pool.is_closed:
            connection.close()
            raise PoolClosed(f"the pool of {pool.options.address} was closed while a connection was opened")
        return connection

    # What a pub/sub calls. -------------------------------------------------------------------------------------------

    async def _borrow(self, note: str) -> AsyncConnection:
        connection = await self.open(limit())
        connection.lender = self
        return connection

    async def _give_back(self, connection: AsyncConnection) -> None:
        connection.lender = None
        connection.close()
