"""The twins side by side in one process, whatever CARMINE_IMPL picked for the rest of the package."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, NamedTuple

from carmine.protocol import _encoder, _parser, _slots

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CYTHON", "PYTHON", "TWINS", "Twin"]


class Twin(NamedTuple):
    """One implementation of the contract."""

    name: str
    parser: Callable[..., Any]
    encode: Callable[..., bytes]
    encode_many: Callable[..., bytes]
    key_slot: Callable[[Any], int]


PYTHON = Twin("python", _parser.Parser, _encoder.encode, _encoder.encode_many, _slots.key_slot)


def _cython() -> Twin | None:
    if importlib.util.find_spec("carmine._resp") is None:
        return None  # where it must be there, CARMINE_EXPECT_IMPL says so and conftest.py looks
    twin = importlib.import_module("carmine._resp")
    return Twin("cython", twin.Parser, twin.encode, twin.encode_many, twin.key_slot)


CYTHON = _cython()
TWINS = [twin for twin in (CYTHON, PYTHON) if twin is not None]
