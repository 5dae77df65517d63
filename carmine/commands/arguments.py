"""Several keys or arguments, limits and waiting times: what commands of several groups take, made into words.

Pure, as `words.py`. A mistake found here is a UsageError before a byte is sent; it names the command, never a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from carmine._checks import is_timedelta
from carmine._secret import Secret
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.types import Arg, Items, Key, Seconds

__all__ = ["Password", "block_time", "hidden", "limit", "scored_words", "some_args", "some_keys"]

Password: TypeAlias = "str | Secret"
"""A password: a `carmine.Secret` stays out of what reporters print of the frames it passes, a str of those below."""

_ONE: Final = (str, bytes, bytearray, memoryview)
_SHORTEST: Final = 0.0011
"""Seconds. Redis 6.2 cuts a timeout down to whole milliseconds and takes the 0 that may be left for "for ever"; it cuts
0.001 down to 0 too, since it counts in binary fractions."""


def block_time(timeout: Seconds) -> float:
    """Return the seconds that a blocking command may wait; 0 is for ever.

    Raises:
        UsageError: It is no number from 0 up.
    """
    if type(timeout) is int and timeout >= 0:
        return timeout
    seconds: Any = timeout.total_seconds() if is_timedelta(timeout) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise UsageError("timeout must be a number of seconds from 0 up, or a timedelta; 0 waits for ever")
    return _SHORTEST if 0 < seconds < _SHORTEST else seconds


def hidden(password: Password) -> Arg:
    """Return a password as a word that shows itself as `***`; the encoders know how to send it.

    Raises:
        UsageError: It is no text.
    """
    return password if isinstance(password, Secret) else Secret(password)  # type: ignore[return-value]  # a word, see above


def limit(command: str, offset: int | None, num: int | None) -> tuple[Arg, ...]:
    """Return the words LIMIT offset num; none where neither is given.

    Raises:
        UsageError: One is given without the other.
    """
    if offset is None and num is None:
        return ()
    if offset is None or num is None:
        raise UsageError(f"{command} takes offset and num together")
    return (b"LIMIT", offset, num)


def scored_words(words: tuple[Arg, ...], withscores: bool) -> tuple[Arg, ...]:
    """Return the words, with WITHSCORES behind them where scores are wanted."""
    return (*words, b"WITHSCORES") if withscores else words


def some_args(command: str, args: Arg | Iterable[Arg]) -> tuple[Arg, ...]:
    """Return arguments as a tuple; one string stands for itself, not for its letters.

    Raises:
        UsageError: They cannot be gone through.
    """
    if isinstance(args, _ONE):
        return (cast("Arg", args),)
    try:
        return tuple(cast("Iterable[Arg]", args))
    except TypeError:
        raise UsageError(
            f"{command} takes several of these as a list or a tuple, not as {type(args).__name__}"
        ) from None


def some_keys(command: str, keys: Key | Iterable[Key] | Items[Key, Any]) -> tuple[Arg, ...]:
    """Return keys, those of a mapping too, as a tuple of at least one.

    Raises:
        UsageError: There is none.
    """
    found = some_args(command, keys.keys() if isinstance(keys, Mapping) else keys)  # type: ignore[arg-type]  # checked
    if not found:
        raise UsageError(f"{command} needs at least one key")
    return found
