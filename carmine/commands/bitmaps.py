"""Commands of the group "bitmap": strings as rows of bits, and as whole numbers of a few bits each.

A bit is a bool here, in arguments and in replies. Positions are counted from 0, negative ones from the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from carmine.commands import decoders
from carmine.commands.command import Command
from carmine.commands.specs import spec
from carmine.errors import UsageError

if TYPE_CHECKING:
    from carmine.types import Arg, Key

BitOperation: TypeAlias = (
    tuple[Literal["GET"], str, int | str]
    | tuple[Literal["SET", "INCRBY"], str, int | str, int]
    | tuple[Literal["OVERFLOW"], Literal["WRAP", "SAT", "FAIL"]]
)
"""One step of BITFIELD: its name, the encoding ("u8", "i5"), the offset (in bits, or "#2": in numbers), the value."""

_BITCOUNT = spec("BITCOUNT")
_BITFIELD = spec("BITFIELD")
_BITFIELD_RO = spec("BITFIELD_RO")
_BITOP = spec("BITOP")
_BITPOS = spec("BITPOS")
_GETBIT = spec("GETBIT", decoders.flag)
_SETBIT = spec("SETBIT", decoders.flag)

_PARTS = {"GET": 3, "SET": 4, "INCRBY": 4, "OVERFLOW": 2}


def _bit(command: str, value: object) -> int:
    """Return a bit as it goes out."""
    if not isinstance(value, int) or value not in (0, 1):
        raise UsageError(f"{command} takes a bit as True or False, or as 1 or 0")
    return int(value)


def _unit(command: str, unit: str | None) -> tuple[Arg, ...]:
    if unit not in (None, "BYTE", "BIT"):
        raise UsageError(f'{command} takes "BYTE" or "BIT" as its unit')
    return () if unit is None else (unit,)


def _steps(operations: tuple[Any, ...]) -> list[Arg]:
    words: list[Arg] = []
    for each in operations:
        name = each[0] if isinstance(each, tuple | list) and each else None
        if not isinstance(name, str) or _PARTS.get(name) != len(each):
            raise UsageError(
                'BITFIELD takes steps as ("GET", encoding, offset), ("SET", encoding, offset, value), '
                '("INCRBY", encoding, offset, increment) or ("OVERFLOW", "WRAP", "SAT" or "FAIL")'
            )
        words += each
    return words


def bitcount(
    key: Key, start: int | None = None, end: int | None = None, unit: Literal["BYTE", "BIT"] | None = None
) -> Command[int]:
    """BITCOUNT: count the bits that are set.

    Args:
        key: The string; 0 where it is missing.
        start: The first byte, or bit, that counts.
        end: The last one; the last of all when not given.
        unit: What `start` and `end` count: bytes when not given (from 7.0).

    Raises:
        UsageError: An end or a unit without a start.

    Since: 2.6.0. Cost: O(bytes). Source: redis.io/commands/bitcount
    """
    if start is None:
        if end is not None or unit is not None:
            raise UsageError("BITCOUNT takes end and unit only with start")
        return Command(_BITCOUNT, (b"BITCOUNT", key))
    return Command(_BITCOUNT, (b"BITCOUNT", key, start, -1 if end is None else end, *_unit("BITCOUNT", unit)))


def bitfield(key: Key, *operations: BitOperation) -> Command[list[int | None]]:
    """BITFIELD: read, set and increment whole numbers within a string, all in one step.

    Args:
        key: The string; made, or made longer, as needed.
        *operations: In this order: `("GET", "u8", 0)`, `("SET", "i5", "#3", 7)`, `("INCRBY", "u2", 100, 1)`;
            and `("OVERFLOW", "FAIL")` for those behind it: WRAP (as without it), SAT (the limit), FAIL.

    Returns:
        For each but OVERFLOW the number there: before SET, after INCRBY; None where FAIL kept it as it was.

    Raises:
        UsageError: A step that is none.

    Since: 3.2.0. Cost: O(operations). Source: redis.io/commands/bitfield
    """
    return Command(_BITFIELD, (b"BITFIELD", key, *_steps(operations)))


def bitfield_ro(key: Key, *fields: tuple[str, int | str]) -> Command[list[int]]:
    """BITFIELD_RO: read whole numbers within a string; replicas may answer it.

    Args:
        key: The string.
        *fields: Encoding and offset of each, such as `("u8", 0)`.

    Raises:
        UsageError: A field that is none.

    Since: 6.0.0. Cost: O(fields). Source: redis.io/commands/bitfield_ro
    """
    return Command(_BITFIELD_RO, (b"BITFIELD_RO", key, *_steps(tuple(("GET", *field) for field in fields))))


def bitop(
    operation: Literal["AND", "OR", "XOR", "NOT", "DIFF", "DIFF1", "ANDOR", "ONE"], destination: Key, *keys: Key
) -> Command[int]:
    """BITOP: combine strings bit by bit, and store what comes of it.

    Args:
        operation: NOT takes one key; DIFF, DIFF1, ANDOR and ONE are from Redis 8.2.
        destination: Where the result goes.
        *keys: The strings; a missing one is all zeros.

    Returns:
        How many bytes the result has.

    Since: 2.6.0. Cost: O(bytes). Source: redis.io/commands/bitop
    """
    return Command(_BITOP, (b"BITOP", operation, destination, *keys))


def bitpos(
    key: Key,
    bit: bool | Literal[0, 1],
    start: int | None = None,
    end: int | None = None,
    unit: Literal["BYTE", "BIT"] | None = None,
) -> Command[int]:
    """BITPOS: find the first bit that is set, or not.

    Args:
        key: The string.
        bit: What to look for.
        start: The first byte, or bit, to look at.
        end: The last one. Without it the string counts as followed by zeros without end.
        unit: What `start` and `end` count: bytes when not given (from 7.0).

    Returns:
        Its position, counted in bits from the beginning of the string; -1 where there is none.

    Raises:
        UsageError: An end without a start, a unit without an end, or no bit.

    Since: 2.8.7. Cost: O(bytes). Source: redis.io/commands/bitpos
    """
    if (start is None and end is not None) or (end is None and unit is not None):
        raise UsageError("BITPOS takes end only with start, and unit only with end")
    limits = tuple(each for each in (start, end) if each is not None)
    return Command(_BITPOS, (b"BITPOS", key, _bit("BITPOS", bit), *limits, *_unit("BITPOS", unit)))


def getbit(key: Key, offset: int) -> Command[bool]:
    """GETBIT: read a bit; False beyond the end.

    Since: 2.2.0. Cost: O(1). Source: redis.io/commands/getbit
    """
    return Command(_GETBIT, (b"GETBIT", key, offset))


def setbit(key: Key, offset: int, value: bool | Literal[0, 1]) -> Command[bool]:
    """SETBIT: set or clear a bit; a string that is too short grows, with zeros.

    Returns:
        The bit that was there.

    Raises:
        UsageError: The value is no bit.

    Since: 2.2.0. Cost: O(1), or O(offset) when it grows. Source: redis.io/commands/setbit
    """
    return Command(_SETBIT, (b"SETBIT", key, offset, _bit("SETBIT", value)))
