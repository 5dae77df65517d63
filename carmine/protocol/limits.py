"""Limits and tables of the wire, in one place: both twins import them, neither keeps a copy.

A limit bounds what a peer can make this process do; precedents are named beside each.
"""

from __future__ import annotations

import sys
from typing import Final, NamedTuple

__all__ = [
    "DEFAULT_LIMITS",
    "LARGE_ARGUMENT",
    "LARGE_BULK",
    "MAX_HEADER",
    "MAX_NUMBER",
    "NULLABLE",
    "NUMBER_KEYS",
    "RESP2_TYPES",
    "LOOK_UP",
    "Limits",
    "bounded",
]


class Limits(NamedTuple):
    """What a parser accepts before it refuses the stream."""

    depth: int = 1024
    """Aggregates and attributes open at once. Redis 7.0 Lua can send 7,995; hiredis stops at 9 or not at all."""
    bulk: int = 1 << 40
    """Bytes of one bulk string. Redis' own default is 512 MiB (proto-max-bulk-len) and can be raised."""
    elements: int = (1 << 32) - 1
    """Elements (pairs, in a map) of one aggregate, as in Redis' own 32-bit multibulk counts."""
    line: int = 1 << 26
    """Bytes of a simple string or simple error; MONITOR sends whole commands as one."""
    pushes: int = 1 << 16
    """Pushes that a connection keeps while nobody reads them."""


DEFAULT_LIMITS: Final = Limits()

MAX_HEADER: Final = 32
"""Bytes of an integer, length or count line after its type: 20 digits and room for leading zeros of integers."""

MAX_NUMBER: Final = 1 << 16
"""Bytes of a double or big number line: int() is quadratic."""

NUMBER_KEYS: Final = 1024
"""Keys of a map, or members of a set, that may be numbers: Python's hash of a number has no secret, so a peer can
choose ones that collide, and a dict of n of them takes n squared steps. Servers send them in scripts' replies only."""

LARGE_BULK: Final = 1 << 16
"""A bulk string longer than this is received into its final object, which doubles as bytes come."""

LARGE_ARGUMENT: Final = 1 << 16
"""An argument of at least this many bytes goes out by reference instead of through the encode buffer."""

LOOK_UP: Final = 0.5
"""Seconds after which a wait on a socket is begun anew: a signal that came when the call had left Python and did not
wait yet interrupts no system call, and would be heard of at the end of the wait only."""

RESP2_TYPES: Final = b"+-:$*"
"""Type bytes of RESP2; every other one is refused while the connection speaks RESP2."""

NULLABLE: Final = b"$*~"
"""Types whose length or count may be -1, a null: RESP2's two, and a set as some servers send it."""


def bounded(limits: Limits) -> Limits:
    """Return `limits` with each value between 0 and a quarter of the address space, where C can still add to it."""
    return Limits(*(min(max(limit, 0), sys.maxsize // 4) for limit in limits))
