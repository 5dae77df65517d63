"""A queue that a worker works on, and when it is asked again."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from carmine.ext.mq._worlds import aio
from carmine.ext.mq.core.settings import Trouble

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from carmine.ext.mq._async.queue import AsyncQueue

__all__ = ["Source"]


class Source:
    """A queue that a crew works on; whoever is a loop of the crew may change it, under the crew's guard.

    Attributes:
        queue: The queue, on the crew's own connections.
        ear: The same, on those that are blocked.
        due: When it is to be polled next.
        rests_until: When it may be polled again, after polls that failed.
        tells_at: When it may be told of ends again, after that failed.
        is_rung: Whether something came since the last poll began.
        polled: When it was polled last.
        dry_runs: Polls in a row that gave nothing.
        idle: Given while there is nothing to do: the listener listens.
    """

    def __init__(self, queue: AsyncQueue, line: AsyncClient[Any], ears: AsyncClient[Any]) -> None:
        self.queue = _on(queue, line)
        self.ear = _on(queue, ears)
        self.due = self.rests_until = self.tells_at = self.polled = 0.0
        self.is_rung = False
        self.dry_runs = 0
        self.idle = aio.Signal()
        self.claiming, self.telling = Trouble(), Trouble(cap=2.0)

    @property
    def polls_at(self) -> float:
        """When it is to be polled next, and may be."""
        return max(self.due, self.rests_until)


def _on(queue: AsyncQueue, client: AsyncClient[Any]) -> AsyncQueue:
    """Return the same queue on another client."""
    made = copy.copy(queue)
    made._client = client.binary
    return made
