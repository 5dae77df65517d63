"""Commands on vector sets: elements with a vector, found by likeness. Redis has them from 8.0 (its module "vectorset").

A vector goes out as numbers, or as bytes of 32-bit floats in this machine's order (`array("f", numbers).tobytes()`).
Attributes are JSON text; a dict is made into it. Names of elements go out as they are, a serializer leaves them alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Unpack, overload

from carmine.commands import decoders
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.errors import UsageError
from carmine.geo_types import VectorData, VectorMatch
from carmine.types import ScoredMember

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from carmine.types import Arg, Key

Vector: TypeAlias = "Iterable[float] | bytes"
"""Numbers, or bytes of 32-bit floats."""


class VectorSearch(TypedDict, total=False):
    """What every form of `vsim` takes; its definition says what each is for."""

    element: Arg | None
    vector: Vector | None
    count: int | None
    epsilon: float | None
    ef: int | None
    filter: str | None
    filter_ef: int | None
    truth: bool
    nothread: bool


Attributes: TypeAlias = "Mapping[str, Any] | str"
"""JSON text, or a dict that becomes it."""


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else value


def _numbers(raw: Any) -> list[float] | None:
    return None if raw is None else list(map(float, raw))


def _vector_data(raw: Any) -> VectorData | None:
    if raw is None:
        return None
    quantization, data, norm, *rest = raw
    return VectorData(quantization.decode(), data, float(norm), float(rest[0]) if rest else None)


def _scored(raw: Any) -> list[ScoredMember[Any]]:
    return [ScoredMember(member, float(score)) for member, score in decoders.mapping(raw).items()]


def _layers(raw: Any) -> list[list[ScoredMember[Any]]] | None:
    return None if raw is None else list(map(_scored, raw))


def _matches(raw: Any) -> list[VectorMatch[Any]]:
    """A map of `[score, attributes]`, or on RESP2 `[member, score, attributes, ...]` -> a list of VectorMatch."""
    if isinstance(raw, dict):
        return [VectorMatch(member, float(score), _text(told)) for member, (score, told) in raw.items()]
    each = iter(raw)
    return [
        VectorMatch(member, float(score), _text(told)) for member, score, told in zip(each, each, each, strict=True)
    ]


def _info(raw: Any) -> dict[str, Any] | None:
    return None if raw is None else decoders.mapping(raw)


_VADD = spec("VADD", decoders.flag)
_VCARD = spec("VCARD")
_VDIM = spec("VDIM")
_VEMB = spec("VEMB", _numbers)
_VEMB_RAW = spec("VEMB", _vector_data, text=False)
_VGETATTR = spec("VGETATTR", text=True)
_VINFO = spec("VINFO", _info, text=True)
_VISMEMBER = spec("VISMEMBER", decoders.flag)
_VLINKS = spec("VLINKS")
_VLINKS_SCORES = spec("VLINKS", _layers)
_VRANDMEMBER = spec("VRANDMEMBER")
_VREM = spec("VREM", decoders.flag)
_VSETATTR = spec("VSETATTR", decoders.flag)
_VSIM = spec("VSIM")
_VSIM_SCORES = spec("VSIM", _scored)
_VSIM_MATCHES = spec("VSIM", _matches)


def _vector(command: str, vector: Vector) -> tuple[Arg, ...]:
    """Return the words of a vector."""
    if isinstance(vector, bytes):
        return (b"FP32", vector)
    try:
        numbers = tuple(vector)
    except TypeError:
        numbers = ()
    if not numbers or isinstance(vector, str):
        raise UsageError(f"{command} takes a vector as numbers, at least one, or as bytes of 32-bit floats")
    return (b"VALUES", len(numbers), *numbers)


def _attributes(command: str, attributes: Attributes) -> str:
    """Return attributes as JSON text."""
    if isinstance(attributes, str):
        return attributes
    try:
        return json.dumps(dict(attributes), separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        raise UsageError(f"{command} takes attributes as JSON text, or as a dict that JSON can hold") from None


def vadd(
    key: Key,
    vector: Vector,
    element: Arg,
    *,
    reduce: int | None = None,
    cas: bool = False,
    quantization: Literal["NOQUANT", "Q8", "BIN"] | None = None,
    ef: int | None = None,
    attributes: Attributes | None = None,
    numlinks: int | None = None,
) -> Command[bool]:
    """VADD: put an element with its vector into a vector set, or give it another vector.

    Args:
        key: The vector set; the first element decides its dimension and how vectors are kept.
        vector: As many numbers as all others have.
        element: Its name.
        reduce: Keep so many dimensions only, by a random projection.
        cas: Search for neighbours in a thread of the server's, which blocks others less.
        quantization: Keep whole numbers, bytes (as without it) or bits.
        ef: How hard to look for neighbours; 200 when not given.
        attributes: What `vsim` can filter by.
        numlinks: How many links an element has at most; 16 when not given.

    Returns:
        Whether the element is new.

    Raises:
        UsageError: The vector or the attributes are none.

    Since: Redis 8.0.0, not on Valkey. Cost: O(log(elements)). Source: redis.io/commands/vadd
    """
    words: list[Arg] = [b"VADD", key]
    if reduce is not None:
        words += (b"REDUCE", reduce)
    words += (*_vector("VADD", vector), element)
    if cas:
        words.append(b"CAS")
    if quantization is not None:
        words.append(quantization)
    if ef is not None:
        words += (b"EF", ef)
    if attributes is not None:
        words += (b"SETATTR", _attributes("VADD", attributes))
    if numlinks is not None:
        words += (b"M", numlinks)
    return Command(_VADD, tuple(words))


def vcard(key: Key) -> Command[int]:
    """VCARD: count the elements; 0 where there is no vector set.

    Since: Redis 8.0.0, not on Valkey. Cost: O(1). Source: redis.io/commands/vcard
    """
    return Command(_VCARD, (b"VCARD", key))


def vdim(key: Key) -> Command[int]:
    """VDIM: read how many numbers the vectors have.

    Raises:
        ServerError: There is no such vector set.

    Since: Redis 8.0.0, not on Valkey. Cost: O(1). Source: redis.io/commands/vdim
    """
    return Command(_VDIM, (b"VDIM", key))


@overload
def vemb(key: Key, element: Arg, *, raw: Literal[False] = False) -> Command[list[float] | None]: ...
@overload
def vemb(key: Key, element: Arg, *, raw: Literal[True]) -> Command[VectorData | None]: ...
@overload
def vemb(key: Key, element: Arg, *, raw: bool) -> Command[list[float] | VectorData | None]: ...
def vemb(key: Key, element: Arg, *, raw: bool = False) -> Command[Any]:
    """VEMB: read the vector of an element, about as it was given; None where there is none.

    Args:
        key: The vector set.
        element: The name.
        raw: As the server holds it.

    Since: Redis 8.0.0, not on Valkey. Cost: O(dimensions). Source: redis.io/commands/vemb
    """
    return Command(_VEMB_RAW, (b"VEMB", key, element, b"RAW")) if raw else Command(_VEMB, (b"VEMB", key, element))


def vgetattr(key: Key, element: Arg) -> Command[str | None]:
    """VGETATTR: read the attributes of an element, the JSON text that was set; None where it has none.

    Since: Redis 8.0.0, not on Valkey. Cost: O(1). Source: redis.io/commands/vgetattr
    """
    return Command(_VGETATTR, (b"VGETATTR", key, element))


def vinfo(key: Key) -> Command[dict[str, Any] | None]:
    """VINFO: read what the server knows of a vector set, such as "size" and "vector-dim"; None where there is none.

    Since: Redis 8.0.0, not on Valkey. Cost: O(1). Source: redis.io/commands/vinfo
    """
    return Command(_VINFO, (b"VINFO", key))


def vismember(key: Key, element: Arg) -> Command[bool]:
    """VISMEMBER: tell whether an element is there.

    Since: Redis 8.0.0, not on Valkey. Cost: O(1). Source: redis.io/commands/vismember
    """
    return Command(_VISMEMBER, (b"VISMEMBER", key, element))


@overload
def vlinks(key: Key, element: Arg, *, withscores: Literal[False] = False) -> Command[list[list[Text]] | None]: ...
@overload
def vlinks(key: Key, element: Arg, *, withscores: Literal[True]) -> Command[list[list[ScoredMember[Text]]] | None]: ...
@overload
def vlinks(
    key: Key, element: Arg, *, withscores: bool
) -> Command[list[list[Text]] | list[list[ScoredMember[Text]]] | None]: ...
def vlinks(key: Key, element: Arg, *, withscores: bool = False) -> Command[Any]:
    """VLINKS: read to which elements one is linked, layer by layer from the highest; None where there is none.

    Args:
        key: The vector set.
        element: The name.
        withscores: Tell how alike they are.

    Since: Redis 8.0.0, not on Valkey. Cost: O(links). Source: redis.io/commands/vlinks
    """
    if withscores:
        return Command(_VLINKS_SCORES, (b"VLINKS", key, element, b"WITHSCORES"))
    return Command(_VLINKS, (b"VLINKS", key, element))


@overload
def vrandmember(key: Key) -> Command[Text | None]: ...
@overload
def vrandmember(key: Key, count: int) -> Command[list[Text]]: ...
def vrandmember(key: Key, count: int | None = None) -> Command[Any]:
    """VRANDMEMBER: get elements by chance.

    Args:
        key: The vector set.
        count: So many different ones at most; below zero so many, some of them perhaps twice.

    Returns:
        One element or None; with `count` a list.

    Since: Redis 8.0.0, not on Valkey. Cost: O(count). Source: redis.io/commands/vrandmember
    """
    return Command(_VRANDMEMBER, (b"VRANDMEMBER", key) if count is None else (b"VRANDMEMBER", key, count))


def vrem(key: Key, element: Arg) -> Command[bool]:
    """VREM: remove an element.

    Returns:
        Whether it was there.

    Since: Redis 8.0.0, not on Valkey. Cost: O(log(elements)). Source: redis.io/commands/vrem
    """
    return Command(_VREM, (b"VREM", key, element))


def vsetattr(key: Key, element: Arg, attributes: Attributes) -> Command[bool]:
    """VSETATTR: give an element other attributes; an empty text takes them away.

    Returns:
        Whether the element is there.

    Raises:
        UsageError: The attributes are neither text nor a dict that JSON can hold.

    Since: Redis 8.0.0, not on Valkey. Cost: O(1). Source: redis.io/commands/vsetattr
    """
    return Command(_VSETATTR, (b"VSETATTR", key, element, _attributes("VSETATTR", attributes)))


@overload
def vsim(
    key: Key,
    *,
    withscores: Literal[False] = False,
    withattribs: Literal[False] = False,
    **search: Unpack[VectorSearch],
) -> Command[list[Text]]: ...
@overload
def vsim(
    key: Key,
    *,
    withscores: Literal[True],
    withattribs: Literal[False] = False,
    **search: Unpack[VectorSearch],
) -> Command[list[ScoredMember[Text]]]: ...
@overload
def vsim(
    key: Key,
    *,
    withscores: bool = False,
    withattribs: Literal[True],
    **search: Unpack[VectorSearch],
) -> Command[list[VectorMatch[Text]]]: ...
@overload
def vsim(
    key: Key,
    *,
    withscores: bool = False,
    withattribs: bool = False,
    **search: Unpack[VectorSearch],
) -> Command[list[Text] | list[ScoredMember[Text]] | list[VectorMatch[Text]]]: ...
def vsim(
    key: Key,
    *,
    element: Arg | None = None,
    vector: Vector | None = None,
    withscores: bool = False,
    withattribs: bool = False,
    count: int | None = None,
    epsilon: float | None = None,
    ef: int | None = None,
    filter: str | None = None,
    filter_ef: int | None = None,
    truth: bool = False,
    nothread: bool = False,
) -> Command[Any]:
    """VSIM: find the elements that are most like a vector, the likest first.

    Args:
        key: The vector set.
        element: Like this element.
        vector: Or like this vector.
        withscores: Tell how alike: from 1, the same direction, to 0, the opposite one.
        withattribs: Tell that and the attributes (from 8.2).
        count: How many at most; 10 when not given.
        epsilon: Only those whose score is at least 1 - epsilon (from 8.2).
        ef: How hard to search; more finds more of the likest, slower.
        filter: Only those whose attributes fit, such as `.year >= 1980 and .rating > 7`.
        filter_ef: How many to try the filter on at most.
        truth: Compare with every element: exact, and slow.
        nothread: Search in the server's main thread.

    Returns:
        Elements; ScoredMember for `withscores`; VectorMatch for `withattribs`; none where there is no such key.

    Raises:
        UsageError: Not exactly one of `element` and `vector`.

    Wire: A map on RESP3, a flat list with text for numbers on RESP2.

    Since: Redis 8.0.0, not on Valkey. Cost: O(log(elements)). Source: redis.io/commands/vsim
    """
    if (element is None) is (vector is None):
        raise UsageError("VSIM takes either an element or a vector")
    words: list[Arg] = [b"VSIM", key]
    if vector is not None:
        words += _vector("VSIM", vector)
    elif element is not None:
        words += (b"ELE", element)
    if withscores or withattribs:
        words.append(b"WITHSCORES")
    if withattribs:
        words.append(b"WITHATTRIBS")
    options: tuple[tuple[bytes, Arg | None], ...] = (
        (b"COUNT", count),
        (b"EPSILON", epsilon),
        (b"EF", ef),
        (b"FILTER", filter),
        (b"FILTER-EF", filter_ef),
    )
    words += (word for name, value in options if value is not None for word in (name, value))
    words += (token for token, given in ((b"TRUTH", truth), (b"NOTHREAD", nothread)) if given)
    shape = _VSIM_MATCHES if withattribs else _VSIM_SCORES if withscores else _VSIM
    return Command(shape, tuple(words))
