"""One life of a worker, from start to stop: the loops that claim, handle, tell, renew, tidy and listen.

Each loop is a job of its own, so that a handler that takes long, or a call that stalls, holds up none of the others.
They meet in `Runs`, under one guard that nobody waits inside. Invariants: a message is claimed only for free hands;
every claimed message is told to the server once it has ended, again and again until there is an answer; a listener's
blocked call is never abandoned before the end, and a signal that came for nobody is passed on.
"""

from __future__ import annotations

import contextlib
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from carmine.client.timing import deadline
from carmine.ext.mq._worlds import aio
from carmine.ext.mq.core.runs import Run, Runs
from carmine.ext.mq.core.settings import Trouble
from carmine.ext.mq.core.values import CHUNK
from carmine.ext.mq.core.verdicts import BACK, exhausted, failed, judge
from carmine.transport.bookkeeping import chance

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Coroutine

    from carmine.ext.mq._async.message import AsyncMessage
    from carmine.ext.mq._async.queue import AsyncQueue, Poll
    from carmine.ext.mq._async.worker import AsyncWorker
    from carmine.ext.mq.core.counting import Statistics
    from carmine.ext.mq.core.settings import Settings

__all__ = ["Crew", "Source"]

_FOREVER: Final = float("inf")
_BLOCKED: Final = 20.0
"""Seconds a listener is blocked at most; a connection that died silently is noticed after that."""
_TIDY: Final = 5.0
"""Seconds after the last poll of a queue when its maintenance is done without one."""
_log = logging.getLogger("carmine.mq")


class Source:
    """A queue that a crew works on.

    Attributes:
        queue: The queue, on the crew's own connections.
        ear: The same, on those that are blocked.
        due: When it is to be polled next.
        is_rung: Whether something came since the last poll began.
        polled: When it was polled last.
        dry_runs: Polls in a row that gave nothing.
        idle: Given while there is nothing to do: the listener listens.
    """

    def __init__(self, queue: AsyncQueue, ear: AsyncQueue) -> None:
        self.queue = queue
        self.ear = ear
        self.due = 0.0
        self.is_rung = False
        self.polled = 0.0
        self.dry_runs = 0
        self.idle = aio.Signal()


class Crew:
    """The loops of one worker.

    Args:
        worker: Whose crew it is.
        sources: The queues, in the order in which they come first.
        handler: The user's.
        settings: The worker's options.
        statistics: Where to count; the worker's, for it outlives this.
        guard: Held around what the loops share, and the statistics.
    """

    def __init__(
        self,
        worker: AsyncWorker,
        sources: list[Source],
        handler: Callable[[AsyncMessage], Any],
        settings: Settings,
        statistics: Statistics,
        guard: threading.RLock,
    ) -> None:
        self._worker = worker
        self._sources = sources
        self._handler = handler
        self._settings = settings
        self._statistics = statistics
        self._guard = guard
        self.runs = Runs(settings.concurrency)
        self.hands: aio.Hands[Run] = aio.Hands(self._handle)
        self.is_paused = self.is_stopping = self.is_closed = False
        self._wants_room = False
        self._bell = aio.Signal()  # for the feeder: something came, or hands are free
        self._room = aio.Signal()  # for the listeners: hands are free
        self._ends = aio.Signal()  # for the finisher
        self._rounds = aio.Signal()  # for the keeper
        self._stopping = aio.Signal()
        self._closed = aio.Signal()
        self._drained = aio.Signal()
        self._keeper_looks_at = 0.0
        self._until = _FOREVER
        self._jobs: list[aio.Job[None]] = []

    def start(self, delay: float) -> None:
        """Begin, after so many seconds."""
        loops = [*(self._feed, self._tell, self._keep, self._tend), *[self._listen] * len(self._sources)]
        for at, loop in enumerate(loops):
            args = (self._sources[at - 4],) if loop == self._listen else (delay,) if loop == self._feed else ()
            self._jobs.append(aio.spawn(self._live, loop, args))

    def pause(self, is_paused: bool) -> None:
        """Claim nothing more, or go on."""
        with self._guard:
            self.is_paused = is_paused
        self._bell.give()
        self._room.give()

    async def _live(self, loop: Callable[..., Coroutine[Any, Any, None]], args: tuple[Any, ...]) -> None:
        """Run a loop until its end; one that fails for a reason nobody thought of is begun again."""
        trouble = Trouble()
        while not self.is_closed:
            try:
                return await loop(*args)
            except Exception:  # noqa: BLE001 - it is told, and the worker goes on
                _log.exception("a loop of %r failed, and is begun again", self._worker)
                await self._closed.wait(trouble.delay(chance()))
        return None

    # In. -------------------------------------------------------------------------------------------------------------

    def _free(self) -> int:
        return 0 if self.is_paused or self.is_stopping else self.runs.free

    async def _feed(self, delay: float) -> None:
        """Claim as many messages as there are free hands, whenever there are both."""
        if delay:
            await self._stopping.wait(delay)
        trouble = Trouble()
        while not self.is_stopping:
            self._bell.clear()
            with self._guard:
                free = self._free()
                self._wants_room = not free
                now = monotonic()
                source = next((source for source in self._sources if source.due <= now), None)
                if source is not None and free:
                    source.is_rung = False
            if not free:
                await self._bell.wait(_FOREVER)
            elif source is None:
                await self._bell.wait(min(source.due for source in self._sources) - now)
            else:
                try:
                    pause = await self._claim(source, free)
                except Exception as problem:  # noqa: BLE001 - whatever it was, the worker goes on
                    pause = self._failed(trouble, "claiming", problem)
                else:
                    self._recovered(trouble, "claiming")
                if pause:
                    await self._stopping.wait(pause)

    async def _claim(self, source: Source, free: int) -> float:
        """Poll one queue; return how long to wait before the next poll of any."""
        settings = self._settings
        sent = source.polled = monotonic()
        found = await source.queue.poll(free, default_lease=settings.lease, sleeps=settings.sleeps)
        pause = 0.0
        if found.messages:
            source.dry_runs = 0
            await self._take(source, found.messages, sent)
            pause = settings.pause_after(found.messages[0].queue_size)
        elif found.kind == "sleep":
            source.dry_runs += 1
            with self._guard:
                if not source.is_rung:
                    source.due = monotonic() + found.seconds
            source.idle.give()
        with self._guard:
            self._statistics.count("polls")
        if settings.monitor is not None:
            await self._report(settings.monitor, source, found)
        return pause

    async def _take(self, source: Source, messages: list[AsyncMessage], sent: float) -> None:
        """Put claimed messages into hands."""
        settings = self._settings
        with self._guard:
            ages = [message.age for message in messages if message.attempt == 1]
            self._statistics.claimed(source.queue.name, messages[0].queue_size, ages)
            self._statistics.count("claimed", len(messages))
        once = settings.at_most_once
        if once:
            ours = await source.queue.finish_many([(message, "success") for message in messages])
            messages = [message for message, is_ours in zip(messages, ours, strict=True) if is_ours]
        for message in messages:
            message.worker = self._worker
            end = exhausted(settings.policy, message.attempt)
            with self._guard:
                run = self.runs.take(message, sent)
                if once:
                    run.ending = BACK  # it has ended already, for the server
                elif end is not None or self.is_stopping:
                    self.runs.end(run, end or BACK)
                is_next = run.renew_at < self._keeper_looks_at
            if run.ending is None or once:
                self.hands.give(run)
                if is_next:
                    self._rounds.give()
            else:
                self._ends.give()

    async def _report(self, monitor: Callable[..., Any], source: Source, found: Poll) -> None:
        try:
            size = found.messages[0].queue_size if found.messages else await source.queue.size()
            await aio.call(monitor, size, source.dry_runs, found, self._worker)
        except Exception:  # noqa: BLE001 - the user's function
            _log.exception("the monitor of %r failed", self._worker)

    async def _listen(self, source: Source) -> None:
        """Be blocked on the server while there is nothing to do and hands are free."""
        trouble = Trouble()
        while not self.is_stopping:
            await source.idle.wait(_FOREVER)
            with self._guard:
                has_room = self._free() > 0
                if not has_room:
                    self._room.clear()
            if self.is_stopping:
                return
            if not has_room:
                await self._room.wait(_FOREVER)
                continue
            try:
                came = await source.ear.wait(_BLOCKED)
                self._recovered(trouble, "listening")
                if came:
                    await self._ring(source)
            except Exception as problem:  # noqa: BLE001 - whatever it was, the worker goes on
                if not self.is_stopping:
                    await self._stopping.wait(self._failed(trouble, "listening", problem))
                    self._look(source)  # a signal may have been lost with the connection

    async def _ring(self, source: Source) -> None:
        """Have a queue polled for which a signal came; with no hand free, another sleeper is to have it."""
        if not self._look(source):
            await source.queue._pass_on()

    def _look(self, source: Source) -> bool:
        """Have the feeder poll a queue soon; tell whether a hand is free."""
        source.idle.clear()
        with self._guard:
            source.is_rung = True
            source.due = 0.0
            has_room = self._free() > 0
        self._bell.give()
        return has_room

    # The handlers. ---------------------------------------------------------------------------------------------------

    async def _handle(self, run: Run) -> None:
        """Run the handler, and take note of how it ended; raises nothing."""
        message, settings = run.message, self._settings
        began = monotonic()
        returned: object = None
        raised: BaseException | None = None
        try:
            returned = await aio.call(self._handler, message)
        except BaseException as problem:  # noqa: BLE001 - SystemExit too ends one message, and not the worker
            raised = problem
        took = monotonic() - began
        if raised is None:
            ending = judge(settings.policy, message.attempt, returned, chance())
        else:
            ending = failed(settings.policy, message.attempt, raised, chance(), drops=settings.drops)
        with self._guard:
            statistics = self._statistics
            statistics.handling.add(took)
            if raised is not None:
                statistics.count("raised")
            counts = self.runs.end(run, ending)
            if settings.at_most_once:
                statistics.count("success" if ending.kind == "success" else "dropped")
            wants_room = self._wants_room
            is_last = self.is_stopping and not self.runs.running
        if counts:
            self._ends.give()
        if raised is not None and (counts or settings.at_most_once):
            what = "dropped" if settings.at_most_once else ending.kind
            told = (message.queue.name[:40], message.mid[:40], message.attempt, what)
            _log.warning("queue %r, message %r, attempt %d failed: %s", *told, exc_info=raised)
        if wants_room:
            self._bell.give()
        self._room.give()
        if is_last:
            self._drained.give()

    # Out. ------------------------------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        """Tell the server of runs that have ended: all that there are, as soon as there is one."""
        trouble = Trouble(cap=2.0)
        while True:
            self._ends.clear()
            with self._guard:
                runs = self.runs.to_tell(CHUNK)
            if not runs:
                if self.is_closed:
                    return
                await self._ends.wait(_FOREVER)
                continue
            problem = await self._tell_all(runs)
            if problem is None:
                self._recovered(trouble, "finishing")
                continue
            pause = self._failed(trouble, "finishing", problem)
            if self.is_closed:
                return  # their leases run out
            await self._closed.wait(pause)

    async def _tell_all(self, runs: list[Run]) -> Exception | None:
        """Tell the server of these; return what went wrong, after taking back those of which it did not hear."""
        by_queue: dict[AsyncQueue, list[Run]] = {}
        for run in runs:
            by_queue.setdefault(run.message.queue, []).append(run)
        problem: Exception | None = None
        for queue, some in by_queue.items():
            words = [(run.message, run.ending.how, run.ending.backoff, run.ending.error) for run in some if run.ending]
            try:
                replies = await queue._end(words)
            except Exception as error:  # noqa: BLE001 - whatever it was, they have to be told
                problem = error
                for run in some:
                    run.is_unsure = True
                with self._guard:
                    self.runs.untold(some)
            else:
                self._settle(some, replies)
        if self._wants_room:
            self._bell.give()
        return problem

    def _settle(self, runs: list[Run], replies: list[bool]) -> None:
        late: list[Run] = []
        with self._guard:
            for run, is_ours in zip(runs, replies, strict=True):
                if is_ours and run.ending is not None:
                    self._statistics.count(run.ending.kind)
                elif run.is_unsure:
                    self._statistics.count("unsure")
                else:
                    self._statistics.count("lost")
                    late.append(run)
        for run in late:
            told = (run.message.queue.name[:40], run.message.mid[:40], run.message.attempt)
            _log.warning("queue %r, message %r, attempt %d ended after its lease: another has it", *told)

    # Leases. ---------------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Renew the leases of messages whose handlers go on."""
        while not self.is_closed:
            self._rounds.clear()
            with self._guard:
                due = self.runs.due(monotonic())
            if due:
                await self._renew(due)
            with self._guard:
                now = monotonic()
                # no later than a lease that begins now would have to be renewed
                looks_at = min(self.runs.next_renewal(), now + self._settings.lease / 3)
                self._keeper_looks_at = looks_at
            await self._rounds.wait(max(0.0, looks_at - now))

    async def _renew(self, due: list[Run]) -> None:
        by_queue: dict[AsyncQueue, list[Run]] = {}
        for run in due:
            by_queue.setdefault(run.message.queue, []).append(run)
        for queue, runs in by_queue.items():
            sent = monotonic()
            patience = max(0.05, min(run.message.lease for run in runs) / 4)
            try:
                with deadline(patience):
                    replies = await queue.extend_many([run.message for run in runs])
            except Exception as problem:  # noqa: BLE001 - whatever it was, the other leases go on
                self._put_off(runs, problem)
                continue
            with self._guard:
                for run, is_ours in zip(runs, replies, strict=True):
                    if is_ours:
                        run.confirm(sent)
            self._lose([run for run, is_ours in zip(runs, replies, strict=True) if not is_ours])

    def _put_off(self, runs: list[Run], problem: Exception) -> None:
        """Renew later what could not be renewed; what is over by then may be another's."""
        now = monotonic()
        with self._guard:
            self._statistics.count("failures")
            for run in runs:
                run.put_off(now)
        late = [run for run in runs if run.until <= now]
        if late:
            _log.warning("leases of %r were lost: their renewal failed: %s", self._worker, type(problem).__name__)
        self._lose(late)

    def _lose(self, runs: list[Run]) -> None:
        """Tell handlers that their messages may be another's."""
        for run in runs:
            with self._guard:
                is_news = self.runs.lose(run)
                if is_news:
                    self._statistics.count("lost")
            if is_news:
                run.message.cancelled = True
                self.hands.cancel(run)

    # Maintenance. ----------------------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        """Keep queues in order while all hands are taken: otherwise each poll does."""
        while not await self._stopping.wait(_TIDY / 2):
            for source in self._sources:
                now = monotonic()
                if self.is_paused or now - source.polled < _TIDY:
                    continue
                if self.runs.free == 0:
                    with contextlib.suppress(Exception):  # the other loops tell of it
                        await source.queue._tidy()
                        source.polled = now

    # Failures. -------------------------------------------------------------------------------------------------------

    def _failed(self, trouble: Trouble, what: str, problem: Exception) -> float:
        """Take note of a failure; return how long to wait before the next attempt."""
        if not trouble.count:
            told = (what, self._worker, type(problem).__name__, problem)
            _log.warning("%s failed for %r, and is tried again: %s: %s", *told)
        with self._guard:
            self._statistics.count("failures")
        return trouble.delay(chance())

    def _recovered(self, trouble: Trouble, what: str) -> None:
        if trouble.is_over():
            _log.info("%s works again for %r", what, self._worker)

    # The end. --------------------------------------------------------------------------------------------------------

    def hurry(self, until: float) -> None:
        """Hand messages back at this instant, where it is earlier than what was said before."""
        with self._guard:
            self._until = min(self._until, until)
        self._drained.give()

    async def wind_up(self, close_ears: Callable[[], Any]) -> bool:
        """End: claim nothing, let the handlers end, hand back what is left; True where nothing was."""
        with self._guard:
            self.is_stopping = True
        for signal in (self._stopping, self._bell, self._room, *(source.idle for source in self._sources)):
            signal.give()
        feeder, teller, keeper, tender, *listeners = self._jobs
        await feeder.wait()
        while True:
            self._drained.clear()
            with self._guard:
                left = self.runs.held()
                until = self._until
            if not self.runs.running or monotonic() >= until:
                break
            await self._drained.wait(until - monotonic())
        self._hand_back(left)
        with self._guard:
            is_clean = not self.runs.running
        self._close()
        for job in (teller, keeper, tender):
            await job.wait()
        await close_ears()
        for job in listeners:
            await job.wait()
        for source in self._sources:
            with contextlib.suppress(Exception):  # a signal that a closed ear may have swallowed; a poll comes anyway
                await source.queue._pass_on()
        return is_clean

    def _close(self) -> None:
        self.is_closed = True
        for signal in (self._closed, self._ends, self._rounds):
            signal.give()
        self.hands.close()

    def _hand_back(self, runs: list[Run]) -> None:
        """Give messages back whose handlers did not end in time."""
        for run in runs:
            with self._guard:
                self.runs.hand_back(run, BACK)
            run.message.cancelled = True
            self.hands.cancel(run)
