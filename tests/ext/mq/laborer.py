"""A process with a worker, for tests that kill it: `python -m tests.ext.mq.laborer WORLD URL LOG LEASE CONCURRENCY`.

URL is where the worker works, LOG where its handler writes what it does, undisturbed: `RPUSH started "mid attempt pid"`
before, `RPUSH handled` the same after. A content "hang" waits until the list `go` has something, "exit" ends the
process at once. TERM is a drain of one second. The first line of its output says that it works.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import carmine
from carmine.ext.mq import AsyncWorker, Worker
from carmine.retry import Retry

if TYPE_CHECKING:
    from carmine.ext.mq import AsyncMessage, Message


def by_threads(url: str, log_url: str, options: dict[str, Any]) -> bool:
    """Work in threads until TERM; tell whether all handlers ended in time."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    with carmine.Client(url) as client, carmine.Client(log_url, retry=Retry(9)) as log:

        def handle(message: Message) -> None:
            line = f"{message.mid} {message.attempt} {os.getpid()}"
            log.rpush("started", line)
            if message.content == "exit":
                os._exit(3)
            if message.content == "hang":
                log.blmove("go", "go", 30)
            log.rpush("handled", line)

        with Worker(client, "jobs", handle, **options) as worker:
            print("works", flush=True)  # noqa: T201 - its parent reads it
            while not told.wait(0.1):  # the kernel may give the signal to another thread, which does not end this wait
                pass
            return worker.stop(1.0)


async def by_tasks(url: str, log_url: str, options: dict[str, Any]) -> bool:
    """Work in tasks until TERM; tell whether all handlers ended in time."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    async with carmine.AsyncClient(url) as client, carmine.AsyncClient(log_url, retry=Retry(9)) as log:

        async def handle(message: AsyncMessage) -> None:
            line = f"{message.mid} {message.attempt} {os.getpid()}"
            await log.rpush("started", line)
            if message.content == "exit":
                os._exit(3)
            if message.content == "hang":
                await log.blmove("go", "go", 30)
            await log.rpush("handled", line)

        async with AsyncWorker(client, "jobs", handle, **options) as worker:
            print("works", flush=True)  # noqa: T201
            await told.wait()
            return await worker.stop(1.0)


def main() -> None:
    world, url, log_url, lease, concurrency = sys.argv[1:]
    logging.getLogger("carmine.mq").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {
        "lease": float(lease),
        "concurrency": int(concurrency),
        "retry": 0.05,
        "max_attempts": 99,
    }
    work = by_threads(url, log_url, options) if world == "sync" else asyncio.run(by_tasks(url, log_url, options))
    print("clean" if work else "handed back", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
