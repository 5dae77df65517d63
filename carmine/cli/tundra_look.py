"""`carmine tundra status`, `verify` and `restore`: what they show.

Names of keys come from whoever may write to the server: they are shown without control characters, and cut. With
--json nothing but one object is written, and no progress.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from typing import TYPE_CHECKING, Any

from carmine.errors import printable
from carmine.ext.tundra import TundraError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping

    from carmine.cli.screen import Screen
    from carmine.ext.tundra import Restored, TundraStore, Verified

__all__ = ["restore", "status", "verify"]

_SHOWN = 20
"""Failures that a text shows; JSON has all."""


def status(asked: argparse.Namespace, screen: Screen, store: TundraStore) -> int:
    """Count."""
    stats = store.stats()
    if asked.json:
        screen.raw(json.dumps({"queue": asked.queue, **stats._asdict()}))
        return 0
    screen.facts(
        f"Tundra, queue {printable(asked.queue, 80)}",
        [
            ("archived", f"{stats.evictable:,} keys"),
            ("to be archived", f"{stats.waiting:,} keys, the first for {stats.oldest:.0f} s"),
            ("messages", f"{stats.queued:,} queued, {stats.locked:,} at work, {stats.backoff:,} to be tried again"),
            ("dead letters", f"{stats.dead:,}"),
        ],
    )
    return 0


def verify(asked: argparse.Namespace, screen: Screen, store: TundraStore) -> int:
    """Check archives; fail where one is not sound."""
    total = len(asked.keys) or store.stats().evictable
    with _progress(asked, screen, "archives checked", total) as told:

        def tell(found: Verified) -> None:
            told(found.checked)

        found = store.verify(*asked.keys, progress=tell)
    if asked.json:
        counts = {"checked": found.checked, "sound": found.sound, "unmarked": found.unmarked}
        screen.raw(json.dumps({**counts, "failures": _failures(found.failures)}))
    else:
        screen.raw(
            f"{found.checked:,} archives checked, {found.sound:,} sound, {found.unmarked:,} of them without a mark"
        )
        _show(screen, found.failures)
    return _ended(found.failures, "archives are not sound")


def restore(asked: argparse.Namespace, screen: Screen, store: TundraStore) -> int:
    """Bring keys back; fail where one could not be."""
    with _progress(asked, screen, "keys looked at", None) as told:

        def tell(done: Restored) -> None:
            told(sum(done[:4]) + len(done.failures))

        done = store.restore_all(values=not asked.marks, progress=tell)
    if asked.json:
        counts = {"restored": done.restored, "marked": done.marked, "here": done.here, "expired": done.expired}
        screen.raw(json.dumps({**counts, "failures": _failures(done.failures)}))
    else:
        what = f"{done.marked:,} keys marked" if asked.marks else f"{done.restored:,} keys brought back"
        screen.raw(f"{what}, {done.here:,} were here, the time of {done.expired:,} was over")
        _show(screen, done.failures)
    return _ended(done.failures, "keys could not be brought back")


@contextlib.contextmanager
def _progress(
    asked: argparse.Namespace, screen: Screen, what: str, total: int | None
) -> Iterator[Callable[[int], None]]:
    """Give what is told how many are done."""
    console = getattr(screen, "_console", None)
    if asked.json or console is None:
        yield lambda count: None
        return
    bar = importlib.import_module("carmine.cli.tundra_bar").bar  # where there is a console there is rich
    with bar(console, what, total) as told:
        yield told


def _name(key: bytes) -> str:
    return printable(key.decode(errors="backslashreplace"), 200)


def _failures(failures: Mapping[bytes, Exception]) -> list[dict[str, Any]]:
    return [
        {"key": key.decode(errors="backslashreplace"), "error": type(problem).__name__, "reason": str(problem)}
        for key, problem in failures.items()
    ]


def _show(screen: Screen, failures: Mapping[bytes, Exception]) -> None:
    for key, problem in list(failures.items())[:_SHOWN]:
        screen.raw(f"{_name(key)}: {printable(str(problem), 400)}")
    if len(failures) > _SHOWN:
        screen.raw(f"and {len(failures) - _SHOWN:,} more; --json names them all")


def _ended(failures: Mapping[bytes, Exception], what: str) -> int:
    if failures:
        raise TundraError(f"{len(failures):,} {what}")
    return 0
