"""Attempts: a command or a batch with everything that the engine's fast path leaves out.

Waiting for a connection, blocking commands' own deadlines, hooks, and trying again. Invariants: a connection that a
call did not finish is closed, whatever was raised; a command is sent again only where the facts allow it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from carmine._bridge import aio
from carmine.client.core import (
    SPECIAL,
    decide,
    finish,
    located,
    patience,
    patience_of_many,
    refuse,
    settle,
    told_to_entries,
    was_stale,
)
from carmine.client.deadline import limit
from carmine.client.timing import bounded
from carmine.commands.command import flags_of, modes_of, words_of
from carmine.commands.flags import BLOCKING, READONLY
from carmine.errors import (
    CarmineError,
    DeadlineExceeded,
    NetworkError,
    PoolClosed,
    RetryRule,
    ServerError,
)
from carmine.transport.bookkeeping import chance
from carmine.transport.hooks import tell

if TYPE_CHECKING:
    from carmine.client.serializing import Serializing
    from carmine.commands.command import Reply, Spec, Words
    from carmine.transport.async_connection import AsyncConnection
    from carmine.transport.async_pool import AsyncPool

__all__ = ["AsyncAttempts"]


class AsyncAttempts:
    """Sends commands over the connections of a pool, at leisure."""

    _pool: AsyncPool
    _text: bool
    _hooks: Any
    _serializing: Serializing | None
    _is_closed = False

    async def _execute_slowly(self, spec: Spec, words: Words, error: CarmineError | None = None) -> Any:
        """Send one command with everything that the fast path leaves out.

        Args:
            spec: The command's facts.
            words: The command.
            error: What a first attempt ended with.
        """
        if self._serializing is not None:
            spec, words = self._serializing(spec, words)
        options = self._pool.options
        if spec.flags & SPECIAL and (not spec.flags & BLOCKING or spec.flags & (SPECIAL & ~BLOCKING)):
            refuse(spec)
        timeout = patience(spec, words, options.read_timeout)
        text = self._text if spec.text is None else spec.text
        began = time.monotonic()
        tell(self._hooks, "on_command_start", spec.name, str(options.address))
        attempt = 0 if error is None else 1
        try:
            while True:
                if error is not None:
                    await self._wait_to_retry(error, attempt, spec, words)
                attempt += 1
                bounded(None, None, spec.name)
                try:
                    reply = await self._attempt(spec, words, text, timeout)
                except (NetworkError, ServerError) as problem:
                    error = problem
                    continue
                if isinstance(reply, ServerError) and reply.retry is RetryRule.WAIT:
                    error = reply
                    continue
                result = finish(spec, reply, options.address)
                break
        except BaseException as problem:
            seconds = time.monotonic() - began
            tell(self._hooks, "on_command_end", spec.name, str(options.address), seconds, problem)
            raise
        finally:
            error = None  # a frame that holds the error that holds the frame would keep both until the next collection
        tell(self._hooks, "on_command_end", spec.name, str(options.address), time.monotonic() - began, None)
        return result

    async def _attempt(self, spec: Spec, words: Words, text: bool, seconds: float | None) -> Any:
        """Send one command, once; `seconds` is None for the connection's own timeout."""
        raise NotImplementedError

    async def _wait_to_retry(self, error: CarmineError, attempt: int, spec: Spec, words: Words) -> None:
        """Sleep before the next attempt, or raise `error` because there is to be none."""
        located(error, spec, self._pool.options.address)
        if attempt == 1 and was_stale(error):
            return  # it had died while it was idle: no attempt was made
        wait = decide(self._pool.options.retry, error, attempt, chance(), spec, words)
        if wait is None or not self._may_wait(wait):
            try:
                raise error
            finally:
                del error  # a frame must not hold the error whose traceback holds the frame
        tell(self._hooks, "on_retry", spec.name, attempt, wait, error)
        await aio.sleep(wait)

    # Batches. --------------------------------------------------------------------------------------------------------

    async def _execute_queue(self, queue: list[Reply[Any]]) -> None:
        """Send a pipeline and settle its entries.

        Raises:
            CarmineError: No connection could be had, or it was lost on the way; every entry without a reply holds
                this error as well.
        """
        if not queue:
            return
        options = self._pool.options
        modes = modes_of(queue, self._text)
        common, some = flags_of(queue)
        timeout = patience_of_many(queue, options.read_timeout) if some & BLOCKING else None
        readonly = bool(common & READONLY)
        began = time.monotonic()
        where = str(options.address)
        tell(self._hooks, "on_command_start", "PIPELINE", where)
        attempt = 0
        replies: list[Any] = []
        try:
            try:
                while True:
                    attempt += 1
                    replies.clear()
                    try:
                        await self._attempt_many(words_of(queue), self._text, replies, timeout, modes)
                        break
                    except NetworkError as problem:
                        wait = self._wait_of_many(problem, attempt, readonly)
                        if wait is None:
                            raise
                        tell(self._hooks, "on_retry", "PIPELINE", attempt, wait, problem)
                    await aio.sleep(wait)
            except BaseException as problem:
                settle(queue, replies, options.address, told_to_entries(problem, where))
                raise
            settle(queue, replies, options.address, None)
        except BaseException as problem:
            tell(self._hooks, "on_command_end", "PIPELINE", where, time.monotonic() - began, problem)
            raise
        tell(self._hooks, "on_command_end", "PIPELINE", where, time.monotonic() - began, None)

    def _wait_of_many(self, problem: NetworkError, attempt: int, readonly: bool) -> float | None:
        if attempt == 1 and was_stale(problem):
            return 0.0
        retry = self._pool.options.retry
        wait = retry.decide(problem, attempt=attempt, chance=chance(), readonly=readonly, compound=True)
        return wait if wait is not None and self._may_wait(wait) else None

    def _may_wait(self, seconds: float) -> bool:
        """Whether another attempt has a chance: the client is not closed, and the deadline is not over by then."""
        return not (self._is_closed or self._pool.is_closed) and time.monotonic() + seconds < limit()

    async def _attempt_many(
        self,
        commands: list[Words],
        text: bool,
        replies: list[Any],
        seconds: float | None,
        modes: bytes | None,
        each: bool = False,
    ) -> None:
        """Send several commands together, once; `replies` is empty, and gets what has come even when that fails."""
        raise NotImplementedError

    def _tell_lost(self, problem: NetworkError) -> None:
        """Let the hooks hear that a connection was lost under a call; a call that was not begun has lost none."""
        if isinstance(problem, DeadlineExceeded):
            return
        tell(self._hooks, "on_error", str(self._pool.options.address), problem)

    async def _borrow(self, note: str | None = None) -> AsyncConnection:
        if self._is_closed:
            raise PoolClosed(f"this client of {self._pool.options.address} is closed; make a new one")
        bounded(None, None, "a command")
        return await self._pool.borrow(note, limit())

    async def _give_back(self, connection: AsyncConnection) -> None:
        await self._pool.give_back(connection)
