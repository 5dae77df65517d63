"""The pure-Python encoder: words in, one array of bulk strings out.

There is no other form: no inline command, no text glued together. A command is encoded whole, or refused whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from carmine._secret import Secret
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from carmine.types import Arg

__all__ = ["argument_error", "command_words", "encode", "encode_many", "number_bytes", "secret_bytes", "word_bytes"]

_SMALLEST, _LARGEST = -(1 << 63), 1 << 64


def argument_error(word: object) -> UsageError:
    """Return the error for an argument that the protocol cannot carry; it names the type, never the value."""
    kind = type(word).__name__
    if word is None or isinstance(word, bool):
        return UsageError(f"{word} is no command argument; send the string or number that it shall stand for")
    if isinstance(word, float):
        return UsageError("nan is no command argument; Redis stores no such number")
    if isinstance(word, int):
        return UsageError("an int of more than 64 bits is no command argument; send str(...) of it")
    if isinstance(word, str):
        return UsageError("a str with a lone surrogate is no command argument; it has no UTF-8 form")
    if isinstance(word, memoryview):
        return UsageError("a memoryview is no command argument once released, or when not contiguous; send bytes(...)")
    if isinstance(word, (list, tuple, set, frozenset)):
        advice = "pass several as separate arguments (*values)"
    else:
        advice = "send str, bytes, int or float"
    return UsageError(f"a {kind} is no command argument; {advice}, or give the client a serializer")


def command_words(words: object) -> tuple[Arg, ...]:
    """Return a command's words as a tuple: their number cannot change while they are encoded."""
    if not isinstance(words, (str, bytes, bytearray, memoryview)) and isinstance(words, Iterable):
        return tuple(words)
    raise UsageError(f"a command is a sequence of words, not a {type(words).__name__}")


def number_bytes(word: float) -> bytes:
    """Return the text of a number: repr() of a float, decimal digits of an int of up to 64 bits."""
    if isinstance(word, float):
        if math.isnan(word):
            raise argument_error(word)
        return float.__repr__(word).encode()
    number = int.__index__(word)  # past anything that a subclass may have put in its place
    if isinstance(word, bool) or not _SMALLEST <= number < _LARGEST:
        raise argument_error(word)
    return b"%d" % number


def secret_bytes(word: object) -> bytes:
    """Return the bytes that a Secret goes out as; whatever else comes here is no command argument."""
    if isinstance(word, Secret):
        return word.reveal().encode()
    raise argument_error(word)


def word_bytes(word: object) -> bytes:
    """Return the bytes that a word goes out as; of a buffer, a copy that nobody can change any more."""
    if isinstance(word, str):
        try:
            return str.encode(word)
        except UnicodeEncodeError:
            raise argument_error(word) from None
    if type(word) is bytes:
        return word
    if isinstance(word, (int, float)):
        return number_bytes(word)
    if type(word) is bytearray:
        return bytes(word)  # in one step, where an export could stand in the way of another thread
    if isinstance(word, (bytes, bytearray, memoryview)):
        try:
            view = memoryview(word)
            if view.c_contiguous:
                return view.tobytes()
        except ValueError:  # a released memoryview
            pass
    return secret_bytes(word)


def _append(parts: list[bytes], words: tuple[Arg, ...]) -> None:
    if not words:
        raise UsageError("a command needs a name")
    parts.append(b"*%d\r\n" % len(words))
    for word in words:
        data = word_bytes(word)
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))


def encode(*words: Arg) -> bytes:
    """Return one command as an array of bulk strings.

    Args:
        *words: The command's name and arguments: str goes out as UTF-8, bytes-like objects as they are, int and
            float as decimal text.

    Raises:
        UsageError: A word is nothing the protocol can carry (None, bool, nan, an int of more than 64 bits, a
            container), or there is none.
    """
    parts: list[bytes] = []
    _append(parts, words)
    return b"".join(parts)


def encode_many(commands: Iterable[Sequence[Arg]]) -> bytes:
    """Return several commands, each a sequence of words, as one run of bytes; refused whole if one is bad."""
    parts: list[bytes] = []
    for words in commands:
        _append(parts, words if type(words) is tuple else command_words(words))
    return b"".join(parts)
