"""What the queue costs the server, counted: commands and script calls per message, whatever else is in the queue.

Times depend on the machine and are the benchmarks' business; counts do not, and a script that began to look at every
message, or to be called once for each, would show here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from carmine import Client
from carmine.ext.mq import Queue, Worker
from tests.lab.matrix import scaled
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.servers import RedisServer

COUNT = 512


@pytest.fixture
def queue(server: RedisServer) -> Iterator[Queue]:
    """Give a queue whose scripts the server knows."""
    with Client(server.url) as client:
        made = Queue(client, "jobs")
        made.enqueue("v")
        [message] = made.poll().messages
        assert made.finish(message)
        made.poll()
        yield made


def counted(server: RedisServer) -> tuple[int, int]:
    """Return how many commands ran since CONFIG RESETSTAT, in scripts and beside them, and how many script calls."""
    calls = {
        name.removeprefix("cmdstat_"): int(words.split("calls=")[1].split(",")[0])
        for name, words in server.info("commandstats").items()
    }
    scripts = sum(calls.pop(name, 0) for name in ("evalsha", "eval"))
    return sum(count for name, count in calls.items() if name not in ("info", "config|resetstat")), scripts


def handle(server: RedisServer, queue: Queue, batch: int) -> tuple[float, float]:
    """Put COUNT messages in and handle them, `batch` at a time; return commands and script calls for each."""
    queue.enqueue_many(["v"] * COUNT)
    server.call("CONFIG", "RESETSTAT")
    left = COUNT
    while left:
        messages = queue.poll(batch).messages
        assert queue.finish_many([(message, "success") for message in messages]) == [True] * len(messages)
        left -= len(messages)
    commands, scripts = counted(server)
    return commands / COUNT, scripts / COUNT


@pytest.mark.parametrize(("batch", "commands", "scripts"), [(1, 72.0, 2.0), (8, 9.2, 0.25), (64, 1.4, 0.04)])
def test_a_message_costs_so_many_commands(
    server: RedisServer, queue: Queue, batch: int, commands: float, scripts: float
) -> None:
    """Claimed, handled, finished and collected."""
    costs = handle(server, queue, batch)
    assert costs[0] <= commands
    assert costs[1] <= scripts


@pytest.mark.parametrize("others", ["delayed", "ready"])
def test_it_costs_the_same_with_many_others_in_the_queue(server: RedisServer, queue: Queue, others: str) -> None:
    """Delayed ones, or a backlog of ready ones: 100,000 at full count."""
    before = handle(server, queue, 64)
    count = scaled(100_000)
    for start in range(0, count, 10_000):
        queue.enqueue_many(["v"] * min(10_000, count - start), backoff=3600 if others == "delayed" else None)
    after = handle(server, queue, 64)
    assert after[0] <= before[0] * 1.1
    assert after[1] <= before[1] * 1.1


def test_an_idle_worker_and_its_latency_cost_little(server: RedisServer, queue: Queue) -> None:
    """A message that comes to an idle worker: a wake, a claim, an end, and one poll that finds nothing more."""
    handled = threading.Semaphore(0)
    with Worker(queue._client, "jobs", lambda message: handled.release(), idle_backoff=lambda dry: 30.0) as worker:
        for n in range(6):
            assert queue.enqueue("v").success
            assert handled.acquire(timeout=10)
            wait_until(
                lambda: not worker.status().ending and server.info("clients")["blocked_clients"] == "1", "it is idle"
            )
            if n == 0:
                server.call("CONFIG", "RESETSTAT")
    _, scripts = counted(server)
    assert scripts <= 5 * 5, "enqueue, claim, end, a look for more, and one to spare"


@pytest.mark.parametrize(("mid", "commands"), [(None, 8.1), ("given:{}", 20.1)])
def test_an_enqueue_looks_up_what_may_be_known(
    server: RedisServer, queue: Queue, mid: str | None, commands: float
) -> None:
    """Of a mid that was drawn for the call nothing can be known, and nothing is looked up."""
    server.call("CONFIG", "RESETSTAT")
    for number in range(100):
        assert queue.enqueue("v", mid=mid and mid.format(number)).action == "added"
    told, scripts = counted(server)
    assert (told / 100 <= commands, scripts) == (True, 100)
