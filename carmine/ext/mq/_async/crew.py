"""One life of a worker, from start to stop: its hands, and the loops that serve them.

Each loop is a job of its own, so that a handler that takes long, or a call that stalls, holds up none of the others:
feeder.py claims, listens and tidies, teller.py tells of ends, keeper.py renews leases. They meet in `Runs`, under one
guard that nobody waits inside. Invariants: a hand that took a message comes free, whatever its handler does; every
claimed message is told to the server once it has ended, or its lease runs out.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from carmine.ext.mq import journal
from carmine.ext.mq._async.feeder import Feeder
from carmine.ext.mq._async.keeper import Keeper
from carmine.ext.mq._async.teller import Teller
from carmine.ext.mq._worlds import aio
from carmine.ext.mq.core.runs import Run, Runs
from carmine.ext.mq.core.settings import Trouble
from carmine.ext.mq.core.verdicts import BACK, failed, judge
from carmine.transport.bookkeeping import chance

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Coroutine

    from carmine.ext.mq._async.message import AsyncMessage
    from carmine.ext.mq._async.source import Source
    from carmine.ext.mq._async.worker import AsyncWorker
    from carmine.ext.mq.core.counting import Statistics
    from carmine.ext.mq.core.settings import Settings

__all__ = ["Crew"]

_FOREVER: Final = float("inf")


class Crew:
    """The hands and loops of one worker; what has no underscore is shared with the loops.

    Args:
        worker: Whose crew it is.
        sources: The queues, in the order in which they come first.
        handler: The user's.
        settings: The worker's options.
        statistics: Where to count; the worker's, for it outlives this.
        guard: Held around what the loops share, and the statistics.

    Raises:
        UsageError: There is no running event loop (asyncio only).
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
        self.worker = worker
        self.settings = settings
        self.statistics = statistics
        self.guard = guard
        self.runs = Runs(settings.concurrency)
        self.hands: aio.Hands[Run] = aio.Hands(self._handle)
        self.is_paused = self.is_stopping = self.is_closed = False
        self.stopping = aio.Signal()
        self.feeder = Feeder(self, sources)
        self.teller = Teller(self, sources)
        self.keeper = Keeper(self)
        self._handler = handler
        self._sources = sources
        self._closed = aio.Signal()
        self._drained = aio.Signal()
        self._until = _FOREVER
        self._jobs: list[aio.Job[None]] = []

    def start(self, delay: float) -> None:
        """Begin, after so many seconds."""
        loops: list[tuple[Callable[..., Coroutine[Any, Any, None]], tuple[Any, ...]]] = [
            (self.feeder.feed, (delay,)),
            (self.teller.tell, ()),
            (self.keeper.keep, ()),
            (self.feeder.tend, ()),
            *((self.feeder.listen, (source,)) for source in self._sources),
        ]
        try:
            for loop, args in loops:
                self._jobs.append(aio.spawn(self._live, loop, args))
        except BaseException:  # no thread could be started: those that were end
            self.is_stopping = True
            self._close()
            raise

    def pause(self, is_paused: bool) -> None:
        """Claim nothing more, or go on."""
        with self.guard:  # the signals as well: who is struck by a signal in one of them is seen to be inside
            self.is_paused = is_paused
            self.feeder.bell.give()
            self.feeder.room.give()

    def is_here(self) -> bool:
        """Tell whether the caller is one of those a stop waits for."""
        return self.hands.is_here() or any(job.is_mine for job in self._jobs)

    async def _live(self, loop: Callable[..., Coroutine[Any, Any, None]], args: tuple[Any, ...]) -> None:
        """Run a loop until its end; one that fails for a reason nobody thought of is begun again."""
        trouble = Trouble()
        while not self.is_closed:
            try:
                return await loop(*args)
            except Exception as problem:  # noqa: BLE001 - it is told, and the worker goes on
                journal.warn("a loop of %r failed, and is begun again", self.worker, error=problem)
                await self._closed.wait(trouble.delay(chance()))
        return None

    def failed(self, trouble: Trouble, what: str, problem: BaseException) -> float:
        """Take note of a failure; return how long to wait before the next attempt."""
        if not trouble.count:
            told = (what, self.worker, type(problem).__name__, problem)
            journal.warn("%s failed for %r, and is tried again: %s: %s", *told)
        with self.guard:
            self.statistics.count("failures")
        return trouble.delay(chance())

    def recovered(self, trouble: Trouble, what: str) -> None:
        """Take note that something works."""
        if trouble.is_over():
            journal.inform("%s works again for %r", what, self.worker)

    # The handlers. ---------------------------------------------------------------------------------------------------

    async def _handle(self, run: Run) -> None:
        """Run the handler, and take note of how it ended; raises nothing."""
        message, settings = run.message, self.settings
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
        with self.guard:
            self.statistics.handling.add(took)
            if raised is not None:
                self.statistics.count("raised")
            counts = self.runs.end(run, ending)
            if settings.at_most_once:
                self.statistics.count("success" if ending.kind == "success" else "dropped")
            is_last = self.is_stopping and not self.runs.running
        if counts:
            self.teller.ends.give()
        if self.feeder.wants_room:
            self.feeder.bell.give()
        self.feeder.room.give()
        if is_last:
            self._drained.give()
        if raised is not None and (counts or settings.at_most_once):
            what = "dropped" if settings.at_most_once else ending.kind
            told = (*journal.named(message), what)
            journal.warn("queue %r, message %r, attempt %d failed: %s", *told, error=raised)
        raised = None  # its traceback has this frame: together they would keep the message until the collector comes

    # The end. --------------------------------------------------------------------------------------------------------

    def stop(self, until: float) -> None:
        """Claim nothing from here on; hand messages back at this instant, or at an earlier one said before."""
        with self.guard:
            self.is_stopping = True
            self._until = min(self._until, until)
            self._drained.give()

    async def wind_up(self, close_ears: Callable[[], Any]) -> bool:
        """Once told to stop: let the handlers end, hand back what is left; True where nothing was."""
        self.stopping.give()
        self.feeder.wake()
        feeder, teller, keeper, tender, *listeners = self._jobs
        await feeder.wait()
        while True:
            self._drained.clear()
            with self.guard:
                left = self.runs.all()
                until = self._until
            if not left or monotonic() >= until:
                break
            await self._drained.wait(until - monotonic())
        self._hand_back(left)
        self._close()
        for job in (teller, keeper, tender):
            await job.wait()
        await close_ears()
        for job in listeners:
            await job.wait()
        await self.feeder.silence()
        return not left

    def _close(self) -> None:
        self.is_closed = True
        for signal in (self.stopping, self._closed, self.teller.ends, self.keeper.rounds):
            signal.give()
        self.feeder.wake()
        self.hands.close()

    def _hand_back(self, runs: list[Run]) -> None:
        """Give messages back whose handlers did not end in time."""
        for run in runs:
            with self.guard:
                self.runs.hand_back(run, BACK)
            run.message.cancelled = True
            self.hands.cancel(run)
