"""The adapters through which check_vectors.py drives the twins.

As a script's adapter (`feed_all`) it drives the twin that CARMINE_IMPL of its process picks; `Adapter` takes any.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from carmine.errors import ProtocolError, ServerError
from carmine.protocol import NEED_DATA, Attributed, Members, Pairs, Parser, Push, Verbatim

if TYPE_CHECKING:
    from collections.abc import Callable

CAPS = {"simple": False, "verbatim": True, "bignum": False, "attr": True, "set": True, "map_order": True}

Outcome = dict[str, Any]


def tag(value: Any) -> dict[str, Any]:
    """Return the vectors' notation of a value."""
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
        return {"t": "int", "v": decimal(value)}
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


def decimal(value: int) -> str:
    """Return the digits of an int that str() may refuse."""
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


class Adapter:
    """One twin as check_vectors.py wants it."""

    CAPS = CAPS

    def __init__(self, parser: Callable[..., Any]) -> None:
        self.parser = parser

    def feed_all(self, data: bytes | list[bytes], protocol: int) -> list[Outcome]:
        """Decode everything."""
        parser = self.parser(protocol, attributes=True)
        out: list[Outcome] = []
        for chunk in [data] if isinstance(data, bytes) else data:
            parser.feed(chunk)
            try:
                while (value := parser.next_reply()) is not NEED_DATA:
                    out.append({"outcome": outcome(value), "value": tag(value)})
            except ProtocolError:
                pass  # the later chunks show that it stays dead
        try:
            parser.feed_eof()
        except ProtocolError as error:
            kind = "incomplete" if error.reason == "the stream ended inside a reply" else "protocol_error"
            out.append({"outcome": kind})
        return out


feed_all = Adapter(Parser).feed_all
