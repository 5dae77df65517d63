"""Pub/sub: an iterator of messages, handlers, and what is subscribed to; subscriber.py is the half that waits.

Invariants: a message goes to the handler of its subscription or to the iterator, never to both, and once for each
subscription that matches; pings and confirmations are never delivered.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from carmine import _checks
from carmine._bridge import aio
from carmine.client._async.subscriber import AsyncSubscriber
from carmine.client.deadline import limit
from carmine.client.subscriptions import CHANNELS, PATTERNS, SHARDS, Message, Reconnected, entries_of, name_of
from carmine.client.timing import after
from carmine.errors import DeadlineExceeded, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from carmine.client.async_engine import AsyncEngine
    from carmine.client.subscriptions import Handler
    from carmine.types import Key

__all__ = ["AsyncPubSub"]

T = TypeVar("T")


class AsyncPubSub(AsyncSubscriber, Generic[T]):
    """Subscriptions over one connection; made by `client.pubsub()`, used in a `with` block.

    Args:
        client: Whose pool gives the connection.
        text: Whether messages are text.
        ping: Seconds of silence after which a reader asks whether the server is there, and as many for the answer.
        tells_all: Whether confirmations and losses are events as well, as a listener wants them.
    """

    def __init__(self, client: AsyncEngine, text: bool, *, ping: float | None = None, tells_all: bool = False) -> None:
        super().__init__(client, ping=ping, tells_all=tells_all)
        self._text = text

    # What is wanted. -------------------------------------------------------------------------------------------------

    @property
    def channels(self) -> frozenset[T]:
        """The channels it is subscribed to."""
        return self._subscriptions.labels(CHANNELS)

    @property
    def patterns(self) -> frozenset[T]:
        """The patterns it is subscribed to."""
        return self._subscriptions.labels(PATTERNS)

    @property
    def shard_channels(self) -> frozenset[T]:
        """The shard channels it is subscribed to."""
        return self._subscriptions.labels(SHARDS)

    async def subscribe(
        self, *channels: Key | Mapping[Any, Handler], decode: bool | None = None, **handlers: Handler
    ) -> None:
        """SUBSCRIBE: receive what is published to channels; returns when the server has confirmed it.

        Where 1,024 messages come before the confirmation, it returns earlier, so that they can be read.

        Args:
            *channels: Names, or mappings from a name to the handler of its messages. A message with a handler goes to
                it and not to the iterator. Naming a channel again changes its handler.
            decode: Whether handlers get text; None for what the client reads.
            **handlers: Handlers by name, where the name is one that Python can write.

        Raises:
            UsageError: Nothing to subscribe to, or the pub/sub is closed. Nothing was sent.
            ServerError: The server refused; the other subscriptions are as they were.
            NetworkError: No connection could be had; or no confirmation came within `read_timeout`, and then the
                channel stays wanted.
        """
        await self._want(CHANNELS, channels, handlers, decode)

    async def psubscribe(
        self, *patterns: Key | Mapping[Any, Handler], decode: bool | None = None, **handlers: Handler
    ) -> None:
        """PSUBSCRIBE: receive what is published to channels that match glob patterns; as `subscribe`."""
        await self._want(PATTERNS, patterns, handlers, decode)

    async def ssubscribe(
        self, *channels: Key | Mapping[Any, Handler], decode: bool | None = None, **handlers: Handler
    ) -> None:
        """SSUBSCRIBE: receive what is published to shard channels; as `subscribe`. Since: 7.0.0."""
        await self._want(SHARDS, channels, handlers, decode)

    async def unsubscribe(self, *channels: Key) -> None:
        """UNSUBSCRIBE: end the subscription to these channels, or to all; returns when that is confirmed."""
        await self._want_no_more(CHANNELS, channels)

    async def punsubscribe(self, *patterns: Key) -> None:
        """PUNSUBSCRIBE: end the subscription to these patterns, or to all; returns when that is confirmed."""
        await self._want_no_more(PATTERNS, patterns)

    async def sunsubscribe(self, *channels: Key) -> None:
        """SUNSUBSCRIBE: end the subscription to these shard channels, or to all; returns when that is confirmed."""
        await self._want_no_more(SHARDS, channels)

    async def _want(
        self,
        family: int,
        given: tuple[Key | Mapping[Any, Handler], ...],
        handlers: Mapping[str, Handler],
        decode: bool | None,
    ) -> None:
        entries = entries_of(given, handlers, self._text, decode)
        await self._ask(lambda: self._subscriptions.subscribe(family, entries))

    async def _want_no_more(self, family: int, given: tuple[Key, ...]) -> None:
        names = [name_of(name) for name in given] or None
        await self._ask(lambda: self._subscriptions.unsubscribe(family, names))

    # What comes. -----------------------------------------------------------------------------------------------------

    async def next_message(self, timeout: float | None = None) -> Message[T] | Reconnected | None:  # noqa: ASYNC109 - both worlds have it
        """Return the next message that has no handler, or the mark of a gap; None when none came in time.

        Handlers are called in here, one after the other, and what they raise comes out of here.

        Args:
            timeout: Seconds to wait; None for no limit, 0 for what is there. A connection that has to be made anew
                in that time may take longer by `connect_timeout`.

        Raises:
            DeadlineExceeded: No message came within the time of `carmine.deadline()`.
            DecodeError: A message is not UTF-8, though text was asked for; the stream goes on with the next one.
            UsageError: The pub/sub is closed, or was closed meanwhile.
            CarmineError: The connection was lost, and no other could be had for a reason that does not pass, such as a
                wrong password; the next call tries again.
        """
        deadline = after(timeout if timeout is None else _checks.seconds("timeout", timeout))
        while True:
            event, handler = await self._next_event(deadline)
            if event is None:
                if time.monotonic() >= limit():
                    raise DeadlineExceeded("no message came within the time of carmine.deadline()")
                return None
            if handler is None:
                assert isinstance(event, (Message, Reconnected))
                return event
            await aio.call(handler, event)
            if deadline != math.inf and time.monotonic() >= deadline:
                return None

    def __aiter__(self) -> Self:
        """Return the iterator, which ends when the pub/sub is closed."""
        return self

    async def __anext__(self) -> Message[T] | Reconnected:
        """Return the next message, however long it takes."""
        try:
            message = await self.next_message()
        except UsageError:
            if not self._is_closed:
                raise
            raise StopAsyncIteration from None
        assert message is not None
        return message

    async def __aenter__(self) -> Self:
        """Return the pub/sub, which connects when it is first used."""
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aclose()

    def __repr__(self) -> str:
        """Show where it leads and what it has."""
        state = "closed" if self._is_closed else "connected" if self._connection is not None else "not connected"
        counts = ", ".join(
            f"{len(names)} {what}"
            for names, what in (
                (self.channels, "channels"),
                (self.patterns, "patterns"),
                (self.shard_channels, "shard channels"),
            )
        )
        return f"<{type(self).__name__} of {self._client._pool.options.address}, {counts}, {state}>"
