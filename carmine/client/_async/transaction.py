"""The transaction: MULTI ... EXEC as one contiguous write at the end of a block, after WATCH and reads at once.

One attempt. Nothing is executed when the block raises; WATCH is then taken back, or the connection closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from carmine.client._async.script import AsyncScripting
from carmine.client.core import (
    NEVER,
    RECONNECTING,
    ends_connection,
    finish,
    first_error,
    patience,
    refuse,
    settle_exec,
    settle_rest,
    told_to_entries,
    values_or_error,
)
from carmine.client.queue import Queue
from carmine.client.timing import bounded
from carmine.commands._async import AsyncCommands
from carmine.commands.command import modes_of, words_of
from carmine.commands.flags import STATE
from carmine.commands.specs import lookup
from carmine.errors import CarmineError, NetworkError, ServerError, UsageError
from carmine.transport.hooks import Watched

if TYPE_CHECKING:
    from types import TracebackType

    from carmine.client.async_engine import AsyncEngine
    from carmine.commands.command import Reply, Spec, Words
    from carmine.transport.address import Address
    from carmine.transport.async_connection import AsyncConnection
    from carmine.types import Arg, Key

__all__ = ["AsyncTransaction", "AsyncTransactionNow"]

T = TypeVar("T", bound=str | bytes)


class AsyncTransactionNow(AsyncScripting, AsyncCommands[T], Generic[T]):
    """The commands of a transaction that run at once, before MULTI, on its connection."""

    def __init__(self, transaction: AsyncTransaction[T]) -> None:
        self._transaction = transaction

    async def execute(self, *words: Arg | T) -> Any:
        """Send any command at once and return its reply as the protocol gave it."""
        return await self._execute(lookup(words), words)

    async def _execute(self, spec: Spec, words: Words) -> Any:
        return await self._transaction._execute_now(spec, words)


class AsyncTransaction(Queue[T], Generic[T]):
    """One attempt at a transaction.

    Attributes:
        prelude: What `now` has given so far.
        replies: After the block, the replies of EXEC, an error as a value.
    """

    def __init__(
        self, client: AsyncEngine, text: bool, watch: tuple[Key, ...] = (), *, raise_errors: bool = True
    ) -> None:
        super().__init__(client._serializing)
        self._client = client
        self._text = text
        self._keys = watch
        self._raise_errors = raise_errors
        self._connection: AsyncConnection | None = None
        self._is_watching = False
        self._is_spent = False  # a reply has asked for another connection
        self.prelude: list[Any] = []
        self._sent: list[Reply[Any]] = []

    @property
    def now(self) -> AsyncTransactionNow[T]:
        """The commands, run at once instead of queued: `await tx.now.get(key)`."""
        # Made anew each time: two objects that hold each other would keep the connection of an interrupted block
        # until the next garbage collection.
        return AsyncTransactionNow(self)

    @property
    def replies(self) -> list[Any]:
        """The replies of EXEC, an error as a value; empty while nothing was executed."""
        return [values_or_error(entry) for entry in self._sent if entry.is_settled]

    def discard(self) -> None:  # type: ignore[override]  # DISCARD itself is never queued
        """Drop what is queued; the block then ends without EXEC unless more is queued."""
        self._take()

    async def _hold(self) -> AsyncConnection:
        if not self._is_open:
            raise UsageError("a transaction lives in its block: `with client.transaction() as tx:`")
        if self._connection is not None:
            return self._connection
        borrowed = await self._client._borrow("a transaction")
        if self._adopt(borrowed):
            return borrowed
        await self._client._give_back(borrowed)
        return await self._hold()

    def _adopt(self, borrowed: AsyncConnection) -> bool:
        """Keep a connection, unless another task was quicker, or has ended the block meanwhile."""
        if self._is_open and self._connection is None:
            self._connection = borrowed
        return self._connection is borrowed

    async def _execute_now(self, spec: Spec, words: Words) -> Any:
        if spec.flags & NEVER or (spec.flags & STATE and spec.name not in ("WATCH", "UNWATCH")):
            refuse(spec)
        if self._client._serializing is not None:
            spec, words = self._client._serializing(spec, words)
        connection = await self._hold()
        if spec.name == "WATCH":
            self._is_watching = True
        usual = self._client._pool.options.read_timeout
        timeout = bounded(patience(spec, words, usual), usual, spec.name)
        text = self._text if spec.text is None else spec.text
        with Watched(self._client._hooks, spec.name, connection.address):
            try:
                reply = await connection.execute(words, text, timeout)
            except NetworkError as problem:
                self._client._tell_lost(problem)
                raise
            if isinstance(reply, ServerError) and reply.retry in RECONNECTING:
                self._is_spent = True
            result = finish(spec, reply, connection.address)
        if spec.name != "WATCH":
            self.prelude.append(result)
        return result

    async def __aenter__(self) -> Self:
        """Watch the keys."""
        if self._is_open:
            raise UsageError("this transaction is in use already; make another one with client.transaction()")
        self._is_open = True
        self._is_spent = False
        self._take()
        self.prelude, self._sent = [], []
        if self._keys:
            try:
                await self.now.watch(*self._keys)
            except BaseException:
                await self._end()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Execute what is queued; drop it when the block raised.

        Raises:
            WatchError: A watched key had changed; nothing was executed.
            ExecAbortError: A command was refused while it was queued; nothing was executed.
            PipelineError: A command failed when it ran; the others were executed, and `.replies` has them all.
            NetworkError: The connection was lost; the outcome says whether EXEC may have run.
        """
        try:
            if kind is None and len(self._queued):
                await self._exec()
        finally:
            await self._end()
        problem = first_error(self._sent, "transaction") if self._raise_errors and kind is None else None
        if problem is not None:
            raise problem

    async def _exec(self) -> None:
        where = self._client._pool.options.address
        with Watched(self._client._hooks, "TRANSACTION", where):
            await self._exec_at(where)

    async def _exec_at(self, where: Address) -> None:
        queue = self._take()
        self._sent = queue
        modes = modes_of(queue, self._text)
        text = self._text if modes is None else False
        replies: list[Any] = []
        commands = [(b"MULTI",), *words_of(queue), (b"EXEC",)]
        try:
            if self._connection is None:  # nothing was watched: any connection will do
                await self._client._attempt_many(commands, text, replies, None, None, True)
            else:
                await self._exec_on(self._connection, commands, text, replies)
            settle_exec(queue, replies, where, modes)
        except BaseException as problem:
            settle_rest(queue, told_to_entries(problem, str(where)))
            if len(replies) < len(commands):
                raise
            self._is_watching = False  # EXEC was answered: it has forgotten the keys, whatever it said
            raise
        self._is_watching = False

    async def _exec_on(
        self, connection: AsyncConnection, commands: list[Words], text: bool, replies: list[Any]
    ) -> None:
        try:
            left = bounded(None, self._client._pool.options.read_timeout, "EXEC")
            await connection.execute_many(commands, text, replies, left, None, True)
            if ends_connection(replies, False):
                connection.close()
        except NetworkError as problem:
            self._client._tell_lost(problem)
            raise

    async def _end(self) -> None:
        """Give the connection back without a trace of the transaction."""
        self._is_open = False
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if self._is_watching and not self._is_spent and connection.is_usable:
                left = bounded(None, self._client._pool.options.read_timeout, "UNWATCH")
                self._is_watching = await connection.execute((b"UNWATCH",), True, left) != "OK"
        except CarmineError:
            self._is_watching = True  # the block's own outcome is what the caller wants
        finally:
            if self._is_watching or self._is_spent:
                connection.close()  # which forgets the keys as well
            await self._client._give_back(connection)
