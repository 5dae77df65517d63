"""Who waits for a lock: the waiters of one pool, in a line for each lock, and the one subscription they share.

The first of a line asks the server; the others cost it nothing. He asks when word comes that the lock was given back,
when the holder's time must be over, and now and then, for those who give back without a word. Invariants: no
connection of the pool is held by who waits; word that came is used by somebody: who leaves without having asked leaves
it to the next; a subscription is followed by one more question, for word that came before it.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from carmine.client._async.pubsub import AsyncPubSub
from carmine.client.subscriptions import Reconnected
from carmine.client.timing import deadline
from carmine.errors import CarmineError, ServerError
from carmine.ext.locks import core
from carmine.ext.locks._async.beside import Beside
from carmine.ext.locks._worlds import aio
from carmine.transport.bookkeeping import chance

if TYPE_CHECKING:
    from carmine._bridge.aio import Job
    from carmine.client.async_engine import AsyncEngine
    from carmine.transport.async_pool import AsyncPool

__all__ = ["Waiter", "WaitingRoom"]

_TICK: Final = 1.0
"""Seconds between two looks for lines that nobody needs any more."""

_LINGER: Final = 5.0
"""Seconds that a line stays subscribed when nobody waits: on a lock that is fought for somebody soon will."""

_LISTEN_AGAIN: Final = 5.0
"""Seconds after a refused subscription until it is tried again."""


class _Line:
    """Those who wait for one lock, the first in front."""

    __slots__ = ("ask_at", "channel", "is_heard", "is_hot", "is_wanted", "left_at", "listen_at", "waiters")

    def __init__(self, channel: bytes) -> None:
        self.channel: bytes = channel
        self.waiters: deque[aio.Signal] = deque()
        self.is_wanted: bool = False  # the subscription was asked for
        self.is_heard: bool = False  # and confirmed
        self.is_hot: bool = False  # word came, and nobody has asked since
        self.ask_at: float = math.inf  # when to ask though no word came
        self.listen_at: float = 0.0  # when to subscribe, if that is not done
        self.left_at: float = 0.0  # when the last one left

    def ring(self, message: object = None) -> None:
        """Have the first one ask."""
        self.is_hot = True
        self.call_first()

    def call_first(self) -> None:
        """Let the first one look."""
        with contextlib.suppress(IndexError):  # the last one has just left
            self.waiters[0].give()


class Waiter:
    """One caller's place in a line.

    Args:
        line: The line.
        signal: What wakes him.
    """

    __slots__ = ("_line", "_signal")

    def __init__(self, line: _Line, signal: aio.Signal) -> None:
        self._line = line
        self._signal = signal

    @property
    def is_first(self) -> bool:
        """Whether it is his to ask."""
        return self._line.waiters[0] is self._signal

    def must_ask(self) -> bool:
        """Tell whether to ask now; who is told so asks, or says `pass_on`."""
        line = self._line
        if not line.is_hot and time.monotonic() < line.ask_at:
            return False
        line.is_hot = False
        return True

    def pass_on(self) -> None:
        """Leave the question to whoever is first next."""
        self._line.is_hot = True

    def put_off(self, left: float | None) -> None:
        """Note what the server has answered: for how many seconds the lock is held."""
        self._line.ask_at = time.monotonic() + core.pause(left, self._line.is_heard, chance())

    async def wait(self, until: float) -> None:
        """Wait until there may be something to do, or the caller's time is over."""
        line = self._line
        if self.is_first:
            until = min(until, line.ask_at, math.inf if line.is_heard else line.listen_at)
        await self._signal.wait(until - time.monotonic())

    def clear(self) -> None:
        """Take note of having been woken; look at everything afterwards."""
        self._signal.clear()


class WaitingRoom:
    """The lines of one pool and their subscription, which exists while it is needed."""

    def __init__(self) -> None:
        self._guard = threading.RLock()  # nothing waits inside; a signal handler may come in
        self._lines: dict[bytes, _Line] = {}
        self._pubsub: AsyncPubSub[bytes] | None = None
        self._job: Job[None] | None = None

    def join(self, channel: bytes, left: float | None) -> Waiter:
        """Stand in a line.

        Args:
            channel: Where word of the lock comes.
            left: For how many seconds it is held, as the caller was told.
        """
        signal = aio.Signal()
        with self._guard:
            line = self._lines.get(channel)
            if line is None:
                line = self._lines[channel] = _Line(channel)
            line.waiters.append(signal)
            waiter = Waiter(line, signal)
            if len(line.waiters) == 1:
                line.is_hot = line.is_heard  # word may have come between the caller's question and now
                waiter.put_off(left)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Leave the line; the next one looks."""
        line = waiter._line
        with self._guard:
            line.waiters.remove(waiter._signal)
            line.left_at = time.monotonic()
            if not line.waiters and not line.is_wanted and self._lines.get(line.channel) is line:
                del self._lines[line.channel]
        line.call_first()

    # The subscription. -----------------------------------------------------------------------------------------------

    async def listen(self, waiter: Waiter, pool: AsyncPool, until: float) -> None:
        """Subscribe for the waiter's line, if that is not done; where it is refused, the line polls more often.

        Args:
            waiter: The first one.
            pool: Whose server is asked.
            until: When the caller's time is over (time.monotonic()).
        """
        line = waiter._line
        if line.is_heard or time.monotonic() < line.listen_at:
            return
        pubsub = self._open(pool)
        line.is_wanted = True
        try:
            with deadline(max(0.0, min(until - time.monotonic(), core.LONGEST_TTL))):
                await pubsub.subscribe({line.channel: line.ring})
        except CarmineError as problem:
            line.is_wanted = not isinstance(problem, ServerError)
            now = time.monotonic()
            line.listen_at = now + _LISTEN_AGAIN
            line.ask_at = min(line.ask_at, now + core.pause(None, False, chance()))
            return
        with self._guard:
            if self._pubsub is pubsub and self._lines.get(line.channel) is line:
                line.is_heard = line.is_hot = True

    def _open(self, pool: AsyncPool) -> AsyncPubSub[bytes]:
        with self._guard:
            if self._pubsub is None:
                # of a client it needs what Beside has
                self._pubsub = AsyncPubSub(cast("AsyncEngine", Beside(pool)), False)
                self._job = aio.spawn_apart(self._read, self._pubsub)
            return self._pubsub

    async def _read(self, pubsub: AsyncPubSub[bytes]) -> None:
        """Ring where word comes, for as long as there are lines."""
        try:
            while not self._is_over(pubsub):
                if isinstance(await pubsub.next_message(_TICK), Reconnected):
                    self._ring_all()
                for channel in self._idle():
                    await pubsub.unsubscribe(channel)
                    self._unheard(channel)
        except CarmineError:
            pass  # who waits asks more often, and subscribes anew; a reason to fail, they meet themselves
        finally:
            self._forget(pubsub)
            await pubsub.aclose()

    def _is_over(self, pubsub: Any) -> bool:
        with self._guard:
            if self._lines:
                return False
            self._pubsub = None
            return True

    def _ring_all(self) -> None:
        with self._guard:
            for line in self._lines.values():
                line.ring()

    def _idle(self) -> list[bytes]:
        """Take out the lines that nobody has needed for long; return their channels."""
        before = time.monotonic() - _LINGER
        with self._guard:
            idle = [line for line in self._lines.values() if not line.waiters and line.left_at < before]
            for line in idle:
                del self._lines[line.channel]
        return [line.channel for line in idle]

    def _unheard(self, channel: bytes) -> None:
        """Have somebody who came meanwhile subscribe again: nobody knows which word the server has heard last."""
        with self._guard:
            line = self._lines.get(channel)
            if line is not None:
                line.is_heard = line.is_wanted = False
                line.call_first()

    def _forget(self, pubsub: AsyncPubSub[bytes]) -> None:
        with self._guard:
            if self._pubsub is not pubsub:
                return
            self._pubsub = None
            for line in list(self._lines.values()):
                line.is_heard, line.is_wanted, line.listen_at = False, False, time.monotonic() + _TICK
                if not line.waiters:
                    del self._lines[line.channel]
                line.ring()  # whatever ended it, the first one's question meets it too
