"""The pure-Python encoder: words in, one array of bulk strings out.

There is no other form: no inline command, no text glued together. A command is encoded whole, or refused whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from carmine.errors import UsageError
from carmine.types import Arg

__all__ = ["argument_error", "encode", "encode_many", "number_bytes"]

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
        return UsageError("a memoryview that is not contiguous is no command argument; send bytes(...) of it")
    return UsageError(
        f"a {kind} is no command argument; send str, bytes, int or float, or give the client a serializer"
    )


def number_bytes(word: int | float) -> bytes:
    """Return the text of a number: repr() of a float, decimal digits of an int of up to 64 bits."""
    if isinstance(word, float):
        if word != word:
            raise argument_error(word)
        return repr(float(word)).encode()
    if isinstance(word, bool) or not _SMALLEST <= word < _LARGEST:
        raise argument_error(word)
    return b"%d" % word


def _word_bytes(word: Arg) -> bytes | memoryview | bytearray:
    if isinstance(word, str):
        try:
            return word.encode()
        except UnicodeEncodeError:
            raise argument_error(word) from None
    if isinstance(word, bytes):
        return word
    if isinstance(word, (int, float)):
        return number_bytes(word)
    if isinstance(word, bytearray):
        return bytes(word)  # a snapshot: another thread may change it between its length and its copy
    try:
        view = memoryview(word)
        if not view.c_contiguous:
            raise argument_error(view)
        return view.tobytes()
    except (TypeError, ValueError):  # no buffer, or a released one
        raise argument_error(word) from None


def _append(parts: list[bytes | memoryview | bytearray], words: Sequence[Arg]) -> None:
    if not words:
        raise UsageError("a command needs a name")
    parts.append(b"*%d\r\n" % len(words))
    for word in words:
        data = _word_bytes(word)
        parts.append(b"$%d\r\n" % len(data))
        parts.append(data)
        parts.append(b"\r\n")


def encode(*words: Arg) -> bytes:
    """Return one command as an array of bulk strings.

    Args:
        *words: The command's name and arguments: str goes out as UTF-8, bytes-like objects as they are, int and
            float as decimal text.

    Raises:
        UsageError: A word is nothing the protocol can carry (None, bool, nan, an int of more than 64 bits, a
            container), or there is none.
    """
    parts: list[bytes | memoryview | bytearray] = []
    _append(parts, words)
    return b"".join(parts)


def encode_many(commands: Iterable[Sequence[Arg]]) -> bytes:
    """Return several commands, each a sequence of words, as one run of bytes; refused whole if one is bad."""
    parts: list[bytes | memoryview | bytearray] = []
    for words in commands:
        _append(parts, words)
    return b"".join(parts)
