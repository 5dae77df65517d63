"""How fault scenarios speak to a client: words in, plain replies out, the same few methods for every kind of client.

A scenario holds a `Driver` and never a client, so that another world (an asyncio client on a loop of its own thread)
needs one more class here and no other scenario. `SHAPES` names the ways in which a canary travels: alone, in a
pipeline, in a transaction.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, Protocol

import carmine
from carmine.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from carmine.transport.bookkeeping import PoolStats

__all__ = ["ONCE", "SHAPES", "Driver", "SyncDriver", "canaries", "child_canaries"]

ONCE: Final = Retry(1)
"""For scenarios that want the first error itself."""


class Driver(Protocol):
    """One client with its pool."""

    def call(self, *words: Any) -> Any:
        """Send one command; raise what it ended with."""

    def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands together and return their replies, errors as values."""

    def transaction(self, commands: Sequence[Sequence[Any]], watch: Sequence[str] = ()) -> list[Any]:
        """Run commands between MULTI and EXEC and return their replies."""

    def holding(self, count: int) -> contextlib.AbstractContextManager[list[Any]]:
        """Hold so many connections at once; each has `execute(*words)`."""

    def stats(self) -> PoolStats:
        """Return the pool's counts."""

    def close(self) -> None:
        """Close every connection."""


class SyncDriver:
    """A `Driver` over `carmine.Client`."""

    def __init__(self, url: str, **options: Any) -> None:
        self.client: carmine.Client[Any] = carmine.Client(url, **options)

    def call(self, *words: Any) -> Any:
        """Send one command; raise what it ended with."""
        return self.client.execute(*words)

    def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands together and return their replies, errors as values."""
        with self.client.pipeline(raise_errors=False) as pipe:
            for words in commands:
                pipe.execute(*words)
        return pipe.replies

    def transaction(self, commands: Sequence[Sequence[Any]], watch: Sequence[str] = ()) -> list[Any]:
        """Run commands between MULTI and EXEC and return their replies."""
        with self.client.transaction(*watch, raise_errors=False) as tx:
            for words in commands:
                tx.execute(*words)
        return tx.replies

    @contextlib.contextmanager
    def holding(self, count: int) -> Iterator[list[Any]]:
        """Hold so many connections at once; each has `execute(*words)`."""
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(self.client.connection()) for _ in range(count)]

    def stats(self) -> PoolStats:
        """Return the pool's counts."""
        return self.client.pool.stats()

    def close(self) -> None:
        """Close every connection."""
        self.client.close()


def _alone(driver: Driver, token: str) -> None:
    assert driver.call("ECHO", token) == token


def _in_a_pipeline(driver: Driver, token: str) -> None:
    tokens = [f"{token}-{index}" for index in range(10)]
    assert driver.pipeline([("ECHO", each) for each in tokens]) == tokens


def _in_a_transaction(driver: Driver, token: str) -> None:
    tokens = [f"{token}-{index}" for index in range(3)]
    assert driver.transaction([("ECHO", each) for each in tokens]) == tokens


def _in_a_watch(driver: Driver, token: str) -> None:
    assert driver.transaction([("ECHO", token)], watch=[f"watched:{token}"]) == [token]


SHAPES: Final[dict[str, Callable[[Driver, str], None]]] = {
    "command": _alone,
    "pipeline": _in_a_pipeline,
    "transaction": _in_a_transaction,
    "watch": _in_a_watch,
}
"""Name -> a function that sends a token in this shape and asserts that every reply is its own (I1)."""


def canaries(driver: Driver, count: int, mark: str) -> int:
    """Send so many canaries, in every shape in turn; return their number."""
    shapes = list(SHAPES.values())
    for index in range(count):
        shapes[index % len(shapes)](driver, f"canary-{mark}-{index}")
    return count


def child_canaries(url: str, options: dict[str, Any], count: int, driver: SyncDriver | None = None) -> None:
    """Be a child process that sends canaries, over the client it inherited or one of its own."""
    driver = driver or SyncDriver(url, **options)
    canaries(driver, count, "child")
    driver.close()
