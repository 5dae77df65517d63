"""The screen for terminals: colours and highlighted code, with `rich` (extra `cli`)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from carmine.cli.screen import MARGIN, RESULT_AT, WIDTH, Screen, spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from carmine.cli.screen import Row

__all__ = ["RichScreen"]

_CODE_WIDTH = RESULT_AT - MARGIN


class RichScreen(Screen):
    """Writes to a terminal that shows colours."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._console = Console(file=out, highlight=False)

    def title(self, text: str) -> None:
        """Write the first line."""
        name, _, rest = text.partition(" ")
        self._console.print(Text.assemble((name, "bold red"), " ", (rest, "dim")))

    def chapter(self, number: int, title: str, text: str) -> None:
        """Begin a chapter."""
        self._console.print()
        self._console.print(Text.assemble((f"{number:2}. ", "dim"), (title, "bold")))
        if text:
            self._console.print(Padding(Text(text, style="dim italic"), (0, 0, 0, 4)))

    def code(self, seconds: float | None, code: str, result: str | None) -> None:
        """Write what was run, how long it took, and what it gave."""
        fits = result is None or ("\n" not in code and len(code) < _CODE_WIDTH and RESULT_AT + len(result) <= WIDTH)
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(width=MARGIN - 2, justify="right", style="cyan", no_wrap=True)
        row.add_column(min_width=_CODE_WIDTH - 2)
        row.add_column(style="green")
        shown = Syntax(code, "python", theme="ansi_dark", background_color="default", word_wrap=True)
        row.add_row("" if seconds is None else spoken(seconds), shown, Text(result if fits and result else ""))
        self._console.print(row)
        if not fits:
            self._hint(Text(result or "", style="green"))

    def error(self, error: BaseException) -> None:
        """Write the error that a line was meant to raise."""
        self._hint(Text.assemble((type(error).__name__, "yellow"), f": {error}"))

    def say(self, text: str) -> None:
        """Write a remark."""
        self._console.print(Padding(Text(text, style="bold"), (0, 0, 0, MARGIN)))

    def facts(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Write a table of names and what is known about them."""
        self._console.print()
        self._console.print(Text(title, style="bold"))
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="cyan", min_width=18)
        table.add_column(overflow="fold")
        for name, text in rows:
            table.add_row(Text(f"  {name}"), Text(text))
        self._console.print(table)

    def table(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Write a table; its texts are of one line each."""
        self._console.print(self._table(columns, rows))

    def _table(self, columns: Sequence[str], rows: Sequence[Row]) -> Table:
        made = Table(box=SIMPLE, header_style="bold", pad_edge=False)
        for at, column in enumerate(columns):
            is_number = any(isinstance(row[at], int) for row in rows)
            made.add_column(Text(column), justify="right" if is_number else "left", overflow="fold")
        for row in rows:
            made.add_row(*(self._cell(one) for one in row))
        return made

    def _cell(self, one: str | int) -> Text:
        if isinstance(one, str):
            return Text(self._speakable(one))
        return Text(f"{one:,}", style="" if one else "dim")

    @contextlib.contextmanager
    def board(self) -> Iterator[Callable[[Sequence[str], Sequence[Row]], None]]:
        """Give a function that writes a table in the place of its last one."""
        with Live(console=self._console, auto_refresh=False) as live:
            yield lambda columns, rows: live.update(self._table(columns, rows), refresh=True)

    @contextlib.contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int], None]]:
        """Give a function that shows how many there are by now; `what` they are."""
        with self._console.status(Text(f"0 {what}")) as status:
            yield lambda count: status.update(Text(f"{count:,} {what}"))

    def end(self, text: str) -> None:
        """Write the last line."""
        self._console.print()
        self._console.print(Text(text, style="bold green"))

    def _hint(self, text: Text) -> None:
        self._console.print(Padding(text, (0, 0, 0, MARGIN + 2)))
