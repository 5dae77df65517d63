"""From outcomes to what is read and kept: one JSON file with every sample, one Markdown table.

Knows no process and no clock. Invariants: a row whose control interval does not contain 1 is marked, and its targets
are not judged; a label that is missing is named with its reason; no path of the machine gets into a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bench.measure import CONTROL, compare
from bench.stats import Bound, Interval, midmean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.probes import Finding
    from bench.rows import Target
    from bench.run import Outcome

NOISY = "noisy"


class Ratio(NamedTuple):
    """One seat's time over another's, and what that says about a target."""

    of: str
    to: str
    wall: Interval
    cpu: Interval
    target: Bound | None
    verdict: str


def ratios(outcome: Outcome) -> list[Ratio]:
    """Return all ratios of a row: each seat over the reference, each peer over carmine, each target's own."""
    row, labels = outcome.row, outcome.labels()
    wanted = [(label, row.reference) for label in labels if label != row.reference]
    if "carmine" in labels:
        wanted += [(label, "carmine") for label in labels if label not in ("carmine", row.reference)]
    if row.reference not in ("W", "R"):
        wanted += [(target.of, target.to) for target in row.targets if target.of in labels and target.to in labels]
    if not outcome.launches:
        return []
    steady = control(outcome).contains(1)
    targets = {(target.of, target.to): target for target in row.targets}
    return [_ratio(outcome, of, to, targets.get((of, to)), steady) for of, to in dict.fromkeys(wanted)]


def control(outcome: Outcome) -> Interval:
    """Return the reference's second copy over the reference: 1, if the measurement can be trusted."""
    return compare(outcome.launches, CONTROL, outcome.row.reference)


def _ratio(outcome: Outcome, of: str, to: str, target: Target | None, steady: bool) -> Ratio:
    wall, cpu = compare(outcome.launches, of, to), compare(outcome.launches, of, to, cpu=True)
    if target is None:
        return Ratio(of, to, wall, cpu, None, "")
    return Ratio(of, to, wall, cpu, target.bound, target.bound.judge(wall).value if steady else NOISY)


def as_json(meta: dict[str, object], outcomes: Sequence[Outcome], findings: Sequence[Finding]) -> dict[str, object]:
    """Return everything that was found, every sample included."""
    return {"meta": meta, "rows": [_row_json(outcome) for outcome in outcomes], "findings": _findings_json(findings)}


def _row_json(outcome: Outcome) -> dict[str, object]:
    row = outcome.row
    found: dict[str, object] = {"name": row.name, "title": row.title, "reference": row.reference}
    if outcome.launches:
        found["control"] = control(outcome)._asdict()
        found["microseconds_per_unit"] = {label: round(_microseconds(outcome, label), 4) for label in outcome.labels()}
    found["ratios"] = [
        {
            "of": ratio.of,
            "to": ratio.to,
            "wall": ratio.wall._asdict(),
            "cpu": ratio.cpu._asdict(),
            "target": str(ratio.target) if ratio.target else None,
            "verdict": ratio.verdict,
        }
        for ratio in ratios(outcome)
    ]
    found["missing"] = outcome.missing
    found["samples"] = [
        {label: {"wall": times.wall, "cpu": times.cpu} for label, times in launch.items()}
        for launch in outcome.launches
    ]
    return found


def _findings_json(findings: Iterable[Finding]) -> list[dict[str, object]]:
    return [
        {
            "name": finding.name,
            "title": finding.title,
            "label": finding.label,
            "unit": finding.unit,
            "value": finding.value._asdict() if finding.value else None,
            "target": str(finding.target) if finding.target else None,
            "verdict": finding.verdict.value if finding.verdict else None,
            "missing": finding.missing,
        }
        for finding in findings
    ]


def as_markdown(
    meta: dict[str, object], outcomes: Sequence[Outcome], findings: Sequence[Finding], summary: Sequence[str] = ()
) -> str:
    """Return the tables, with what one must know to read them; a summary comes first."""
    lines = ["# Benchmark", "", *(f"- {name}: {_plain(value)}" for name, value in meta.items() if name != "versions")]
    versions = meta.get("versions")
    if isinstance(versions, dict):
        lines += [f"- {kind}: {_plain(said)}" for kind, said in sorted(versions.items())]
    lines += ["", *summary] if summary else []
    lines += [
        "",
        "Ratios of times, 95 % intervals. `A/A` is the reference against its own second process: it must contain 1.",
        "",
        "| work | reference, us per unit | A/A | ratio | wall | cpu | target | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        lines += _row_lines(outcome)
    if findings:
        lines += ["", "| figure | of | value [least, greatest] | target | |", "|---|---|---|---|---|"]
        lines += [_finding_line(finding) for finding in findings]
    missing = [f"- {o.row.name}, {label}: {reason}" for o in outcomes for label, reason in o.missing.items()]
    missing += [f"- {f.name}, {f.label}: {f.missing}" for f in findings if f.missing]
    if missing:
        lines += ["", "Not measured:", "", *missing]
    return "\n".join(lines) + "\n"


def _row_lines(outcome: Outcome) -> list[str]:
    row = outcome.row
    if not outcome.launches:
        return [f"| {row.title} | | | | | | | not measured |"]
    head = f"{row.reference} {_microseconds(outcome, row.reference):.3g} | {control(outcome)}"
    lines: list[str] = []
    for ratio in ratios(outcome):
        title, about = (row.title, head) if not lines else ("", " | ")
        target = ratio.target or ""
        lines.append(
            f"| {title} | {about} | {ratio.of} / {ratio.to} | {ratio.wall} | {ratio.cpu} | {target} | {ratio.verdict} |"
        )
    return lines


def _finding_line(finding: Finding) -> str:
    value = f"{finding.value} {finding.unit}" if finding.value else "not measured"
    verdict = finding.verdict.value if finding.verdict else ""
    return f"| {finding.title} | {finding.label} | {value} | {finding.target or ''} | {verdict} |"


def _microseconds(outcome: Outcome, label: str) -> float:
    return midmean([value for launch in outcome.launches if label in launch for value in launch[label].wall]) * 1e6


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items())
    return str(value)
