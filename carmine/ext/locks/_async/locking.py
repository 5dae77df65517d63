"""The lock, apart from what only one world has: acquire, wait, resume, and the block.

Invariants: every acquisition has a token of its own, so one lock is shared by any number of callers; a token that may
have got into the key though its caller was told otherwise is deleted in the background; no connection is held while
waiting.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

from carmine import _checks
from carmine.client._async.client import AsyncClient
from carmine.client.deadline import limit
from carmine.errors import DeadlineExceeded, UsageError
from carmine.ext.locks import core
from carmine.ext.locks._async.keeper import Keeper
from carmine.ext.locks._async.lease import AsyncLease
from carmine.ext.locks._async.scripts import run
from carmine.ext.locks._async.waiting import WaitingRoom
from carmine.ext.locks._worlds import aio
from carmine.ext.locks.errors import LeaseLost, LockNotAcquired
from carmine.ext.locks.keys import names_of
from carmine.ext.locks.stations import Stations

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.ext.locks._async.waiting import Waiter
    from carmine.types import Seconds

__all__ = ["Locking"]


class Station:
    """What all locks of one pool share."""

    def __init__(self) -> None:
        self.room = WaitingRoom()
        self.keeper = Keeper()


_stations: Stations[Station] = Stations(Station)


class Locking:
    """A lock's common part.

    Args:
        client: Whose server and pool are used.
        name: What is locked; any text or bytes.
        ttl: Seconds that a lease lasts when its holder says nothing more.
        wait: Seconds to wait for the lock; None for as long as it takes, 0 for one attempt.
        auto_extend: Whether a lease is renewed for as long as its holder has it.
        on_lost: Called with a lease that was lost, once.
    """

    def __init__(
        self,
        client: AsyncClient[Any],
        name: str | bytes,
        ttl: Seconds = 30.0,
        wait: Seconds | None = None,
        auto_extend: bool = True,
        *,
        on_lost: Callable[[AsyncLease], object] | None = None,
    ) -> None:
        if not isinstance(client, AsyncClient):
            raise UsageError(f"this lock works with AsyncClient, not with {_checks.kind(client)}")
        self._name = name
        self._names = names_of(name, braced=getattr(client, "is_cluster", False))
        self._ttl = core.ttl_of(ttl)
        self._wait = core.wait_of(wait)
        self._auto_extend = _checks.flag("auto_extend", auto_extend)
        if on_lost is not None and not callable(on_lost):
            raise UsageError("on_lost is a function that takes the lease, or None")
        self._on_lost = on_lost
        self._client: AsyncClient[bytes] = client.binary  # no serializer: the key holds the plain token
        self._guard = threading.RLock()  # nothing waits inside
        self._entered: dict[object, AsyncLease] = {}

    @property
    def name(self) -> str | bytes:
        """What is locked."""
        return self._name

    # Acquire. --------------------------------------------------------------------------------------------------------

    async def acquire(self) -> AsyncLease | None:
        """Take the lock, and wait for it as the lock was made to.

        Returns:
            The lease, to be released; None when another held the lock for all that time.

        Raises:
            DeadlineExceeded: The time of `carmine.deadline()` was over before.
            CarmineError: The server could not be asked, or refused. A lock that was taken without this caller's
                hearing of it is given back in the background.
        """
        began = time.monotonic()
        token = secrets.token_hex(16)
        station = _stations.of(self._client.pool)
        given = await self._ask(station, token)
        if isinstance(given, AsyncLease) or self._wait == 0:
            return given if isinstance(given, AsyncLease) else None
        until = math.inf if self._wait is None else began + self._wait
        waiter = station.room.join(self._names.signal, given)
        try:
            return await self._stand(station, waiter, token, until)
        except BaseException:
            waiter.pass_on()
            raise
        finally:
            station.room.leave(waiter)

    async def _stand(self, station: Station, waiter: Waiter, token: str, until: float) -> AsyncLease | None:
        """Wait in the line."""
        while True:
            waiter.clear()
            if waiter.is_first:
                await station.room.listen(waiter, self._client.pool, until)
                if waiter.must_ask():
                    given = await self._ask(station, token)
                    if isinstance(given, AsyncLease):
                        waiter.put_off(self._ttl)  # for the next one
                        return given
                    waiter.put_off(given)
            now = time.monotonic()
            if now >= until:
                return None
            if now >= limit():
                raise DeadlineExceeded("the lock was not free within the time of carmine.deadline()")
            await waiter.wait(min(until, limit()))

    async def _ask(self, station: Station, token: str) -> AsyncLease | float | None:
        """Take the lock if it is free; else return for how many seconds another has it, None for no end."""
        arguments = core.lasting(token, self._ttl)
        try:
            ran = await run(self._client, core.ACQUIRE, (self._names.lock, self._names.fence), arguments)
            answer: core.Answer = ran.reply
            if answer.fence is None:
                return answer.left
            term = core.Term(ran.sent, self._ttl)
            if time.monotonic() < term.until:
                return self._lease(station, token, answer.fence, term)
        except BaseException as problem:
            if core.may_have_run(problem):
                station.keeper.sweep(self._names, token, self._ttl, self._client.pool)
            raise
        # the answer took longer than the lease lasts
        station.keeper.sweep(self._names, token, self._ttl, self._client.pool)
        return 0.0

    def _lease(self, station: Station, token: str, fence: int, term: core.Term) -> AsyncLease:
        return AsyncLease(
            self._client,
            station.keeper,
            self._name,
            self._names,
            token,
            fence,
            term,
            renews=self._auto_extend,
            on_lost=self._on_lost,
        )

    async def resume(self, token: str) -> AsyncLease:
        """Go on with a lease of another process, or of one that was dropped; its time begins anew.

        Args:
            token: What the lease had as `.token`; nobody else should go on with it.

        Raises:
            LeaseLost: The lock is not held by this token, or not any more.
        """
        token = core.token_of(token)
        station = _stations.of(self._client.pool)
        names = self._names
        ran = await run(self._client, core.EXTEND, (names.lock, names.fence), core.lasting(token, self._ttl))
        if not ran.reply:
            raise LeaseLost(f"the lease was lost: {core.TAKEN}", name=self._name)
        return self._lease(station, token, ran.reply, core.Term(ran.sent, self._ttl))

    # The block. ------------------------------------------------------------------------------------------------------

    async def _enter(self) -> AsyncLease:
        """Acquire for a block.

        Raises:
            LockNotAcquired: Another held the lock for all the time that the lock waits.
        """
        here = aio.here()
        if here in self._entered:
            raise UsageError("this lock is not reentrant: its block runs already, further out")
        lease = await self.acquire()
        if lease is None:
            raise LockNotAcquired("the lock is held by another; wait longer (wait=), or try again", name=self._name)
        with self._guard:
            self._entered[here] = lease
        return lease

    def _take_entered(self) -> AsyncLease:
        """Return the lease of the block that ends; it may end elsewhere than it began, where it is the only one."""
        with self._guard:
            here = aio.here()
            if here not in self._entered and len(self._entered) == 1:
                here = next(iter(self._entered))
            try:
                return self._entered.pop(here)
            except KeyError:
                raise UsageError("this block was not entered here, and several are open") from None

    def __repr__(self) -> str:
        """Show where it leads."""
        return f"<{type(self).__name__} at {self._client.options.address}, {self._ttl:g} s>"
