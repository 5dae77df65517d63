"""A message that somebody holds: what a handler is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carmine.ext.mq._async.queue import AsyncQueue

__all__ = ["AsyncMessage"]


class AsyncMessage:
    """A claimed message. It is this holder's until its lease ends or somebody updates it.

    Attributes:
        queue: The queue it came from.
        mid: Its id.
        content: What was enqueued.
        attempt: Which claim of it this is, counted from 1.
        age: Seconds since its life began, when it was claimed.
        lease: Seconds the lease lasts, from the claim or the last `extend`.
        fence: A number that rises with every claim in this queue: what a resource can refuse an earlier holder by.
        queue_size: How many messages the queue had.
        worker: The worker that handles it, if one does.
        cancelled: Whether the lease was lost or the worker stops: a handler that looks can end early.
    """

    __slots__ = (
        *("age", "attempt", "cancelled", "content", "fence", "lease", "mid", "queue", "queue_size", "word", "worker"),
        "__weakref__",
    )

    def __init__(
        self,
        queue: AsyncQueue,
        word: bytes,
        content: Any,
        attempt: int,
        lease: float,
        age: float,
        fence: int,
        queue_size: int,
    ) -> None:
        self.queue = queue
        self.word = word  # the mid as the server has it: the ancestor's clients may have written any bytes
        self.mid: str = word.decode(errors="surrogateescape")
        self.content = content
        self.attempt = attempt
        self.lease = lease
        self.age = age
        self.fence = fence
        self.queue_size = queue_size
        self.worker: Any = None
        self.cancelled = False

    async def extend(self, lease: Any = None) -> bool:
        """Make the lease last longer, from now; False when it was lost.

        Args:
            lease: Seconds; None for as many as before.
        """
        return await self.queue.extend(self, lease)

    def __repr__(self) -> str:
        """Show what it is, not what is in it."""
        return f"<{type(self).__name__} {self.mid[:40]!r} of {self.queue.name!r}, attempt {self.attempt}>"
