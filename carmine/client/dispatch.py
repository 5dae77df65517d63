"""Which handler of a listener gets a message, and the messages that a listener sends itself: pure, for both worlds.

Pattern before channel before "*", and exactly one. What befalls the listener comes as messages of kind "carmine", on
the channels ERROR and RECONNECTED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from carmine.client.subscriptions import Lost, Message, Reconnected
from carmine.errors import UsageError

__all__ = ["ERROR", "RECONNECTED", "Handlers", "ListenerHandler", "Trouble", "check_handlers", "find_handler", "own"]

ERROR: Final = "carmine:listener:error"
RECONNECTED: Final = "carmine:listener:reconnected"

ListenerHandler: TypeAlias = Callable[[Message[Any], Any], object]
"""Called with a message and the listener's state; in asyncio it may be a coroutine function."""
Handlers: TypeAlias = "ListenerHandler | Mapping[Any, ListenerHandler]"
"""One handler for everything, or handlers by pattern, by channel, and "*" for the rest."""


class Trouble(NamedTuple):
    """The payload of a message on ERROR."""

    error: Literal["conn-broken", "conn-closed", "handler-ex", "bad-message"]
    """The connection was lost (and is made anew, unless the listener's status says "broken"); the listener was closed;
    a handler raised; a message is not UTF-8."""
    cause: BaseException | None
    """The exception; None where the listener was closed."""
    message: Message[Any] | None
    """The message whose handler raised."""


def own(event: Lost | Reconnected | Trouble) -> Message[Any]:
    """Return what befell the listener as a message."""
    if isinstance(event, Reconnected):
        return Message("carmine", None, RECONNECTED, event)
    if isinstance(event, Lost):
        event = Trouble("conn-broken", event.error, None)
    return Message("carmine", None, ERROR, event)


def check_handlers(handlers: Any) -> None:
    """Refuse what cannot handle a message."""
    each = handlers.values() if hasattr(handlers, "values") else (handlers,)
    if not all(map(callable, each)):
        raise UsageError("handlers are a function (message, state), or a mapping from names to such functions")


def find_handler(handlers: Any, message: Message[Any]) -> ListenerHandler | None:
    """Return who gets a message, or None."""
    if not hasattr(handlers, "get"):
        found: ListenerHandler = handlers
        return found
    for name in (message.pattern, message.channel, "*"):
        if name is None:
            continue
        handler: ListenerHandler | None = handlers.get(name)
        if handler is None and isinstance(name, bytes):
            handler = handlers.get(name.decode(errors="replace"))
        if handler is not None:
            return handler
    return None
