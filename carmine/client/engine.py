"""The blocking engine: how one command, or a batch, gets its replies; the hand-written half below the sync client.

The fast path pops a connection, calls the wire and puts the connection back; it takes no lock and builds nothing.
Everything rare (waiting, retrying, hooks, blocking commands) leaves it for `_execute_slowly` (_async/attempts.py, the
same for both worlds). Invariant: a connection that a call did not finish is closed, whatever was raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine.client._sync.attempts import Attempts
from carmine.client.core import MISSHAPEN, RECONNECTING, SPECIAL, ends_connection, finish, serializing, unexpected
from carmine.client.deadline import OPEN
from carmine.client.timing import bounded
from carmine.errors import CarmineError, NetworkError, RetryRule, ServerError
from carmine.transport.pool import Pool

if TYPE_CHECKING:
    from carmine.commands.command import Spec, Words
    from carmine.transport.connection import Connection
    from carmine.transport.options import Options

__all__ = ["Engine"]


class Engine(Attempts):
    """Sends commands over the connections of a pool."""

    _pool: Pool
    _text: bool

    def _attach(self, pool: Pool, text: bool, *, owns_pool: bool, serializer: Any = None) -> None:
        """Take the pool into use."""
        self._pool = pool
        # An empty list sends every call the slow way. To bind another method to this client would make the two hold
        # each other, and a client that is dropped would keep its sockets until the next garbage collection.
        self._idle = pool.idle if pool.is_plain and pool.options.hooks is None and serializer is None else []
        self._attention = pool.attention
        self._text = text
        self._serializing = None if serializer is None else serializing(serializer, text)
        self._owns_pool = owns_pool
        self._hooks = pool.options.hooks

    def _detach(self) -> None:
        """Refuse every further call of this client."""
        self._idle = []
        self._is_closed = True
        if self._owns_pool:
            self._pool.close()

    def _execute(self, spec: Spec, words: Words) -> Any:
        """Send one command and return its result."""
        if spec.flags & SPECIAL or OPEN:
            return self._execute_slowly(spec, words)
        idle = self._idle  # the same after the call, whatever happens to this client meanwhile
        try:
            connection = idle.pop()
        except IndexError:
            return self._execute_slowly(spec, words)
        try:
            reply = connection.execute(words, self._text if spec.text is None else spec.text)
        except BaseException as error:
            self._pool.take_back(connection)  # which closes it
            if isinstance(error, NetworkError):
                return self._execute_slowly(spec, words, error)
            raise
        if isinstance(reply, CarmineError):
            return self._take_error(spec, words, reply, connection)
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

    def _attempt(self, spec: Spec, words: Words, text: bool, seconds: float | None) -> Any:
        connection = self._borrow()
        try:
            left = bounded(seconds, self._pool.options.read_timeout, spec.name)
            reply = connection.execute(words, text, left)
            if isinstance(reply, ServerError) and reply.retry in RECONNECTING:
                connection.close()
            return reply
        except NetworkError as problem:
            self._tell_lost(problem)
            raise
        finally:
            self._pool.give_back(connection)

    def _attempt_many(
        self,
        commands: list[Words],
        text: bool,
        replies: list[Any],
        seconds: float | None,
        modes: bytes | None,
        each: bool = False,
    ) -> None:
        connection = self._borrow()
        try:
            left = bounded(seconds, self._pool.options.read_timeout, "a batch of commands")
            connection.execute_many(commands, text, replies, left, modes, each)
            if ends_connection(replies, seconds is not None):
                connection.close()
        except NetworkError as problem:
            self._tell_lost(problem)
            raise
        finally:
            self._pool.give_back(connection)

    def _take_error(self, spec: Spec, words: Words, reply: CarmineError, connection: Connection) -> Any:
        rule = reply.retry if isinstance(reply, ServerError) else RetryRule.NO
        if rule in RECONNECTING:
            connection.close()
        self._pool.take_back(connection)
        if rule is RetryRule.WAIT:
            return self._execute_slowly(spec, words, reply)
        return finish(spec, reply, connection.address)


def make_pool(options: Options) -> Pool:
    """Return the pool of a new client."""
    return Pool(options)
