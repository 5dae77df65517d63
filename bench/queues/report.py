"""The queues' figures as findings, and the table that has one line for each queue.

Knows no process and no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.probes import Finding
from bench.queues import rows
from bench.queues.run import figures
from bench.stats import Bound, Interval, midmean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.queues.run import Found
    from bench.run import Outcome

_TITLES = {"latency": "idle latency", "late": "300 ms delay, late by"}
_NAMES = {"latency": "queue/latency", "late": "queue/delay"}


def findings(found: Found) -> list[Finding]:
    """Return idle latency and lateness: of all messages, with the least and the greatest of the rounds."""
    return [
        finding
        for name, bounds in (("latency", rows.LATENCY), ("late", rows.LATE))
        for label in rows.CONTENDERS
        if label in found.waits or label in found.missing[name]
        for finding in _of(found, name, label, bounds)
    ]


def _of(found: Found, name: str, label: str, bounds: Mapping[str, Bound]) -> list[Finding]:
    measured = waits(found, name, label)
    if not measured:
        reason = found.missing[name].get(label, "its worker did not get so far")
        return [Finding(_NAMES[name], _TITLES[name], label, "ms", None, None, reason)]
    every = figures([wait for each in measured for wait in each])
    rounds = [figures(each) for each in measured]
    return [
        Finding(
            _NAMES[name],
            f"{_TITLES[name]}, {figure}",
            label,
            "ms",
            Interval(every[figure], min(each[figure] for each in rounds), max(each[figure] for each in rounds)),
            bound if label in rows.OURS else None,
        )
        for figure, bound in bounds.items()
    ]


def waits(found: Found, name: str, label: str) -> list[list[float]]:
    """Return the milliseconds of each round."""
    if label not in found.waits:
        return []
    measured = found.waits[label]
    return measured.latency if name == "latency" else measured.late


def summary(found: Found) -> list[str]:
    """Return the table: messages a second and milliseconds, a line for each queue."""
    lines = [
        "| | enqueue/s | in bulk/s | handled/s, default | handled/s, best | idle latency p50/p99 ms "
        "| 300 ms delay, late by p50/max ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for label, contender in rows.CONTENDERS.items():
        cells = [
            _rate(found.outcomes[rows.ENQUEUE.name], label),
            _rate(found.outcomes[rows.BULK.name], label),
            _with(_rate(found.outcomes[rows.DEFAULT.name], label), contender.default.title),
            _with(_rate(found.outcomes[rows.BEST.name], label), contender.best.title),
            _wait(found, "latency", label, "p99"),
            _wait(found, "late", label, "max"),
        ]
        if any(cell != "-" for cell in cells):
            lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def _rate(outcome: Outcome, label: str) -> str:
    walls = [wall for launch in outcome.launches if label in launch for wall in launch[label].wall]
    return _number(1 / midmean(walls)) if walls else "-"


def _number(rate: float) -> str:
    # Three figures are more than a run can tell.
    return f"{float(f'{rate:.3g}'):,.0f}"


def _with(rate: str, title: str) -> str:
    return rate if rate == "-" else f"{rate} ({title})"


def _wait(found: Found, name: str, label: str, second: str) -> str:
    every: Sequence[float] = [wait for each in waits(found, name, label) for wait in each]
    if not every:
        return "-"
    shown = figures(every)
    return f"{shown['p50']:.3g}/{shown[second]:.3g}"


def as_json(found: Found) -> dict[str, object]:
    """Return every wait, which the rows do not hold."""
    return {label: {"latency_ms": each.latency, "late_ms": each.late} for label, each in found.waits.items()}
