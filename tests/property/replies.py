"""Replies drawn at random, as bytes with the value they stand for; written apart from carmine's codec on purpose."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from hypothesis import strategies as st

from carmine.errors import ServerError
from carmine.protocol import Attributed, Verbatim

__all__ = ["Wire", "cuts", "replies", "wires"]


class Wire(NamedTuple):
    """A value and one way to send it."""

    data: bytes
    value: Any


def _bulk(kind: bytes, body: bytes) -> bytes:
    return b"%s%d\r\n%s\r\n" % (kind, len(body), body)


def _streamed(parts: list[bytes]) -> Wire:
    chunks = b"".join(_bulk(b";", part) for part in parts if part)
    return Wire(b"$?\r\n" + chunks + b";0\r\n", b"".join(parts))


def _double(value: float) -> Wire:
    return Wire(b",%s\r\n" % repr(value).encode(), value)


lines = st.binary(max_size=40).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))
integers = st.integers(-(1 << 63), (1 << 63) - 1)
leaves = st.one_of(
    lines.map(lambda line: Wire(b"+%s\r\n" % line, line)),
    lines.map(lambda line: Wire(b"-%s\r\n" % line, ServerError(line.decode("utf-8", "replace")))),
    integers.map(lambda n: Wire(b":%d\r\n" % n, n)),
    st.binary(max_size=200).map(lambda body: Wire(_bulk(b"$", body), body)),
    st.binary(max_size=60).map(lambda body: Wire(_bulk(b"!", body), ServerError(body.decode("utf-8", "replace")))),
    st.sampled_from([b"_\r\n", b"$-1\r\n", b"*-1\r\n", b"~-1\r\n"]).map(lambda data: Wire(data, None)),
    st.booleans().map(lambda yes: Wire(b"#t\r\n" if yes else b"#f\r\n", yes)),
    st.floats().map(lambda value: _double(math.nan if math.isnan(value) else value)),
    st.integers(-(10**60), 10**60).map(lambda n: Wire(b"(%d\r\n" % n, n)),
    st.tuples(st.binary(min_size=3, max_size=3), st.binary(max_size=60)).map(
        lambda two: Wire(_bulk(b"=", two[0] + b":" + two[1]), Verbatim(two[0].decode("latin-1"), two[1]))
    ),
    st.lists(st.binary(max_size=9), max_size=5).map(_streamed),
)


def _aggregates(inner: st.SearchStrategy[Wire]) -> st.SearchStrategy[Wire]:
    many = st.lists(inner, max_size=5)
    keys = st.lists(st.binary(max_size=9), max_size=4, unique=True)

    def array(items: list[Wire], streamed: bool) -> Wire:
        body = b"".join(item.data for item in items)
        data = b"*?\r\n" + body + b".\r\n" if streamed else b"*%d\r\n" % len(items) + body
        return Wire(data, [item.value for item in items])

    def set_of(names: list[bytes], streamed: bool) -> Wire:
        body = b"".join(_bulk(b"$", name) for name in names)
        return Wire(b"~?\r\n" + body + b".\r\n" if streamed else b"~%d\r\n" % len(names) + body, set(names))

    def map_of(names: list[bytes], items: list[Wire], streamed: bool) -> Wire:
        pairs = list(zip(names, items, strict=False))
        body = b"".join(_bulk(b"$", name) + item.data for name, item in pairs)
        data = b"%?\r\n" + body + b".\r\n" if streamed else b"%%%d\r\n" % len(pairs) + body
        return Wire(data, {name: item.value for name, item in pairs})

    def attribute(name: bytes, item: Wire, value: Wire) -> Wire:
        return Wire(b"|1\r\n" + _bulk(b"$", name) + item.data + value.data, Attributed(value.value, {name: item.value}))

    return st.one_of(
        st.builds(array, many, st.booleans()),
        st.builds(set_of, keys, st.booleans()),
        st.builds(map_of, keys, many, st.booleans()),
        st.builds(attribute, st.binary(max_size=9), inner, inner),
    )


replies = st.recursive(leaves, _aggregates, max_leaves=25)
wires = st.lists(replies, min_size=1, max_size=4)


def cuts(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """Return ways to cut a stream into pieces."""
    places = st.lists(st.integers(0, len(data)), max_size=12).map(sorted)
    return places.map(lambda at: [data[i:j] for i, j in zip([0, *at], [*at, len(data)], strict=True)])
