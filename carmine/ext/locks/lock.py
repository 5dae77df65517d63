"""The lock of the blocking world; async_lock.py is the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carmine.ext.locks._sync.locking import Locking

if TYPE_CHECKING:
    from types import TracebackType

    from carmine.ext.locks._sync.lease import Lease

__all__ = ["Lock"]


class Lock(Locking):
    """A lock that any number of processes and machines share; to be shared by threads as well.

    >>> with Lock(client, "report", ttl=30) as lease:
    ...     write(rows, fence=lease.fence)

    Args:
        client: Whose server and pool are used.
        name: What is locked; any text or bytes.
        ttl: Seconds that a lease lasts when its holder says nothing more.
        wait: Seconds to wait for the lock; None for as long as it takes, 0 for one attempt.
        auto_extend: Whether a lease is renewed for as long as its holder has it.
        on_lost: Called with a lease that was lost, once, in a thread of its own.

    Raises:
        UsageError: An argument is none. Nothing is sent before the lock is acquired.
    """

    def __enter__(self) -> Lease:
        """Acquire the lock.

        Raises:
            LockNotAcquired: Another held it for all the time that this lock waits.
        """
        return self._enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back.

        Raises:
            LeaseLost: The lease was lost before, and the block ended without an error of its own.
        """
        self._take_entered()._leave(error)
