"""The listener: a worker that hands every message of its subscriptions to handlers, as the ancestor's does.

Invariants: one worker, so handlers are called one after the other, in the order of the messages, each message going to
exactly one; what a handler raises is itself a message and never ends the worker; a lost connection is told, replaced,
and told again; when it is closed handlers hear that last.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar

from carmine._bridge import aio
from carmine.client._async.pubsub import AsyncPubSub
from carmine.client.dispatch import ERROR, Trouble, check_handlers, find_handler, own
from carmine.client.subscriptions import Message
from carmine.errors import CarmineError, DecodeError, UsageError

if TYPE_CHECKING:
    from types import TracebackType

    from carmine.client.async_engine import AsyncEngine
    from carmine.client.dispatch import Handlers
    from carmine.types import Key

__all__ = ["AsyncListener"]

T = TypeVar("T")


class AsyncListener(Generic[T]):
    """Handlers and a worker that calls them; made by `client.listener()`, which starts it.

    A handler is called as `handler(message, state)`. Messages from the server have the kinds "message", "pmessage",
    "smessage", or that of a confirmation ("subscribe" and its like, whose payload is the number of subscriptions).
    What befalls the listener comes as kind "carmine", on the channel "carmine:listener:error" with a `Trouble` as
    payload, or "carmine:listener:reconnected" with a `Reconnected`. A handler may subscribe, unsubscribe, publish and
    close the listener; while it runs, other messages wait.

    Attributes:
        handlers: One function, or a mapping: pattern before channel before "*". It may be changed at any time.
        state: What handlers get beside the message. It may be replaced at any time.
    """

    def __init__(
        self, client: AsyncEngine, text: bool, handlers: Handlers, state: Any = None, ping: float | None = None
    ) -> None:
        check_handlers(handlers)
        self.handlers: Handlers = handlers
        self.state: Any = state
        self._pubsub: AsyncPubSub[T] = AsyncPubSub(client, text, ping=ping, tells_all=True)
        self._status: Literal["running", "closed", "broken"] = "running"
        self._end: CarmineError | None = None
        self._job = aio.spawn(self._run)

    @property
    def status(self) -> Literal["running", "closed", "broken"]:
        """Whether it runs, was closed, or has no connection and no hope for one."""
        return self._status

    async def subscribe(self, *channels: Key) -> None:
        """SUBSCRIBE: receive what is published to channels; returns when the server has confirmed it."""
        self._check_running()
        await self._pubsub.subscribe(*channels)

    async def psubscribe(self, *patterns: Key) -> None:
        """PSUBSCRIBE: receive what is published to channels that match glob patterns."""
        self._check_running()
        await self._pubsub.psubscribe(*patterns)

    async def ssubscribe(self, *channels: Key) -> None:
        """SSUBSCRIBE: receive what is published to shard channels. Since: 7.0.0."""
        self._check_running()
        await self._pubsub.ssubscribe(*channels)

    async def unsubscribe(self, *channels: Key) -> None:
        """UNSUBSCRIBE: end the subscription to these channels, or to all."""
        self._check_running()
        await self._pubsub.unsubscribe(*channels)

    async def punsubscribe(self, *patterns: Key) -> None:
        """PUNSUBSCRIBE: end the subscription to these patterns, or to all."""
        self._check_running()
        await self._pubsub.punsubscribe(*patterns)

    async def sunsubscribe(self, *channels: Key) -> None:
        """SUNSUBSCRIBE: end the subscription to these shard channels, or to all."""
        self._check_running()
        await self._pubsub.sunsubscribe(*channels)

    def _check_running(self) -> None:
        if self._status == "broken":
            raise UsageError(f"this listener is broken ({self._end}); make another one") from self._end

    async def _run(self) -> None:
        """Hand messages on until the end."""
        try:
            while not self._pubsub.is_closed:
                try:
                    event, _ = await self._pubsub._next_event(math.inf)
                except DecodeError as problem:
                    await self._hand(own(Trouble("bad-message", problem, None)))
                    continue
                assert event is not None
                assert not isinstance(event, DecodeError)
                await self._hand(event if isinstance(event, Message) else own(event))
        except CarmineError as problem:
            if not self._pubsub.is_closed:
                self._status, self._end = "broken", problem
                await self._pubsub.aclose()
                await self._hand(own(Trouble("conn-broken", problem, None)))
                return
        finally:
            if self._status == "running":
                self._status = "closed"
            await self._pubsub.aclose()
        await self._hand(own(Trouble("conn-closed", None, None)))

    async def _hand(self, message: Message[Any]) -> None:
        """Call the handler of a message; what it raises is a message in turn, unless it was one about an error."""
        handler = find_handler(self.handlers, message)
        is_about_an_error = message.channel == ERROR and message.kind == "carmine"
        if handler is None:
            problem = message.payload.cause if is_about_an_error else None
            if problem is not None:  # nobody listens to errors; they are not to vanish
                sys.excepthook(type(problem), problem, problem.__traceback__)
            return
        try:
            await aio.call(handler, message, self.state)
        except Exception as problem:  # noqa: BLE001 - the other messages have handlers that did nothing wrong
            if is_about_an_error:
                sys.excepthook(type(problem), problem, problem.__traceback__)
            else:
                await self._hand(own(Trouble("handler-ex", problem, message)))

    async def aclose(self) -> None:
        """End all subscriptions; return when the worker has ended. Harmless the second time.

        A handler that closes its own listener returns to a worker that then ends.
        """
        await self._pubsub.aclose()
        if not self._job.is_mine and await self._job.wait():
            await self._job.join()

    async def __aenter__(self) -> Self:
        """Return the listener."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aclose()

    def __repr__(self) -> str:
        """Show its state and where it leads."""
        return f"<{type(self).__name__}, {self._status}: {self._pubsub!r}>"
