"""Freezing: plain Python values as bytes, and back; docs/freezing.md tells the format byte by byte.

A marker says what follows: raw bytes, nothing (None), or tagged JSON. This room knows no client, no connection and no
command. Invariants: what is frozen here thaws to the same value of the same type, or is refused when it is frozen;
reading builds data and registered classes only, runs no other code, is bounded, and fails with ThawError alone.

(The room is not called `freeze`: importing a module of that name would put it in the place of `carmine.freeze`.)
"""

from __future__ import annotations

from carmine.freezing.limits import DEFAULT_LIMITS, Limits
from carmine.freezing.marks import JSON, MARKS, NIPPY, NOTHING, RAW, USER, Raw, raw
from carmine.freezing.reader import thaw
from carmine.freezing.registry import freezable
from carmine.freezing.writer import freeze

__all__ = [
    "DEFAULT_LIMITS",
    "JSON",
    "MARKS",
    "NIPPY",
    "NOTHING",
    "RAW",
    "USER",
    "Limits",
    "Raw",
    "freezable",
    "freeze",
    "raw",
    "thaw",
]
