"""The lock of the asyncio world; lock.py is the other. A lost lease can cancel a task, and cannot a thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from carmine import _checks
from carmine.ext.locks._async.locking import Locking

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from carmine.client._async.client import AsyncClient
    from carmine.ext.locks._async.lease import AsyncLease
    from carmine.types import Seconds

__all__ = ["AsyncLock"]


class AsyncLock(Locking):
    """A lock that any number of processes and machines share; to be shared by the tasks of a loop as well.

    >>> async with AsyncLock(client, "report", ttl=30) as lease:
    ...     await write(rows, fence=lease.fence)

    Args:
        client: Whose server and pool are used.
        name: What is locked; any text or bytes.
        ttl: Seconds that a lease lasts when its holder says nothing more.
        wait: Seconds to wait for the lock; None for as long as it takes, 0 for one attempt.
        auto_extend: Whether a lease is renewed for as long as its holder has it.
        on_lost: Called with a lease that was lost, once, in a task of its own; it may be a coroutine function.
        cancel_on_lost: Whether a block is cancelled when its lease is lost; it then ends with LeaseLost.

    Raises:
        UsageError: An argument is none. Nothing is sent before the lock is acquired.
    """

    def __init__(
        self,
        client: AsyncClient[Any],
        name: str | bytes,
        ttl: Seconds = 30.0,
        wait: Seconds | None = None,
        auto_extend: bool = True,
        *,
        on_lost: Callable[[AsyncLease], object] | None = None,
        cancel_on_lost: bool = False,
    ) -> None:
        super().__init__(client, name, ttl, wait, auto_extend, on_lost=on_lost)
        self._bodies: dict[AsyncLease, _Body] = {}
        self._cancel_on_lost = _checks.flag("cancel_on_lost", cancel_on_lost)

    async def __aenter__(self) -> AsyncLease:
        """Acquire the lock.

        Raises:
            LockNotAcquired: Another held it for all the time that this lock waits.
        """
        lease = await self._enter()
        if self._cancel_on_lost:
            body = self._bodies[lease] = _Body()
            lease._watch(body.cancel)
        return lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back.

        Raises:
            LeaseLost: The lease was lost before, and the block ended without an error of its own, or was cancelled
                for it.
        """
        lease = self._take_entered()
        body = self._bodies.pop(lease, None)
        if body is not None and await body.was_cancelled(error):
            lease._sweep()
            raise lease._over() from error
        await lease._leave(error)


class _Body:
    """A block that runs in the task that makes this."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "an async block runs in a task"
        self._task = task
        self._others = task.cancelling()
        self._is_cancelled = self._is_over = False

    def cancel(self) -> None:
        """Cancel it, unless it is over."""
        if not self._is_over:
            self._is_cancelled = True
            self._task.cancel()

    async def was_cancelled(self, error: BaseException | None) -> bool:
        """Tell at its end whether it ended because of `cancel`, and for no other reason."""
        self._is_over = True
        if not self._is_cancelled:
            return False
        if error is None:  # it ended in the same moment: the cancellation is still to come
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as late:
                error = late
        others = self._task.uncancel()
        return isinstance(error, asyncio.CancelledError) and others <= self._others
