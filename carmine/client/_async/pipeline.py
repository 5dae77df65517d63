"""The pipeline: commands queued in a block and sent together at its end.

Nothing is sent when the block raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from carmine.client.core import first_error, values_or_error
from carmine.client.queue import Queue
from carmine.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

    from carmine.client.async_engine import AsyncEngine
    from carmine.commands.command import Reply

__all__ = ["AsyncPipeline"]

T = TypeVar("T", bound=str | bytes)


class AsyncPipeline(Queue[T], Generic[T]):
    """Commands sent together when the block ends.

    Attributes:
        replies: After the block, one value for each command, an error as a value.
    """

    def __init__(self, client: AsyncEngine, *, raise_errors: bool = True) -> None:
        super().__init__(client._serializing)
        self._client = client
        self._raise_errors = raise_errors
        self._sent: list[Reply[Any]] = []

    @property
    def replies(self) -> list[Any]:
        """One value for each command that was sent, an error as a value."""
        return [values_or_error(entry) for entry in self._sent]

    async def flush(self) -> list[Any]:
        """Send what is queued now and return its replies, errors as values.

        Raises:
            NetworkError: The connection was lost on the way; entries that have their reply keep it.
        """
        queue = self._take()
        self._sent += queue
        await self._client._execute_queue(queue)
        return [values_or_error(entry) for entry in queue]

    async def __aenter__(self) -> Self:
        """Begin to queue."""
        if self._is_open:
            raise UsageError("this pipeline is in use already; make another one with client.pipeline()")
        self._is_open = True
        self._sent = []
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send the queue; drop it when the block raised.

        Raises:
            PipelineError: The server answered a command with an error; every reply is in `.replies`.
            NetworkError: The connection was lost on the way.
        """
        self._is_open = False
        if kind is not None:
            self._take()
            return
        await self.flush()
        problem = first_error(self._sent, "pipeline") if self._raise_errors else None
        if problem is not None:
            raise problem
