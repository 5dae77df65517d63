"""What the tests of the pool do to it: hold its connections, wait for its waiters."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import carmine

__all__ = ["holding", "wait_waiting"]


@contextlib.contextmanager
def holding(client: carmine.Client[str], count: int) -> Iterator[list[Any]]:
    """Hold so many connections at once."""
    with contextlib.ExitStack() as held:
        yield [held.enter_context(client.connection()) for _ in range(count)]


def wait_waiting(client: carmine.Client[str], count: int) -> None:
    """Wait until so many callers wait for a connection."""
    wait_until(lambda: client.pool.stats().waiting == count, f"{count} waiting callers")
