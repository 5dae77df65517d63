"""Workers as processes that are killed, paused and told to stop, and a server that is killed; in both worlds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, cast

import pytest

import carmine
from carmine.ext.mq import Entry, Queue
from carmine.retry import Retry
from tests.lab.matrix import scaled
from tests.lab.proxy import FaultProxy
from tests.lab.servers import RedisServer, wait_until

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterator

ROOT: Final = __file__.rpartition("/tests/")[0]
WORLDS: Final = ["sync", "async"]


class Laborer:
    """A process with a worker."""

    def __init__(
        self, stack: contextlib.ExitStack, world: str, url: str, log: str, lease: float, concurrency: int = 1
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.ext.mq.laborer", world, url, log, str(lease), str(concurrency)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        stack.callback(self.end)

    def ready(self) -> Laborer:
        """Wait until it works."""
        assert self.line() == "works"
        return self

    def line(self) -> str:
        """Return the next line it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> None:
        """Kill it, if it is there."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


class Records:
    """What the laborers' handlers wrote."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    def of(self, name: str) -> list[tuple[str, int, int]]:
        """Return mids, attempts and processes, in their order."""
        lines = [line.split() for line in cast("list[bytes]", self._server.call("LRANGE", name, 0, -1))]
        return [(mid.decode(), int(attempt), int(pid)) for mid, attempt, pid in lines]

    def wait(self, name: str, count: int, within: float = 15.0) -> list[tuple[str, int, int]]:
        """Wait until there are so many."""
        wait_until(lambda: len(self.of(name)) >= count, f"{count} {name}", within)
        return self.of(name)


@pytest.fixture
def queue(server: RedisServer) -> Iterator[Queue]:
    with carmine.Client(server.url) as client:
        yield Queue(client, "jobs")


@pytest.fixture
def records(server: RedisServer) -> Records:
    return Records(server)


@pytest.mark.parametrize("world", WORLDS)
def test_q01_a_worker_that_is_killed(
    world: str, server: RedisServer, queue: Queue, records: Records, stack: contextlib.ExitStack
) -> None:
    """Its message is handled elsewhere, once, when the lease has run out, with attempt 2."""
    victim = Laborer(stack, world, server.url, server.url, 1.0).ready()
    queue.enqueue("hang", mid="m")
    records.wait("started", 1)
    other = Laborer(stack, world, server.url, server.url, 1.0).ready()
    victim.signal(signal.SIGKILL)
    victim.process.wait()
    killed = time.monotonic()
    server.call("LPUSH", "go", "x")
    [handled] = records.wait("handled", 1)
    assert handled == ("m", 2, other.process.pid)
    assert time.monotonic() - killed < 2.0, "not long after the lease"
    wait_until(lambda: queue.message_status("m") in ("done-awaiting-gc", None), "it is over")
    assert len(records.of("started")) == 2


@pytest.mark.parametrize("world", WORLDS)
def test_q03_and_q04_a_worker_that_is_paused_past_its_lease(
    world: str, server: RedisServer, queue: Queue, records: Records, stack: contextlib.ExitStack
) -> None:
    """Another handles its message; what it says afterwards changes nothing, and a new one of that mid is handled."""
    victim = Laborer(stack, world, server.url, server.url, 0.5).ready()
    queue.enqueue("hang", mid="m")
    records.wait("started", 1)
    other = Laborer(stack, world, server.url, server.url, 0.5).ready()
    victim.signal(signal.SIGSTOP)
    records.wait("started", 2)
    server.call("LPUSH", "go", "x")
    assert records.wait("handled", 1) == [("m", 2, other.process.pid)]
    wait_until(lambda: queue.message_status("m") in ("done-awaiting-gc", None), "it is over")
    queue._tidy()
    assert queue.message_status("m") is None, "collected"
    victim.signal(signal.SIGCONT)
    victim.signal(signal.SIGTERM)
    assert victim.line() in ("clean", "handed back")
    assert victim.process.wait(15) == 0
    assert queue.enqueue("again", mid="m").action == "added"
    wait_until(lambda: ("m", 1, other.process.pid) in records.of("handled"), "the new one is handled")
    wait_until(lambda: queue.message_status("m") in ("done-awaiting-gc", None), "it is over")
    assert queue.status()[:3] == (0, 0, 0)


@pytest.mark.parametrize("world", WORLDS)
def test_q10_a_handler_that_ends_its_process(
    world: str, server: RedisServer, queue: Queue, records: Records, stack: contextlib.ExitStack
) -> None:
    """Its attempts are counted by the queue, so another worker can make an end of it."""
    victim = Laborer(stack, world, server.url, server.url, 1.0).ready()  # a busy machine may stop it for a while
    queue.enqueue("exit", mid="m")
    assert victim.process.wait(15) == 3
    assert records.wait("started", 1) == [("m", 1, victim.process.pid)]
    wait_until(lambda: queue.message_status("m") == "queued", "its lease runs out")
    second = Laborer(stack, world, server.url, server.url, 1.0).ready()
    assert second.process.wait(15) == 3
    assert records.of("started")[1][:2] == ("m", 2)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("content", ["quick", "hang"])
def test_q13_a_worker_that_is_told_to_stop(
    world: str, content: str, server: RedisServer, queue: Queue, records: Records, stack: contextlib.ExitStack
) -> None:
    """SIGTERM: what is at work may end, and what does not is somebody else's at once, with the same attempt."""
    laborer = Laborer(stack, world, server.url, server.url, 60.0).ready()
    queue.enqueue(content, mid="m")
    records.wait("started", 1)
    began = time.monotonic()
    laborer.signal(signal.SIGTERM)
    assert laborer.line() == ("clean" if content == "quick" else "handed back")
    assert time.monotonic() - began < 5.0
    if content == "hang":
        server.call("LPUSH", "go", "x")
        other = Laborer(stack, world, server.url, server.url, 60.0).ready()
        wait_until(lambda: ("m", 1, other.process.pid) in records.of("handled"), "another one has it")
        other.signal(signal.SIGTERM)
        assert other.line() == "clean"
    assert laborer.process.wait(15) == 0


@pytest.mark.parametrize("world", WORLDS)
def test_q18_conservation(
    world: str, server: RedisServer, queue: Queue, records: Records, stack: contextlib.ExitStack
) -> None:
    """Every message is handled, none is lost, while workers are killed and connections are cut at random."""
    count, workers, seed = scaled(100_000), 4, random.randrange(2**32)
    chance = random.Random(seed)
    proxy = stack.enter_context(FaultProxy("127.0.0.1", server.port))
    url = proxy.url(server.url)
    mids = [f"m{n}" for n in range(count)]
    laborers = [Laborer(stack, world, url, server.url, 1.0) for _ in range(workers)]
    for laborer in laborers:
        laborer.ready()
    began = time.monotonic()
    for start in range(0, count, 500):
        queue.enqueue_many([Entry("quick", mid=mid) for mid in mids[start : start + 500]])
    kills = cuts = 0
    steps = max(6, count // 2500)  # at full count 20 kills, and 20 times all connections at once
    for step in range(1, steps + 1):
        goal = count * step // (steps + 1)
        wait_until(lambda goal=goal: cast("int", server.call("LLEN", "handled")) >= goal, f"{goal} handled", 60.0)  # type: ignore[misc]
        if step % 2:
            victim = chance.randrange(workers)
            laborers[victim].end()
            kills += 1
            laborers[victim] = Laborer(stack, world, url, server.url, 1.0)
        else:
            cuts += proxy.kill()
    wait_until(lambda: queue.status()[:3] == (0, 0, 0), f"an empty queue, seed {seed}", 60.0 + count / 200)
    took = time.monotonic() - began
    handled = Counter(mid for mid, _, _ in records.of("handled"))
    duplicates = handled.total() - len(handled)
    lost = [mid for mid in mids if not handled[mid]]
    print(  # noqa: T201 - the figures of the promise
        f"\n{world}: {count} messages, {len(handled)} handled, {len(lost)} lost, {duplicates} twice; "
        f"{kills} kills, {cuts} connections cut, {took:.0f} s, seed {seed}"
    )
    assert not lost, f"{len(lost)} lost, seed {seed}"
    assert set(handled) == set(mids)
    assert duplicates <= kills + cuts, f"seed {seed}"
    assert queue.status().dead == 0


@pytest.mark.parametrize("world", WORLDS)
def test_q19_a_server_that_is_killed(world: str, stack: contextlib.ExitStack) -> None:
    """With everything on disk, what was accepted is there afterwards, and can be handled to its end."""
    server = stack.enter_context(RedisServer(config={"appendonly": True, "appendfsync": "everysec"}))
    log = stack.enter_context(RedisServer())
    records = Records(log)
    client = stack.enter_context(carmine.Client(server.url, retry=Retry(5)))
    queue = Queue(client, "jobs")
    count = 300
    queue.enqueue_many([Entry("quick", mid=f"m{n}", backoff=n % 3 or None) for n in range(count)])
    queue.enqueue("hang", mid="held")
    server.call("CONFIG", "SET", "appendfsync", "always")
    server.call("SET", "last", "1")  # with its answer, all that was accepted before is on disk
    server.call("CONFIG", "SET", "appendfsync", "everysec")
    laborer = Laborer(stack, world, server.url, log.url, 1.0, 4).ready()
    wait_until(lambda: len(records.of("handled")) >= 50, "some are handled")
    server.kill()
    server.start()
    log.call("LPUSH", "go", "x")
    wait_until(lambda: queue.status()[:3] == (0, 0, 0), "nothing blocks for ever: an empty queue", 30.0)
    assert {mid for mid, _, _ in records.of("handled")} == {f"m{n}" for n in range(count)} | {"held"}
    assert queue.enqueue("quick", mid="m0").success
    wait_until(lambda: len([mid for mid, _, _ in records.of("handled") if mid == "m0"]) > 1, "it works on")
    laborer.signal(signal.SIGTERM)
    assert laborer.line() == "clean"
