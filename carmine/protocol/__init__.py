"""The codec: chooses the twin once, at import, and exposes the contract (abc.py) and nothing of its own.

CARMINE_IMPL=cython|python picks a twin; asking for a missing one is an error. Unset, the Cython twin is taken
where it was built.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from carmine.protocol.limits import DEFAULT_LIMITS, Limits
from carmine.protocol.values import NEED_DATA, Attributed, Members, Pairs, Push, Verbatim

__all__ = [
    "DEFAULT_LIMITS",
    "NEED_DATA",
    "Attributed",
    "Limits",
    "Members",
    "Pairs",
    "Parser",
    "Push",
    "Verbatim",
    "__impl__",
    "encode",
    "encode_many",
    "key_slot",
]

_asked = os.environ.get("CARMINE_IMPL", "")
if _asked not in ("", "cython", "python"):
    raise ImportError(f"CARMINE_IMPL is {_asked!r}; it must be 'cython' or 'python'")

if TYPE_CHECKING:
    from carmine.protocol._encoder import encode, encode_many
    from carmine.protocol._parser import Parser
    from carmine.protocol._slots import key_slot

    __impl__: str
else:
    __impl__ = "python"
    if _asked != "python":
        try:
            from carmine._resp import Parser, encode, encode_many, key_slot

            __impl__ = "cython"
        except ImportError as problem:
            if _asked == "cython":
                raise ImportError(
                    "CARMINE_IMPL=cython, but the Cython twin was not built; reinstall with a C compiler and "
                    "CARMINE_BUILD_EXT=require, or unset CARMINE_IMPL"
                ) from problem
    if __impl__ == "python":
        from carmine.protocol._encoder import encode, encode_many
        from carmine.protocol._parser import Parser
        from carmine.protocol._slots import key_slot
