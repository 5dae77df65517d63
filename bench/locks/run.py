"""The schedule: in each round every lock once for each figure, in an order drawn anew; turns in palindromes of blocks.

A round starts all processes anew, so it is what the rest of the harness calls a launch.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import NamedTuple

from bench import data
from bench.contestant import Contestant
from bench.locks import rows
from bench.locks.server import Teller
from bench.measure import CONTROL, Seat
from bench.rivals.work import Unavailable
from bench.run import Outcome, play_on

Say = Callable[[str], None]

#: Seconds that a waiter has waited when the holder lets go: two of redis-py's pauses, so that no phase is preferred.
_GAPS = (0.02, 0.22)

#: How many wait at once.
WAITERS = 50

#: Turns that are counted.
_TURNS = 200


class Settings(NamedTuple):
    """How long and how a run measures."""

    rounds: int = 3
    blocks: int = 8
    block: float = 0.03
    handovers: int = 40
    budget: float = 2.5
    settle: float = 0.7
    alone: float = 3.0
    crowded: float = 3.0
    seed: int = 7

    def __str__(self) -> str:
        shown = f"{self.rounds} rounds of {self.blocks} blocks of {self.block * 1000:g} ms"
        waits = f"{self.handovers} hand-overs or {self.budget:g} s"
        return f"{shown}, {waits}, waiters watched for {self.alone:g} and {self.crowded:g} s, seed {self.seed}"


QUICK = Settings(rounds=2, blocks=4, handovers=10, budget=1.0, settle=0.4, alone=1.0, crowded=0.7)


class Found:
    """What a run has so far: the row, and the values of each figure by label, one for each round.

    Attributes:
        outcome: Times of turns.
        trips: Round trips of a turn.
        handovers: Milliseconds of each hand-over.
        waiter: Commands a second that one waiter costs.
        crowd: Commands a second that 50 cost.
        missing: Why a label is not there.
        versions: What each rival said of itself.
    """

    def __init__(self) -> None:
        self.outcome = Outcome(rows.TURN)
        self.trips: dict[str, list[float]] = {}
        self.handovers: dict[str, list[list[float]]] = {}
        self.waiter: dict[str, list[float]] = {}
        self.crowd: dict[str, list[float]] = {}
        self.missing: dict[str, str] = {}
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
        """Play all rounds."""
        for number in range(self._settings.rounds):
            teller = Teller(self._address)
            crew: dict[str, Contestant] = {}
            try:
                self._tell(number, "turns")
                self._hire(crew)
                self._turns(crew)
                order = [label for label in self._labels if label in crew]
                self._chance.shuffle(order)
                for label in order:
                    self._tell(number, label)
                    try:
                        self._wait(label, crew[label], teller)
                    except Unavailable as reason:
                        self.found.missing[label] = str(reason)
                    teller.ask("FLUSHALL")
            finally:
                for worker in crew.values():
                    worker.stop()
                teller.close()

    def _worker(self, label: str) -> Contestant:
        worker = Contestant(rows.CONTENDERS["carmine" if label == CONTROL else label].kind, self._address)
        try:
            self.found.versions[label] = worker.order("hello")
        except Unavailable:
            worker.stop()
            raise
        return worker

    def _hire(self, crew: dict[str, Contestant]) -> None:
        for label in [*self._labels, CONTROL]:
            if label not in self.found.missing:
                try:
                    crew[label] = self._worker(label)
                except Unavailable as reason:
                    self.found.missing[label] = str(reason)

    def _turns(self, crew: dict[str, Contestant]) -> None:
        outcome, work = self.found.outcome, rows.TURN.places[0].work
        seats: dict[str, Seat] = {}
        for label, worker in crew.items():
            try:
                if worker.order("open", work=work)["digest"] != data.digest([1, 0]):
                    raise Unavailable("its answer is not right: the lock was not held, or not given back")
                worker.run(work, 1)
                seats[label] = Seat(worker, work, 1)
            except Unavailable as reason:
                outcome.missing[label] = str(reason)
        schedule = self._settings.blocks, self._settings.block, self._chance
        play_on(outcome, seats, lambda label: crew[label].failure, schedule)

    def _wait(self, label: str, holder: Contestant, teller: Teller) -> None:
        found, settings = self.found, self._settings
        holder.ask("turns", count=5)
        trips = teller.watch(lambda: holder.ask("turns", count=_TURNS)) / _TURNS
        found.trips.setdefault(label, []).append(trips)
        found.handovers.setdefault(label, []).append(self._handovers(label, holder))
        holder.ask("hold")
        try:
            for into, waiters, seconds in ((found.waiter, 1, settings.alone), (found.crowd, WAITERS, settings.crowded)):
                into.setdefault(label, []).append(self._cost(label, teller, waiters, seconds))
        finally:
            holder.ask("let_go")

    def _handovers(self, label: str, holder: Contestant) -> list[float]:
        waits: list[float] = []
        until = time.monotonic() + self._settings.budget
        waiter = self._worker(label)
        try:
            waiter.ask("turns", count=5)
            while len(waits) < self._settings.handovers and (time.monotonic() < until or not waits):
                holder.ask("hold")
                waiter.begin("ask", what="take")
                time.sleep(self._chance.uniform(*_GAPS))
                given = int(str(holder.ask("let_go")))
                taken = int(str(waiter.finish()["value"]))
                if taken < given:
                    raise Unavailable("its answer is not right: two held the lock at once")
                waits.append((taken - given) / 1e6)
        finally:
            waiter.stop()
        return waits

    def _cost(self, label: str, teller: Teller, waiters: int, seconds: float) -> float:
        crowd = self._worker(label)
        try:
            crowd.ask("crowd", count=waiters)
            time.sleep(self._settings.settle)  # connections, subscriptions, first attempts
            rate = teller.rate(seconds)
            if (waiting := crowd.ask("waiting")) != waiters:
                raise Unavailable(f"its answer is not right: of {waiters} waiters {waiting} wait")
            return rate
        finally:
            crowd.stop()

    def _tell(self, number: int, what: str) -> None:
        self._say(f"round {number + 1}/{self._settings.rounds}, load {os.getloadavg()[0]:.1f}: {what}")
