"""A bar on a terminal that shows how far a walk through archives is, with `rich` (extra `cli`)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

__all__ = ["bar"]


@contextlib.contextmanager
def bar(console: Console, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Give a function that moves a bar.

    Args:
        console: Where it is drawn.
        what: What is counted.
        total: How many there are about; None where nobody knows.
    """
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)

        def move(count: int) -> None:
            progress.update(task, completed=count, total=None if total is None else max(total, count))

        yield move
