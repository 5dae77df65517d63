"""Every row of the fault and threat catalogues is either tested, and says where, or deferred, and says until when.

The catalogues themselves are not part of this repository; their row numbers are stable. A row counts as tested when a
test file names it.
"""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent

FAULTS = {"C": 27, "P": 9, "A": 8, "T": 9, "S": 14, "R": 8, "B": 6, "Q": 22, "L": 11, "W": 7, "D": 15, "G": 6}
THREATS = (
    *(f"S-{n:02}" for n in range(1, 9)),
    *(f"S-{n}" for n in (*range(10, 18), *range(20, 26), *range(30, 35), *range(40, 47))),
    *(f"S-{n}" for n in (*range(50, 60), *range(60, 67), *range(70, 75))),
)

SECOND_WORLD = "the second world: asyncio, pub/sub, scripts, freezing"
QUEUE = "locks and queue"
STORES = "sessions and tundra"
LATER = "cluster, sentinel, client-side caching, dashboard"
UNVERIFIABLE = "a free-threaded build: nothing declares support for one"


def _rows(group: str, *numbers: int) -> list[str]:
    return [f"{group}{n:02}" for n in numbers or range(1, FAULTS[group] + 1)]


DEFERRED = {
    LATER: [*_rows("C", 27), *_rows("R"), "S-06", "S-54", "S-55", "S-56", "S-57", "S-58", "S-59"],
    SECOND_WORLD: [
        *_rows("B"),
    ],
    QUEUE: [*_rows("Q"), *_rows("S", 12), "S-50", "S-51", "S-52"],
    STORES: [
        *_rows("W"), *_rows("D"),
        *(f"S-{n}" for n in (33, *range(40, 47), *range(60, 67))),
    ],
    UNVERIFIABLE: ["S-72"],
}  # fmt: skip
"""What comes with later work. A row that gets its test leaves this list: the test below insists."""

PARTLY = {
    "S13": f"that a queue starts empty: {QUEUE}",
    "S14": f"that the error names a key of the library's own: {QUEUE}",
    "S-16": f"that functions which delete take exact names: {QUEUE}",
    "S-17": f"that keys of the library's own are joined so that none can be another: {QUEUE}",
    "S-24": f"messages and the contents of sessions: {QUEUE}; {STORES}",
    "S-25": f"ids of sessions: {STORES}",
    "S-30": f"messages of a queue, sessions, archives: {QUEUE}; {STORES}",
}
"""Rows that are tested as far as they concern what exists -> what of them comes with which later work."""

ALL = [row for group in FAULTS for row in _rows(group)] + list(THREATS)


def _named_in_tests() -> dict[str, set[str]]:
    """Return the rows that test files name, with the files' names."""
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        if path == Path(__file__).resolve():
            continue
        for row in re.findall(r"\b(?:S-\d\d|[CPATSRBQLWDG]\d\d)\b", path.read_text()):
            found.setdefault(row, set()).add(path.name)
    return found


def test_the_catalogues_are_whole() -> None:
    assert sum(FAULTS.values()) == 142
    assert len(THREATS) == 56
    deferred = [row for rows in DEFERRED.values() for row in rows]
    assert len(deferred) == len(set(deferred))
    assert set(deferred) <= set(ALL)
    assert set(PARTLY) <= set(ALL) - set(deferred)


def test_every_row_is_tested_or_deferred() -> None:
    deferred = {row for rows in DEFERRED.values() for row in rows}
    named = _named_in_tests()
    assert [row for row in ALL if row not in deferred and row not in named] == []


def test_the_rows_are_counted(record_property: object) -> None:
    deferred = {row for rows in DEFERRED.values() for row in rows}
    tested = [row for row in ALL if row not in deferred]
    print(f"catalogue rows: {len(tested)} tested, {len(deferred)} deferred")  # noqa: T201 - the count is asked for
    for why, rows in DEFERRED.items():
        print(f"  deferred to {why}: {' '.join(rows)}")  # noqa: T201
    for row, what in PARTLY.items():
        print(f"  {row} is tested but for this: {what}")  # noqa: T201
    assert len(tested) + len(deferred) == len(ALL)
