"""The asyncio engine: how one command, or a batch, gets its replies; the hand-written half below the async client.

The counterpart of engine.py. A command goes out on a connection that all tasks share (transport/multiplexer.py); one
that may block there has a connection of its own for its time. Everything rare leaves the fast path for
`_execute_slowly` (_async/attempts.py). Invariant: a call that is cancelled leaves a shared connection in step, and
closes its own.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from carmine.client._async.attempts import AsyncAttempts
from carmine.client.core import MISSHAPEN, RECONNECTING, SPECIAL, ends_connection, finish, serializing, unexpected
from carmine.client.deadline import OPEN, limit
from carmine.client.timing import bounded
from carmine.commands.flags import BLOCKING, may_block
from carmine.errors import CarmineError, NetworkError, PoolClosed, RetryRule, ServerError
from carmine.transport.async_pool import AsyncPool

if TYPE_CHECKING:
    import asyncio

    from carmine.commands.command import Spec, Words
    from carmine.transport.multiplexer import SharedConnection
    from carmine.transport.options import Options

__all__ = ["AsyncEngine"]


class AsyncEngine(AsyncAttempts):
    """Sends commands over the connections of a pool."""

    _pool: AsyncPool
    _text: bool

    def _attach(self, pool: AsyncPool, text: bool, *, owns_pool: bool, serializer: Any = None) -> None:
        """Take the pool into use."""
        self._pool = pool
        self._lines = (
            pool.multiplexer.lines if pool.options.hooks is None and serializer is None else deque()
        )  # see the blocking engine
        self._text = text
        self._serializing = None if serializer is None else serializing(serializer, text)
        self._owns_pool = owns_pool
        self._hooks = pool.options.hooks

    async def _detach(self) -> None:
        """Refuse every further call of this client."""
        if self._owns_pool:
            await self._pool.aclose()  # first: from another loop it is refused, and this client goes on
        self._lines = deque()
        self._is_closed = True

    async def _execute(self, spec: Spec, words: Words) -> Any:
        """Send one command and return its result."""
        if spec.flags & SPECIAL or OPEN:
            return await self._execute_slowly(spec, words)
        lines = self._lines
        if not lines:
            return await self._execute_slowly(spec, words)
        line = lines[0]
        if len(lines) > 1:
            lines.rotate(-1)
        try:
            reply = await line.post(words, self._text if spec.text is None else spec.text)
        except NetworkError as error:
            return await self._execute_slowly(spec, words, error)
        if isinstance(reply, CarmineError):
            return await self._take_error(spec, words, reply, line)
        decode = spec.decode
        if decode is None:
            return reply
        try:
            return decode(reply)
        except MISSHAPEN as problem:
            raise unexpected(spec, reply) from problem

    async def _take_error(self, spec: Spec, words: Words, reply: CarmineError, line: SharedConnection) -> Any:
        rule = reply.retry if isinstance(reply, ServerError) else RetryRule.NO
        if rule in RECONNECTING:
            line.retire()
        if rule is RetryRule.WAIT:
            return await self._execute_slowly(spec, words, reply)
        return finish(spec, reply, line.address)

    async def _attempt(self, spec: Spec, words: Words, text: bool, seconds: float | None) -> Any:
        if spec.flags & BLOCKING and may_block(spec, words):
            return await self._attempt_alone(spec, words, text, seconds)
        line = await self._line()
        left = bounded(None, self._pool.options.read_timeout, spec.name)
        try:
            reply = await self._within(left, line, line.post(words, text))
        except NetworkError as problem:
            self._tell_lost(problem)
            raise
        if isinstance(reply, ServerError) and reply.retry in RECONNECTING:
            line.retire()
        return reply

    async def _within(self, seconds: float | None, line: SharedConnection, future: asyncio.Future[Any]) -> Any:
        """Wait for a reply, no longer than the caller's deadline allows; the connection goes on without him."""
        if seconds is None:
            return await future
        alarm = future.get_loop().call_later(seconds, line.expire, future, monotonic())
        try:
            return await future
        finally:
            alarm.cancel()

    async def _attempt_alone(self, spec: Spec, words: Words, text: bool, seconds: float | None) -> Any:
        """Send a command that would keep all others waiting, on a connection for it alone."""
        connection = await self._borrow()
        try:
            left = bounded(seconds, self._pool.options.read_timeout, spec.name)
            reply = await connection.execute(words, text, left)
            if isinstance(reply, ServerError) and reply.retry in RECONNECTING:
                connection.close()
            return reply
        except NetworkError as problem:
            self._tell_lost(problem)
            raise
        finally:
            await self._pool.give_back(connection)

    async def _attempt_many(
        self,
        commands: list[Words],
        text: bool,
        replies: list[Any],
        seconds: float | None,
        modes: bytes | None,
        each: bool = False,
    ) -> None:
        if seconds is not None:
            await self._attempt_many_alone(commands, text, replies, seconds, modes, each)
            return
        line = await self._line()
        left = bounded(None, self._pool.options.read_timeout, "a batch of commands")
        came: list[Any] = []  # its own: what comes after the caller has gone must not get into another attempt
        try:
            await self._within(left, line, line.post_many(commands, text, came, modes, each))
            if ends_connection(came, False):
                line.retire()
        except NetworkError as problem:
            self._tell_lost(problem)
            raise
        finally:
            replies += came

    async def _attempt_many_alone(
        self,
        commands: list[Words],
        text: bool,
        replies: list[Any],
        seconds: float,
        modes: bytes | None,
        each: bool,
    ) -> None:
        connection = await self._borrow()
        try:
            left = bounded(seconds, self._pool.options.read_timeout, "a batch of commands")
            await connection.execute_many(commands, text, replies, left, modes, each)
            if ends_connection(replies, True):
                connection.close()
        except NetworkError as problem:
            self._tell_lost(problem)
            raise
        finally:
            await self._pool.give_back(connection)

    async def _line(self) -> SharedConnection:
        if self._is_closed:
            raise PoolClosed(f"this client of {self._pool.options.address} is closed; make a new one")
        bounded(None, None, "a command")
        return await self._pool.multiplexer.line(limit())


def make_pool(options: Options) -> AsyncPool:
    """Return the pool of a new client."""
    return AsyncPool(options)
