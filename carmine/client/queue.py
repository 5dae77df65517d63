"""Commands that wait to be sent, for whatever sends them: a pipeline, a transaction, the ancestor's context.

Pure: it sends nothing. Each method returns the Reply that its command will have; chaining is given up for true types
(docs/adr/0001). Invariant: a command that has no place in a batch is refused when it is queued.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from carmine.client.cas import CasQueue
from carmine.client.core import NEVER, refuse
from carmine.commands._pipeline import PipelineCommands
from carmine.commands.command import ReplyQueue
from carmine.commands.flags import STATE
from carmine.commands.specs import lookup

if TYPE_CHECKING:
    from carmine.client.serializing import Serializing
    from carmine.commands.command import Command, Reply
    from carmine.types import Arg

__all__ = ["Atomic", "Queue"]

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


class Atomic(NamedTuple):
    """What an atomic run gave."""

    prelude: list[Any]
    """The replies of the commands that ran at once."""
    replies: list[Any]
    """The replies of EXEC."""
