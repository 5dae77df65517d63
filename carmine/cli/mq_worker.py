"""`carmine mq worker`: a worker as a process of its own, in threads or in tasks, as its handler is.

What it says goes to stderr, by logging under "carmine.mq", unless the handler's module has set logging up by itself.
Exit status 0: told to end, and every handler ended; 3: told to end, and messages were handed back.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any, Final

import carmine
from carmine import UsageError
from carmine._bridge.threads import spawn
from carmine.cli.mq_handler import find_handler, is_async
from carmine.cli.mq_signals import Ears, hear_no_more, hear_tasks
from carmine.client.async_engine import make_pool
from carmine.errors import printable
from carmine.ext.mq import AsyncWorker, Worker

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from carmine import Client
    from carmine.cli.screen import Screen

__all__ = ["worker"]

_HANDED_BACK: Final = 3
_LONGEST_RECORD: Final = 100_000
_log = logging.getLogger("carmine.mq")


class _Lines(logging.Formatter):
    """Writes records without the control characters that errors may hold; further lines are indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text."""
        lines = super().format(record)[:_LONGEST_RECORD].splitlines()
        return "\n  ".join(printable(line, _LONGEST_RECORD) for line in lines)


def worker(asked: argparse.Namespace, screen: Screen, client: Client[Any]) -> int:
    """Work until TERM or INT."""
    handler = find_handler(asked.handler)
    options = {
        "concurrency": asked.concurrency,
        "lease": asked.lease,
        "retry": _retry(asked.retry),
        "max_attempts": asked.max_attempts or None,
        "at_most_once": asked.at_most_once,
    }
    if not 0 <= asked.drain <= 86_400:
        raise UsageError("--drain takes between 0 and 86,400 seconds")
    _set_logging_up(asked.log_level)
    client.ping()  # a wrong address is told at once; a server that goes away later is waited for
    if is_async(handler):
        client.close()
        is_clean = asyncio.run(_by_tasks(asked, client.options, handler, options))
    else:
        is_clean = _by_threads(asked, client, handler, options)
    return 0 if is_clean else _HANDED_BACK


def _retry(words: str | None) -> Any:
    """Return the backoffs that were given, or None for the worker's own.

    Raises:
        UsageError: They are no numbers.
    """
    if words is None:
        return None
    try:
        return [float(word) for word in words.split(",")]
    except ValueError:
        raise UsageError("--retry takes seconds, as in 1,10,60") from None


def _set_logging_up(level: str) -> None:
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s %(message)s"))
        root.addHandler(handler)
        root.setLevel(level.upper())


def _by_threads(
    asked: argparse.Namespace, client: Client[Any], handler: Callable[..., Any], options: dict[str, Any]
) -> bool:
    """Work with a plain function; tell whether all handlers ended."""
    working = Worker(client, asked.queues, handler, **options)
    with Ears() as ears:
        working.start()
        _begins(asked, working, "threads", client.options)
        ears.wait()
        _drains(asked, working)

        def stop() -> bool:
            try:
                return working.stop(asked.drain)
            finally:
                ears.wake()

        ending = spawn(stop)
        if ears.wait():
            _hands_back()
            working.stop(0)
        is_clean = ending.join()
    return _ends(working, is_clean=is_clean)


async def _by_tasks(
    asked: argparse.Namespace, server: carmine.Options, handler: Callable[..., Any], options: dict[str, Any]
) -> bool:
    """Work with a coroutine function; tell whether all handlers ended."""
    told: asyncio.Semaphore = asyncio.Semaphore(0)
    pool = make_pool(server)
    working = AsyncWorker(carmine.AsyncClient(pool=pool), asked.queues, handler, **options)
    hear_tasks(told.release)
    working.start()
    _begins(asked, working, "tasks", server)
    await told.acquire()
    _drains(asked, working)
    ending = asyncio.ensure_future(working.stop(asked.drain))
    second = asyncio.ensure_future(told.acquire())
    await asyncio.wait({ending, second}, return_when=asyncio.FIRST_COMPLETED)
    if not ending.done():
        _hands_back()
        await working.stop(0)
    second.cancel()
    is_clean = await ending
    await pool.aclose()
    return _ends(working, is_clean=is_clean)


# What it says. -------------------------------------------------------------------------------------------------------


def _begins(asked: argparse.Namespace, working: Any, hands: str, server: carmine.Options) -> None:
    told = (asked.handler, asked.concurrency, hands, server.address)
    _log.info("%r begins: %s, %d %s, server %s", working, *told)


def _drains(asked: argparse.Namespace, working: Any) -> None:
    working.pause()  # nothing more is claimed from here on; stop() does the rest
    told = (working.status().running, asked.drain)
    _log.info("told to end: %d handlers have %g s to end; another signal hands their messages back", *told)


def _hands_back() -> None:
    hear_no_more()
    _log.info("told again: messages are handed back")


def _ends(working: Any, *, is_clean: bool) -> bool:
    if not is_clean:
        hear_no_more()  # handlers may hold the process up, and need not be waited for
    counts = working.status().counts
    some = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count and kind != "polls")
    how = "and so did all handlers" if is_clean else "messages were handed back"
    _log.info("ended, %s: %s", how, some or "no runs")
    return is_clean
