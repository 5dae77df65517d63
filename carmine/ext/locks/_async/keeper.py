"""What goes on behind holders' backs: leases are renewed, tokens that nobody may have are deleted.

One alarm for all leases of a pool, and one connection beside the pool's, opened at the first renewal. What is due
together goes out together. Invariants: a lease is renewed only while its holder has it; one that is not confirmed in
time is lost, and its holder told, at the latest when its time is over; a lease that was dropped is left to run out.
"""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final, Protocol

from carmine.errors import CarmineError, NoScriptError, PoolClosed, ServerError
from carmine.ext.locks import core
from carmine.ext.locks._async.beside import Beside
from carmine.ext.locks._worlds import aio
from carmine.transport.bookkeeping import chance

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine._bridge.aio import Job
    from carmine.client.lua import Program
    from carmine.commands.command import Words
    from carmine.ext.locks._async.lease import AsyncLease
    from carmine.ext.locks.keys import Names
    from carmine.transport.async_connection import AsyncConnection
    from carmine.transport.async_pool import AsyncPool

__all__ = ["Keeper"]

_PATIENCE: Final = 5.0
"""Seconds for one round, where no lease is over before."""

_TOGETHER: Final = 0.1
"""A lease goes along with others when this share of its time to the next renewal is left."""

_LOOK_AGAIN: Final = 0.5
"""Seconds after which a token that was not found is looked for once more: its command may have been on its way."""


class _Chore(Protocol):
    """One thing to do at the server, again until it is done or too late."""

    program: Program[int]
    keys: Words
    args: Words

    def settle(self, reply: Any, sent: float) -> None:
        """Take the script's reply; `sent` is when it was asked for."""

    def put_off(self, seconds: float) -> None:
        """Try again after so many seconds; inf for never."""


class _Renewal:
    """A lease that is due."""

    def __init__(self, keeper: Keeper, lease: AsyncLease) -> None:
        self._keeper = keeper
        self._lease = lease
        self.program = core.EXTEND
        self.keys: Words = (lease._names.lock, lease._names.fence)
        self.args: Words = core.lasting(lease.token, lease._term.ttl)

    def settle(self, reply: Any, sent: float) -> None:
        if reply:
            self._lease._confirm(sent)
        else:
            self._keeper._lose(self._lease, core.TAKEN)

    def put_off(self, seconds: float) -> None:
        self._lease._renew_at = time.monotonic() + seconds


class _Sweep:
    """A token that may be in the lock's key though nobody holds the lock."""

    def __init__(self, names: Names, token: str, until: float) -> None:
        self.at = 0.0
        self.until = until
        self._is_missed = False
        self.program = core.RELEASE
        self.keys: Words = (names.lock,)
        self.args: Words = (token, names.signal)

    def settle(self, reply: Any, sent: float) -> None:
        if reply or self._is_missed:
            self.until = 0.0
        self._is_missed = True
        self.at = sent + _LOOK_AGAIN

    def put_off(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds
        if seconds == math.inf:
            self.until = 0.0


class Keeper:
    """Renews the leases of one pool."""

    def __init__(self) -> None:
        self._guard = threading.RLock()  # nothing waits inside; a finalizer may come in
        self._leases: dict[str, weakref.ref[AsyncLease]] = {}
        self._sweeps: list[_Sweep] = []
        self._alarm = aio.Alarm(self._work, self._fail)
        self._beside: Beside | None = None
        self._connection: AsyncConnection | None = None
        self._failures = 0
        self._told: list[Job[None]] = []

    # What others ask for. --------------------------------------------------------------------------------------------

    def keep(self, lease: AsyncLease, pool: AsyncPool) -> None:
        """Look after a lease, until `drop`."""
        with self._guard:
            self._leases[lease.token] = weakref.ref(lease)
            self._beside = self._beside or Beside(pool)
            self._alarm.call_at(lease._next)

    def drop(self, lease: AsyncLease) -> None:
        """Look after it no more."""
        with self._guard:
            if self._leases.pop(lease.token, None) is None or self._leases or self._sweeps:
                return
            if self._connection is not None:
                self._alarm.call_at(0.0)  # to close it
            else:
                self._beside = None
                self._alarm.call_off()

    def sweep(self, names: Names, token: str, ttl: float, pool: AsyncPool) -> None:
        """Delete a token from the lock's key in the background, if it is there, or comes there soon.

        Args:
            names: The lock.
            token: The token.
            ttl: Seconds after which it is gone by itself.
            pool: Whose server is asked.
        """
        with self._guard:
            self._sweeps.append(_Sweep(names, token, time.monotonic() + ttl))
            self._beside = self._beside or Beside(pool)
            with contextlib.suppress(RuntimeError):  # the interpreter, or the event loop, is at its end
                self._alarm.call_at(0.0)

    # The work. -------------------------------------------------------------------------------------------------------

    async def _work(self) -> float:
        """Do what is due; return when there is more."""
        now = time.monotonic()
        leases = self._alive()
        for lease in [lease for lease in leases if now >= lease._term.until]:
            self._lose(lease, core.LATE)
            leases.remove(lease)
        chores: list[_Chore] = [_Renewal(self, lease) for lease in leases if lease._is_due(now, _TOGETHER)]
        chores += [sweep for sweep in self._sweeps if sweep.at <= now]
        if chores:
            end = min((lease._term.until for lease in leases), default=math.inf)
            await self._do(chores, min(now + _PATIENCE, end))
        return self._after_work()

    def _after_work(self) -> float:
        with self._guard:
            now = time.monotonic()
            self._sweeps = [sweep for sweep in self._sweeps if now < sweep.until]
            self._told = [job for job in self._told if not job.is_done]
            dues = [lease._next for lease in self._alive()] + [sweep.at for sweep in self._sweeps]
            if not dues:
                self._hang_up()
                self._beside = None
            return min(dues, default=math.inf)

    def _alive(self) -> list[AsyncLease]:
        with self._guard:
            known = [(token, known()) for token, known in list(self._leases.items())]
            for token, lease in known:
                if lease is None:
                    self._leases.pop(token, None)
            return [lease for _, lease in known if lease is not None]

    async def _do(self, chores: list[_Chore], until: float) -> None:
        """Have the server do these; what could not be done is put off."""
        sent = time.monotonic()
        try:
            replies = await self._ask([chore.program.by_hash(chore.keys, chore.args)[1] for chore in chores], until)
            unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if unknown:
                again = [chores[index].program.by_text(chores[index].keys, chores[index].args)[1] for index in unknown]
                for index, reply in zip(unknown, await self._ask(again, until), strict=True):
                    replies[index] = reply
        except CarmineError as problem:
            self._hang_up()
            delay = math.inf if isinstance(problem, PoolClosed) else self._delay()
            for chore in chores:
                chore.put_off(delay)
            return
        if not any(isinstance(reply, ServerError) for reply in replies):
            self._failures = 0
        for chore, reply in zip(chores, replies, strict=True):
            if isinstance(reply, ServerError):
                chore.put_off(self._delay())
            else:
                chore.settle(reply, sent)

    async def _ask(self, commands: list[Words], until: float) -> list[Any]:
        beside = self._beside
        if beside is None:
            raise PoolClosed("nothing is to be kept any more")
        if self._connection is None or not self._connection.is_usable:
            self._connection = await beside.open(until)
        replies: list[Any] = []
        usual = math.inf if beside.read_timeout is None else beside.read_timeout
        left = max(0.001, min(usual, until - time.monotonic()))
        await self._connection.execute_many(commands, False, replies, left)
        return replies

    def _delay(self) -> float:
        """Return the seconds until what failed is tried again."""
        self._failures += 1
        return min(1.0, 0.05 * 2.0 ** min(self._failures, 5)) * (0.5 + 0.5 * chance())

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # Losses. ---------------------------------------------------------------------------------------------------------

    def _lose(self, lease: AsyncLease, why: str) -> None:
        """Take a lease for lost, and tell its holder, once."""
        self.drop(lease)
        if not lease._end(why):
            return
        if lease._watcher is not None:
            lease._watcher()
        if lease._on_lost is not None:
            self._told.append(aio.spawn_apart(_tell, lease._on_lost, lease))

    def _fail(self, problem: BaseException) -> None:
        """Tell all holders, while there is time, that their leases will not be renewed any more."""
        self._hang_up()
        for lease in self._alive():
            self._lose(lease, f"its renewal was ended by {type(problem).__name__}")
        self._sweeps.clear()


async def _tell(on_lost: Callable[[AsyncLease], object], lease: AsyncLease) -> None:
    try:
        await aio.call(on_lost, lease)
    except Exception as problem:  # noqa: BLE001 - nobody waits for it, and it is not to vanish
        sys.excepthook(type(problem), problem, problem.__traceback__)
