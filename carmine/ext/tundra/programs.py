"""Tundra's Lua scripts, read from their files and made ready to send.

`-- include: x` stands for `parts/x.lua`. Comments and indentation stay in the files: a script's text goes to the server
whenever it does not know the hash, and with every batch. Invariant: each script declares every key that it touches,
the four marks first (keys.py).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Final

from carmine.client.lua import Program

__all__ = ["names", "program", "text_of"]

_FOLDER: Final = Path(__file__).parent / "scripts"
_INCLUDE: Final = re.compile(r"^-- include: (\w+)$", re.MULTILINE)
_NOISE: Final = re.compile(r"^\s*(?:--.*)?\n|^[ ]+| --(?= ).*$", re.MULTILINE)
"""Empty lines and whole-line comments, indentation, comments behind code; no string of ours has ` -- ` in it."""


def names() -> list[str]:
    """Return the names of all scripts."""
    return sorted(path.stem for path in _FOLDER.glob("*.lua"))


def text_of(name: str) -> str:
    """Return the text of a script as it is sent."""
    return _NOISE.sub("", _INCLUDE.sub(lambda found: _read(f"parts/{found[1]}"), _read(name)))


@cache
def program(name: str) -> Program[Any]:
    """Return a script as what clients send; the files are read once."""
    return Program(text_of(name))


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
