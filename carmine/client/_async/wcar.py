"""The ancestor's context: commands queued in a block, sent as one pipeline, their replies parsed as the block says.

A block inside another sends first what the outer one has queued, and gives those replies back to it; what was queued in
a block that raises is not sent. What waits for nothing is in wcar_queue.py.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from carmine._bridge import aio
from carmine.client.wcar_queue import Replies, WcarQueue, give_out
from carmine.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

    from carmine.client.async_engine import AsyncEngine

__all__ = ["AsyncWcar", "AsyncWcarBlock"]

T = TypeVar("T", bound=str | bytes)


class AsyncWcar(WcarQueue[T], Generic[T]):
    """Commands queued in a block and sent at its end, with the ancestor's rules for their replies.

    Each command also returns its `Reply`, whose value no parser touches.
    """

    def __init__(self, client: AsyncEngine, as_list: bool) -> None:
        super().__init__(client._serializing, as_list)
        self._client = client
        self._home: object = None
        self._outer: AsyncWcar[Any] | None = None

    def flush(self, as_list: bool = False) -> AsyncWcarBlock[T]:
        """Return a context manager: at its end everything queued is sent, and its `.replies` are its own commands'.

        The replies to what was queued before stay where they belong, in `.replies` of this context.

        Args:
            as_list: Whether one reply is a list of one, and an error in it a value.
        """
        return AsyncWcarBlock(self, as_list)

    async def _send(self) -> None:
        """Send everything queued, and give each reply to the block it was asked in."""
        places, queue = self._take_places()
        try:
            if queue:
                await self._client._execute_queue(queue)
        finally:
            give_out(places)

    async def __aenter__(self) -> Self:
        """Begin to queue, when the block around has sent what it had."""
        if self._is_open:
            raise UsageError("this context is in use already; make another one with carmine.wcar()")
        self._home = aio.here()
        outer = _current.get()
        if outer is not None and outer._is_open and outer._home == self._home:
            await outer._send()
        self._outer = outer
        self._is_open = True
        self._results = []
        _current.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send the queue; drop it when the block raised.

        Raises:
            CarmineError: The only command was answered with an error, and no list was asked for.
            NetworkError: The connection was lost on the way.
        """
        self._is_open = False
        _current.set(self._outer)
        self._outer = None
        if kind is not None:
            self._take()
            self._drop(self)
            return
        await self._send()
        self._raise_alone()


class AsyncWcarBlock(Replies, Generic[T]):
    """A block of a context whose replies are its own; made by `flush`."""

    def __init__(self, context: AsyncWcar[T], as_list: bool) -> None:
        self._context = context
        self._as_list = as_list
        self._results = []
        self._before: Replies = context

    async def __aenter__(self) -> Self:
        """Begin to queue apart."""
        context = self._context
        if not context._is_open:
            raise UsageError("flush lives in its context: `with carmine.wcar(client) as p, p.flush() as block:`")
        if context._owner is self:
            raise UsageError("this block is in use already; make another one with flush()")
        self._results = []
        self._before, context._owner = context._owner, self
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send everything queued; drop what this block has queued when it raised.

        Raises:
            CarmineError: The only command of the block was answered with an error, and no list was asked for.
            NetworkError: The connection was lost on the way.
        """
        context = self._context
        context._owner = self._before
        if kind is not None:
            context._drop(self)
            return
        await context._send()
        self._raise_alone()


_current: ContextVar[AsyncWcar[Any] | None] = ContextVar("carmine_wcar", default=None)
"""The innermost context of this thread or task."""
