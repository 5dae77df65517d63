"""The pinned connection: one connection for the length of a block, so that state may be set on it.

Invariant: a connection whose state was touched, or that a reply asked to replace, is closed at the end, never given
back to the pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from carmine.client._async.scan import AsyncScanning
from carmine.client._async.script import AsyncScripting
from carmine.client.core import NEVER, RECONNECTING, as_text, finish, patience, refuse
from carmine.client.timing import bounded
from carmine.commands._async import AsyncCommands
from carmine.commands.flags import STATE, UNKNOWN
from carmine.commands.specs import lookup
from carmine.errors import CarmineError, NetworkError, ServerError, UsageError
from carmine.transport.hooks import Watched

if TYPE_CHECKING:
    from types import TracebackType

    from carmine.client.async_engine import AsyncEngine
    from carmine.commands.command import Spec, Words
    from carmine.transport.async_connection import AsyncConnection
    from carmine.types import Arg

__all__ = ["AsyncPinnedConnection"]

T = TypeVar("T", bound=str | bytes)


class AsyncPinnedConnection(AsyncScripting, AsyncScanning[T], AsyncCommands[T], Generic[T]):
    """One connection of a client's pool, held for the length of a `with` block."""

    def __init__(self, client: AsyncEngine, text: bool) -> None:
        self._client = client
        self._text = text
        self._connection: AsyncConnection | None = None
        self._is_touched = False
        self._in_multi = False

    @property
    def protocol(self) -> int:
        """The RESP version this connection speaks."""
        return self._held().protocol

    @property
    def server_info(self) -> dict[str, Any]:
        """What HELLO told about the server; empty on RESP2."""
        return self._held().info

    async def execute(self, *words: Arg | T) -> Any:
        """Send any command and return its reply as the protocol gave it."""
        return await self._execute(lookup(words), words)

    async def _execute(self, spec: Spec, words: Words) -> Any:
        if spec.flags & NEVER:
            refuse(spec)
        if self._client._serializing is not None:
            spec, words = self._client._serializing(spec, words)
        connection = self._held()
        if spec.flags & (STATE | UNKNOWN):
            self._is_touched = True
            if spec.name == "HELLO":
                connection.set_protocol(3)  # RESP3's reader takes RESP2's replies as well, not the other way round
        usual = self._client._pool.options.read_timeout
        timeout = bounded(patience(spec, words, usual), usual, spec.name)
        text = self._text if spec.text is None else spec.text
        with Watched(self._client._hooks, spec.name, connection.address):
            try:
                reply = await connection.execute(words, text, timeout, spec.name == "EXEC")
            except NetworkError as problem:
                self._client._tell_lost(problem)
                raise
            if isinstance(reply, ServerError) and reply.retry in RECONNECTING:
                self._is_touched = True
            if spec.flags & STATE:
                self._note_state(connection, spec.name, reply)
            if self._in_multi and reply in ("QUEUED", b"QUEUED"):
                return as_text(reply) if self._text else reply
            return finish(spec, reply, connection.address)

    def _note_state(self, connection: AsyncConnection, name: str, reply: Any) -> None:
        """Follow the protocol, and whether commands are being queued; EXEC and DISCARD end that even when they fail."""
        failed = isinstance(reply, CarmineError)
        if name == "MULTI":
            self._in_multi = self._in_multi or not failed
        elif name in ("EXEC", "DISCARD", "RESET"):
            self._in_multi = False
            if name == "RESET" and not failed:
                connection.protocol = 2
        elif name == "HELLO" and isinstance(reply, (dict, list)):
            told: Any = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=False))
            connection.protocol = told.get("proto") or told.get(b"proto") or connection.protocol

    def _must_carry_text(self) -> bool:
        return self._in_multi

    def _held(self) -> AsyncConnection:
        if self._connection is None:
            raise UsageError("a pinned connection lives in its block: `with client.connection() as connection:`")
        return self._connection

    async def __aenter__(self) -> Self:
        """Take a connection from the pool."""
        if self._connection is not None:
            raise UsageError("this pinned connection is in use already; make another one with client.connection()")
        self._connection = await self._client._borrow("a pinned connection")
        self._is_touched = self._in_multi = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the connection back, or close it if its state was touched."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._is_touched:
                connection.close()
            await self._client._give_back(connection)
