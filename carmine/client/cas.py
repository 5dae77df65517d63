"""Compare and set: the scripts, and the marks that a function given to `swap` may return.

A pure room: it sends nothing. What is compared is what is stored, byte by byte, on the server; above 40 bytes the
SHA-1 goes there instead of the value. Invariant: between the comparison and the write nothing else runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from carmine._checks import text
from carmine.client.core import as_text
from carmine.client.lua import Program, ScriptQueue, digest
from carmine.errors import DecodeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from carmine.client.serializing import Serializing
    from carmine.commands.command import Reply, Words
    from carmine.types import Arg, Key

__all__ = [
    "ABORT",
    "DELETE",
    "FIELD",
    "HMSETNX",
    "MISSING",
    "STRING",
    "Mark",
    "Swapped",
    "compared",
    "pairs",
    "reread",
    "stored",
    "swapped",
    "untouched",
]

T = TypeVar("T", bound=str | bytes)

_LONGEST: Final = 40
"""Bytes of a value that is sent itself; its SHA-1 in hexadecimal digits has as many."""


class Mark:
    """A word of `swap` and `compare_and_set`, equal to nothing but itself."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        """Return the name it is imported by."""
        return f"carmine.{self._name}"

    def __reduce__(self) -> str:
        """Pickle the name, so that there is one of each."""
        return self._name


DELETE: Final = Mark("DELETE")
"""Instead of a new value: delete the key, or the field."""

ABORT: Final = Mark("ABORT")
"""What a function given to `swap` returns to leave everything as it is."""

MISSING: Final = Mark("MISSING")
"""Instead of an old value: there must be none."""


class Swapped(NamedTuple):
    """A new value, and what `swap` shall return instead of it."""

    new: Any
    returned: Any


def swapped(new: Any, returned: Any) -> Swapped:
    """Return what a function given to `swap` returns when the caller is to get something else than the new value.

    Args:
        new: The new value, DELETE or ABORT.
        returned: What `swap` returns once the new value is written.
    """
    return Swapped(new, returned)


_COMPARE: Final = """
local same
if ARGV[1] == 'missing' then same = not now
elseif ARGV[1] == 'value' then same = now == ARGV[2]
else same = now and redis.sha1hex(now) == ARGV[2] end
if not same then
  if ARGV[5] ~= 'tell' then return 0 end
  return now and {now} or {}
end
"""

STRING: Final = Program[Any](
    f"""-- Compare and set a string.
-- KEYS[1]: the key. ARGV[1]: "missing", "value" or "sha1", what the old value is compared with; ARGV[2]: that value, or
-- its SHA-1; ARGV[3]: "set" or "delete"; ARGV[4]: the new value; ARGV[5]: "tell" to be told what was found.
-- Returns 1 when it has written; else 0, or {{found}}, {{}} for nothing. The time to live stays.
local now = redis.call('GET', KEYS[1])
{_COMPARE}
if ARGV[3] == 'delete' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[4], 'KEEPTTL') end
return 1
""",
    raw=True,
)

FIELD: Final = Program[Any](
    f"""-- Compare and set a field of a hash.
-- KEYS[1]: the hash. ARGV[1] to ARGV[5]: as for a string; ARGV[6]: the field.
-- Returns as for a string.
local now = redis.call('HGET', KEYS[1], ARGV[6])
{_COMPARE}
if ARGV[3] == 'delete' then redis.call('HDEL', KEYS[1], ARGV[6]) else redis.call('HSET', KEYS[1], ARGV[6], ARGV[4]) end
return 1
""",
    raw=True,
)


def _is_done(told: Any) -> bool:
    return bool(told == 1)


_STRING: Final = STRING.shaped(_is_done)
_FIELD: Final = FIELD.shaped(_is_done)

HMSETNX: Final = Program[bool](
    """-- Set fields of a hash, if it has none of them.
-- KEYS[1]: the hash. ARGV: field, value, field, value ...
-- Returns 1 when it has set them all, 0 when one was there and nothing was set.
for i = 1, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then return 0 end
end
for i = 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
""",
    decode=bool,
)


def compared(old: Any, new: Any, *more: Arg, tell: bool = False) -> Words:
    """Return the arguments of STRING, or with the field behind them those of FIELD.

    Args:
        old: The value that must be stored now, as it is stored; or MISSING.
        new: The value to store; or DELETE.
        *more: What follows.
        tell: Whether the script is to say what it has found where that is not `old`.
    """
    if new is MISSING or new is ABORT:
        raise UsageError(f"{new!r} is no new value; give a value, or carmine.DELETE")
    if old is DELETE or old is ABORT:
        raise UsageError(f"{old!r} is no old value; give a value, or carmine.MISSING")
    if old is MISSING:
        how: tuple[str, Any] = ("missing", "")
    else:
        data = text("old", old).encode() if isinstance(old, str) else old
        is_long = isinstance(data, bytes | bytearray | memoryview) and memoryview(data).nbytes > _LONGEST
        how = ("sha1", digest(bytes(data))) if is_long else ("value", old)
    what: tuple[str, Any] = ("delete", "") if new is DELETE else ("set", new)
    return (*how, *what, "tell" if tell else "", *more)


def stored(serializing: Serializing | None, value: Any) -> Any:
    """Return a value as a client stores it; a mark as it is."""
    return value if serializing is None or isinstance(value, Mark) else serializing.stored(value)


def untouched(serializing: Serializing | None, data: bytes) -> Any:
    """Return what was read as an argument that is sent as it is."""
    return data if serializing is None else serializing.untouched(data)


def reread(serializing: Serializing | None, is_text: bool, data: bytes) -> Any:
    """Return a stored value as a client reads it.

    Raises:
        DecodeError: It is not UTF-8, though text was asked for.
    """
    if serializing is not None:
        return serializing.read(data)
    value = as_text(data) if is_text else data
    if isinstance(value, DecodeError):
        raise value
    return value


def pairs(mapping: Mapping[Any, Any]) -> Words:
    """Return fields and values in a row."""
    if not isinstance(mapping, dict) or not mapping:
        raise UsageError("hmsetnx takes a dict of fields and values, and not an empty one")
    return tuple(word for pair in mapping.items() for word in pair)


class CasQueue(ScriptQueue, Generic[T]):
    """What a pipeline and a transaction have for compare and set."""

    _serializing: Serializing | None

    def compare_and_set(self, key: Key, old: Arg | T | Mark, new: Arg | T | Mark) -> Reply[bool]:
        """Queue: set a key's value if it is still what it was, as `client.compare_and_set` does.

        Args:
            key: The key of a string.
            old: The value that it must have; carmine.MISSING if there must be none.
            new: The value to store; carmine.DELETE deletes the key.
        """
        return self._queue_program(_STRING, (key,), self._compared(old, new))

    def compare_and_hset(self, key: Key, field: Arg | T, old: Arg | T | Mark, new: Arg | T | Mark) -> Reply[bool]:
        """Queue: set a field of a hash if it is still what it was, as `client.compare_and_hset` does.

        Args:
            key: The key of a hash.
            field: The field.
            old: The value that it must have; carmine.MISSING if there must be none.
            new: The value to store; carmine.DELETE deletes the field.
        """
        return self._queue_program(_FIELD, (key,), self._compared(old, new, field))

    def hmsetnx(self, key: Key, mapping: Mapping[Any, Any]) -> Reply[bool]:
        """Queue: set fields of a hash if it has none of them, as `client.hmsetnx` does.

        Args:
            key: The key of a hash.
            mapping: Fields and their values, at least one.
        """
        return self._queue_program(HMSETNX, (key,), pairs(mapping))

    def _compared(self, old: Any, new: Any, *more: Arg) -> Words:
        return compared(stored(self._serializing, old), stored(self._serializing, new), *more)
