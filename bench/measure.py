"""The schedule of a run: who runs when, and what the times become.

A round is a palindrome (A B C C B A) of short blocks in an order drawn anew each time: slow drift of the machine
falls on all alike, and nobody always follows the same neighbour. Every time of a round is divided by the reference's
time in the *same* round. Knows nothing of processes and servers: whatever has ``run(work, count)`` can be measured,
which is how the schedule itself is tested.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bench.stats import Interval, log_ratios, ratio_interval

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

#: The label of the reference's second copy.
CONTROL = "control"


class Timed(Protocol):
    """A block's times in seconds."""

    @property
    def wall(self) -> float:
        """Return the time on the clock."""

    @property
    def cpu(self) -> float:
        """Return the processor time of the whole process."""


class Runner(Protocol):
    """Whoever can time a block of a work."""

    def run(self, work: str, count: int) -> Timed:
        """Do the work ``count`` times."""


class Seat(NamedTuple):
    """One participant of a row: its runner, its work, and how many units one turn of the work is."""

    runner: Runner
    work: str
    unit: int


class Times(NamedTuple):
    """Seconds per unit, one entry per round."""

    wall: list[float]
    cpu: list[float]


def calibrate(runner: Runner, work: str, block: float) -> int:
    """Return how often the work fits into a block of that many seconds, at least once."""
    count = 1
    while True:
        wall = runner.run(work, count).wall
        if wall >= block / 4:
            # Another process may have had the processor meanwhile; blocks of one call would be the harness's own time.
            wall = min(wall, runner.run(work, count).wall)
            if wall >= block / 4:
                return max(1, round(count * block / wall))
        count *= 4


def play(seats: Mapping[str, Seat], rounds: int, block: float, chance: random.Random) -> dict[str, Times]:
    """Measure all seats in one launch.

    Args:
        seats: The participants by label.
        rounds: How many palindromes.
        block: Seconds that one block should take.
        chance: Source of the orders.

    Returns:
        The times of every seat, as long as ``rounds``.
    """
    counts = {label: calibrate(seat.runner, seat.work, block) for label, seat in seats.items()}
    times = {label: Times([], []) for label in seats}
    for _ in range(rounds):
        order = list(seats)
        chance.shuffle(order)
        found: dict[str, list[Timed]] = {label: [] for label in seats}
        for label in [*order, *reversed(order)]:
            seat = seats[label]
            found[label].append(seat.runner.run(seat.work, counts[label]))
        for label, (first, second) in found.items():
            units = counts[label] * seats[label].unit
            times[label].wall.append(math.sqrt(first.wall * second.wall) / units)
            times[label].cpu.append(math.sqrt(max(first.cpu, 1e-9) * max(second.cpu, 1e-9)) / units)
    return times


def compare(launches: Sequence[Mapping[str, Times]], of: str, to: str, *, cpu: bool = False) -> Interval:
    """Return the ratio of two seats' times over all launches that both took part in."""
    field = 1 if cpu else 0
    pairs = [(launch[of][field], launch[to][field]) for launch in launches if of in launch and to in launch]
    return ratio_interval([log_ratios(over, under) for over, under in pairs])
