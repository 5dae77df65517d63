"""The ancestor's context: commands queued in a block, sent as one pipeline, their replies parsed as the block says.

A block inside another sends first what the outer one has queued, and gives those replies back to it. Invariants:
replies stand in the order of their commands, values put among them in their places; parsers run when every reply of a
batch was read, so that one that raises leaves the connection clean; what was queued in a block that raises is not sent.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Self, TypeVar, overload

from carmine._bridge import aio
from carmine.client._async.pipeline import Queue
from carmine.client.core import values_or_error
from carmine.client.parsers import ParserError, as_bool, as_float, as_int, as_map
from carmine.commands.command import Spec
from carmine.commands.flags import UNKNOWN
from carmine.commands.specs import lookup
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from carmine.client.async_engine import AsyncEngine
    from carmine.commands.command import Reply, Words
    from carmine.types import Arg

__all__ = ["AsyncWcar", "AsyncWcarBlock"]

T = TypeVar("T", bound=str | bytes)

_DROPPED: Final = object()
"""What the parser of `suppress` makes of a reply."""


class _Parser(NamedTuple):
    """What a reply goes through; None for `function` leaves it as it is."""

    function: Callable[[Any], Any] | None = None
    errors: bool = False


class _Slot(NamedTuple):
    """A place among the replies: that of a command, or of a value."""

    owner: AsyncWcar[Any] | AsyncWcarBlock[Any]
    parser: _Parser
    entry: Reply[Any] | None
    value: Any = None

    def result(self) -> Any:
        """Return what stands there, parsed."""
        raw = self.value if self.entry is None else values_or_error(self.entry)
        function, errors = self.parser
        if function is None or (isinstance(raw, Exception) and not errors):
            return raw
        try:
            return function(raw)
        except Exception as problem:  # noqa: BLE001 - the caller's own function; it is told in the reply's place
            what = "a value put among the replies" if self.entry is None else f"the reply to {self.entry.spec.name}"
            error = ParserError(f"a parser raised {type(problem).__name__} at {what}")
            error.__cause__ = problem
            return error


def _one_or_all(results: list[Any], as_list: bool) -> Any:
    if as_list or len(results) > 1:
        return results
    return results[0] if results else None


def _raise_alone(results: list[Any], as_list: bool) -> None:
    """Raise an error that is the only reply, unless a list is wanted."""
    if not as_list and len(results) == 1 and isinstance(results[0], Exception):
        raise results[0]


class AsyncWcar(Queue[T], Generic[T]):
    """Commands queued in a block and sent at its end, with the ancestor's rules for their replies.

    Each command also returns its `Reply`, whose value no parser touches.
    """

    def __init__(self, client: AsyncEngine, as_list: bool) -> None:
        super().__init__(client._serializing)
        add = self._queue
        self._client = client
        self._as_list = as_list
        self._slots: list[_Slot] = []
        self._results: list[Any] = []
        self._owner: AsyncWcar[T] | AsyncWcarBlock[T] = self
        self._parser = _Parser()
        self._is_raw = False
        self._home: object = None
        self._outer: AsyncWcar[Any] | None = None

        def queue(spec: Spec, words: Words) -> Reply[Any]:
            entry = add(_raw(spec) if self._is_raw else spec, words)
            self._slots.append(_Slot(self._owner, self._parser, entry))
            return entry

        self._queue = queue  # type: ignore[method-assign]

    @property
    def replies(self) -> Any:
        """What has come so far: a list; one reply as itself, and nothing as None, unless a list was asked for."""
        return _one_or_all(self._results, self._as_list)

    @overload
    def execute(self, *words: Arg | T) -> Reply[Any]: ...
    @overload
    def execute(self, *requests: list[Any] | tuple[Any, ...]) -> list[Reply[Any]]: ...
    def execute(self, *words: Any) -> Any:
        """Queue any command, or several, each in a list; their replies come as the protocol gives them.

        A name of two words may be joined by a dash, as in "config-get".

        Args:
            *words: The name and the arguments; or one list of words for each of several commands.
        """
        if any(isinstance(word, list | tuple) for word in words):
            if not all(isinstance(request, list | tuple) for request in words):
                raise UsageError("execute takes the words of one command, or lists of words")
            return [self._queue(spec, request) for spec, request in [_found(tuple(request)) for request in words]]
        return self._queue(*_found(words))

    def value(self, value: object) -> None:
        """Put a value among the replies, through the parser that holds here; nothing is sent for it."""
        self._slots.append(_Slot(self._owner, self._parser, None, value))

    # Parsers. --------------------------------------------------------------------------------------------------------

    @contextmanager
    def parse(self, function: Callable[[Any], Any] | None, *, errors: bool = False) -> Iterator[None]:
        """Send the replies to this block's commands through a function, instead of that of a block further out.

        What it raises becomes a ParserError in the reply's place.

        Args:
            function: Makes what stands in `.replies`; None leaves the replies as they are. See `compose` for several.
            errors: Whether it is called for errors too, which otherwise stay as they are.
        """
        if function is not None and not callable(function):
            raise UsageError("parse takes a function of one reply, or None")
        before, self._parser = self._parser, _Parser(function, errors)
        try:
            yield
        finally:
            self._parser = before

    def suppress(self) -> Any:
        """Leave the replies to this block's commands out of `.replies`; errors stay."""
        return self.parse(lambda _: _DROPPED)

    def parse_int(self) -> Any:
        """Parse this block's replies by `as_int`."""
        return self.parse(as_int)

    def parse_float(self) -> Any:
        """Parse this block's replies by `as_float`."""
        return self.parse(as_float)

    def parse_bool(self) -> Any:
        """Parse this block's replies by `as_bool`."""
        return self.parse(as_bool)

    def parse_map(
        self, keys: Callable[[Any], Any] | None = None, values: Callable[[Any, Any], Any] | None = None
    ) -> Any:
        """Parse this block's replies by `as_map`.

        Args:
            keys: Makes each key.
            values: Makes each value, called with the key and the value.
        """
        return self.parse(lambda reply: as_map(reply, keys, values))

    @contextmanager
    def parse_raw(self) -> Iterator[None]:
        """Read the replies to this block's commands as they are stored: bytes, neither thawed nor shaped."""
        before, self._is_raw = self._is_raw, True
        try:
            yield
        finally:
            self._is_raw = before

    # Sending. --------------------------------------------------------------------------------------------------------

    def flush(self, as_list: bool = False) -> AsyncWcarBlock[T]:
        """Return a context manager: at its end everything queued is sent, and its `.replies` are its own commands'.

        The replies to what was queued before stay where they belong, in `.replies` of this context.

        Args:
            as_list: Whether one reply is a list of one, and an error in it a value.
        """
        return AsyncWcarBlock(self, as_list)

    async def _send(self) -> None:
        """Send everything queued, and give each reply to the block it was asked in."""
        slots, self._slots = self._slots, []
        self._take()
        queue = [slot.entry for slot in slots if slot.entry is not None]
        try:
            if queue:
                await self._client._execute_queue(queue)
        finally:
            for slot in slots:
                if slot.entry is None or slot.entry.is_settled:
                    result = slot.result()
                    if result is not _DROPPED:
                        slot.owner._results.append(result)

    def _drop(self, owner: AsyncWcar[Any] | AsyncWcarBlock[Any]) -> None:
        """Forget what is queued of a block that raised."""
        self._slots = [] if owner is self else [slot for slot in self._slots if slot.owner is not owner]
        self._carried.clear()  # a script's text may have been among it

    def __len__(self) -> int:
        """Return how many commands wait."""
        return sum(slot.entry is not None for slot in self._slots)

    async def __aenter__(self) -> Self:
        """Begin to queue, when the block around has sent what it had."""
        if self._is_open:
            raise UsageError("this context is in use already; make another one with carmine.wcar()")
        self._home = aio.here()
        outer = _current.get()
        if outer is not None and outer._is_open and outer._home == self._home:
            await outer._send()
        self._outer = outer
        self._is_open = True
        self._results = []
        _current.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send the queue; drop it when the block raised.

        Raises:
            CarmineError: The only command was answered with an error, and no list was asked for.
            NetworkError: The connection was lost on the way.
        """
        self._is_open = False
        _current.set(self._outer)
        self._outer = None
        if kind is not None:
            self._take()
            self._drop(self)
            return
        await self._send()
        _raise_alone(self._results, self._as_list)


class AsyncWcarBlock(Generic[T]):
    """A block of a context whose replies are its own; made by `flush`."""

    def __init__(self, context: AsyncWcar[T], as_list: bool) -> None:
        self._context = context
        self._as_list = as_list
        self._results: list[Any] = []
        self._before: AsyncWcar[T] | AsyncWcarBlock[T] = context

    @property
    def replies(self) -> Any:
        """The replies to this block's commands, as those of a context."""
        return _one_or_all(self._results, self._as_list)

    async def __aenter__(self) -> Self:
        """Begin to queue apart."""
        context = self._context
        if not context._is_open:
            raise UsageError("flush lives in its context: `with carmine.wcar(client) as p, p.flush() as block:`")
        if context._owner is self:
            raise UsageError("this block is in use already; make another one with flush()")
        self._results = []
        self._before, context._owner = context._owner, self
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send everything queued; drop what this block has queued when it raised.

        Raises:
            CarmineError: The only command of the block was answered with an error, and no list was asked for.
            NetworkError: The connection was lost on the way.
        """
        context = self._context
        context._owner = self._before
        if kind is not None:
            context._drop(self)
            return
        await context._send()
        _raise_alone(self._results, self._as_list)


_current: ContextVar[AsyncWcar[Any] | None] = ContextVar("carmine_wcar", default=None)
"""The innermost context of this thread or task."""


def _raw(spec: Spec) -> Spec:
    """Return the facts of a command whose reply is wanted as it is stored."""
    return Spec(spec.name, spec.flags, text=False, block=spec.block, keys=spec.keys)


def _found(words: tuple[Any, ...]) -> tuple[Spec, Words]:
    """Return the facts of a command and its words; a name with a dash that is none is two words."""
    spec = lookup(words)
    first = words[0]
    if spec.flags & UNKNOWN and isinstance(first, str) and "-" in first:
        apart = (*first.split("-", 1), *words[1:])
        if all(apart[:2]) and not lookup(apart).flags & UNKNOWN:
            return lookup(apart), apart
    return spec, words
