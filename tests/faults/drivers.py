"""How fault scenarios speak to a client: words in, plain replies out, the same few methods in both worlds.

A scenario holds a `Driver`: over the blocking client, or over the asyncio client on a loop of its own thread. `SHAPES`
names the ways in which a canary travels: alone, in a pipeline, in a transaction.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import carmine
from carmine.errors import NetworkError, Outcome
from carmine.retry import Retry
from tests.lab.blocking import Blocking, LoopThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from carmine.transport.bookkeeping import PoolStats
    from tests.lab.servers import RedisServer

__all__ = [
    "DRIVERS",
    "ONCE",
    "PASSWORD",
    "SHAPES",
    "USER",
    "AsyncDriver",
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


class Driver:
    """One client with its pool, in one of the two worlds; `client` has the manners of the blocking one in both.

    Attributes:
        client: The client.
        world: "sync" or "async".
        threads: Native ids of the threads that serve its calls, besides the caller's.
        lines: How many connections plain commands use once the pool is full.
        most: How many connections there are at most.
    """

    client: Any
    world: str
    threads: tuple[int, ...] = ()
    lines: int
    most: int

    @property
    def read_timeout(self) -> float | None:
        """The client's own timeout."""
        timeout: float | None = self.client.options.read_timeout
        return timeout

    def call(self, *words: Any) -> Any:
        """Send one command; raise what it ended with."""
        return self.client.execute(*words)

    def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands together and return their replies, errors as values."""
        with self.client.pipeline(raise_errors=False) as pipe:
            for words in commands:
                pipe.execute(*words)
        replies: list[Any] = pipe.replies
        return replies

    def transaction(self, commands: Sequence[Sequence[Any]], watch: Sequence[str] = ()) -> list[Any]:
        """Run commands between MULTI and EXEC and return their replies."""
        with self.client.transaction(*watch, raise_errors=False) as tx:
            for words in commands:
                tx.execute(*words)
        replies: list[Any] = tx.replies
        return replies

    @contextlib.contextmanager
    def holding(self, count: int) -> Iterator[list[Any]]:
        """Hold so many connections at once; each has `execute(*words)`."""
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(self.client.connection()) for _ in range(count)]

    def stats(self) -> PoolStats:
        """Return the pool's counts."""
        counts: PoolStats = self.client.pool.stats()
        return counts

    def open(self) -> int:
        """Return how many connections there are, those that calls share among them."""
        stats = self.stats()
        return stats.open + stats.shared

    def alone(self, *words: Any) -> Any:
        """Send one command over a connection that nobody shares."""
        with self.client.connection() as connection:
            return connection.execute(*words)

    def waiting_calls(self) -> list[Callable[[], object]]:
        """Return calls that wait for a place while every connection of the pool is held."""
        return [lambda: self.alone("ECHO", "x"), lambda: self.transaction([("ECHO", "x")], watch=["k"])]

    def close(self) -> None:
        """Close every connection."""
        self.client.close()


class SyncDriver(Driver):
    """A `Driver` over `carmine.Client`."""

    world = "sync"
    client: carmine.Client[Any]

    def __init__(self, url: str, **options: Any) -> None:
        self.client = carmine.Client(url, **options)
        self.lines = self.most = self.client.options.pool_size

    def waiting_calls(self) -> list[Callable[[], object]]:
        """Return calls that wait for a place while every connection of the pool is held."""
        many = [("ECHO", "x")]
        more = [lambda: self.call("ECHO", "x"), lambda: self.pipeline(many), lambda: self.transaction(many)]
        return [*super().waiting_calls(), *more]


class AsyncDriver(Driver):
    """A `Driver` over `carmine.AsyncClient`, on an event loop in a thread of its own.

    Plain commands, pipelines and transactions that watch nothing share one connection, beside those of the pool.
    Batches go to the loop whole: one hop for all their commands.
    """

    world = "async"

    def __init__(self, url: str, **options: Any) -> None:
        self.loop = LoopThread()
        self.threads = (self.loop.native_id,)
        try:
            made: carmine.AsyncClient[Any] = carmine.AsyncClient(url, **options)
        except BaseException:
            self.loop.stop()
            raise
        self.client = Blocking(self.loop, made)
        self._made = made
        self.lines, self.most = 1, made.options.pool_size + 1

    def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands together and return their replies, errors as values."""

        async def send() -> list[Any]:
            async with self._made.pipeline(raise_errors=False) as pipe:
                for words in commands:
                    pipe.execute(*words)
            return pipe.replies

        replies: list[Any] = self.loop.run(send)
        return replies

    def transaction(self, commands: Sequence[Sequence[Any]], watch: Sequence[str] = ()) -> list[Any]:
        """Run commands between MULTI and EXEC and return their replies."""

        async def send() -> list[Any]:
            async with self._made.transaction(*watch, raise_errors=False) as tx:
                for words in commands:
                    tx.execute(*words)
            return tx.replies

        replies: list[Any] = self.loop.run(send)
        return replies

    def close(self) -> None:
        """Close every connection, and end the loop."""
        if not self.loop.is_running:
            return
        try:
            self.client.close()
        finally:
            self.loop.stop()


DRIVERS: Final[dict[str, type[SyncDriver | AsyncDriver]]] = {"sync": SyncDriver, "async": AsyncDriver}
"""The worlds by name."""


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


def child_canaries(url: str, options: dict[str, Any], count: int, driver: Driver | None = None) -> None:
    """Be a child process that sends canaries, over the client it inherited or one of its own."""
    driver = driver or SyncDriver(url, **options)
    canaries(driver, count, "child")
    driver.close()
