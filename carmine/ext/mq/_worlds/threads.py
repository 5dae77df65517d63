"""The blocking world's half: a handler runs in a thread; aio.py is the other."""

from __future__ import annotations

import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from carmine._bridge.threads import Job, Signal, call, spawn
from carmine.client._sync.client import Client
from carmine.client.engine import make_pool
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.transport.options import Options

__all__ = ["Hands", "Job", "Signal", "call", "checked_handler", "client_of", "spawn"]

R = TypeVar("R")

_COROUTINE: Final = 0x80
"""The flag of a function's code (inspect.CO_COROUTINE; that module costs 1 MiB)."""


def checked_handler(handler: Any) -> Any:
    """Return a handler, or refuse what cannot be one here."""
    if not callable(handler):
        raise UsageError(f"handler must be a function, not {type(handler).__name__}")
    code = getattr(getattr(handler, "__func__", handler), "__code__", None)
    if code is not None and code.co_flags & _COROUTINE:
        raise UsageError("handler is a coroutine function: use AsyncWorker")
    return handler


def client_of(options: Options) -> tuple[Client[Any], Callable[[], object]]:
    """Return a client with a pool of its own, and what closes that."""
    pool = make_pool(options)
    return Client[Any](pool=pool), pool.close


class Hands(Generic[R]):
    """Threads that run handlers, as many as there are runs at once; they stay until `close`.

    Args:
        work: Called with a run; it raises nothing.
    """

    def __init__(self, work: Callable[[R], None]) -> None:
        self._work = work
        self._runs: SimpleQueue[R | None] = SimpleQueue()
        self._spare: deque[None] = deque()
        self._idents: set[int] = set()
        self._count = 0

    def give(self, run: R) -> None:
        """Have a run done; called by one thread only."""
        self._runs.put(run)
        try:
            self._spare.pop()  # it takes this run, or one before it
        except IndexError:
            self._count += 1
            threading.Thread(target=self._take, name=f"carmine-mq-{self._count}", daemon=True).start()

    def cancel(self, run: R) -> None:
        """Leave it alone: a thread cannot be cancelled, its handler looks at `message.cancelled`."""

    def is_here(self) -> bool:
        """Tell whether a handler is the caller."""
        return threading.get_ident() in self._idents

    def close(self) -> None:
        """Let the threads end, each when its handler has."""
        for _ in range(self._count):
            self._runs.put(None)

    def _take(self) -> None:
        ident = threading.get_ident()
        self._idents.add(ident)
        while (run := self._runs.get()) is not None:
            self._work(run)
            del run  # its message is not to live until the next one comes
            self._spare.append(None)
        self._idents.discard(ident)
