"""What the ancestor's context queues, and what becomes of the replies: all of it that waits for nothing.

Invariants: replies stand in the order of their commands, values put among them in their places; a parser runs when
every reply of a batch was read, so that one that raises leaves the connection clean, and its error takes the reply's
place.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, overload

from carmine.client.core import values_or_error
from carmine.client.parsers import ParserError, as_bool, as_float, as_int, as_map
from carmine.client.queue import Queue
from carmine.commands.command import Spec
from carmine.commands.flags import UNKNOWN
from carmine.commands.specs import lookup
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from carmine.client.serializing import Serializing
    from carmine.commands.command import Reply, Words
    from carmine.types import Arg

__all__ = ["Place", "Replies", "WcarQueue", "give_out"]

T = TypeVar("T", bound=str | bytes)

_DROPPED: Final = object()
"""What the parser of `suppress` makes of a reply."""


class Replies:
    """The replies that belong to a block."""

    _as_list: bool
    _results: list[Any]

    @property
    def replies(self) -> Any:
        """What has come so far: a list; one reply as itself, and nothing as None, unless a list was asked for."""
        results = self._results
        if self._as_list or len(results) > 1:
            return results
        return results[0] if results else None

    def _raise_alone(self) -> None:
        """Raise an error that is the only reply, unless a list is wanted."""
        results = self._results
        if not self._as_list and len(results) == 1 and isinstance(results[0], Exception):
            raise results[0]


class _Parser(NamedTuple):
    """What a reply goes through; None for `function` leaves it as it is."""

    function: Callable[[Any], Any] | None = None
    errors: bool = False


class Place(NamedTuple):
    """A place among the replies: that of a command, or of a value."""

    owner: Replies
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


def give_out(places: list[Place]) -> None:
    """Give each reply that has come to the block it was asked in."""
    for place in places:
        if place.entry is None or place.entry.is_settled:
            result = place.result()
            if result is not _DROPPED:
                place.owner._results.append(result)


class WcarQueue(Replies, Queue[T], Generic[T]):
    """Commands and values in a row, each with its parser and the block that its reply belongs to."""

    def __init__(self, serializing: Serializing | None, as_list: bool) -> None:
        super().__init__(serializing)
        add = self._queue
        self._as_list = as_list
        self._results = []
        self._places: list[Place] = []
        self._owner: Replies = self
        self._parser = _Parser()
        self._is_raw = False

        def queue(spec: Spec, words: Words) -> Reply[Any]:
            entry = add(_raw(spec) if self._is_raw else spec, words)
            self._places.append(Place(self._owner, self._parser, entry))
            return entry

        self._queue = queue  # type: ignore[method-assign]

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
        self._places.append(Place(self._owner, self._parser, None, value))

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

    # What waits. -----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return how many commands wait."""
        return sum(place.entry is not None for place in self._places)

    def _take_places(self) -> tuple[list[Place], list[Reply[Any]]]:
        """Return what is queued, values among it, and the commands of it; begin anew."""
        places, self._places = self._places, []
        self._take()
        return places, [place.entry for place in places if place.entry is not None]

    def _drop(self, owner: Replies) -> None:
        """Forget what is queued of a block that raised."""
        self._places = [] if owner is self else [place for place in self._places if place.owner is not owner]
        self._carried.clear()  # a script's text may have been among it


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
