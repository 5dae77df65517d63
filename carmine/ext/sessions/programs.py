"""The Lua scripts of sessions, read from their files and made ready to send.

Each is the shared part, `header.lua`, and its own. Comments stay in the files: the text goes to the server whenever it
does not know the hash.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from carmine.client.lua import Program

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CREATE", "EXTEND", "REGENERATE", "UPDATE"]

R = TypeVar("R")

_FOLDER: Final = Path(__file__).parent / "scripts"
_NOISE: Final = re.compile(r"^\s*(?:--.*)?\n", re.MULTILINE)
"""Empty lines and lines that are a comment."""


def _program(name: str, decode: Callable[[Any], R]) -> Program[R]:
    text = "".join((_FOLDER / f"{part}.lua").read_text(encoding="utf-8") for part in ("header", name))
    return Program(_NOISE.sub("", text), decode=decode)


def _as_it_is(reply: Any) -> Any:
    return reply


CREATE: Final = _program("create", bool)
EXTEND: Final = _program("extend", _as_it_is)
REGENERATE: Final = _program("regenerate", int)
UPDATE: Final = _program("update", bool)
