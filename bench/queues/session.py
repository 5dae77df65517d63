"""One rival's producer, and sessions of its worker: fill, drain, ping, delay; every one of them checked.

Knows processes, the board and the clock, not the rivals. Invariant: a figure is returned only when every message of
its session was begun exactly once and the queue is empty afterwards.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from bench import data, envs
from bench.contestant import Contestant, environment
from bench.processes import TICK, Service
from bench.rivals.work import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from bench.contestant import Kind, Sample
    from bench.queues.board import Board

#: Seconds that a worker may take to start, and to tell the server of what it has done.
_START, _SETTLE = 20.0, 5.0


class Spot(NamedTuple):
    """Where a rival works: the server, a database of its own, and the board's file."""

    address: tuple[str, int]
    database: int
    board: Path

    @property
    def variables(self) -> tuple[tuple[str, str], ...]:
        """Say it in the environment of a rival's processes."""
        host, port = self.address
        return ("BENCH_URL", f"redis://{host}:{port}/{self.database}"), ("BENCH_BOARD", str(self.board))


class Drain(NamedTuple):
    """What handling a filled queue took: seconds for each message on the clock, and of the worker's processor time."""

    wall: float
    cpu: float


class Producer:
    """A rival's producer process; also a runner of timed blocks whose sends are counted after each."""

    def __init__(self, kind: Kind, spot: Spot) -> None:
        self._kind = kind
        self._spot = spot
        self.contestant = Contestant(kind, spot.address, variables=spot.variables)
        try:
            self.versions = self.contestant.order("hello")
            self.clear()
        except Unavailable:
            self.contestant.stop()
            raise
        self.sends = 1
        self.failure = ""

    def clear(self) -> None:
        """Empty the queue."""
        self.contestant.ask("clear")

    def size(self) -> int:
        """Return how many messages wait."""
        return int(str(self.contestant.ask("size")))

    def open(self, work: str) -> None:
        """Make a work ready, and see that what it sends arrives.

        Raises:
            Unavailable: The rival has no such work, or the queue did not become longer by what was sent.
        """
        self.failure = ""
        found = self.contestant.order("open", work=work)["digest"]
        self.sends = int(str(self.contestant.ask("bulk_count"))) if work == "bulk" else 1
        self.clear()
        if found != data.digest(1):
            raise Unavailable("its answer is not right: one message was sent, and its queue tells otherwise")
        self.run(work, 1)

    def run(self, work: str, count: int) -> Sample:
        """Time a block of sends, and count what came of it; why that failed is kept for whoever drops this seat."""
        try:
            sample = self.contestant.run(work, count)
            found, sent = self.size(), count * self.sends
            if found != sent:
                raise Unavailable(f"its answer is not right: {sent} messages were sent, {found} are there")
            self.clear()
        except Unavailable as reason:
            self.failure = str(reason)
            raise
        return sample

    def serve(self, setting: str) -> Service:
        """Start the worker."""
        words = [self._kind.python, "-m", "bench.queues.serve", self._kind.module, setting]
        return Service(words, envs.ROOT, {**environment(), **dict(self._kind.variables), **dict(self._spot.variables)})

    def stop(self) -> None:
        """End the producer's process."""
        self.contestant.stop()


class Session:
    """One life of a worker; to be used in a `with` block.

    Args:
        producer: Who sends.
        board: Where handlers make their marks.
        setting: "default" or "best".
    """

    def __init__(self, producer: Producer, board: Board, setting: str) -> None:
        self._producer = producer
        self._board = board
        self._setting = setting
        self._service: Service | None = None
        self._next = 0

    def start(self) -> Service:
        """Start the worker."""
        self._service = self._producer.serve(self._setting)
        return self._service

    def drain(self, count: int, resting: int = 0) -> Drain:
        """Fill the queue, start the worker, and time it; see `per_message`.

        Args:
            count: How many messages.
            resting: How many delayed ones the queue holds besides.
        """
        self._producer.contestant.ask("fill", first=0, count=count)
        self._next = count
        service = self.start()
        self._wait(0, count, 1, time.monotonic() + _START)
        cpu = service.cpu()
        self._wait(0, count, count, time.monotonic() + 60)
        cpu = max(TICK, service.cpu() - cpu)
        self._settle(resting)
        return Drain(per_message(self._times(0, count)), cpu / count)

    def pings(self, count: int, gaps: tuple[float, float], budget: float, seed: int) -> list[float]:
        """Return the milliseconds from the call that enqueued to the start of the handler, for each message."""
        sent = self._ask("pings", count, gaps=gaps, budget=budget, seed=seed)
        return [(begun - at) / 1e6 for at, begun in self._pair(sent)]

    def delays(self, count: int, delay: float, gap: float) -> list[float]:
        """Return by how many milliseconds each delayed message was late."""
        sent = self._ask("delays", count, delay=delay, gap=gap)
        return [(begun - at) / 1e6 - delay * 1e3 for at, begun in self._pair(sent)]

    def __enter__(self) -> Self:
        """Begin with an empty queue and an empty board."""
        self._producer.clear()
        self._board.wipe()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the worker, and leave an empty queue."""
        if self._service is not None:
            self._service.stop()
            self._service = None
        with contextlib.suppress(Unavailable):  # a producer that is gone has told so before
            self._producer.clear()

    def times(self, start: int, stop: int) -> list[int]:
        """Return when each was begun; those that were, each once.

        Raises:
            Unavailable: One was begun twice.
        """
        runs = self._board.runs(start, stop)
        if any(each > 1 for each in runs):
            raise Unavailable("its answer is not right: a message was handled twice")
        return [at for at, each in zip(self._board.times(start, stop), runs, strict=True) if each]

    def _times(self, start: int, stop: int) -> list[int]:
        found = self.times(start, stop)
        if len(found) != stop - start:
            raise Unavailable(f"its answer is not right: {stop - start} messages were sent, {len(found)} handled")
        return found

    def _ask(self, what: str, count: int, **arguments: object) -> list[int]:
        found = self._producer.contestant.ask(what, first=self._next, count=count, **arguments)
        if not isinstance(found, list):
            raise Unavailable(f"it answered {what} with no list")
        return [int(each) for each in found]

    def _pair(self, sent: list[int]) -> list[tuple[int, int]]:
        begun = self._times(self._next, self._next + len(sent))
        self._next += len(sent)
        return list(zip(sent, begun, strict=True))

    def _wait(self, start: int, stop: int, least: int, deadline: float) -> None:
        """Wait until so many have begun: one, or all."""
        service = self._service
        if service is None:
            raise Unavailable("its worker was not started")
        board = self._board
        if least < stop - start:
            is_there = wait_any(board, start, stop, deadline, service)
        else:
            is_there = board.wait(start, stop, deadline, lambda: service.is_alive)
        if not is_there:
            handled = sum(map(bool, board.runs(start, stop)))
            raise Unavailable(f"its worker stopped at {handled} of {stop - start}: {service.last_words()}")

    def _settle(self, size: int) -> None:
        # Handlers have begun all; the queue's own books may be a moment behind.
        until = time.monotonic() + _SETTLE
        while (found := self._producer.size()) != size:
            if time.monotonic() > until:
                raise Unavailable(f"its answer is not right: {found} messages are left, {size} should be")
            time.sleep(0.01)


def per_message(times: Sequence[int]) -> float:
    """Return the seconds between two messages of a row that a worker began, in nanoseconds of the clock.

    The first quarter does not count: threads, connections and scripts are made meanwhile.
    """
    ordered = sorted(times)
    counted = ordered[len(ordered) // 4 :]
    return (counted[-1] - counted[0]) / 1e9 / (len(counted) - 1)


def wait_any(board: Board, start: int, stop: int, deadline: float, service: Service) -> bool:
    """Wait until one of these was begun."""
    while not any(board.runs(start, stop)):
        if time.monotonic() > deadline or not service.is_alive:
            return False
        time.sleep(0.002)
    return True
