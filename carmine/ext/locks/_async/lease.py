"""The lease: one holder's right to a lock, for as long as its time lasts.

Invariants: `lost` is never late: it is true as soon as the time since the last confirmed command has passed, whatever
has become of whoever renews; the token is kept until the server has confirmed the release; a lease of a parent process
is none in a forked child.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from typing import TYPE_CHECKING

from carmine.errors import CarmineError, UsageError
from carmine.ext.locks import core
from carmine.ext.locks._async.scripts import run
from carmine.ext.locks._worlds import aio
from carmine.ext.locks.errors import LeaseLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.client._async.client import AsyncClient
    from carmine.commands.command import Words
    from carmine.ext.locks._async.keeper import Keeper
    from carmine.ext.locks.core import Term
    from carmine.ext.locks.keys import Names
    from carmine.types import Seconds

__all__ = ["AsyncLease"]


class AsyncLease:
    """A lock that was acquired; made by `AsyncLock`.

    It may be used, and given back, by another task than the one that acquired it. While it is renewed, keep it: one
    that is dropped runs out.
    """

    __slots__ = (
        "__weakref__",
        "_client",
        "_fence",
        "_is_ending",
        "_is_uncertain",
        "_keeper",
        "_loss",
        "_mutex",
        "_name",
        "_names",
        "_on_lost",
        "_pid",
        "_released",
        "_renew_at",
        "_renews",
        "_term",
        "_token",
        "_watcher",
    )

    def __init__(
        self,
        client: AsyncClient[bytes],
        keeper: Keeper,
        name: str | bytes,
        names: Names,
        token: str,
        fence: int,
        term: Term,
        *,
        renews: bool,
        on_lost: Callable[[AsyncLease], object] | None,
    ) -> None:
        self._client = client
        self._keeper = keeper
        self._name = name
        self._names = names
        self._token = token
        self._fence = fence
        self._term = term
        self._renews = renews
        self._renew_at = term.renew_at
        self._on_lost = on_lost
        self._loss: str | None = None
        self._is_ending = False  # its release was asked for
        self._is_uncertain = False  # and may have been executed without an answer
        self._released: bool | None = None
        self._watcher: Callable[[], None] | None = None
        self._mutex = aio.Mutex()
        self._pid = os.getpid()
        self._have_kept()

    # Facts. ----------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str | bytes:
        """The lock's name."""
        return self._name

    @property
    def token(self) -> str:
        """What proves that the lock is held by this lease; with it, it can be resumed elsewhere. Keep it secret."""
        return self._token

    @property
    def fence(self) -> int:
        """A number greater than that of every lease of this lock before; what the lock protects can refuse lower ones.

        It fits into 53 bits.
        """
        return self._fence

    @property
    def lost(self) -> bool:
        """Whether the lock may be another's by now, as far as is known here; nothing is sent."""
        if self._loss is not None:
            return True
        if self._released is not None:
            return not self._released
        return time.monotonic() >= self._term.until or os.getpid() != self._pid

    @property
    def left(self) -> float:
        """Seconds that are left if it is not renewed; 0 when it is over."""
        return 0.0 if self.lost or self._released else max(0.0, self._term.until - time.monotonic())

    # Questions. ------------------------------------------------------------------------------------------------------

    async def check(self) -> None:
        """Ask the server whether the lock is held by this lease.

        Raises:
            LeaseLost: It is not, or its time is over.
            UsageError: It was released.
        """
        self._check_held()
        if not core.is_mine(await self._client.get(self._names.lock), self._token):
            self._lose(core.TAKEN)
        self._check_held()

    async def extend(self, ttl: Seconds | None = None) -> None:
        """Let it last for another while from now on.

        Args:
            ttl: Seconds; from now on renewals are for as many. None for what the lock was made with.

        Raises:
            LeaseLost: Another holds the lock, or nobody.
            UsageError: It was released, or ttl is none.
        """
        self._check_held()
        seconds = self._term.ttl if ttl is None else core.ttl_of(ttl)
        ran = await run(self._client, core.EXTEND, *self._words(seconds))
        if not ran.reply:
            self._lose(core.TAKEN)
        self._check_held()
        self._confirm(ran.sent, seconds)
        self._have_kept()

    async def release(self) -> bool:
        """Give the lock back; the second time this sends nothing and says the same.

        Returns:
            Whether the lock was held by this lease until now; False when it was lost before.

        Raises:
            NetworkError: Nobody knows whether it was given back; it may be tried again. It is renewed no more.
        """
        if self._pid != os.getpid():
            return False
        async with self._mutex:
            if self._released is not None:
                return self._released
            try:
                self._is_ending = True
                self._keeper.drop(self)
                ran = await run(self._client, core.RELEASE, (self._names.lock,), (self._token, self._names.signal))
            except CarmineError as problem:
                self._is_uncertain |= core.may_have_run(problem)
                raise
            except BaseException:
                self._sweep()
                raise
            in_time = time.monotonic() < self._term.until and self._loss is None
            again = self._is_uncertain or not ran.is_first
            self._released = bool(ran.reply) or (again and in_time)  # then it was this lease that gave it back
            return self._released

    async def _leave(self, error: BaseException | None) -> None:
        """Give the lock back at the end of a block, which may have ended by an error; that one is never replaced."""
        try:
            was_held = await self.release()
        except CarmineError as problem:
            if not isinstance(problem, UsageError):
                self._sweep()
            if error is None:
                raise
            error.add_note(f"the lock could not be given back either: {type(problem).__name__}: {problem}")
            return
        if was_held:
            return
        if error is None:
            raise self._over()
        error.add_note("the lease had been lost before the lock was to be given back")

    # What the keeper does. -------------------------------------------------------------------------------------------

    @property
    def _next(self) -> float:
        """When something is to be done about it."""
        return min(self._renew_at if self._renews else math.inf, self._term.until)

    def _is_due(self, now: float, early: float) -> bool:
        """Whether to renew it; somewhat early where others are renewed anyway."""
        term = self._term
        return self._renews and now >= self._renew_at - early * (term.renew_at - term.sent)

    def _confirm(self, sent: float, ttl: float | None = None) -> None:
        """Take note that the server has extended it, by a command that was sent then."""
        self._term = core.Term(sent, self._term.ttl if ttl is None else ttl)
        self._renew_at = self._term.renew_at

    def _end(self, why: str) -> bool:
        """Take note that it is lost; False when it is over already."""
        if self._is_ending or self._loss is not None:
            return False
        self._loss = why
        return True

    def _watch(self, watcher: Callable[[], None]) -> None:
        """Have the keeper call this, in its own thread or task, when the lease is lost."""
        self._watcher = watcher
        self._have_kept()

    # Inside. ---------------------------------------------------------------------------------------------------------

    def _have_kept(self) -> None:
        """Have the keeper look after it, if there is anything to do."""
        if self._renews or self._on_lost is not None or self._watcher is not None:
            self._keeper.keep(self, self._client.pool)

    def _words(self, ttl: float) -> tuple[Words, Words]:
        return (self._names.lock, self._names.fence), core.lasting(self._token, ttl)

    def _lose(self, why: str) -> None:
        self._keeper.drop(self)
        self._end(why)

    def _sweep(self) -> None:
        self._keeper.sweep(self._names, self._token, self._term.ttl, self._client.pool)

    def _check_held(self) -> None:
        if self._is_ending:
            raise UsageError("this lease was released; acquire the lock again")
        if self.lost:
            raise self._over()

    def _over(self) -> LeaseLost:
        if self._pid != os.getpid():
            return LeaseLost("the lease belongs to the process that forked this one", name=self._name)
        return LeaseLost(f"the lease was lost: {self._loss or core.LATE}", name=self._name)

    def __del__(self) -> None:
        """Say that it was forgotten; whoever else wants the lock waits until it has run out."""
        if getattr(self, "_pid", None) != os.getpid() or not self._renews:
            return
        if not self._is_ending and not self.lost:
            warnings.warn("a lease that is renewed was dropped without a release", ResourceWarning, stacklevel=2)

    def __repr__(self) -> str:
        """Show its state, not its token."""
        if self._released:
            state = "released"
        elif self.lost:
            state = "lost"
        else:
            state = f"{self.left:.3g} s left"
        return f"<{type(self).__name__}, {state}>"
