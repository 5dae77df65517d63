"""The worker process of one rival: opens a work, times blocks of it, answers on a pipe.

Run as ``python -m bench.worker RIVAL HOST PORT`` by the rival's own interpreter. Orders come as JSON lines on
standard input; answers go to the descriptor that was standard output, while anything a client prints goes to standard
error and cannot break the talk.

Invariants: the clock starts after a full garbage collection and stops before anything else is done; the cyclic
collector never runs inside a block, for no rival.
"""

from __future__ import annotations

import cProfile
import gc
import importlib
import io
import json
import os
import platform
import pstats
import resource
import sys
import time
from typing import TYPE_CHECKING, TextIO

from bench import data, memory
from bench.rivals.work import Unavailable, Work

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = dict[str, object]


class Worker:
    """One rival and the works that were opened on it."""

    def __init__(self, name: str, address: tuple[str, int]) -> None:
        self._rival = importlib.import_module(f"bench.rivals.{name}").Rival(address)
        self._works: dict[str, Work] = {}

    def hello(self) -> Answer:
        """Tell who is here."""
        return {**self._rival.versions(), "python": platform.python_version()}

    def open(self, work: str) -> Answer:
        """Make a work ready and return the fingerprint of its answer."""
        if work not in self._works:
            self._works[work] = self._make(work)
        found = data.digest(self._works[work].answer())
        gc.collect()
        gc.freeze()
        return {"digest": found}

    def run(self, work: str, count: int) -> Answer:
        """Time one block."""
        run = self._works[work].run
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        run(count)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"wall": wall, "cpu": cpu}

    def split(self, work: str, count: int) -> Answer:
        """Run one block and tell which share of its processor time was spent in user mode."""
        before = resource.getrusage(resource.RUSAGE_SELF)
        self._works[work].run(count)
        after = resource.getrusage(resource.RUSAGE_SELF)
        user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
        return {"user": user / max(user + system, 1e-9)}

    def frames(self, work: str, count: int) -> Answer:
        """Run one block under cProfile and return its table."""
        profile, text = cProfile.Profile(), io.StringIO()
        profile.runcall(self._works[work].run, count)
        pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(15)
        return {"text": text.getvalue()}

    def close(self, work: str) -> Answer:
        """Drop a work and what it holds."""
        self._works.pop(work).close()
        gc.unfreeze()
        gc.collect()
        return {}

    def peak(self, work: str, size: int) -> Answer:
        """Do a large work once and return its peak memory as a multiple of the value, the value itself included."""
        self._make("get").run(10)
        gc.collect()
        memory.reset_peak()
        before = memory.resident()
        self._make(work).run(1)
        return {"figure": (memory.peak() - before) / size}

    def idle(self, count: int) -> Answer:
        """Return the bytes of private memory that one idle connection costs."""
        if not hasattr(self._rival, "idle"):
            raise Unavailable("this rival cannot be asked for idle connections")
        warm = self._rival.idle(20)
        gc.collect()
        before = memory.proportional()
        close = self._rival.idle(count)
        gc.collect()
        cost = (memory.proportional() - before) / count
        close()
        warm()
        return {"figure": cost}

    def ask(self, what: str, **arguments: object) -> Answer:
        """Have the rival do something that is not timed here, and return what it says."""
        asked = getattr(self._rival, what, None)
        if asked is None:
            raise Unavailable(f"this rival does not know {what}")
        return {"value": asked(**arguments)}

    def _make(self, work: str) -> Work:
        make: Callable[[], Work] | None = getattr(self._rival, work, None)
        if make is None:
            raise Unavailable(f"this rival has no work named {work}")
        return make()


def serve(rival: str, address: tuple[str, int], orders: TextIO, answers: TextIO) -> None:
    """Carry out orders until they end.

    Args:
        rival: Name of the module in ``bench.rivals``.
        address: Host and port of the server.
        orders: Lines with ``{"do": method, ...arguments}``.
        answers: Where the answer lines go.
    """
    worker: Worker | None = None
    gc.disable()
    for line in orders:
        order = json.loads(line)
        try:
            if worker is None:
                worker = Worker(rival, address)
            answer = getattr(worker, order.pop("do"))(**order)
        except Unavailable as reason:
            answer = {"unavailable": str(reason)}
        except Exception as error:  # noqa: BLE001 - a rival may fail in any way; the run reports it and goes on
            answer = {"unavailable": f"{type(error).__name__}: {error}"[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Talk on the inherited pipe; keep standard output away from the clients."""
    rival, host, port = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(rival, (host, int(port)), sys.stdin, answers)


if __name__ == "__main__":
    main()
