"""`carmine mq status`, `peek` and `dead`: what queues hold. Nothing here changes a queue.

One queue that cannot be read, for the name in the registry is none or its keys are another program's, is told in its
place, and the others are shown.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from carmine import UsageError
from carmine.cli import mq_shape as shape
from carmine.errors import CarmineError, NetworkError
from carmine.ext.mq import Queue, QueueError, queue_names

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from carmine import Client
    from carmine.cli.screen import Row, Screen

__all__ = ["dead", "peek", "status"]

_COUNTS: Final = ("queued", "locked", "backoff", "done", "dead", "total")


# Counts. -------------------------------------------------------------------------------------------------------------


def status(asked: argparse.Namespace, screen: Screen, client: Client[Any]) -> int:
    """Show how many messages each queue has, once or again and again."""
    if asked.watch is None:
        told = _counted(asked, client)
        _show_counts(asked, screen, told)
        wrong = sum("error" in each for each in told)
        if wrong:
            raise QueueError(f"{wrong} of {len(told)} queues cannot be read")
        return 0
    if not 0.1 <= asked.watch <= 86_400:
        raise UsageError("--watch takes between 0.1 and 86,400 seconds")
    with screen.board() as draw:
        while True:
            told = _counted(asked, client)
            if asked.json:
                _show_counts(asked, screen, told)
            else:
                draw(*_table(told))
            time.sleep(asked.watch)


def _counted(asked: argparse.Namespace, client: Client[Any]) -> list[dict[str, Any]]:
    return [_count(client, name) for name in asked.queues or queue_names(client)]


def _count(client: Client[Any], name: str) -> dict[str, Any]:
    try:
        queue = Queue(client, name)
        return {"name": name, "paused": queue.is_paused(), **queue.status()._asdict()}
    except NetworkError:
        raise
    except CarmineError as problem:
        return {"name": name, "error": str(problem)}


def _show_counts(asked: argparse.Namespace, screen: Screen, told: list[dict[str, Any]]) -> None:
    if asked.json:
        screen.raw(shape.line({"queues": told}))
        screen.out.flush()
    elif not told:
        screen.raw("there are no queues")
    else:
        screen.table(*_table(told))


def _table(told: list[dict[str, Any]]) -> tuple[list[str], list[list[str | int]]]:
    rows: list[list[str | int]] = []
    for each in told:
        if "error" in each:
            why = f"cannot be read: {shape.name(each['error'])}"
            rows.append([shape.name(each["name"]), why, *[""] * len(_COUNTS)])
        else:
            state = "paused" if each["paused"] else ""
            rows.append([shape.name(each["name"]), state, *(each[count] for count in _COUNTS)])
    return ["queue", "", *_COUNTS], rows


# Messages. -----------------------------------------------------------------------------------------------------------


def peek(asked: argparse.Namespace, screen: Screen, client: Client[Any]) -> int:
    """Show some messages as they stand."""
    found = list(Queue(client, asked.queue).content(asked.limit).values())
    if asked.json:
        for one in found:
            told = {"mid": one.mid, "status": one.status, "attempts": one.attempts, "backoff": one.backoff}
            screen.raw(shape.line({**told, "age": one.age, **shape.as_json(one.content, asked.chars)}))
        return 0
    rows = [
        (
            shape.name(one.mid),
            one.status,
            one.attempts,
            shape.age(one.backoff),
            shape.age(one.age),
            shape.cell(one.content, asked.chars),
        )
        for one in found
    ]
    _show(screen, ("mid", "status", "attempts", "rests", "age", "content"), rows, f"no messages in {_quoted(asked)}")
    return 0


def dead(asked: argparse.Namespace, screen: Screen, client: Client[Any]) -> int:
    """Show dead letters, the oldest first."""
    queue = Queue(client, asked.queue)
    try:
        found = queue.dead(asked.limit, offset=asked.offset)
    except ValueError as problem:
        raise QueueError("a dead letter there was not written by carmine, and cannot be read") from problem
    if asked.json:
        for one in found:
            told = {"mid": one.mid, "attempts": one.attempts, "error": one.error, "born": one.born, "died": one.died}
            screen.raw(shape.line({**told, **shape.as_json(one.content, asked.chars)}))
        return 0
    rows = [
        (
            shape.name(one.mid),
            one.attempts,
            shape.moment(one.died),
            shape.name(one.error, asked.chars),
            shape.cell(one.content, asked.chars),
        )
        for one in found
    ]
    _show(screen, ("mid", "attempts", "died", "error", "content"), rows, f"no dead letters in {_quoted(asked)}")
    return 0


def _show(screen: Screen, columns: tuple[str, ...], rows: Sequence[Row], nothing: str) -> None:
    if rows:
        screen.table(columns, rows)
    else:
        screen.raw(nothing)


def _quoted(asked: argparse.Namespace) -> str:
    return f"'{shape.name(asked.queue)}'"
