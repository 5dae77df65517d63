"""A command as a value, and a pipeline's typed promise: the twin that the codec's choice names.

The pure classes are the definition that type checkers read; `carmine/_command.pxi` holds the same in Cython.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from carmine.protocol import __impl__

__all__ = [
    "Command",
    "Reply",
    "ReplyQueue",
    "Spec",
    "Text",
    "Words",
    "flags_of",
    "modes_of",
    "rows_of",
    "settle_each",
    "words_of",
]

if TYPE_CHECKING:
    from carmine.commands._command import (
        Command,
        Reply,
        ReplyQueue,
        Spec,
        Words,
        flags_of,
        modes_of,
        rows_of,
        settle_each,
        words_of,
    )
elif __impl__ == "cython":
    from carmine._resp import Command, Reply, ReplyQueue, Spec, flags_of, modes_of, rows_of, settle_each, words_of

    Words: TypeAlias = tuple
else:
    from carmine.commands._command import (
        Command,
        Reply,
        ReplyQueue,
        Spec,
        Words,
        flags_of,
        modes_of,
        rows_of,
        settle_each,
        words_of,
    )

Text: TypeAlias = Any
"""Marks strings of the caller's data in return types: the generator writes the client's str or bytes for it."""
