"""What a connection is subscribed to, which confirmations it owes, and what the messages mean: pure, for both worlds.

Strings come in as bytes; each subscription says whether its messages are text. Invariants: confirmations, error
replies and pongs settle what was asked in its order, or the stream is out of step and ends; a subscription that was
refused is as it was before; after a restart exactly what was wanted is asked for, each name once. Asking is for one
caller at a time, taking for another: each step on what they share is one that the interpreter makes atomic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

from carmine.errors import (
    CarmineError,
    ConnectionLost,
    DecodeError,
    HandshakeFailed,
    NetworkError,
    PoolTimeout,
    ProtocolError,
    RetryRule,
    ServerError,
    UsageError,
)
from carmine.protocol import Push, key_slot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.types import Key

__all__ = [
    "CHANNELS",
    "PATTERNS",
    "SHARDS",
    "Asked",
    "Event",
    "Handler",
    "Lost",
    "Message",
    "Reconnected",
    "Subscription",
    "Subscriptions",
    "entries_of",
    "is_passing",
    "name_of",
]

T = TypeVar("T")

CHANNELS: Final = 0
PATTERNS: Final = 1
SHARDS: Final = 2

_VERBS: Final = {
    b"subscribe": (CHANNELS, True),
    b"unsubscribe": (CHANNELS, False),
    b"psubscribe": (PATTERNS, True),
    b"punsubscribe": (PATTERNS, False),
    b"ssubscribe": (SHARDS, True),
    b"sunsubscribe": (SHARDS, False),
}
_KINDS: Final = {verb: kind for kind, verb in _VERBS.items()}
_PING: Final = b"ping"


class Message(NamedTuple, Generic[T]):
    """What was published: `kind` is "message", "pmessage" (it matched a pattern) or "smessage" (on a shard channel).

    A listener gets confirmations in the same form (kind "subscribe" and its like, the payload being how many
    subscriptions there are), and what befalls itself (kind "carmine").
    """

    kind: str
    pattern: T | None
    channel: T
    payload: T


class Reconnected(NamedTuple):
    """A mark in the stream: the connection was lost and all subscriptions are made anew; messages between are lost."""

    error: CarmineError
    """What the connection before ended with."""


class Lost(NamedTuple):
    """The connection was lost; it will be made anew."""

    error: CarmineError


Handler: TypeAlias = Callable[[Message[Any]], object]
"""Called with each message of one subscription; in asyncio it may be a coroutine function."""
Event: TypeAlias = Message[Any] | Reconnected | Lost | DecodeError
"""What comes out of a stream, a message that is not text among it."""


class Subscription:
    """One wanted name: how it is called, how its messages are read, and who takes them."""

    __slots__ = ("handler", "is_leaving", "label", "text")

    def __init__(self, label: Any, text: bool, handler: Handler | None) -> None:
        self.label: Any = label
        self.text: bool = text
        self.handler: Handler | None = handler
        self.is_leaving: bool = False  # its end was asked for; its messages still come until that is confirmed


class Asked:
    """One command that was sent, until everything that answers it has come.

    Attributes:
        words: The command.
        error: The server's refusal.
    """

    __slots__ = ("_before", "_done", "error", "kind", "names", "words")

    def __init__(self, kind: bytes, names: tuple[bytes, ...], before: tuple[Subscription | None, ...] = ()) -> None:
        self.kind: bytes = kind
        self.names: tuple[bytes, ...] = names
        self.words: tuple[bytes, ...] = (kind.upper(), *names)
        self.error: ServerError | None = None
        self._before = before
        self._done = 0

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to come any more."""
        return self.error is not None or self._done >= max(1, len(self.names))

    def confirms(self, kind: bytes, name: bytes | None) -> bool:
        """Take a confirmation, if it is the one that is due."""
        if kind != self.kind or name != self.names[self._done]:
            return False
        self._done += 1
        return True

    def settle(self, error: ServerError | None = None) -> None:
        """End it."""
        self._done = max(1, len(self.names))
        self.error = error

    def raise_refusal(self, address: object) -> None:
        """Raise the server's refusal, if there was one, with the command and where it was refused."""
        if self.error is not None:
            self.error.command = self.words[0].decode()
            self.error.address = str(address)
            raise self.error

    def undo(self, wanted: dict[bytes, Subscription]) -> None:
        """Let what was refused be as it was before."""
        for name, before in zip(self.names, self._before, strict=False):
            if before is None:
                wanted.pop(name, None)
            else:
                before.is_leaving = False
                wanted[name] = before


class Subscriptions:
    """The books of one pub/sub."""

    __slots__ = ("_carried", "_is_resp2", "_owed", "_wanted")

    def __init__(self) -> None:
        self._wanted: tuple[dict[bytes, Subscription], ...] = ({}, {}, {})
        self._owed: deque[Asked] = deque()
        self._carried: list[Asked] = []  # asked on a connection that was lost before it answered
        self._is_resp2 = False

    def labels(self, family: int) -> frozenset[Any]:
        """Return the names that are wanted."""
        return frozenset(known.label for known in list(self._wanted[family].values()) if not known.is_leaving)

    def handler(self, family: int, name: bytes) -> Handler | None:
        """Return who takes the messages of a name."""
        return self._wanted[family][name].handler

    # Asking. ---------------------------------------------------------------------------------------------------------

    def subscribe(self, family: int, entries: Mapping[bytes, Subscription]) -> Asked:
        """Want these names; return the command to send at once."""
        wanted = self._wanted[family]
        asked = Asked(_KINDS[family, True], tuple(entries), tuple(wanted.get(name) for name in entries))
        wanted.update(entries)
        self._owed.append(asked)
        return asked

    def unsubscribe(self, family: int, names: Iterable[bytes] | None) -> Asked | None:
        """Want these names no more, or none of them; return the command to send at once, if there is one."""
        wanted = self._wanted[family]
        leaving = tuple(dict.fromkeys(list(wanted) if names is None else names))
        if not leaving:
            return None
        asked = Asked(_KINDS[family, False], leaving, tuple(wanted.get(name) for name in leaving))
        for name in leaving:
            if name in wanted:
                wanted[name].is_leaving = True
        self._owed.append(asked)
        return asked

    def ping(self) -> Asked:
        """Return the PING to send at once."""
        asked = Asked(_PING, ())
        self._owed.append(asked)
        return asked

    def restart(self, protocol: int) -> list[Asked]:
        """Begin on a new connection; return the commands that subscribe to everything that is wanted."""
        self._is_resp2 = protocol == 2
        self._carried += [asked for asked in self._owed if asked.kind != _PING]
        for wanted in self._wanted:
            for name in [name for name, known in wanted.items() if known.is_leaving]:
                del wanted[name]
        flight = [
            Asked(_KINDS[family, True], tuple(self._wanted[family]))
            for family in (CHANNELS, PATTERNS)
            if self._wanted[family]
        ]
        by_slot: dict[int, list[bytes]] = {}
        for name in self._wanted[SHARDS]:
            by_slot.setdefault(key_slot(name), []).append(name)  # a cluster's node takes one slot at a time
        flight += [Asked(_KINDS[SHARDS, True], tuple(names)) for names in by_slot.values()]
        self._owed = deque(flight)
        return flight

    def restarted(self) -> None:
        """Settle what the connection before has left open: everything is as it was asked to be."""
        carried, self._carried = self._carried, []
        for asked in carried:
            asked.settle()

    # Taking. ---------------------------------------------------------------------------------------------------------

    def take(self, value: Any) -> tuple[Event, Handler | None] | None:
        """Take what has come: return the event and who handles it, or None where it concerns nobody.

        Raises:
            ConnectionLost: It is nothing that can come now.
        """
        if isinstance(value, Push) or (self._is_resp2 and isinstance(value, list)):
            kind = value[0] if value else None
            if kind == b"message" and len(value) == 3:
                return _told("message", self._wanted[CHANNELS].get(value[1]), None, value[1], value[2])
            if kind == b"pmessage" and len(value) == 4:
                return _told("pmessage", self._wanted[PATTERNS].get(value[1]), value[1], value[2], value[3])
            if kind == b"smessage" and len(value) == 3:
                return _told("smessage", self._wanted[SHARDS].get(value[1]), None, value[1], value[2])
            if kind in _VERBS and len(value) == 3:
                return self._confirm(kind, value[1], value[2])
            if not self._is_resp2:
                return None  # a push of another kind
            if kind != b"pong":
                raise _out_of_step("a reply that is no message came")
        asked = self._owed.popleft() if self._owed else None
        if isinstance(value, ServerError):
            if asked is None:
                raise _out_of_step(f"the server said: {value}")
            if asked.kind != _PING:
                asked.undo(self._wanted[_VERBS[asked.kind][0]])
            asked.settle(value)
        elif asked is None or asked.kind != _PING:
            raise _out_of_step("a reply that answers nothing came")
        else:
            asked.settle()  # +PONG on RESP3 and outside subscriptions, *2 pong on RESP2
        return None

    def _confirm(self, kind: bytes, name: bytes | None, count: Any) -> tuple[Event, None] | None:
        family, is_begun = _VERBS[kind]
        asked = self._owed[0] if self._owed else None
        if asked is None or asked.kind == _PING or name is None or not asked.confirms(kind, name):
            raise _out_of_step(f"the server sent {kind.decode()} unasked")
        if asked.is_settled:
            self._owed.popleft()
        known = self._wanted[family].get(name)
        if known is not None and known.is_leaving and not is_begun:
            del self._wanted[family][name]
        if known is None:
            return None
        return Message(kind.decode(), known.label if family == PATTERNS else None, known.label, count), None


def _told(
    kind: str, known: Subscription | None, pattern: bytes | None, channel: bytes, payload: bytes
) -> tuple[Event, Handler | None] | None:
    if known is None:
        return None
    if not known.text:
        return Message(kind, pattern, channel, payload), known.handler
    try:
        if pattern is None:
            return Message(kind, None, known.label, payload.decode()), known.handler
        return Message(kind, known.label, channel.decode(), payload.decode()), known.handler
    except UnicodeDecodeError as problem:
        return DecodeError(problem.object), None


def _out_of_step(what: str) -> ConnectionLost:
    return ConnectionLost(f"{what}; the connection is closed, since it and the subscriptions are out of step")


def is_passing(error: CarmineError) -> bool:
    """Whether a connection that could not be made may be had later, with nothing changed on this side."""
    if isinstance(error, ServerError):
        return error.retry is RetryRule.WAIT
    if not isinstance(error, NetworkError):
        return isinstance(error, PoolTimeout)
    cause = error.__cause__
    if isinstance(cause, ServerError):
        return cause.retry is RetryRule.WAIT
    return not isinstance(error, HandshakeFailed) and not isinstance(cause, ValueError | ProtocolError | UsageError)


def entries_of(
    channels: Iterable[Key | Mapping[Any, Handler]], handlers: Mapping[str, Handler], text: bool, decode: bool | None
) -> dict[bytes, Subscription]:
    """Return what a caller named, each once, the last mention counting.

    Raises:
        UsageError: Nothing was named, a name cannot be one, a handler cannot be called, or `decode` without handlers.
    """
    found: dict[bytes, Subscription] = {}
    for given in (*channels, handlers):
        named = given.items() if isinstance(given, Mapping) else ((given, None),)
        for name, handler in named:
            if handler is not None and not callable(handler):
                raise UsageError("a handler must be something to call with the message")
            if handler is None and decode is not None:
                raise UsageError("decode= is for handlers; client.binary.pubsub() gives all messages as bytes")
            raw = name_of(name)
            as_text = text if decode is None else decode
            found[raw] = Subscription(_label(raw) if as_text else raw, as_text, handler)
    if not found:
        raise UsageError("name at least one channel or pattern to subscribe to")
    return found


def name_of(name: Any) -> bytes:
    """Return the bytes of a channel's name."""
    if isinstance(name, str):
        try:
            return name.encode()
        except UnicodeEncodeError:
            raise UsageError("the name of a channel holds a lone surrogate, which UTF-8 cannot carry") from None
    if isinstance(name, bytes | bytearray | memoryview):
        return bytes(name)
    raise UsageError(f"the name of a channel is text or bytes, not {type(name).__name__}")


def _label(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise UsageError("this name is not UTF-8; subscribe to it on client.binary.pubsub()") from None
