"""What brings messages to a worker's hands: the loops that claim, listen and tidy.

Invariants: a message is claimed only for a free hand; a listener's blocked call is never abandoned before the end, and
a signal that came for nobody is passed on; a queue that fails is asked again after pauses of its own, and keeps no
other one waiting.
"""

from __future__ import annotations

import contextlib
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from carmine.client.timing import deadline
from carmine.ext.mq import journal
from carmine.ext.mq._worlds import aio
from carmine.ext.mq.core.settings import Trouble
from carmine.ext.mq.core.values import CHUNK
from carmine.ext.mq.core.verdicts import BACK, exhausted

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.ext.mq._async.crew import Crew
    from carmine.ext.mq._async.message import AsyncMessage
    from carmine.ext.mq._async.queue import Poll
    from carmine.ext.mq._async.source import Source

__all__ = ["Feeder"]

_FOREVER: Final = float("inf")
_PATIENCE: Final = 5.0
"""Seconds one claim may take, with all that belongs to it: a stop waits for it."""
_BLOCKED: Final = 20.0
"""Seconds a listener is blocked at most; a connection that died silently is noticed after that."""
_TIDY: Final = 5.0
"""Seconds after the last poll of a queue when its maintenance is done without one."""


class Feeder:
    """The loops that bring messages in.

    Args:
        crew: Whose they are.
        sources: The queues, in the order in which they come first.
    """

    def __init__(self, crew: Crew, sources: list[Source]) -> None:
        self._crew = crew
        self._sources = sources
        self.wants_room = False
        self.bell = aio.Signal()  # something came, or hands are free
        self.room = aio.Signal()  # for the listeners: hands are free
        self._throttling = Trouble()

    def _room(self, source: Source) -> int:
        crew = self._crew
        return 0 if crew.is_paused or crew.is_stopping else crew.runs.room(source.queue)

    def wake(self) -> None:
        """Have the loops look again."""
        for signal in (self.bell, self.room, *(source.idle for source in self._sources)):
            signal.give()

    # Claiming. -------------------------------------------------------------------------------------------------------

    async def feed(self, delay: float) -> None:
        """Claim as many messages as there are free hands, whenever there are both."""
        crew = self._crew
        if delay:
            await crew.stopping.wait(delay)
        while not crew.is_stopping:
            self.bell.clear()
            with crew.guard:
                now = monotonic()
                source = self._next(now)
                free = 0 if source is None else self._room(source)
                roomy = [one for one in self._sources if self._room(one)]
                self.wants_room = len(roomy) < len(self._sources) or any(one.polls_at <= now for one in roomy)
                if source is not None:
                    source.is_rung = False
            if source is None:
                later = [one.polls_at for one in roomy if one.polls_at > now]
                await self.bell.wait(min(later, default=_FOREVER) - now)
                continue
            try:
                pause = await self._claim(source, free)
            except Exception as problem:  # noqa: BLE001 - whatever it was, the worker goes on
                source.rests_until = monotonic() + crew.failed(source.claiming, "claiming", problem)
            else:
                crew.recovered(source.claiming, "claiming")
                if pause:
                    await crew.stopping.wait(pause)

    def _next(self, now: float) -> Source | None:
        """Return the queue whose turn it is."""
        for source in self._sources:
            if source.polls_at <= now:
                if source.telling.count and not self._room(source):
                    continue  # it refuses ends, and can have no more of them
                # the server is to hear of an end whose lease is over before it could give the message to us again
                is_ready = source.telling.count or not self._crew.runs.is_late(source.queue, now)
                return source if self._room(source) and is_ready else None
        return None

    async def _claim(self, source: Source, free: int) -> float:
        """Poll one queue; return how long to wait before the next poll of any."""
        crew, settings = self._crew, self._crew.settings
        sent = source.polled = monotonic()
        with deadline(_PATIENCE):
            found = await source.queue.poll(min(free, CHUNK), default_lease=settings.lease, sleeps=settings.sleeps)
            with crew.guard:
                crew.statistics.count("polls")
            if found.messages:
                source.dry_runs = 0
                await self._take(source, found.messages, sent)
        if found.kind == "sleep":
            source.dry_runs += 1
            with crew.guard:
                if not source.is_rung:
                    source.due = monotonic() + found.seconds
            source.idle.give()
        if settings.monitor is not None:
            await self._report(settings.monitor, source, found)
        return self._pause_after(found.messages[0].queue_size) if found.messages else 0.0

    def _pause_after(self, size: int) -> float:
        try:
            pause = self._crew.settings.pause_after(size)
        except BaseException as problem:  # noqa: BLE001 - the user's function
            return self._crew.failed(self._throttling, "the throttle", problem)
        self._throttling.is_over()
        return pause

    async def _take(self, source: Source, messages: list[AsyncMessage], sent: float) -> None:
        """Put claimed messages into hands."""
        crew = self._crew
        with crew.guard:
            ages = [message.age for message in messages if message.attempt == 1]
            crew.statistics.claimed(source.queue.name, messages[0].queue_size, ages)
            crew.statistics.count("claimed", len(messages))
        if crew.settings.at_most_once:
            messages = await self._end_first(source, messages, sent)
        problem: Exception | None = None
        for message in messages:
            problem = self._put(message, sent) or problem
        if problem is not None:
            raise problem

    async def _end_first(self, source: Source, messages: list[AsyncMessage], sent: float) -> list[AsyncMessage]:
        """End messages before they are handled; return those that nobody else has."""
        crew = self._crew
        try:
            ours = await source.queue.finish_many([(message, "success") for message in messages])
        except Exception:
            with crew.guard:
                for message in messages:  # those that did not end after all are handed back at once
                    run = crew.runs.take(message, sent)
                    run.is_unsure = True
                    crew.runs.end(run, BACK)
            crew.teller.ends.give()
            raise
        return [message for message, is_ours in zip(messages, ours, strict=True) if is_ours]

    def _put(self, message: AsyncMessage, sent: float) -> Exception | None:
        """Put one message into a hand; return what kept it from that, if something did."""
        crew = self._crew
        message.worker = crew.worker
        once = crew.settings.at_most_once
        end = exhausted(crew.settings.policy, message.attempt)
        with crew.guard:
            run = crew.runs.take(message, sent)
            if once:
                run.ending = BACK  # it has ended already, for the server
            elif end is not None or crew.is_stopping:
                crew.runs.end(run, end or BACK)
            is_next = run.renew_at < crew.keeper.looks_at
        if run.ending is not None and not once:
            crew.teller.ends.give()
            return None
        try:
            crew.hands.give(run)
        except RuntimeError as problem:  # no thread could be started: another worker may have one
            with crew.guard:
                crew.runs.end(run, BACK)
                if once:
                    crew.statistics.count("dropped")
            crew.teller.ends.give()
            return problem
        if is_next:
            crew.keeper.rounds.give()
        return None

    async def _report(self, monitor: Callable[..., Any], source: Source, found: Poll) -> None:
        try:
            size = found.messages[0].queue_size if found.messages else await source.queue.size()
            await aio.call(monitor, size, source.dry_runs, found, self._crew.worker)
        except aio.CANCELLED:
            raise
        except BaseException as problem:  # noqa: BLE001 - the user's function
            journal.warn("the monitor of %r failed", self._crew.worker, error=problem)

    # Listening. ------------------------------------------------------------------------------------------------------

    async def listen(self, source: Source) -> None:
        """Be blocked on the server while there is nothing to do and hands are free."""
        crew, trouble = self._crew, Trouble()
        while not crew.is_stopping:
            await source.idle.wait(_FOREVER)
            with crew.guard:
                has_room = self._room(source) > 0
                if not has_room:
                    self.room.clear()
            if crew.is_stopping:
                return
            if not has_room:
                await self.room.wait(_FOREVER)
                continue
            try:
                came = await source.ear.wait(_BLOCKED)
                crew.recovered(trouble, "listening")
                if came:
                    await self._ring(source)
            except Exception as problem:  # noqa: BLE001 - whatever it was, the worker goes on
                if not crew.is_stopping:
                    await crew.stopping.wait(crew.failed(trouble, "listening", problem))
                    self._look(source)  # a signal may have been lost with the connection

    async def _ring(self, source: Source) -> None:
        """Have a queue polled for which a signal came; with no hand free, another sleeper is to have it."""
        if not self._look(source):
            await source.queue._pass_on()

    def _look(self, source: Source) -> bool:
        """Have a queue polled soon; tell whether a hand is free."""
        source.idle.clear()
        with self._crew.guard:
            source.is_rung = True
            source.due = 0.0
            has_room = self._room(source) > 0
        self.bell.give()
        return has_room

    async def silence(self) -> None:
        """Pass on the signals that ears may have swallowed when they were closed; a poll comes anyway."""
        with contextlib.suppress(Exception), deadline(1.0):
            for source in self._sources:
                await source.queue._pass_on()

    # Maintenance. ----------------------------------------------------------------------------------------------------

    async def tend(self) -> None:
        """Keep queues in order whose turn to be polled does not come: the hands are taken, or others come first."""
        crew = self._crew
        while not await crew.stopping.wait(_TIDY / 2):
            for source in self._sources:
                now = monotonic()
                if crew.is_paused or crew.is_stopping or source.polls_at > now or now - source.polled < _TIDY:
                    continue
                source.polled = now
                with contextlib.suppress(Exception):  # the other loops tell of it
                    await source.queue._tidy()
