"""The schedule: in each round every queue once, in an order drawn anew; enqueueing in palindromes of short blocks.

A round starts every producer anew and every worker once for each setting, so a round is what the rest of the harness
calls a launch: ratios are taken inside it, and the interval comes from the rounds. carmine's worker is started twice in
each: the second is the control.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.measure import CONTROL, Seat, Times
from bench.processes import TICK
from bench.queues import rows
from bench.queues.board import Board
from bench.queues.session import Drain, Producer, Session, Spot, per_message
from bench.rivals.work import Unavailable
from bench.run import Outcome, play_on

Say = Callable[[str], None]

#: carmine, all of it: the control too.
OURS = (*rows.OURS, CONTROL)

#: Seconds that a delayed message rests, and between two of them; between two messages to an idle worker.
DELAY, DELAY_GAP = 0.3, 0.013
PING_GAPS = (0.01, 0.06)


class Settings(NamedTuple):
    """How long and how a run measures."""

    rounds: int = 4
    seconds: float = 1.0
    block: float = 0.1
    pings: int = 60
    budget: float = 2.0
    delays: int = 20
    sweeps: int = 3
    deepest: int = 1_000_000
    seed: int = 7

    def __str__(self) -> str:
        shown = f"{self.rounds} rounds, drains of about {self.seconds:g} s, {self.pings} pings or {self.budget:g} s"
        return f"{shown}, {self.delays} delayed messages, sweeps {self.sweeps} times, seed {self.seed}"


QUICK = Settings(rounds=2, seconds=0.5, block=0.03, pings=30, budget=0.7, delays=10, sweeps=2, deepest=100_000)


class Waits(NamedTuple):
    """Milliseconds of every message, a list for each round."""

    latency: list[list[float]]
    late: list[list[float]]


class Found:
    """What a run has so far.

    Attributes:
        outcomes: The rows, by name.
        waits: Idle latency and lateness, by label.
        missing: Why a figure of a label is not there.
        versions: What each producer said of itself.
    """

    def __init__(self) -> None:
        asked = (rows.ENQUEUE, rows.BULK, rows.DEFAULT, rows.BEST, rows.AGAINST, rows.DEPTHS, rows.DELAYED)
        self.outcomes = {row.name: Outcome(row) for row in asked}
        self.waits: dict[str, Waits] = {}
        self.missing: dict[str, dict[str, str]] = {"latency": {}, "late": {}}
        self.versions: dict[str, object] = {}


class Run:
    """One run.

    Args:
        address: Of a server that nobody else uses.
        settings: How to measure.
        without: Labels to leave out.
        say: Called with a line on each step.
    """

    def __init__(self, address: tuple[str, int], settings: Settings, without: set[str], say: Say) -> None:
        self._address = address
        self._settings = settings
        self._say = say
        self._chance = random.Random(settings.seed)
        self._labels = [label for label in rows.CONTENDERS if label not in without]
        self.found = Found()

    def compare(self) -> None:
        """Play all rounds of all queues."""
        for number in range(self._settings.rounds):
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                self._tell(f"round {number + 1}/{self._settings.rounds}: enqueue")
                board = Board(Path(folder) / "board")
                producers = self._producers(Path(folder) / "board")
                try:
                    self._enqueue(producers)
                    self._handle(producers, board, number)
                finally:
                    for producer in producers.values():
                        producer.stop()
                    board.close()

    def sweep(self) -> None:
        """Measure carmine's blocking worker against the number of messages that wait, and that rest."""
        for number in range(self._settings.sweeps):
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                board = Board(Path(folder) / "board")
                for row, measure in ((rows.DEPTHS, self._at_depth), (rows.DELAYED, self._beside)):
                    self._tell(f"sweep {number + 1}/{self._settings.sweeps}: {row.title}")
                    outcome, spot = self.found.outcomes[row.name], Spot(self._address, 0, Path(folder) / "board")
                    try:
                        producer = Producer(rows.CONTENDERS["carmine"].kind, spot)
                    except Unavailable as reason:
                        outcome.missing[row.reference] = str(reason)
                        continue
                    try:
                        self._steps(outcome, measure, producer, board)
                    finally:
                        producer.stop()
                board.close()

    # Rounds. ---------------------------------------------------------------------------------------------------------

    def _producers(self, board: Path) -> dict[str, Producer]:
        producers: dict[str, Producer] = {}
        for database, label in enumerate([*self._labels, CONTROL]):
            try:
                producers[label] = Producer(contender(label).kind, Spot(self._address, database, board))
            except Unavailable as reason:
                for row in (rows.ENQUEUE, rows.BULK, rows.DEFAULT, rows.BEST):
                    self.found.outcomes[row.name].missing[label] = str(reason)
            else:
                self.found.versions[label] = producers[label].versions
        return producers

    def _enqueue(self, producers: dict[str, Producer]) -> None:
        for row in (rows.ENQUEUE, rows.BULK):
            outcome, work = self.found.outcomes[row.name], row.places[0].work
            seats: dict[str, Seat] = {}
            for label, producer in producers.items():
                try:
                    producer.open(work)
                except Unavailable as reason:
                    outcome.missing[label] = str(reason)
                else:
                    seats[label] = Seat(producer, work, producer.sends)
            play_on(outcome, seats, lambda label: producers[label].failure, (2, self._settings.block, self._chance))

    def _handle(self, producers: dict[str, Producer], board: Board, number: int) -> None:
        drains: dict[str, dict[str, Drain]] = {"default": {}, "best": {}}
        order = list(producers)
        self._chance.shuffle(order)
        for label in order:
            for setting, into in drains.items():
                self._tell(f"round {number + 1}/{self._settings.rounds}: {label}, {setting}")
                missing = self.found.outcomes[(rows.DEFAULT if setting == "default" else rows.BEST).name].missing
                if label in missing:
                    continue
                try:
                    with Session(producers[label], board, setting) as session:
                        into[label] = session.drain(self._count(label, setting))
                        if setting == "default" and label != CONTROL:
                            self._waits(label, session)
                except Unavailable as reason:
                    missing[label] = str(reason)
        mixed = {**drains["best"], **{label: drains["default"][label] for label in OURS if label in drains["default"]}}
        for row, taken in ((rows.DEFAULT, drains["default"]), (rows.BEST, drains["best"]), (rows.AGAINST, mixed)):
            if {row.reference, CONTROL} <= taken.keys():
                launch = {label: Times([drain.wall], [drain.cpu]) for label, drain in taken.items()}
                self.found.outcomes[row.name].launches.append(launch)

    def _count(self, label: str, setting: str) -> int:
        known = contender(label)
        rate = (known.default if setting == "default" else known.best).rate
        return max(20, round(rate * self._settings.seconds))

    def _waits(self, label: str, session: Session) -> None:
        settings = self._settings
        waits = self.found.waits.setdefault(label, Waits([], []))
        missing = self.found.missing
        seed = self._chance.randrange(1 << 30)
        measures: tuple[tuple[str, list[list[float]], Callable[[], list[float]]], ...] = (
            ("latency", waits.latency, lambda: session.pings(settings.pings, PING_GAPS, settings.budget, seed)),
            ("late", waits.late, lambda: session.delays(settings.delays, DELAY, DELAY_GAP)),
        )
        for name, into, measure in measures:
            if label not in missing[name]:
                try:
                    into.append(measure())
                except Unavailable as reason:
                    missing[name][label] = str(reason)

    # Sweeps. ---------------------------------------------------------------------------------------------------------

    def _steps(
        self, outcome: Outcome, measure: Callable[[Producer, Board, int], Drain], producer: Producer, board: Board
    ) -> None:
        labels = [place.label for place in outcome.row.places if amount(place.label) <= self._settings.deepest]
        taken: dict[str, Times] = {}
        order = [*labels, CONTROL]
        self._chance.shuffle(order)
        for label in order:
            try:
                drain = measure(producer, board, amount(outcome.row.reference if label == CONTROL else label))
            except Unavailable as reason:
                outcome.missing[label] = str(reason)
            else:
                taken[label] = Times([drain.wall], [drain.cpu])
        if outcome.row.reference in taken and CONTROL in taken:
            outcome.launches.append(taken)

    def _at_depth(self, producer: Producer, board: Board, depth: int) -> Drain:
        """Time messages while the producer replaces what is handled, so that as many wait at the end as before."""
        count = self._count("carmine", "best")
        with Session(producer, board, "best") as session:
            producer.contestant.ask("fill", first=0, count=depth)
            service = session.start()
            before = service.cpu()
            sent = int(str(producer.contestant.ask("hold", depth=depth, sent=depth, until=count)))
            cpu = max(TICK, service.cpu() - before)
        begun = sorted(session.times(0, sent))
        return Drain(per_message(begun[:count]), cpu / len(begun))

    def _beside(self, producer: Producer, board: Board, resting: int) -> Drain:
        """Time a drain beside messages that rest for an hour."""
        count = self._count("carmine", "best")
        with Session(producer, board, "best") as session:
            producer.contestant.ask("fill_later", first=count, count=resting, seconds=3600)
            return session.drain(count, resting)

    def _tell(self, what: str) -> None:
        self._say(f"load {os.getloadavg()[0]:.1f}: {what}")


def contender(label: str) -> rows.Contender:
    """Return who plays under that label; the control is carmine."""
    return rows.CONTENDERS["carmine" if label == CONTROL else label]


def amount(label: str) -> int:
    """Return the number that a label of a sweep shows."""
    return int(label.replace(",", ""))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so great a share of all does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def figures(values: Sequence[float]) -> dict[str, float]:
    """Return the figures of a list of waits that the table of targets names."""
    return {"p50": statistics.median(values), "p99": percentile(values, 0.99), "max": max(values)}
