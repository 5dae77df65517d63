"""How fault scenarios speak to a client: words in, plain replies out, the same few methods for every kind of client.

A scenario holds a `Driver` and never a client, so that another world (an asyncio client on a loop of its own thread)
needs one more class here and no other scenario. `SHAPES` names the ways in which a canary travels: alone, in a
pipeline, in a transaction.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, Protocol

import carmine
from carmine.errors import NetworkError, Outcome
from carmine.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from carmine.transport.bookkeeping import PoolStats
    from tests.lab.servers import RedisServer

__all__ = [
    "ONCE",
    "PASSWORD",
    "SHAPES",
    "USER",
    "Counter",
    "Driver",
    "SyncDriver",
    "canaries",
    "child_canaries",
    "make_user",
]

USER: Final = "canaryuser"
PASSWORD: Final = "pw-canary-5f0c1e"
"""Who every client logs in as; the password must appear nowhere (I8)."""

ONCE: Final = Retry(1)
"""For scenarios that want the first error itself."""


class Driver(Protocol):
    """One client with its pool."""

    @property
    def read_timeout(self) -> float | None:
        """The client's own timeout."""

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

    @property
    def read_timeout(self) -> float | None:
        """The client's own timeout."""
        return self.client.options.read_timeout

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


def make_user(server: RedisServer) -> None:
    """Make the user that clients log in as; a restart of the server forgets it."""
    server.call("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~*", "&*", "+@all")


class Counter:
    """I2: how often INCR was acknowledged, how often nobody knows; the server's count must lie between."""

    def __init__(self, key: str = "counter") -> None:
        self.key = key
        self.acknowledged = 0
        self.uncertain = 0

    def add(self, driver: Driver, times: int = 1) -> list[Any]:
        """Increment by a pipeline (or alone, if once), and keep count."""
        if times == 1:
            replies: list[Any] = [driver.call("INCR", self.key)]
        else:
            replies = driver.pipeline([("INCR", self.key)] * times)
        self.acknowledged += sum(isinstance(reply, int) for reply in replies)
        return replies

    def failed(self, error: BaseException, times: int = 1) -> None:
        """Count increments whose call ended with this error."""
        if not isinstance(error, NetworkError) or error.outcome is Outcome.UNKNOWN:
            self.uncertain += times

    def check(self, server: RedisServer) -> int:
        """Compare with the server's count and return it."""
        reply = server.call("GET", self.key)
        count = 0 if reply is None else int(str(reply, "ascii") if isinstance(reply, bytes) else str(reply))
        assert self.acknowledged <= count <= self.acknowledged + self.uncertain, (
            f"{count} executed, {self.acknowledged} acknowledged, {self.uncertain} uncertain"
        )
        return count


def child_canaries(url: str, options: dict[str, Any], count: int, driver: SyncDriver | None = None) -> None:
    """Be a child process that sends canaries, over the client it inherited or one of its own."""
    driver = driver or SyncDriver(url, **options)
    canaries(driver, count, "child")
    driver.close()
