"""The contracts that the twins fulfil, as types; docs/protocol.md says what the codec's words mean.

Nothing here runs: what a parser, an encoder or a wire promises is written once, and both twins are checked against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from carmine.protocol.limits import Limits
    from carmine.types import Arg, Key

__all__ = ["Encode", "EncodeMany", "Execute", "ExecuteMany", "KeySlot", "NextPush", "Parser", "WireIO"]

R_co = TypeVar("R_co", covariant=True)


@runtime_checkable
class Parser(Protocol):
    """A stream of replies, taken in as bytes and given out as values."""

    decode: bool
    """Whether the strings of a reply become text. May be set before each reply."""
    push_decode: bool
    """The same for pushes; it belongs to the connection."""
    each: bool
    """Whether the elements of the outermost array are replies of their own, as after EXEC."""
    attributes: bool
    """Whether a value that has attributes comes as Attributed; False drops them."""

    @property
    def protocol(self) -> int:
        """The RESP version of the stream, 2 or 3."""
        ...

    @protocol.setter
    def protocol(self, version: int) -> None: ...

    @property
    def limits(self) -> Limits:
        """The bounds on what is accepted."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether the stream stands between two replies, with no byte left over."""
        ...

    @property
    def is_in_push(self) -> bool:
        """Whether what has come of the next reply is the beginning of a push."""
        ...

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take over bytes of the stream; what comes after a ProtocolError is ignored."""
        ...

    def get_buffer(self, hint: int) -> memoryview:
        """Return memory to receive into; `received` says how much of it was used."""
        ...

    def received(self, count: int) -> None:
        """Take over the first `count` bytes of the memory that `get_buffer` gave."""
        ...

    def feed_eof(self) -> None:
        """Say that the stream has ended; replies that were not read before are lost."""
        ...

    def next_reply(self) -> Any:
        """Return the next reply or push, or NEED_DATA."""
        ...


class Encode(Protocol):
    """The shape of `encode`."""

    def __call__(self, *words: Arg) -> bytes:
        """Return one command as an array of bulk strings."""
        ...


class EncodeMany(Protocol):
    """The shape of `encode_many`."""

    def __call__(self, commands: Iterable[Sequence[Arg]]) -> bytes:
        """Return several commands, each a sequence of words, as one run of bytes; refused whole if one is bad."""
        ...


class KeySlot(Protocol):
    """The shape of `key_slot`."""

    def __call__(self, key: Key) -> int:
        """Return the slot of a key, 0 to 16383."""
        ...


class Execute(Protocol[R_co]):
    """The shape of `WireIO.execute`, in the world that R tells: the reply, or a coroutine that gives it."""

    def __call__(self, words: Sequence[Arg], decode: bool, timeout: float | None = None, each: bool = False) -> R_co:
        """Send one command."""
        ...


class ExecuteMany(Protocol[R_co]):
    """The shape of `WireIO.execute_many`."""

    def __call__(
        self,
        commands: Iterable[Sequence[Arg]],
        decode: bool,
        replies: list[Any],
        timeout: float | None = None,
        modes: bytes | None = None,
        each: bool = False,
    ) -> R_co:
        """Send several commands at once."""
        ...


class NextPush(Protocol[R_co]):
    """The shape of `WireIO.next_push`."""

    def __call__(self, timeout: float | None = None) -> R_co:
        """Wait for a push."""
        ...


class WireIO(Protocol):
    """Calls over one connected socket, which it owns and closes.

    Twins: `carmine._wire.WireIO` makes its own system calls on the descriptor; `carmine.transport.socket_io.SocketIO`
    works on Python's sockets, TLS and monkey-patched ones too. Both pack a command whole before its first byte is
    written, count what the peer owes, and close the socket themselves when a call leaves a reply behind.
    """

    place: object
    """What counts the connection in its pool; let go when the socket is closed."""
    is_stream: bool
    """Whether everything that comes unasked is a message, as under MONITOR or a RESP2 subscription."""
    look_after: float
    """Seconds since the last look after which a call looks at the socket first."""
    max_idle: float
    """Seconds of idleness after which the connection is not used again."""

    @property
    def push_decode(self) -> bool:
        """Whether strings of pushes become text; in a stream, all strings."""
        ...

    @push_decode.setter
    def push_decode(self, value: bool) -> None: ...

    @property
    def address(self) -> str:
        """Where the socket leads."""
        ...

    @property
    def owed(self) -> int:
        """Replies that have not come."""
        ...

    @property
    def is_usable(self) -> bool:
        """Whether a call may be made: nothing is owed, nothing was lost."""
        ...

    @property
    def idle_for(self) -> float:
        """Seconds since the last call ended."""
        ...

    def execute(self, words: Sequence[Arg], decode: bool, timeout: float | None = None, each: bool = False) -> Any:
        """Send one command and return its reply, an error reply as a ServerError.

        Args:
            words: The command's name and arguments.
            decode: Whether strings of the reply become text.
            timeout: Seconds for the whole call; None for the connection's own, inf for no limit.
            each: Whether the elements of an array are replies of their own, as after EXEC.

        Raises:
            UsageError: A word cannot be sent, or the connection is closed or in use. Nothing was sent.
            NetworkError: Its outcome says whether the command may have been executed.
            ProtocolError: The peer's bytes are not RESP.
        """
        ...

    def execute_many(
        self,
        commands: Iterable[Sequence[Arg]],
        decode: bool,
        replies: list[Any],
        timeout: float | None = None,
        modes: bytes | None = None,
        each: bool = False,
    ) -> None:
        """Send several commands at once and append their replies to `replies`, in order.

        Writing and reading interleave, so that full socket buffers cannot stop both sides. When the call fails,
        `replies` holds those that had come: a prefix.

        Args:
            commands: The commands, each its words.
            decode: Whether strings of the replies become text.
            replies: Where the replies go; an error reply goes there as a ServerError.
            timeout: Seconds for the whole call; None for the connection's own, inf for no limit.
            modes: One byte for each command that overrules `decode`: 0 bytes, 1 text.
            each: Whether the elements of an array are replies of their own, as after EXEC.

        Raises:
            UsageError: A word cannot be sent, or the connection is closed or in use. Nothing was sent.
            NetworkError: Its outcome says whether commands may have been executed.
            ProtocolError: The peer's bytes are not RESP.
        """
        ...

    def probe(self) -> bool:
        """Return whether an idle connection is still good; pushes that came meanwhile are kept."""
        ...

    def send(self, words: Sequence[Arg]) -> None:
        """Send one command whose confirmations come as pushes, as SUBSCRIBE does.

        The one method that may be called while another thread is inside `next_push`, which then hears of a failure too.
        """
        ...

    def next_push(self, timeout: float | None = None) -> Any:
        """Return the next push, or None when none came within `timeout` seconds (None: no limit)."""
        ...

    def set_protocol(self, version: int) -> None:
        """Read what follows as RESP2 or RESP3."""
        ...

    def interrupt(self) -> None:
        """End the call that another thread has under way, and every later one; that thread closes the socket."""
        ...

    def close(self) -> None:
        """Close the socket and refuse every further call; a call under way is ended, and closes the socket itself."""
        ...

    def abandon(self) -> None:
        """Close the descriptor and nothing else, in a forked child: the connection is the parent's."""
        ...
