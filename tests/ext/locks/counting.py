"""One of several processes that increment an unprotected counter in a file, each under the lock (L11).

`python -m tests.ext.locks.counting WORLD URL FILE WORKERS ROUNDS`; prints increments, errors and lost leases.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

import carmine
from carmine.errors import CarmineError
from carmine.ext.locks import AsyncLock, LeaseLost, Lock
from carmine.retry import Retry

TTL = 8.0
RETRY = Retry(3, base=0.005, cap=0.05)


class Tally:
    """What one process has seen; appending is what threads can do at once."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.done: list[None] = []
        self.errors: list[CarmineError] = []
        self.lost: list[LeaseLost] = []
        self.fences: list[int] = []

    def increment(self, fence: int) -> None:
        """Read, then write: two of these at once lose a count. The last fence stands beside it."""
        count, last = map(int, self.file.read_text().split())
        assert fence > last, "fences rise from one holder to the next"
        other = self.file.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        other.write_text(f"{count + 1} {fence}")
        other.replace(self.file)
        self.done.append(None)

    def saw(self, problem: CarmineError) -> None:
        """Count an error."""
        self.lost.append(problem) if isinstance(problem, LeaseLost) else self.errors.append(problem)


def by_threads(url: str, tally: Tally, workers: int, rounds: int) -> None:
    with carmine.Client(url, pool_size=8, retry=RETRY) as client:
        lock = Lock(client, "counter", ttl=TTL)

        def work() -> None:
            mine = 0
            while mine < rounds:
                try:
                    with lock as lease:
                        tally.increment(lease.fence)
                        mine += 1
                except CarmineError as problem:
                    tally.saw(problem)

        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


async def by_tasks(url: str, tally: Tally, workers: int, rounds: int) -> None:
    async with carmine.AsyncClient(url, retry=RETRY) as client:
        lock = AsyncLock(client, "counter", ttl=TTL)

        async def work() -> None:
            mine = 0
            while mine < rounds:
                try:
                    async with lock as lease:
                        tally.increment(lease.fence)
                        await asyncio.sleep(0)
                        mine += 1
                except CarmineError as problem:
                    tally.saw(problem)

        await asyncio.gather(*(work() for _ in range(workers)))


def main() -> None:
    world, url, file, workers, rounds = sys.argv[1:]
    tally = Tally(Path(file))
    if world == "sync":
        by_threads(url, tally, int(workers), int(rounds))
    else:
        asyncio.run(by_tasks(url, tally, int(workers), int(rounds)))
    print(len(tally.done), len(tally.errors), len(tally.lost))  # noqa: T201 - its parent reads it


if __name__ == "__main__":
    main()
