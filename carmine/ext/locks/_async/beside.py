"""Connections beside those of the pool, for waiters' subscriptions and for renewals.

No place of the pool is taken, so neither can keep a holder from giving back, nor a user's commands keep a lease from
being renewed. Invariant: the pool knows them: it closes them with itself, and lets go of them after fork().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine.client.deadline import limit

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
        self._hooks: Any = pool.options.hooks  # a pub/sub looks for it here

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
        connection = await self._pool.open_beside(min(until, limit()))
        connection.pin("locks")  # it may be silent for long
        connection.note = None  # but takes no place, and is to blame for no PoolTimeout
        return connection

    # What a pub/sub calls. -------------------------------------------------------------------------------------------

    async def _borrow(self, note: str) -> AsyncConnection:
        connection = await self.open(limit())
        connection.lender = self
        return connection

    async def _give_back(self, connection: AsyncConnection) -> None:
        connection.lender = None
        connection.close()
