"""What every run writes: one JSON file with all samples and a Markdown table beside it, with what they hold for."""

from __future__ import annotations

import datetime
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench import machine, report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.probes import Finding
    from bench.run import Outcome

RESULTS = Path(__file__).resolve().parent / "results"


class Record:
    """One run: begun before its first process, written after its last.

    Args:
        kind: What was measured, for the file's name: "" for the clients.
        target: The file to write; None for one in `bench/results`.
        is_partial: Whether it is for the eye: in a folder that is not committed, and nothing may be claimed from it.
    """

    def __init__(self, kind: str, target: Path | None, *, is_partial: bool) -> None:
        self._kind = kind
        self._target = target
        self._is_partial = is_partial
        self._code = machine.fingerprint()
        self.meta: dict[str, object] = {
            **machine.describe(),
            "carmine's files": self._code,
            "load before": machine.load(),
        }

    def write(
        self,
        outcomes: Sequence[Outcome],
        findings: Sequence[Finding],
        say: Callable[[str], None],
        *,
        ours: bool = True,
        summary: Sequence[str] = (),
        more: dict[str, object] | None = None,
    ) -> int:
        """Write both files and show the table.

        Args:
            outcomes: The rows.
            findings: The single figures.
            say: Called with a line that tells where.
            ours: Whether carmine took part: if its files changed meanwhile, the run says that it is not valid.
            summary: Lines of a table of its own, before the others.
            more: What else the JSON file holds.

        Returns:
            The exit status: 1 for a run that mixes versions, or in which an answer was wrong.
        """
        self.meta["load after"] = machine.load()
        changed = ours and machine.fingerprint() != self._code
        if changed:
            self.meta["NOT VALID"] = "carmine's files changed during the run: its rows mix several versions"
        target = self._target or RESULTS / self._name(partial=self._is_partial or changed)
        target.parent.mkdir(parents=True, exist_ok=True)
        found = {**report.as_json(self.meta, outcomes, findings), **(more or {})}
        target.write_text(json.dumps(found, separators=(",", ":")) + "\n")
        table = report.as_markdown(self.meta, outcomes, findings, summary)
        target.with_suffix(".md").write_text(table)
        sys.stdout.write(table)
        say(f"written: {os.path.relpath(target)} and {target.with_suffix('.md').name}")
        return int(changed or is_wrong(outcomes, findings))

    def _name(self, *, partial: bool) -> str:
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
        name = "-".join(filter(None, (stamp, self._kind, str(self.meta["commit"]).split()[0]))) + ".json"
        return f"scratch/{name}" if partial else name


def is_wrong(outcomes: Sequence[Outcome], findings: Sequence[Finding]) -> bool:
    """Tell whether somebody's answer was not the others', or not what was sent."""
    reasons = [reason for outcome in outcomes for reason in outcome.missing.values()]
    return any("answer is not" in reason for reason in [*reasons, *(finding.missing for finding in findings)])
