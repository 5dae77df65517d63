"""The locks' figures as findings. Knows no process and no clock."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.locks import rows
from bench.probes import Finding
from bench.queues.run import figures
from bench.stats import Interval

if TYPE_CHECKING:
    from bench.locks.rows import Figure
    from bench.locks.run import Found


def findings(found: Found) -> list[Finding]:
    """Return all figures: the middle of the rounds, with the least and the greatest; hand-overs of all together."""
    named = ((rows.TRIPS, found.trips), (rows.WAITER, found.waiter), (rows.CROWD, found.crowd))
    listed = [
        _finding(figure, label, _middle(values[label]) if label in values else None, found)
        for figure, values in named
        for label in rows.CONTENDERS
        if label in values or label in found.missing
    ]
    for name, figure in rows.HANDOVER.items():
        for label in rows.CONTENDERS:
            rounds = found.handovers.get(label)
            if not rounds:
                continue
            every = figures([wait for each in rounds for wait in each])[name]
            each = [figures(one)[name] for one in rounds]
            listed.append(_finding(figure, label, Interval(every, min(each), max(each)), found))
    return listed


def _finding(figure: Figure, label: str, value: Interval | None, found: Found) -> Finding:
    bound = figure.bound if label in rows.OURS else None
    missing = "" if value else found.missing.get(label, "")
    return Finding(figure.name, figure.title, label, figure.unit, value, bound, missing)


def _middle(values: list[float]) -> Interval:
    return Interval(statistics.median(values), min(values), max(values))


def as_json(found: Found) -> dict[str, list[list[float]]]:
    """Return every hand-over, in milliseconds, by round."""
    return found.handovers
