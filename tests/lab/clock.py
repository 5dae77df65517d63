"""Time as tests may measure it: what a call has taken, less what the machine has kept from it.

A bound is kept tight by taking away what is nobody's doing: the time in which a thread that serves the call was ready
to run and no processor was free, as the kernel counts it for each thread. Only Linux tells; elsewhere nothing is taken
away, and a busy machine fails a test.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["SLACK", "Stopwatch", "within"]

SLACK: Final = 0.25
"""Seconds by which a call may overrun its deadline (FAULTS.md I3)."""


class Stopwatch:
    """Measures from its making on, for the thread that made it.

    Args:
        threads: Native ids of other threads that the call goes through, such as an event loop's.
        processes: Ids of processes that the call waits for, such as a server's.
    """

    def __init__(self, threads: Iterable[int] = (), processes: Iterable[int] = ()) -> None:
        tasks = [Path("/proc/self/task", str(thread)) for thread in (threading.get_native_id(), *threads)]
        self._counts = [task / "schedstat" for task in (*tasks, *(Path("/proc", str(one)) for one in processes))]
        self._waited = self._without_cpu()
        self._began = time.monotonic()

    def _without_cpu(self) -> float:
        """Return the seconds that these were ready to run and no processor was free."""
        waited = 0
        for count in self._counts:
            with contextlib.suppress(OSError):  # not Linux, or it has ended
                waited += int(count.read_text().split()[1])
        return waited / 1e9

    @property
    def passed(self) -> float:
        """Seconds by the clock on the wall."""
        return time.monotonic() - self._began

    @property
    def stolen(self) -> float:
        """Seconds that the machine has kept from the call."""
        return max(0.0, self._without_cpu() - self._waited)

    @property
    def took(self) -> float:
        """Seconds that the call itself has taken."""
        return self.passed - self.stolen


@contextlib.contextmanager
def within(
    seconds: float, at_least: float = 0.0, *, threads: Iterable[int] = (), processes: Iterable[int] = ()
) -> Iterator[Stopwatch]:
    """Hold what happens inside to its deadline and the slack.

    Args:
        seconds: The deadline.
        at_least: What it must have taken by the clock on the wall.
        threads: As for Stopwatch.
        processes: As for Stopwatch.
    """
    watch = Stopwatch(threads, processes)
    yield watch
    passed, stolen = watch.passed, watch.stolen
    assert passed >= at_least, f"took {passed:.3f} s, and no less than {at_least} s are possible"
    assert passed - stolen <= seconds + SLACK, (
        f"took {passed - stolen:.3f} s, and {stolen:.3f} s without a processor; allowed are {seconds} s + {SLACK} s"
    )
