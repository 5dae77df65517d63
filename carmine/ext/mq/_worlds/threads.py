"""The blocking world's half: a handler runs in a thread; aio.py is the other."""

from __future__ import annotations

import os
import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from carmine._bridge.threads import CANCELLED, Job, Signal, call, spawn
from carmine.client._sync.client import Client
from carmine.client.engine import make_pool
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.transport.options import Options

__all__ = ["CANCELLED", "Hands", "Home", "Job", "Signal", "call", "checked_handler", "client_of", "spawn"]

R = TypeVar("R")

_COROUTINE: Final = 0x80
"""The flag of a function's code (inspect.CO_COROUTINE; that module costs 1 MiB)."""


def checked_handler(handler: Any) -> Any:
    """Return a handler, or refuse what cannot be one here."""
    if not callable(handler):
        raise UsageError(f"handler must be a function, not {type(handler).__name__}")
    if _is_coroutine(handler) or _is_coroutine(getattr(type(handler), "__call__", None)):  # noqa: B004 - its code is asked for
        raise UsageError("handler is a coroutine function: use AsyncWorker")
    return handler


def _is_coroutine(function: Any) -> bool:
    while (inner := getattr(function, "func", None)) is not None:  # functools.partial
        function = inner
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and bool(code.co_flags & _COROUTINE)


def client_of(options: Options) -> tuple[Client[Any], Callable[[], object]]:
    """Return a client with a pool of its own, and what closes that."""
    pool = make_pool(options)
    return Client[Any](pool=pool), pool.close


class Home:
    """Where a crew lives: this process."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_gone(self) -> bool:
        """Whether nothing lives there any more: this is a forked child, which has none of its threads."""
        return self._pid != os.getpid()


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
        """Have a run done; called by one thread only.

        Raises:
            RuntimeError: There is no thread, and none could be started.
        """
        try:
            self._spare.pop()  # it takes this run, or one before it
        except IndexError:
            try:
                threading.Thread(target=self._take, name=f"carmine-mq-{self._count + 1}", daemon=True).start()
            except RuntimeError:
                if not self._count:
                    raise  # else one of those that are busy takes it when it can
            else:
                self._count += 1
        self._runs.put(run)

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
