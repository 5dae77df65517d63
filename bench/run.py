"""A whole run: launches of worker processes, rows played in each, results gathered.

A launch starts every worker anew and goes through all rows; the next launch begins with new processes. So each row is
sampled at several moments and in several memory layouts, and what is peculiar to one process shows in the interval
instead of hiding in it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench import data
from bench.contestant import KEPT_HEAP, KINDS, Contestant
from bench.measure import CONTROL, Seat, Times, play
from bench.rivals.work import Unavailable

if TYPE_CHECKING:
    from bench.rows import Place, Row
    from bench.server import Server

Say = Callable[[str], None]


class Settings(NamedTuple):
    """How long and how a run measures."""

    launches: int = 6
    rounds: int = 8
    block: float = 0.02
    seed: int = 7
    cores: frozenset[int] = frozenset()

    def __str__(self) -> str:
        block = f"blocks of {self.block * 1000:g} ms"
        return f"{self.launches} launches of {self.rounds} rounds, {block}, seed {self.seed}"


class Outcome:
    """What a row has so far: times of each launch, and why a label is missing."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.launches: list[dict[str, Times]] = []
        self.missing: dict[str, str] = {}

    def labels(self) -> list[str]:
        """Return the labels that were measured in every launch, in the row's order."""
        labels = [place.label for place in self.row.places if place.label not in self.missing]
        return [label for label in labels if any(label in launch for launch in self.launches)]


class Launch:
    """The worker processes of one launch, started when first needed."""

    def __init__(self, server: Server, cores: frozenset[int]) -> None:
        self._server = server
        self._cores = cores
        self._crew: dict[str, Contestant] = {}
        self.versions: dict[str, dict[str, object]] = {}

    def worker(self, kind: str, copy: str = "") -> Contestant:
        """Return the worker of that kind; another copy is another process."""
        name = kind + copy
        if name not in self._crew:
            worker = self._crew[name] = Contestant(KINDS[kind], self._server.address, self._cores, KEPT_HEAP)
            self.versions[kind] = worker.order("hello")
        return self._crew[name]

    def stop(self) -> None:
        """End all workers."""
        for worker in self._crew.values():
            worker.stop()


def run(rows: Sequence[Row], server: Server, settings: Settings, say: Say) -> tuple[list[Outcome], dict[str, object]]:
    """Measure the rows.

    Args:
        rows: Which ones.
        server: A server that holds the data.
        settings: Launches, rounds, block, cores.
        say: Called with a line on each step.

    Returns:
        The outcomes in the order of the rows, and what each kind of worker said of itself.
    """
    outcomes = [Outcome(row) for row in rows]
    chance = random.Random(settings.seed)
    versions: dict[str, object] = {}
    for number in range(settings.launches):
        launch = Launch(server, settings.cores)
        try:
            for outcome in outcomes:
                say(f"launch {number + 1}/{settings.launches}, load {os.getloadavg()[0]:.1f}: {outcome.row.name}")
                _play(outcome, launch, settings, chance)
                for _ in range(outcome.row.again):
                    _play_anew(outcome, server, settings, chance)
        finally:
            launch.stop()
        versions.update(launch.versions)
    return outcomes, versions


def _play_anew(outcome: Outcome, server: Server, settings: Settings, chance: random.Random) -> None:
    launch = Launch(server, settings.cores)
    try:
        _play(outcome, launch, settings, chance)
    finally:
        launch.stop()


def _play(outcome: Outcome, launch: Launch, settings: Settings, chance: random.Random) -> None:
    row = outcome.row
    reference = next(place for place in row.places if place.label == row.reference)
    right = data.expected()
    seats: dict[str, Seat] = {}
    workers: list[tuple[Contestant, str]] = []
    for place in [*row.places, reference._replace(label=CONTROL)]:
        if place.label in outcome.missing or (place.label == CONTROL and row.reference not in seats):
            continue
        try:
            worker = launch.worker(place.kind, CONTROL if place.label == CONTROL else "")
            found = str(worker.order("open", work=place.work)["digest"])
            workers.append((worker, place.work))
            if right.setdefault(place.work, found) != found:
                raise Unavailable("its answer is not the others'")
            seats[place.label] = Seat(worker, place.work, place.unit)
        except Unavailable as reason:
            outcome.missing[place.label] = str(reason)
    if row.reference in seats and len(seats) > 1:
        outcome.launches.append(_play_all(outcome, seats, settings, chance))
    for worker, work in workers:
        _close(worker, work)


def _play_all(outcome: Outcome, seats: dict[str, Seat], settings: Settings, chance: random.Random) -> dict[str, Times]:
    # A rival that fails in the middle leaves the row; the others are measured without it.
    for label in list(seats):
        try:
            seats[label].runner.run(seats[label].work, 1)
        except Unavailable as reason:
            outcome.missing[label] = str(reason)
            del seats[label]
    return play(seats, settings.rounds, settings.block, chance)


def play_on(
    outcome: Outcome, seats: dict[str, Seat], failure: Callable[[str], str], settings: tuple[int, float, random.Random]
) -> None:
    """Measure one launch of a row; a seat that fails in the middle leaves it, and the others begin again.

    Args:
        outcome: Where the times go, and why a seat is missing.
        seats: The participants by label, the control among them.
        failure: Returns why the runner of a label failed; nothing if it did not.
        settings: Rounds, seconds of a block, and the source of the orders.
    """
    while {outcome.row.reference, CONTROL} <= seats.keys():
        try:
            outcome.launches.append(play(seats, *settings))
        except Unavailable:
            failed = {label: reason for label in seats if (reason := failure(label))}
            if not failed:
                raise
            outcome.missing |= failed
            seats = {label: seat for label, seat in seats.items() if label not in failed}
        else:
            return


def _close(worker: Contestant, work: str) -> None:
    try:
        worker.order("close", work=work)
    except Unavailable:
        return  # A worker that died has nothing left to close.


def places_of(rows: Sequence[Row]) -> list[Place]:
    """Return every place of the rows, for a look at which environments are needed."""
    return [place for row in rows for place in row.places]
