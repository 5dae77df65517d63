"""Processes with a worker of Tundra, to be killed: `python -m tests.ext.tundra.laborer WORLD URL FOLDER`.

For each line of input a child is forked that works until it is killed; a line of output then has its pid. The parent,
which has neither threads nor connections, saves each child the time that importing takes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from typing import Any, Final

import carmine
from carmine.ext.tundra import AsyncTundraStore, TundraStore
from carmine.ext.tundra.disk import DiskDataStore
from tests.ext.tundra.stores import MAC_KEY

OPTIONS: Final[dict[str, Any]] = {"mac_keys": MAC_KEY, "redis_ttl": 0.05, "allow_short_ttl": True}
"""Keys leave memory as soon as they may: one that may too early is lost, and so is found."""

WORKER: Final[dict[str, Any]] = {"attempts": 99, "retry_backoff": 0.02, "lease": 0.3, "concurrency": 4}


def by_threads(url: str, folder: str) -> None:
    with carmine.Client(url) as client:
        TundraStore(client, DiskDataStore(folder), **OPTIONS).worker(**WORKER).start()
        print(os.getpid(), flush=True)  # noqa: T201 - the test reads it
        threading.Event().wait()


async def by_tasks(url: str, folder: str) -> None:
    async with carmine.AsyncClient(url) as client:
        AsyncTundraStore(client, DiskDataStore(folder), **OPTIONS).worker(**WORKER).start()
        print(os.getpid(), flush=True)  # noqa: T201
        await asyncio.Event().wait()


def main() -> None:
    world, url, folder = sys.argv[1:]
    logging.getLogger("carmine").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    for _ in sys.stdin:
        if os.fork() == 0:
            if world == "sync":
                by_threads(url, folder)
            else:
                asyncio.run(by_tasks(url, folder))


if __name__ == "__main__":
    main()
