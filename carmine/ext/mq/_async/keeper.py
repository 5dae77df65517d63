"""What keeps messages this worker's while their handlers go on: leases are renewed, and losses told.

Invariant: a handler hears of its loss no later than its lease ends, seen from here.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from carmine.client.timing import deadline
from carmine.ext.mq import journal
from carmine.ext.mq._worlds import aio

if TYPE_CHECKING:
    from carmine.ext.mq._async.crew import Crew
    from carmine.ext.mq._async.message import AsyncMessage
    from carmine.ext.mq._async.queue import AsyncQueue
    from carmine.ext.mq.core.runs import Run

__all__ = ["Keeper"]


class Keeper:
    """The loop that renews leases.

    Args:
        crew: Whose it is.

    Attributes:
        looks_at: When it looks next.
        rounds: Has it look at once.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self.looks_at = 0.0
        self.rounds = aio.Signal()

    async def keep(self) -> None:
        """Go on until the crew is closed."""
        crew = self._crew
        while not crew.is_closed:
            self.rounds.clear()
            await self._renew_due()
            with crew.guard:
                now = monotonic()
                # no later than a lease that begins now would have to be renewed
                self.looks_at = min(crew.runs.next_renewal(), now + crew.settings.lease / 3)
            await self.rounds.wait(max(0.0, self.looks_at - now))

    def extended(self, message: AsyncMessage, sent: float) -> None:
        """Take note that a handler has given its lease another length, `sent` seconds by the clock."""
        crew = self._crew
        with crew.guard:
            run = crew.runs.of(message)
            if run is None:
                return
            run.confirm(sent)
            is_next = run.renew_at < self.looks_at
        if is_next:
            self.rounds.give()

    async def _renew_due(self) -> None:
        crew = self._crew
        by_queue: dict[AsyncQueue, list[Run]] = {}
        with crew.guard:
            for run in crew.runs.due(monotonic()):
                by_queue.setdefault(run.message.queue, []).append(run)
        for queue, runs in by_queue.items():
            if not crew.is_closed:
                await self._renew(queue, runs)

    async def _renew(self, queue: AsyncQueue, runs: list[Run]) -> None:
        crew = self._crew
        sent = monotonic()
        patience = max(0.05, min(run.message.lease for run in runs) / 4)
        try:
            with deadline(patience):
                replies = await queue.extend_many([run.message for run in runs])
        except Exception as problem:  # noqa: BLE001 - whatever it was, the other leases go on
            self._put_off(runs, problem)
            return
        with crew.guard:
            for run, is_ours in zip(runs, replies, strict=True):
                if is_ours:
                    run.confirm(sent)
        self._lose([run for run, is_ours in zip(runs, replies, strict=True) if not is_ours])

    def _put_off(self, runs: list[Run], problem: Exception) -> None:
        """Renew later what could not be renewed; what is over by then may be another's."""
        crew, now = self._crew, monotonic()
        with crew.guard:
            crew.statistics.count("failures")
            for run in runs:
                run.put_off(now)
        late = [run for run in runs if run.until <= now]
        if late:
            what = type(problem).__name__
            journal.warn("leases of %r were lost: their renewal failed: %s", crew.worker, what)
        self._lose(late)

    def _lose(self, runs: list[Run]) -> None:
        """Tell handlers that their messages may be another's."""
        crew = self._crew
        for run in runs:
            with crew.guard:
                is_news = crew.runs.lose(run)
                if is_news:
                    crew.statistics.count("lost")
            if is_news:
                run.message.cancelled = True
                crew.hands.cancel(run)
