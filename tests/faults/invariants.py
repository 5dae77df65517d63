"""What holds after every scenario (FAULTS.md I1 to I8), and the counts that a run prints at its end.

A pytest plugin: test modules name it in `pytest_plugins`. The fixture `lab` gives a scenario its clients and checks,
when the scenario is over: canaries on every client that is still open (I1, I6), nothing in use, no open file, thread
or server-side client left (I5), peak memory (I4), and no secret in anything that was raised, logged or printed (I8).
`Lab.within` bounds the time of a call (I3), `Lab.fails` judges an error (I7); drivers.py counts executions (I2).
"""

from __future__ import annotations

import time
import traceback
from collections import Counter as Tally
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import pytest

import carmine
from carmine.errors import CarmineError, ConnectTimeout, NetworkError, Outcome, ReadTimeout
from tests.faults.drivers import DRIVERS, PASSWORD, SHAPES, USER, make_user
from tests.faults.worlds import LONG_RUNS_ONLY, worlds_of
from tests.lab import clock, leaks
from tests.lab.blocking import Blocking, LoopThread
from tests.lab.matrix import scaled
from tests.lab.proxy import Faults

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator, Sequence

    from tests.faults.drivers import Driver
    from tests.lab.link import CutMode
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

__all__ = ["Lab", "MakeClient", "lab", "make_client", "pool_size", "report", "run_id"]

E = TypeVar("E", bound=BaseException)
MakeClient: TypeAlias = "Callable[..., Any]"
_MiB: Final = 1 << 20


class Lab:
    """What a scenario works with: a server, a recording proxy before it, and clients with a canary password.

    Attributes:
        world: "sync" or "async": whose clients `client` makes.
        server: The clean server.
        proxy: The proxy in front of it; clients go through it unless told otherwise.
        protocol: 2 or 3.
        pool_size: 1 or 4.
        each: Faults of single connections, by number, for `proxy.plan`.
        counts: What the run prints at its end; scenarios add to it.
        memory: By how many bytes the peak of resident memory may grow.
    """

    def __init__(self, world: str, server: RedisServer, proxy: FaultProxy, protocol: int, pool_size: int) -> None:
        self.world = world
        self.server = server
        self.proxy = proxy
        self.protocol = protocol
        self.pool_size = pool_size
        self.counts: Tally[str] = Tally()
        self.memory = 48 * _MiB
        self.each: defaultdict[int, Faults] = defaultdict(Faults)
        self._drivers: list[Driver] = []
        self._texts: list[str] = []
        make_user(server)
        leaks.reset_peak_memory()
        self._peak = leaks.peak_memory()
        self._before = leaks.snapshot(server)

    def client(self, url: str | None = None, *, warm: bool = True, **options: Any) -> Driver:
        """Return a new client of the server through the proxy; `warm` fills its pool, so that connections are idle."""
        if url is None:
            url = self.proxy.url(self.server.url)
        given = {
            "protocol": self.protocol,
            "pool_size": self.pool_size,
            "username": USER,
            "password": PASSWORD,
            "pool_timeout": 2,
            **options,
        }
        driver: Driver = DRIVERS[self.world](url, **given)
        self._drivers.append(driver)
        if warm:
            with driver.holding(given["pool_size"]):
                pass
            self.canaries(driver, 4, "before")
        return driver

    def faults_of_next(self, driver: Driver) -> Faults:
        """Return faults for the connection that the client will use next, and for no other, later ones included.

        The connection must have been opened after `self.proxy.plan = self.each.__getitem__`.
        """
        driver.call("ECHO", "which one is next?")
        numbers = reversed(self.proxy.numbers)
        return self.each[next(n for n in numbers if self.proxy.commands(n)[-1][-1] == b"which one is next?")]

    def forget(self, driver: Driver) -> None:
        """Close a client whose server is none: no canaries at the end."""
        self._drivers.remove(driver)
        driver.close()

    def wait_idle(self) -> None:
        """Wait until idle connections will be looked at before their next use."""
        started = time.monotonic()
        while time.monotonic() - started < 0.0015:
            pass

    def kill(self, mode: CutMode = "rst") -> None:
        """Cut every connection through the proxy now, and return when the client's system knows."""
        self.proxy.kill(mode)
        if mode == "rst":  # carried out behind the bytes before it, which the system acknowledges when it likes
            self.proxy.wait_open(0)
        self.wait_idle()

    def wait_server_end(self, but: int = 0) -> None:
        """Wait until the server has ended all connections through the proxy `but` so many, and the clients know."""
        links = self.proxy._links
        self.proxy.wait_until(
            lambda: sum(not link.flows["s2c"].is_over for link in list(links.values())) <= but,
            "the end of all connections",
        )
        self.wait_idle()

    def within(self, seconds: float) -> contextlib.AbstractContextManager[object]:
        """I3: what happens inside ends within its deadline and the slack; the time without a CPU does not count."""
        return clock.within(seconds, threads=[thread for driver in self._drivers for thread in driver.threads])

    def fails(
        self,
        kinds: type[E] | tuple[type[E], ...],
        function: Callable[..., object],
        *words: Any,
        outcome: Outcome | None = None,
        within: float = 30.0,
    ) -> E:
        """I7: call a function that must end with one of these errors, in time and honestly; return the error."""
        with self.within(within), pytest.raises(kinds) as caught:
            function(*words)
        error = caught.value
        self.saw(error, outcome)
        return error

    def saw(self, error: BaseException, outcome: Outcome | None = None) -> None:
        """I7: judge an error that a scenario caught itself, and keep its text for the search for secrets."""
        assert isinstance(error, CarmineError), repr(error)
        assert outcome is None or (isinstance(error, NetworkError) and error.outcome is outcome), str(error)
        self.counts["errors"] += 1
        self._texts.append(f"{error!s} {error!r} " + "".join(traceback.format_exception(error)))

    def sent(self, *words: bytes | str) -> int:
        """I2: count the complete commands on the wire that begin with these words."""
        wanted = [word.encode() if isinstance(word, str) else word for word in words]
        return sum(command[: len(wanted)] == wanted for command in self.proxy.commands())

    def canaries(self, driver: Driver, count: int = 20, mark: str = "after") -> None:
        """I1: send canaries, in every shape in turn."""
        shapes = list(SHAPES)
        for index in range(count):
            self.canary(driver, shapes[index % len(shapes)], f"canary-{mark}-{index}")

    def canary(self, driver: Driver, shape: str, token: str) -> None:
        """I1: send one canary with nothing in its way.

        One that is late is sent again if the machine has kept the processors from those on its way (caller, loop,
        proxy and server) for half of the client's timeout; else the client is to blame.
        """
        timeout = driver.read_timeout
        while True:
            watch = clock.Stopwatch(
                (*driver.threads, self.proxy.native_id), [self.server.pid] if self.server.is_running else []
            )
            try:
                SHAPES[shape](driver, token)
            except (ReadTimeout, ConnectTimeout):
                if timeout is None or watch.stolen < timeout / 2:
                    raise
                self.counts["late by the machine's fault"] += 1
                continue
            self.counts["canaries"] += 1
            return

    def finish(self, printed: Sequence[str]) -> None:
        """Check what must hold now."""
        self.proxy.heal()
        for driver in self._drivers:
            self.canaries(driver)
            stats = driver.stats()
            assert (stats.in_use, stats.waiting) == (0, 0), stats
            assert stats.open <= max(stats.size, stats.open if stats.size == 0 else 0), stats
            self._texts.append(f"{driver.client!r} {driver.client.options!r} {driver.client.pool!r}")
            driver.close()
        self._drivers.clear()
        leaks.assert_no_leaks(self._before, self.server)
        grown = leaks.peak_memory() - self._peak
        assert grown <= self.memory, f"the peak of memory grew by {grown / _MiB:.0f} MiB"
        for text in (*self._texts, *printed):
            assert PASSWORD not in text, f"the password in: {text[:2000]}"

    def abandon(self) -> None:
        """Close everything after a failure, without judging it."""
        for driver in self._drivers:
            driver.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each scenario in the worlds that worlds.py names, unless it names its own."""
    named = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "world" in metafunc.fixturenames and not any("world" in names for names in named):
        metafunc.parametrize("world", worlds_of(metafunc.function.__name__))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave half of the asyncio client's combinations to the long runs."""
    if scaled(100) >= 100:
        return
    cells = {item: _cell(item) for item in items if isinstance(item, pytest.Function)}
    whole: defaultdict[str, set[object]] = defaultdict(set)
    for item, cell in cells.items():
        whole[item.originalname].add(cell)
    left = {item for item, cell in cells.items() if cell in LONG_RUNS_ONLY and len(whole[item.originalname]) == 5}
    if left:
        config.hook.pytest_deselected(items=list(left))
        items[:] = [item for item in items if item not in left]


def _cell(item: pytest.Function) -> tuple[object, object] | None:
    """Return protocol and pool size of an item of the asyncio client, None for others."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    if params.get("world") != "async" or "protocol" not in params or "pool_size" not in params:
        return None
    return params["protocol"], params["pool_size"]


@pytest.fixture(params=[1, 4], ids=["pool1", "pool4"])
def pool_size(request: pytest.FixtureRequest) -> int:
    """Give the size of the pool, each in turn."""
    size: int = request.param
    return size


@pytest.fixture
def make_client(world: str, stack: contextlib.ExitStack) -> MakeClient:
    """Give a function that makes a client of the world, with the manners of the blocking one; close it yourself."""

    def make(url: str, **options: Any) -> Any:
        if world == "sync":
            return carmine.Client(url, **options)
        loop = LoopThread()
        stack.callback(loop.stop)
        return Blocking(loop, carmine.AsyncClient(url, **options))

    return make


@pytest.fixture
def lab(
    request: pytest.FixtureRequest,
    world: str,
    server: RedisServer,
    proxy: FaultProxy,
    protocol: int,
    pool_size: int,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Lab]:
    """Give a scenario its tools; afterwards check every invariant and report the counts under the test's name."""
    made = Lab(world, server, proxy, protocol, pool_size)
    try:
        yield made
        printed = capfd.readouterr()
        made.finish((printed.out, printed.err, caplog.text))
    finally:
        made.abandon()
    _add(request.config, f"{request.node.originalname or request.node.name} {world}", made.counts)


# What a run prints. --------------------------------------------------------------------------------------------------

_TOTALS: Final = pytest.StashKey[dict[str, Tally[str]]]()


def _add(config: pytest.Config, name: str, counts: Tally[str]) -> None:
    totals = config.stash.setdefault(_TOTALS, {})
    totals.setdefault(name, Tally()).update(counts)


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Give a function `report(name, **counts)`: what was counted is printed at the end of the session."""

    def add(name: str, **counts: int) -> None:
        _add(pytestconfig, name, Tally(counts))

    return add


def run_id() -> str:
    """Name the twin of this run, for the title of its counts."""
    import carmine.protocol as protocol  # noqa: PLC0415 - the choice of the twin belongs to the run, not to the plugin

    return protocol.__impl__


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the counts."""
    totals = config.stash.get(_TOTALS, {})
    if totals:
        terminalreporter.section(f"counts of the fault scenarios, {run_id()} twin")
        for name in sorted(totals):
            counts = ", ".join(f"{value:,} {what.replace('_', ' ')}" for what, value in sorted(totals[name].items()))
            terminalreporter.write_line(f"COUNT {name}: {counts}")
