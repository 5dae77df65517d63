"""The worker: takes messages from queues and hands them to a function, many at once.

Its connections are its own, apart from the client's pool: neither can handlers that use up the pool keep a lease from
being renewed, nor blocked calls take places from them.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.mq._async.crew import Crew
from carmine.ext.mq._async.queue import SLEEPS, AsyncQueue
from carmine.ext.mq._async.source import Source
from carmine.ext.mq._worlds import aio
from carmine.ext.mq.core.counting import Statistics, WorkerStatus
from carmine.ext.mq.core.settings import Settings
from carmine.ext.mq.errors import QueueError
from carmine.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from carmine.client._async.client import AsyncClient
    from carmine.ext.mq._async.message import AsyncMessage
    from carmine.types import Seconds

__all__ = ["AsyncWorker"]

_PATIENCE: Final = 5.0
"""Seconds for one call of a worker: its loops try again by themselves, and a stop waits for none of them longer."""


class AsyncWorker:
    """Handles the messages of one or more queues.

    >>> worker = AsyncWorker(client, "emails", send, concurrency=16)
    >>> async with worker:
    ...     await until_told_to_stop()

    Args:
        client: Whose server and options are used; the connections are the worker's own.
        queues: A name or an AsyncQueue, or several: one that comes earlier is always served first.
        handler: Called with each message. It returns None, a Result or its status; what it raises is a failed attempt.
        concurrency: How many messages are handled at once, up to 10,000.
        lease: Seconds a message is this worker's without a sign of life; renewed while its handler goes on.
        retry: The backoff after a failed attempt: Exponential (full jitter), a row of seconds, one number, or a
            function of the attempt.
        max_attempts: After how many a message becomes a dead letter; None for no bound.
        never: Exceptions after which it becomes one at once.
        on_exception: What becomes of a message whose handler raised: "retry", or "drop".
        at_most_once: End each message before it is handled: nothing is handled twice, and what fails is gone.
        throttle: Seconds to wait after each claim, or a function of the queue's size; None for no wait.
        idle_backoff: A function of the polls in a row that had no work (1 to 5): the seconds to sleep. An enqueue and
            what becomes due end the sleep anyway.
        monitor: Called after each poll with the queue's size, the polls in a row without work, the Poll, the worker.
        auto_start: Start at once, or after so many seconds.

    Raises:
        UsageError: An argument that is none. Nothing is sent before the start.
    """

    def __init__(
        self,
        client: AsyncClient[Any],
        queues: str | AsyncQueue | Sequence[str | AsyncQueue],
        handler: Callable[[AsyncMessage], Any],
        *,
        concurrency: int = 8,
        lease: Seconds = 60.0,
        retry: Any = None,
        max_attempts: int | None = 20,
        never: tuple[type[BaseException], ...] = (),
        on_exception: Literal["retry", "drop"] = "retry",
        at_most_once: bool = False,
        throttle: Seconds | Callable[[int], Seconds | None] | None = None,
        idle_backoff: Callable[[int], Seconds] | None = None,
        monitor: Callable[..., Any] | None = None,
        auto_start: bool | Seconds = False,
    ) -> None:
        self._settings = Settings(
            concurrency=concurrency,
            lease=lease,
            retry=retry,
            max_attempts=max_attempts,
            never=never,
            on_exception=on_exception,
            at_most_once=at_most_once,
            throttle=throttle,
            idle_backoff=idle_backoff,
            sleeps=SLEEPS,
            monitor=monitor,
            auto_start=auto_start,
        )
        self._handler = aio.checked_handler(handler)
        some = [queues] if isinstance(queues, str | AsyncQueue) else list(queues)
        self._queues = [one if isinstance(one, AsyncQueue) else AsyncQueue(client, one) for one in some]
        if not self._queues or len({one.name for one in self._queues}) < len(self._queues):
            raise UsageError("a worker works on one queue or more, each named once")
        if any(_place(one._client) != _place(client) for one in self._queues):
            raise UsageError("a worker's queues are on the server and in the database of its client")
        self._client = client
        self._guard = threading.RLock()  # nothing waits inside; a signal's handler may come in
        self._statistics = Statistics()
        self._home: aio.Home | None = None
        self._crew: Crew | None = None
        self._ending: aio.Job[bool] | None = None
        self._closers: list[Callable[[], Any]] = []
        self._is_paused = False
        if self._settings.delay is not None:
            self.start(self._settings.delay)

    @property
    def queues(self) -> tuple[AsyncQueue, ...]:
        """The queues it works on."""
        return tuple(self._queues)

    # Start and stop. -------------------------------------------------------------------------------------------------

    def start(self, delay: Seconds = 0.0) -> None:
        """Begin to work; harmless where it does already.

        Args:
            delay: Seconds before the first message is claimed.

        Raises:
            UsageError: It is stopping; wait for that first.
        """
        delay = _checks.seconds("delay", delay)
        self._wake_up()
        with self._guard:
            if self._crew is not None:
                if self._crew.is_stopping or self._ending is not None:
                    raise UsageError("the worker is stopping: start it when stop() has returned")
                return
            home, options = aio.Home(), self._client.options
            patience = min(_PATIENCE, options.read_timeout or _PATIENCE)
            # loops that work, one at a time each, and handlers that extend or enqueue
            given = options.with_(
                read_timeout=patience,
                connect_timeout=min(_PATIENCE, options.connect_timeout),
                retry=Retry(1),
                pool_size=self._settings.concurrency + 8,
                min_idle=0,
            )
            line, close_line = aio.client_of(given)
            ears, close_ears = aio.client_of(given.with_(pool_size=len(self._queues), pool_timeout=_PATIENCE))
            self._closers = [close_ears, close_line]
            sources = [Source(queue, line, ears) for queue in self._queues]
            crew = Crew(self, sources, self._handler, self._settings, self._statistics, self._guard)
            crew.is_paused = self._is_paused
            crew.start(delay)
            self._home, self._crew = home, crew

    def _wake_up(self) -> None:
        """Forget a crew that is no more: this is a forked child of its process, or its event loop was closed."""
        if self._home is not None and self._home.is_gone:
            self._guard = threading.RLock()  # a thread that is no more may have the other
            self._home = self._crew = self._ending = None

    async def stop(self, timeout: Seconds | None = 30.0) -> bool:  # noqa: ASYNC109 - both worlds have it
        """Claim nothing more, let the handlers end, and hand back at once what has not ended in time.

        A handler whose message was handed back sees `message.cancelled`; in asyncio it is cancelled. Its message keeps
        its place in the queue, and the attempt does not count. May be called again, with a shorter timeout.

        Args:
            timeout: Seconds the handlers have; None for as long as they take.

        Returns:
            Whether all handlers ended in time. A handler, or a monitor, that stops its worker is not waited for: False.
        """
        until = float("inf") if timeout is None else monotonic() + _checks.seconds("timeout", timeout)
        self._wake_up()
        guard: Any = self._guard
        if guard._is_owned():  # a signal has interrupted this thread inside: it must not wait for itself
            aio.spawn(self.stop, timeout)
            return False
        with guard:
            crew = self._crew
            if crew is None:
                return True
            crew.stop(until)
            is_first = self._ending is None
            if is_first:
                self._ending = aio.spawn(self._wind_up, crew)
            ending = self._ending
        if crew.is_here() or ending is None:
            return False
        return await ending.join()

    async def _wind_up(self, crew: Crew) -> bool:
        close_ears, close_line = self._closers
        try:
            return await crew.wind_up(close_ears)
        finally:
            await close_line()
            with self._guard:
                self._home = self._crew = self._ending = None

    async def __aenter__(self) -> Self:
        """Start."""
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and wait for the handlers as `stop` does."""
        await self.stop()

    # While it works. -------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Claim nothing until `resume`; the handlers that work go on. `queue.pause()` is for all workers."""
        self._set_paused(True)

    def resume(self) -> None:
        """Claim messages again."""
        self._set_paused(False)

    def _set_paused(self, is_paused: bool) -> None:
        self._wake_up()
        with self._guard:
            self._is_paused = is_paused
            crew = self._crew
        if crew is not None:
            crew.pause(is_paused)

    def status(self) -> WorkerStatus:
        """Tell what it does, and what it did since `clear_stats`; asks no server."""
        self._wake_up()
        with self._guard:
            crew, statistics = self._crew, self._statistics
            state: Literal["running", "paused", "stopping", "stopped"] = "stopped"
            if crew is not None:
                state = "stopping" if self._ending is not None else "paused" if crew.is_paused else "running"
            return WorkerStatus(
                state,
                self._settings.concurrency,
                0 if crew is None else crew.runs.running,
                0 if crew is None else crew.runs.ended,
                dict(statistics.counts),
                dict(statistics.sizes),
                statistics.queueing.times(),
                statistics.handling.times(),
            )

    def clear_stats(self) -> None:
        """Begin to count anew."""
        self._wake_up()
        with self._guard:
            self._statistics.clear()

    def _extended(self, message: AsyncMessage, sent: float) -> None:
        """Take note that the lease of a message it may have was given another length."""
        crew = self._crew
        if crew is not None:
            crew.keeper.extended(message, sent)

    async def run_until_empty(self, timeout: Seconds = 60.0, *, backoffs: bool = False) -> int:  # noqa: ASYNC109
        """Start, handle all that is there and comes of it, stop: for tests of handlers.

        Args:
            timeout: Seconds it may take.
            backoffs: Wait for what rests as well: delayed messages, and those to be tried again later.

        Returns:
            How many runs ended.

        Raises:
            QueueError: Messages were left when the time was over.
        """
        until = monotonic() + _checks.seconds("timeout", timeout)
        before = self._ended()
        self.start()
        pause, nothing = 0.002, aio.Signal()
        try:
            while True:
                at_first, left = self._at_work(), 0
                for queue in self._queues:
                    left += await queue._left(backoffs)
                # a handler may have put something into a queue that was asked before
                if not left and at_first[0] == 0 and at_first == self._at_work():
                    break
                if monotonic() > until:
                    if not left:
                        break
                    raise QueueError(f"{left} messages were left when the time to handle them was over")
                await nothing.wait(pause)
                pause = min(0.05, pause * 1.5)
        finally:
            await self.stop(max(0.0, until - monotonic()))
        return self._ended() - before

    def _at_work(self) -> tuple[int, int]:
        """Return how many messages are in hands, and how many ever were."""
        with self._guard:
            return (0 if self._crew is None else self._crew.runs.running), self._statistics.counts["claimed"]

    def _ended(self) -> int:
        with self._guard:
            counts = self._statistics.counts
            return sum(counts[kind] for kind in ("success", "retry", "dead", "dropped", "lost", "unsure"))

    def __repr__(self) -> str:
        """Show what it works on."""
        names = ", ".join(repr(queue.name[:40]) for queue in self._queues)
        return f"<{type(self).__name__} of {names}, {self.status().state}>"


def _place(client: AsyncClient[Any]) -> tuple[object, int]:
    """Return where a client's keys are."""
    return client.options.address, client.options.db
