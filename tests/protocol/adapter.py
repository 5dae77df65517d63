"""The adapter through which check_vectors.py drives one twin: CARMINE_IMPL of its process picks it."""

from __future__ import annotations

import math
from typing import Any

from carmine.errors import ProtocolError, ServerError
from carmine.protocol import NEED_DATA, Attributed, Members, Pairs, Parser, Push, Verbatim

CAPS = {"simple": False, "verbatim": True, "bignum": False, "attr": True, "set": True, "map_order": True}


def tag(value: Any) -> dict[str, Any]:
    """Return the vectors' notation of a value, without recursion on depth."""
    if isinstance(value, Attributed):
        return {"t": "attr", "attrs": pairs(value.attributes), "v": tag(value.value)}
    if isinstance(value, Verbatim):
        assert isinstance(value.data, bytes)
        return {"t": "verbatim", "fmt": value.format, "hex": value.data.hex()}
    if isinstance(value, ServerError):
        return {"t": "error", "code": value.code, "message": value.message}
    if value is None:
        return {"t": "null"}
    if isinstance(value, bool):
        return {"t": "bool", "v": value}
    if isinstance(value, int):
        return {"t": "int", "v": _decimal(value)}
    if isinstance(value, float):
        return {"t": "double", "v": "nan" if math.isnan(value) else repr(value)}
    if isinstance(value, bytes):
        return {"t": "bulk", "hex": value.hex()}
    if isinstance(value, (dict, Pairs)):
        return {"t": "map", "v": pairs(value)}
    if isinstance(value, Push):
        return {"t": "push", "v": [tag(item) for item in value]}
    if isinstance(value, (set, Members)):
        return {"t": "set", "v": [tag(item) for item in value]}
    assert type(value) is list, type(value)
    return {"t": "array", "v": [tag(item) for item in value]}


def pairs(value: dict[Any, Any] | Pairs) -> list[list[dict[str, Any]]]:
    """Return a map's pairs in the vectors' notation."""
    items = value.items() if isinstance(value, dict) else value
    return [[tag(key), tag(item)] for key, item in items]


def _decimal(value: int) -> str:
    sign, rest, parts = "-" if value < 0 else "", abs(value), []
    while rest >= 10**4000:
        rest, low = divmod(rest, 10**4000)
        parts.append(f"{low:04000d}")
    return sign + str(rest) + "".join(reversed(parts))


def outcome(value: Any) -> str:
    """Return the vectors' word for what a reply is."""
    while isinstance(value, Attributed):
        value = value.value
    return "push" if isinstance(value, Push) else "error_reply" if isinstance(value, ServerError) else "value"


def feed_all(data: bytes | list[bytes], protocol: int) -> list[dict[str, Any]]:
    """Decode everything, as check_vectors.py asks."""
    parser = Parser(protocol, attributes=True)
    out: list[dict[str, Any]] = []
    for chunk in [data] if isinstance(data, bytes) else data:
        parser.feed(chunk)
        try:
            while (value := parser.next_reply()) is not NEED_DATA:
                out.append({"outcome": outcome(value), "value": tag(value)})
        except ProtocolError:
            break
    try:
        parser.feed_eof()
    except ProtocolError as error:
        kind = "incomplete" if error.reason == "the stream ended inside a reply" else "protocol_error"
        out.append({"outcome": kind})
    return out
