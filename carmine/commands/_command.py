"""The pure twin of carmine/_command.pxi: Spec, Command, Reply and the queue of a pipeline.

A command is words (its name and arguments, as they go out) and a Spec: the facts known per name, shared by all
commands of that name and shape. This room knows no client, no connection and no waiting.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeAlias, TypeVar

from carmine.errors import UsageError
from carmine.types import Arg

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Command",
    "Reply",
    "ReplyQueue",
    "Spec",
    "Words",
    "flags_of",
    "modes_of",
    "rows_of",
    "settle_each",
    "words_of",
]

R = TypeVar("R", bound=tuple[Any, ...])
T_co = TypeVar("T_co", covariant=True)

Words: TypeAlias = tuple[Arg, ...]
"""What goes out: the command's name, in one word or two, then its arguments."""


class Spec:
    """The facts of one command name and reply shape; made once, at import, and shared.

    Attributes:
        name: The name in capitals, such as "CONFIG GET".
        flags: Bits of `carmine.commands.flags`.
        decode: Turns the raw reply into the command's result; None where the raw reply is the result.
        text: How strings of the reply are read: None as the client says, True always str, False always bytes.
        block: Where a blocking command says how long it may wait (see `carmine.commands.flags`), or None.
        keys: Where its keys stand among its words, for routing.
    """

    __slots__ = ("block", "decode", "flags", "keys", "name", "text")

    def __init__(
        self,
        name: str,
        flags: int = 0,
        *,
        decode: Callable[[Any], Any] | None = None,
        text: bool | None = None,
        block: tuple[str, int | str] | None = None,
        keys: tuple[Any, ...] = (),
    ) -> None:
        self.name: str = name
        self.flags: int = flags
        self.decode: Callable[[Any], Any] | None = decode
        self.text: bool | None = text
        self.block: tuple[str, int | str] | None = block
        self.keys: tuple[Any, ...] = keys

    def __repr__(self) -> str:
        """Show the name."""
        return f"Spec({self.name!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a Spec is neither copied nor pickled: all commands of its name share it")


class Command(Generic[T_co]):
    """One command, ready to go out; immutable by convention.

    Attributes:
        spec: The facts of its name.
        words: Its name and arguments.
    """

    __slots__ = ("spec", "words")

    spec: Spec
    words: Words

    def __init__(self, spec: Spec, words: Words) -> None:
        self.spec = spec
        self.words = words

    def __repr__(self) -> str:
        """Show the name and how many arguments follow, never the arguments."""
        return f"<Command {self.spec.name} with {len(self.words) - 1} more words>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a Command is neither copied nor pickled: call its function again, with the same arguments")


_PENDING: Final = object()


class Reply(Generic[T_co]):
    """The reply that a queued command will have: an entry of a pipeline's queue, and what its caller holds."""

    __slots__ = ("_outcome", "spec", "words")

    spec: Spec
    words: Words

    def __init__(self, spec: Spec, words: Words) -> None:
        self.spec = spec
        self.words = words
        self._outcome: Any = _PENDING

    @property
    def value(self) -> T_co:
        """The reply.

        Raises:
            UsageError: The pipeline has not been sent.
            CarmineError: What befell this command.
        """
        outcome = self._outcome
        if outcome is _PENDING:
            raise UsageError(f"the reply of {self.spec.name} is not here yet; it comes when the pipeline is sent")
        if isinstance(outcome, BaseException):
            raise outcome
        result: T_co = outcome
        return result

    @property
    def error(self) -> BaseException | None:
        """What befell this command; None if it went well or was not sent yet."""
        return self._outcome if isinstance(self._outcome, BaseException) else None

    @property
    def is_settled(self) -> bool:
        """Whether the reply, or an error in its place, is here."""
        return self._outcome is not _PENDING

    def settle(self, outcome: Any) -> None:
        """Put the value, or the exception to be raised, in place; for the pipeline alone."""
        self._outcome = outcome

    def __repr__(self) -> str:
        """Show the command's name and whether the reply is here, never the value."""
        state = "settled" if self.is_settled else "pending"
        return f"<Reply of {self.spec.name}, {state}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a Reply is neither copied nor pickled: take its value, once the pipeline was sent")


class ReplyQueue:
    """The entries of a pipeline, in order.

    Args:
        refused: Flag bits of commands that have no place in it.
        refuse: Called with the Spec of such a command; raises.
    """

    __slots__ = ("_entries", "_refuse", "_refused")

    def __init__(self, refused: int, refuse: Callable[[Spec], object]) -> None:
        self._entries: list[Reply[Any]] = []
        self._refused = refused
        self._refuse = refuse

    def add(self, spec: Spec, words: Words) -> Reply[Any]:
        """Queue a command and return the Reply it will have."""
        if spec.flags & self._refused:
            self._refuse(spec)
        reply: Reply[Any] = Reply(spec, words)
        self._entries.append(reply)
        return reply

    def take(self) -> list[Reply[Any]]:
        """Return the entries and begin anew."""
        entries, self._entries = self._entries, []
        return entries

    def __len__(self) -> int:
        """Return how many entries wait."""
        return len(self._entries)


def flags_of(entries: list[Reply[Any]]) -> tuple[int, int]:
    """Return the flag bits that every entry has, and those that at least one has."""
    common, some = -1, 0
    for entry in entries:
        common &= entry.spec.flags
        some |= entry.spec.flags
    return common, some


def words_of(entries: list[Reply[Any]]) -> list[Words]:
    """Return the words of each entry."""
    return [entry.words for entry in entries]


def modes_of(entries: list[Reply[Any]], text: bool) -> bytes | None:
    """Return one byte per entry that says whether its reply's strings are text; None where all are as `text`."""
    if all(entry.spec.text is None for entry in entries):
        return None
    return bytes(text if entry.spec.text is None else entry.spec.text for entry in entries)


def settle_each(entries: list[Reply[Any]], replies: list[Any], slowly: Callable[[Reply[Any], Any], object]) -> None:
    """Give entries their raw replies; `slowly(entry, reply)` takes those that need shaping, and errors."""
    for entry, reply in zip(entries, replies, strict=False):
        if entry.spec.decode is None and not isinstance(reply, BaseException):
            entry.settle(reply)
        else:
            slowly(entry, reply)


def rows_of(cls: type[R], items: list[Any]) -> list[R]:
    """Return each pair of a list as `cls`, a named tuple of two; the list itself where one is no pair."""
    if any(type(item) is not list or len(item) != 2 for item in items):
        return items
    return list(map(partial(tuple.__new__, cls), items))
