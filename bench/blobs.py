"""RESP bytes for parsers and commands for encoders: what the codec rows work on.

Standard library only, the same on every run.
"""

from __future__ import annotations

from bench import data
from bench.resp import pack

#: Replies as a busy client sees them one by one: status, integer, short and 64-byte bulks, a null.
SMALL_COUNT = 100
_SMALL = (b"+OK\r\n", b":1234\r\n", b"$5\r\nhello\r\n", b"$64\r\n" + data.VALUE.encode() + b"\r\n", b"_\r\n")
SMALL = b"".join(_SMALL[number % len(_SMALL)] for number in range(SMALL_COUNT))


def bulk(value: str) -> bytes:
    """Return one bulk string."""
    encoded = value.encode()
    return b"$%d\r\n%s\r\n" % (len(encoded), encoded)


MAP = b"%1000\r\n" + b"".join(bulk(name) + bulk(value) for name, value in data.HASH.items())
ARRAY = b"*1000\r\n" + b"".join(bulk(item) for item in data.LIST[:1000])
# One value in ten is not ASCII: decoders have a faster road for pure ASCII, and real data is rarely all of it.
TEXT = b"*1000\r\n" + b"".join(
    bulk(item if number % 10 else "zażółć " + item) for number, item in enumerate(data.LIST[:1000])
)

COMMAND = ("SET", data.KEY, data.VALUE)
WIDE_COMMAND = ("HSET", data.HASH_KEY, *(word for pair in list(data.HASH.items())[:100] for word in pair))
ENCODED = {"encode": pack(COMMAND), "encode_wide": pack(WIDE_COMMAND)}


def drip(size: int) -> bytes:
    """Return an array reply of about ``size`` bytes, to be fed in pieces of one byte."""
    item = bulk(data.VALUE)
    count = size // len(item)
    return b"*%d\r\n" % count + item * count
