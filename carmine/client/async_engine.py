"""The asyncio engine: how one command gets its reply; the hand-written half below the async client.

The counterpart of engine.py: the fast path pops a connection, awaits its call and puts the connection back; everything
rare leaves it for `_execute_slowly` (_async/attempts.py). Invariants: a connection that a call did not finish,
cancelled or failed, is closed; giving back in the fast path never waits, so nothing can be cancelled in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine.client._async.attempts import AsyncAttempts
from carmine.client.core import MISSHAPEN, SPECIAL, finish, refuse, unexpected
from carmine.commands.flags import BLOCKING
from carmine.errors import CarmineError, NetworkError, RetryRule, ServerError
from carmine.transport.async_pool import AsyncPool

if TYPE_CHECKING:
    from carmine.commands.command import Spec, Words
    from carmine.transport.async_connection import AsyncConnection
    from carmine.transport.options import Options

__all__ = ["AsyncEngine"]


class AsyncEngine(AsyncAttempts):
    """Sends commands over the connections of a pool."""

    _pool: AsyncPool
    _text: bool

    def _attach(self, pool: AsyncPool, text: bool, *, owns_pool: bool) -> None:
        """Take the pool into use."""
        self._pool = pool
        self._idle = pool.idle if pool.is_plain and pool.options.hooks is None else []  # see the blocking engine
        self._attention = pool.attention
        self._text = text
        self._owns_pool = owns_pool
        self._hooks = pool.options.hooks

    async def _detach(self) -> None:
        """Refuse every further call of this client."""
        if self._owns_pool:
            await self._pool.aclose()  # first: from another loop it is refused, and this client goes on
        self._idle = []
        self._is_closed = True

    async def _execute(self, spec: Spec, words: Words) -> Any:
        """Send one command and return its result."""
        if spec.flags & SPECIAL:
            return await self._execute_special(spec, words)
        idle = self._idle  # the same after the call, whatever happens to this client meanwhile
        try:
            connection = idle.pop()
        except IndexError:
            return await self._execute_slowly(spec, words)
        try:
            reply = await connection.execute(words, self._text if spec.text is None else spec.text)
        except BaseException as error:
            self._pool.take_back(connection)  # which closes it
            if isinstance(error, NetworkError):
                return await self._execute_slowly(spec, words, error)
            raise
        if isinstance(reply, CarmineError):
            return await self._take_error(spec, words, reply, connection)
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

    async def _execute_special(self, spec: Spec, words: Words) -> Any:
        if not spec.flags & BLOCKING or spec.flags & (SPECIAL & ~BLOCKING):
            refuse(spec)
        return await self._execute_slowly(spec, words)

    async def _take_error(self, spec: Spec, words: Words, reply: CarmineError, connection: AsyncConnection) -> Any:
        rule = reply.retry if isinstance(reply, ServerError) else RetryRule.NO
        if rule is RetryRule.RECONNECT:
            connection.close()
        self._pool.take_back(connection)
        if rule is RetryRule.WAIT:
            return await self._execute_slowly(spec, words, reply)
        return finish(spec, reply, connection.address)


def make_pool(options: Options) -> AsyncPool:
    """Return the pool of a new client."""
    return AsyncPool(options)
