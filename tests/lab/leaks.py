"""What a process holds: open files, threads, asyncio tasks, a server's clients, and its peak of memory.

Take a snapshot before, and `assert_no_leaks` after: it waits, within a deadline, until everything is back.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

__all__ = ["Snapshot", "assert_no_leaks", "assert_no_leaks_async", "peak_memory", "reset_peak_memory", "snapshot"]

_FDS = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"


class Snapshot(NamedTuple):
    """What was held at one moment; each thing is told so that a leak can be named."""

    files: dict[int, str]
    threads: set[str]
    tasks: set[str]
    clients: int | None

    def more_than(self, before: Snapshot) -> list[str]:
        """Name everything that is held now and was not before."""
        grown = [f"file {fd}: {target}" for fd, target in self.files.items() if before.files.get(fd) != target]
        if len(self.files) <= len(before.files):
            grown = []  # a number was given anew, nothing was added
        grown += [f"thread {name}" for name in sorted(self.threads - before.threads)]
        grown += [f"task {name}" for name in sorted(self.tasks - before.tasks)]
        if self.clients is not None and before.clients is not None and self.clients > before.clients:
            grown.append(f"{self.clients - before.clients} clients at the server")
        return grown


def snapshot(server: RedisServer | None = None) -> Snapshot:
    """Take stock, also of the clients of `server` if one is given."""
    clients = None if server is None else len(server.clients())  # first: it may open its own connection
    return Snapshot(_open_files(), {f"{t.name} ({t.ident})" for t in threading.enumerate()}, _tasks(), clients)


def assert_no_leaks(before: Snapshot, server: RedisServer | None = None, within: float = 2.0) -> None:
    """Wait until nothing is held that was not held before; fail with a list after `within` seconds."""
    deadline = time.monotonic() + within
    while grown := _grown(before, server):
        if time.monotonic() > deadline:
            raise AssertionError("leaked: " + "; ".join(grown))
        time.sleep(0.005)


async def assert_no_leaks_async(before: Snapshot, server: RedisServer | None = None, within: float = 2.0) -> None:
    """Do the same inside an event loop, which must run meanwhile for its tasks to end."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while grown := _grown(before, server):
        if loop.time() > deadline:
            raise AssertionError("leaked: " + "; ".join(grown))
        await asyncio.sleep(0.005)


def reset_peak_memory() -> None:
    """Let the peak begin at what is resident now (Linux)."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_memory() -> int:
    """Return the peak of resident memory in bytes, since the process began or since `reset_peak_memory` (Linux)."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("the system does not tell VmHWM")


def _grown(before: Snapshot, server: RedisServer | None) -> list[str]:
    grown = snapshot(server).more_than(before)
    if grown:
        gc.collect()  # what only waits for the collector is no leak
        grown = snapshot(server).more_than(before)
    return grown


def _open_files() -> dict[int, str]:
    files: dict[int, str] = {}
    for name in os.listdir(_FDS):
        try:
            files[int(name)] = os.readlink(f"{_FDS}/{name}") if sys.platform == "linux" else "open"
        except OSError:  # the descriptor of listdir itself
            continue
    return files


def _tasks() -> set[str]:
    try:
        return {f"{task.get_name()}: {task.get_coro()!r}" for task in asyncio.all_tasks()}
    except RuntimeError:  # no loop runs here
        return set()
