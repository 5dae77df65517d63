"""Names of keys: parts joined as people write them, `user:7:name`.

A pure room that knows the errors alone. The join is the ancestor's and everybody's, so that other programs find the
keys; it is not injective: `key("a", "b:c")` and `key("a:b", "c")` are one key. Where a part comes from strangers, keep
colons out of it (or its hash in), or two of them can meet in one key.
"""

from __future__ import annotations

from typing import overload

from carmine.errors import UsageError

__all__ = ["key"]


@overload
def key(*parts: str | int) -> str: ...
@overload
def key(*parts: str | int | bytes) -> str | bytes: ...
def key(*parts: str | int | bytes) -> str | bytes:
    """Return the parts of a key's name joined by ":": `key("user", 7, "name")` is `"user:7:name"`.

    Nothing is escaped: a part that holds a colon or braces (a hash tag) is taken as it is, an empty one stays empty.

    Args:
        *parts: Text, whole numbers, or bytes; with bytes among them the name is bytes, the text in UTF-8.

    Raises:
        UsageError: No parts, or one that is something else, as None is.
    """
    if not parts:
        raise UsageError("key takes the parts of a key's name, and got none")
    given: tuple[object, ...] = parts
    for number, part in enumerate(given, 1):
        if not isinstance(part, str | int | bytes) or isinstance(part, bool):
            raise UsageError(f"part {number} of a key's name must be str, int or bytes, not {type(part).__name__}")
    if not any(isinstance(part, bytes) for part in parts):
        return ":".join(map(_text, parts))
    try:
        return b":".join(part if isinstance(part, bytes) else _text(part).encode() for part in parts)
    except UnicodeEncodeError:
        raise UsageError("a part of a key's name holds a lone surrogate, which UTF-8 cannot carry") from None


def _text(part: str | int | bytes) -> str:
    """Return a part as text; a number is never that of an enum's name, which `str` may give."""
    return part if isinstance(part, str) else int.__repr__(int(part))
