"""From the shape on the wire to the shape in Python: RESP2 and RESP3 give the same result.

Decoders know no command and no client. They take strings as str or bytes, whichever the client reads, and leave an
error inside an aggregate where it stands. An error in place of the whole reply never comes here.
Where the raw reply is the result on both protocols a command has no decoder at all: that is the fastest one.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from carmine.commands.command import rows_of
from carmine.protocol.values import Pairs, Verbatim
from carmine.types import ScanPage, ScoredMember

__all__ = [
    "document",
    "double",
    "doubles",
    "flag",
    "flags",
    "mapping",
    "maybe_double",
    "maybe_flag",
    "maybe_scored_member",
    "member_page",
    "members",
    "ok",
    "pair_page",
    "pairs",
    "plain_page",
    "scored",
    "scored_page",
]

Raw = Any
"""A reply as the parser gives it."""

_scored_member: Final = partial(tuple.__new__, ScoredMember)
"""`(member, score)` as a ScoredMember without going through its constructor: three times as fast."""

flag = bool
"""0 or 1, #f or #t -> False or True."""


def ok(raw: Raw) -> bool:
    """OK -> True; a null (the condition was not met) -> False."""
    return raw is not None


def maybe_flag(raw: Raw) -> bool | None:
    """0 or 1 -> False or True; a null stays None."""
    return None if raw is None else bool(raw)


def flags(raw: Raw) -> list[bool]:
    """A list of 0 and 1 -> a list of bools."""
    return [bool(item) if isinstance(item, int) else item for item in raw]


def double(raw: Raw) -> float:
    """A double, or its text on RESP2 -> float."""
    return float(raw)


def maybe_double(raw: Raw) -> float | None:
    """A double or its text -> float; a null stays None."""
    return None if raw is None else float(raw)


def doubles(raw: Raw) -> list[float | None]:
    """A list of doubles, texts and nulls -> a list of float and None."""
    return list(map(_float, raw))


def _float(item: Raw) -> Any:
    """A double or its text -> float; a null, or an error, stays what it is."""
    try:
        return float(item)
    except TypeError:
        return item


def document(raw: Raw) -> Any:
    """A verbatim string (RESP3) -> its text; a bulk string is that already."""
    return raw.data if type(raw) is Verbatim else raw


def members(raw: Raw) -> set[Any]:
    """A set, or a list of members on RESP2 -> set."""
    return raw if type(raw) is set else set(raw)


def mapping(raw: Raw) -> dict[Any, Any]:
    """A map, or `[key, value, key, value, ...]` on RESP2 -> dict."""
    if type(raw) is dict:
        return raw
    if type(raw) is Pairs:
        return dict(raw)
    each = iter(raw)
    return dict(zip(each, each, strict=True))


def pairs(raw: Raw) -> list[tuple[Any, Any]]:
    """`[[a, b], ...]`, or `[a, b, a, b, ...]` on RESP2 -> `[(a, b), ...]`."""
    if raw and type(raw[0]) is list:
        return [(a, b) for a, b in raw]
    each = iter(raw)
    return list(zip(each, each, strict=True))


def scored(raw: Raw) -> list[ScoredMember[Any]]:
    """`[[member, double], ...]`, or `[member, text, member, text, ...]` on RESP2 -> a list of ScoredMember."""
    if raw and type(raw[0]) is list:
        return rows_of(ScoredMember, raw)
    try:
        return list(map(_scored_member, zip(raw[::2], map(float, raw[1::2]), strict=True)))
    except TypeError:  # an error among the scores
        return list(map(_scored_member, zip(raw[::2], map(_float, raw[1::2]), strict=True)))


def maybe_scored_member(raw: Raw) -> ScoredMember[Any] | None:
    """`[member, score]` -> ScoredMember; an empty list or a null -> None."""
    return ScoredMember(raw[0], float(raw[1])) if raw else None


def plain_page(raw: Raw) -> ScanPage[list[Any]]:
    """`[cursor, [item, ...]]` -> ScanPage of a list."""
    cursor, items = raw
    return ScanPage(int(cursor), items)


member_page = plain_page
"""The page of SSCAN and SCAN: members may come twice over several pages, so they stay a list."""


def pair_page(raw: Raw) -> ScanPage[dict[Any, Any]]:
    """`[cursor, [field, value, ...]]` -> ScanPage of a dict."""
    cursor, items = raw
    return ScanPage(int(cursor), mapping(items))


def scored_page(raw: Raw) -> ScanPage[list[ScoredMember[Any]]]:
    """`[cursor, [member, score, ...]]` -> ScanPage of a list of ScoredMember."""
    cursor, items = raw
    return ScanPage(int(cursor), scored(items))
