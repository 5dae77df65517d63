"""The blocking engine: how one command, or a batch, gets its replies; the hand-written half below the sync client.

The fast path pops a connection, calls the wire and puts the connection back; it takes no lock and builds nothing.
Everything rare (waiting, retrying, hooks, blocking commands) leaves it for `_execute_slowly`. Invariants: a connection
that a call did not finish is closed, whatever was raised; a command is sent again only where the facts allow it.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from carmine.client.core import (
    MISSHAPEN,
    SPECIAL,
    decide,
    finish,
    located,
    patience,
    refuse,
    settle,
    told_to_entries,
    unexpected,
)
from carmine.commands.command import flags_of, modes_of, words_of
from carmine.commands.flags import BLOCKING, READONLY
from carmine.errors import CarmineError, ConnectionLost, NetworkError, Outcome, PoolClosed, RetryRule, ServerError
from carmine.transport.hooks import tell
from carmine.transport.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from carmine.commands.command import Reply, Spec, Words
    from carmine.transport.connection import Connection
    from carmine.transport.options import Options

__all__ = ["Engine"]


class Engine:
    """Sends commands over the connections of a pool."""

    _pool: Pool
    _text: bool

    def _attach(self, pool: Pool, text: bool, *, owns_pool: bool) -> None:
        """Take the pool into use."""
        self._pool = pool
        self._idle = pool.idle
        self._attention = pool.attention
        self._text = text
        self._owns_pool = owns_pool
        self._hooks = pool.options.hooks
        if not pool.is_plain or self._hooks is not None:
            self._execute = self._execute_slowly  # type: ignore[method-assign]  # bound once: unset costs nothing

    def _detach(self) -> None:
        """Refuse every further call of this client."""
        self._idle = []
        self._execute = self._refuse_closed  # type: ignore[method-assign, assignment]  # for good
        self._execute_slowly = self._refuse_closed  # type: ignore[method-assign, assignment]  # for good
        if self._owns_pool:
            self._pool.close()

    def _refuse_closed(self, *_: object) -> Any:
        raise PoolClosed(f"this client of {self._pool.options.address} is closed; make a new one")

    def _execute(self, spec: Spec, words: Words) -> Any:
        """Send one command and return its result."""
        if spec.flags & SPECIAL:
            return self._execute_special(spec, words)
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._execute_slowly(spec, words)
        try:
            reply = connection.execute(words, self._text if spec.text is None else spec.text)
        except BaseException as error:
            self._pool.give_back(connection)  # which closes it
            if isinstance(error, NetworkError):
                return self._execute_slowly(spec, words, error)
            raise
        if isinstance(reply, CarmineError):
            return self._take_error(spec, words, reply, connection)
        idle = self._idle
        idle.append(connection)
        if self._attention:
            self._pool.serve()
        elif len(idle) > 1:
            self._pool.tidy()
        decode = spec.decode
        if decode is None:
            return reply
        try:
            return decode(reply)
        except MISSHAPEN as problem:
            raise unexpected(spec, reply) from problem

    def _execute_special(self, spec: Spec, words: Words) -> Any:
        if not spec.flags & BLOCKING or spec.flags & (SPECIAL & ~BLOCKING):
            refuse(spec)
        return self._execute_slowly(spec, words)

    def _take_error(self, spec: Spec, words: Words, reply: CarmineError, connection: Connection) -> Any:
        rule = reply.retry if isinstance(reply, ServerError) else RetryRule.NO
        if rule is RetryRule.RECONNECT:
            connection.close()
        self._pool.give_back(connection)
        if rule is RetryRule.WAIT:
            return self._execute_slowly(spec, words, reply)
        return finish(spec, reply, connection.address)

    def _execute_slowly(self, spec: Spec, words: Words, error: CarmineError | None = None) -> Any:
        """Send one command with everything that the fast path leaves out.

        Args:
            spec: The command's facts.
            words: The command.
            error: What a first attempt ended with.
        """
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
                    self._wait_to_retry(error, attempt, spec, words)
                attempt += 1
                try:
                    reply = self._attempt(words, text, timeout)
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

    def _attempt(self, words: Words, text: bool, timeout: float | None) -> Any:
        connection = self._pool.borrow()
        try:
            reply = connection.execute(words, text, timeout)
            if isinstance(reply, ServerError) and reply.retry is RetryRule.RECONNECT:
                connection.close()
            return reply
        except NetworkError as problem:
            tell(self._hooks, "on_error", str(self._pool.options.address), problem)
            raise
        finally:
            self._pool.give_back(connection)

    def _wait_to_retry(self, error: CarmineError, attempt: int, spec: Spec, words: Words) -> None:
        """Sleep before the next attempt, or raise `error` because there is to be none."""
        located(error, spec, self._pool.options.address)
        if attempt == 1 and _was_stale(error):
            return  # it had died while it was idle: no attempt was made
        wait = decide(self._pool.options.retry, error, attempt, random.random(), spec, words)
        if wait is None:
            try:
                raise error
            finally:
                del error  # a frame must not hold the error whose traceback holds the frame
        tell(self._hooks, "on_retry", spec.name, attempt, wait, error)
        time.sleep(wait)

    # Batches. --------------------------------------------------------------------------------------------------------

    def _execute_queue(self, queue: list[Reply[Any]]) -> None:
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
        timeout = _patience_of_many(queue, options.read_timeout) if some & BLOCKING else None
        readonly = bool(common & READONLY)
        began = time.monotonic()
        where = str(options.address)
        tell(self._hooks, "on_command_start", "PIPELINE", where)
        attempt = 0
        replies: list[Any] = []
        try:
            while True:
                attempt += 1
                replies.clear()
                try:
                    self._attempt_many(words_of(queue), replies, timeout, modes)
                    break
                except NetworkError as problem:
                    wait = self._wait_of_many(problem, attempt, readonly)
                    if wait is None:
                        raise
                    tell(self._hooks, "on_retry", "PIPELINE", attempt, wait, problem)
                time.sleep(wait)
        except BaseException as problem:
            settle(queue, replies, options.address, told_to_entries(problem, where))
            tell(self._hooks, "on_command_end", "PIPELINE", where, time.monotonic() - began, problem)
            raise
        settle(queue, replies, options.address, None)
        tell(self._hooks, "on_command_end", "PIPELINE", where, time.monotonic() - began, None)

    def _wait_of_many(self, problem: NetworkError, attempt: int, readonly: bool) -> float | None:
        if attempt == 1 and _was_stale(problem):
            return 0.0
        retry = self._pool.options.retry
        return retry.decide(problem, attempt=attempt, chance=random.random(), readonly=readonly, compound=True)

    def _attempt_many(
        self, commands: list[Words], replies: list[Any], timeout: float | None, modes: bytes | None
    ) -> None:
        connection = self._pool.borrow()
        try:
            connection.execute_many(commands, self._text, replies, timeout, modes)
        finally:
            self._pool.give_back(connection)

    def _borrow(self, note: str) -> Connection:
        return self._pool.borrow(note)

    def _give_back(self, connection: Connection) -> None:
        self._pool.give_back(connection)


def _was_stale(error: CarmineError) -> bool:
    """Whether a pooled connection had died while it lay idle; a broken handshake has a CarmineError as its cause."""
    return (
        isinstance(error, ConnectionLost)
        and error.outcome is Outcome.NOT_SENT
        and not isinstance(error.__cause__, CarmineError)
    )


def _patience_of_many(queue: Sequence[Reply[Any]], read_timeout: float | None) -> float | None:
    """Return the seconds that a pipeline with blocking commands may take; None for the connection's own timeout."""
    own = [patience(entry.spec, entry.words, 0.0) for entry in queue if entry.spec.flags & BLOCKING]
    waits = [wait for wait in own if wait is not None]
    if not waits:
        return None
    return None if read_timeout is None else sum(waits) + read_timeout


def make_pool(options: Options) -> Pool:
    """Return the pool of a new client."""
    return Pool(options)
