"""The pipeline: commands queued in a block and sent together at its end.

Nothing is sent when the block raises. Each method returns the Reply that its command will have; chaining is given up
for true types (docs/adr/0001).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from carmine.client.cas import CasQueue
from carmine.client.core import NEVER, first_error, refuse, values_or_error
from carmine.commands._pipeline import PipelineCommands
from carmine.commands.command import ReplyQueue
from carmine.commands.flags import STATE
from carmine.commands.specs import lookup
from carmine.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

    from carmine.client.async_engine import AsyncEngine
    from carmine.client.serializing import Serializing
    from carmine.commands.command import Command, Reply
    from carmine.types import Arg

__all__ = ["AsyncPipeline", "Queue"]

T = TypeVar("T", bound=str | bytes)
R = TypeVar("R")


class Queue(CasQueue[T], PipelineCommands[T], Generic[T]):
    """Commands that wait to be sent, with the replies they will have."""

    def __init__(self, serializing: Serializing | None = None) -> None:
        self._queued = ReplyQueue(NEVER | STATE, refuse)
        add = self._queued.add  # the facade calls it without a frame between
        self._queue = add if serializing is None else serializing.queue(add)  # type: ignore[method-assign,assignment]
        self._serializing = serializing
        self._carried = set()
        self._is_open = False

    def add(self, command: Command[R]) -> Reply[R]:
        """Queue a command that was made by a function of `carmine.commands`."""
        return self._queue(command.spec, command.words)

    def execute(self, *words: Arg | T) -> Reply[Any]:
        """Queue any command; its reply comes as the protocol gave it."""
        return self._queue(lookup(words), words)

    def _take(self) -> list[Reply[Any]]:
        """Return what is queued and begin anew."""
        self._carried.clear()
        return self._queued.take()

    def __len__(self) -> int:
        """Return how many commands wait."""
        return len(self._queued)

    def __bool__(self) -> bool:
        """Return True: a queue is something even while it is empty."""
        return True


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
