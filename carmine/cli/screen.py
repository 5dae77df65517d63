"""Where a command writes: plain text here, and the choice of the richer screen where that can be had.

Plain text is what a pipe, a log and a terminal with NO_COLOR get: ASCII, no escape sequences, nothing overwritten.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import textwrap
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Row", "Screen", "screen_for", "shortened", "spoken"]

Row: TypeAlias = "Sequence[str | int]"
"""One line of a table; numbers stand to the right."""

WIDTH: Final = 100
MARGIN: Final = 11
"""Columns before the code: a time, right-aligned, and two spaces."""
RESULT_AT: Final = 64
"""The column of a result that has room on its line."""
_LONGEST_RESULT: Final = 180


class Screen:
    """Writes plain text.

    Args:
        out: Where to.
    """

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def title(self, text: str) -> None:
        """Write the first line."""
        self._write(text)

    def chapter(self, number: int, title: str, text: str) -> None:
        """Begin a chapter."""
        self._write()
        self._write(f"{number}. {title}")
        if text:
            self._write(textwrap.fill(text, WIDTH - 4, initial_indent="   ", subsequent_indent="   "))

    def code(self, seconds: float | None, code: str, result: str | None) -> None:
        """Write what was run, how long it took, and what it gave."""
        first, *rest = code.splitlines()
        line = f"{'' if seconds is None else spoken(seconds):>{MARGIN - 2}}  {first}"
        if result is not None and not rest and len(line) < RESULT_AT and RESULT_AT + len(result) <= WIDTH:
            self._write(f"{line:{RESULT_AT}}{result}")
            return
        self._write(line)
        for more in rest:
            self._write(" " * MARGIN + more)
        if result is not None:
            self._tell(result)

    def error(self, error: BaseException) -> None:
        """Write the error that a line was meant to raise."""
        self._tell(f"{type(error).__name__}: {error}")

    def say(self, text: str) -> None:
        """Write a remark."""
        self._write(textwrap.fill(text, WIDTH, initial_indent=" " * MARGIN, subsequent_indent=" " * MARGIN))

    def facts(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Write a table of names and what is known about them."""
        self._write()
        self._write(title)
        width = max(16, *(len(name) for name, _ in rows))
        for name, text in rows:
            self._write(f"  {name:{width}}  {text}")

    def table(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Write a table; its texts are of one line each."""
        texts = [[self._speakable(f"{one:,}" if isinstance(one, int) else one) for one in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
        is_number = [any(isinstance(row[at], int) for row in rows) for at in range(len(columns))]
        for line in (columns, *texts):
            padded = zip(line, widths, is_number, strict=True)
            self._write("  ".join(f"{text:>{width}}" if right else f"{text:{width}}" for text, width, right in padded))

    @contextlib.contextmanager
    def board(self) -> Iterator[Callable[[Sequence[str], Sequence[Row]], None]]:
        """Give a function that writes a table, in the place of its last one where that can be done."""
        yield self.table

    @contextlib.contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int], None]]:
        """Give a function that shows how many there are by now, where that leaves no trace; `what` they are."""
        yield lambda _: None

    def raw(self, text: str) -> None:
        """Write a text as it is, for other programs."""
        self.out.write(f"{self._speakable(text)}\n")

    def end(self, text: str) -> None:
        """Write the last line."""
        self._write()
        self._write(text)

    def _tell(self, text: str) -> None:
        indent = " " * (MARGIN + 2)
        self._write(textwrap.fill(text, WIDTH, initial_indent=f"{indent}-> ", subsequent_indent=f"{indent}   "))

    def _speakable(self, text: str) -> str:
        """Return a text whose letters the stream can write; the others are escaped."""
        encoding = self.out.encoding or "utf-8"  # a StringIO has none
        return text.encode(encoding, "backslashreplace").decode(encoding)

    def _write(self, text: str = "") -> None:
        self.out.write(f"{text.rstrip()}\n")
        self.out.flush()  # whoever watches sees a step when it is done


def screen_for(out: TextIO, *, plain: bool = False) -> Screen:
    """Return the screen for a stream: coloured on a terminal, where `rich` is installed and NO_COLOR is not set."""
    if plain or not out.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return Screen(out)
    if importlib.util.find_spec("rich") is None:
        return Screen(out)
    from carmine.cli.rich_screen import RichScreen  # noqa: PLC0415 - the extra `cli` may not be installed

    return RichScreen(out)


def spoken(seconds: float) -> str:
    """Return a duration as people read it, in three digits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        value = seconds * factor
        if value >= 1:
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def shortened(value: object) -> str:
    """Return a value's repr, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_RESULT else f"{text[: _LONGEST_RESULT - 4]} ..."
