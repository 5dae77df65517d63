"""What tells the server of runs that have ended: all that there are, as soon as there is one.

Invariants: an end is told again and again until there is an answer, or the crew is closed (then its lease runs out);
ends of a queue that fails hold back those of no other.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from carmine.client.timing import deadline
from carmine.ext.mq import journal
from carmine.ext.mq._worlds import aio
from carmine.ext.mq.core.values import CHUNK

if TYPE_CHECKING:
    from carmine.ext.mq._async.crew import Crew
    from carmine.ext.mq._async.source import Source
    from carmine.ext.mq.core.runs import Run

__all__ = ["Teller"]

_FOREVER: Final = float("inf")
_PATIENCE: Final = 5.0
"""Seconds for the last words of a crew, to all its queues together."""


class Teller:
    """The loop that tells the server of ends.

    Args:
        crew: Whose it is.
        sources: Its queues.
    """

    def __init__(self, crew: Crew, sources: list[Source]) -> None:
        self._crew = crew
        self._sources = sources
        self.ends = aio.Signal()

    async def tell(self) -> None:
        """Go on until the crew is closed and all is told."""
        crew = self._crew
        while not crew.is_closed:
            self.ends.clear()
            with crew.guard:
                now = monotonic()
                waiting = [source for source in self._sources if crew.runs.waits(source.queue)]
            ready = [source for source in waiting if source.tells_at <= now]
            for source in ready:
                await self._tell_one(source)
            if not ready:
                await self.ends.wait(min((source.tells_at for source in waiting), default=_FOREVER) - now)
        with deadline(_PATIENCE):
            for source in self._sources:
                while await self._tell_one(source):
                    pass

    async def _tell_one(self, source: Source) -> bool:
        """Tell of ends in one queue; True where there were some, and it worked."""
        crew = self._crew
        with crew.guard:
            runs = crew.runs.to_tell(source.queue, CHUNK)
        if not runs:
            return False
        words = [(run.message, run.ending.how, run.ending.backoff, run.ending.error) for run in runs if run.ending]
        try:
            replies = await source.queue._end(words)
        except Exception as problem:  # noqa: BLE001 - whatever it was, they have to be told
            with crew.guard:
                crew.runs.untold(source.queue)
            source.tells_at = monotonic() + crew.failed(source.telling, "finishing", problem)
            is_told = False
        else:
            crew.recovered(source.telling, "finishing")
            self._settle(source, runs, replies)
            is_told = True
        if crew.feeder.wants_room:
            crew.feeder.bell.give()
        return is_told

    def _settle(self, source: Source, runs: list[Run], replies: list[bool]) -> None:
        """Count them as the server has answered."""
        statistics, late = self._crew.statistics, []
        with self._crew.guard:
            self._crew.runs.told(source.queue)
            for run, is_ours in zip(runs, replies, strict=True):
                if is_ours and run.ending is not None:
                    statistics.count(run.ending.kind)
                elif run.is_unsure:
                    statistics.count("unsure")
                else:
                    statistics.count("lost")
                    late.append(run)
        for run in late:
            told = journal.named(run.message)
            journal.warn("queue %r, message %r, attempt %d ended after its lease: another has it", *told)
