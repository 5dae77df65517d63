"""The queue's Lua scripts, read from their files and made ready to send.

The first statement of each script, `local messages, ... = unpack(KEYS)`, is the list of its keys: what it declares is
what it is given. `-- include: x` stands for `parts/x.lua`. Comments stay in the files: a script's text goes to the
server whenever it does not know the hash, and with every batch.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from carmine.client.lua import Program
from carmine.ext.mq.keys import SUFFIXES, key_of

__all__ = ["Source", "names", "program", "source"]

_FOLDER: Final = Path(__file__).parent / "scripts"
_KEYS: Final = re.compile(r"^local ([\w\s,]+?) = unpack\(KEYS\)$", re.MULTILINE)
_INCLUDE: Final = re.compile(r"^-- include: (\w+)$", re.MULTILINE)
_NOISE: Final = re.compile(r"^\s*(?:--.*)?\n|^[ ]+| --(?= ).*$", re.MULTILINE)
"""Empty lines and whole-line comments, indentation, comments behind code; no string of ours has ` -- ` in it."""


class Source(NamedTuple):
    """A script: its text, and the suffixes of its keys in their order."""

    text: str
    suffixes: tuple[str, ...]

    def keys(self, name: str) -> tuple[str, ...]:
        """Return its keys for one queue, whose name has its hash tag where it needs one."""
        return tuple(key_of(name, suffix) for suffix in self.suffixes)


def names() -> list[str]:
    """Return the names of all scripts."""
    return sorted(path.stem for path in _FOLDER.glob("*.lua"))


@cache
def source(name: str) -> Source:
    """Return a script by its name; the files are read once."""
    text = _INCLUDE.sub(lambda found: _read(f"parts/{found[1]}"), _read(name))
    declared = _KEYS.search(text)
    assert declared, f"{name}.lua does not begin with its keys"
    suffixes = tuple(word.replace("_", "-") for word in re.findall(r"\w+", declared[1]))
    assert SUFFIXES.issuperset(suffixes), f"{name}.lua names a key that keys.py does not tell"
    return Source(_NOISE.sub("", text), suffixes)


@cache
def program(name: str) -> Program[Any]:
    """Return a script as what clients send."""
    return Program(source(name).text)


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
