"""The chapters of the demonstration: what a blocking client does, on a server of its own.

Each function is shown and run by the stage, one statement at a time; `assert left == right` is shown as `left` with
its value. They are read by newcomers: plain code, as one would write it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import carmine
from carmine.cli.stage import expect, say, until
from carmine.ext.locks import Lock, have_lock
from carmine.ext.mq import Message, Queue, Result, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.embedded import EmbeddedRedis

__all__ = ["TOUR"]


def per_second(call: Callable[[], object], seconds: float = 0.5) -> float:
    """Return how often a call can be made in a second."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(100):
            call()
        count += 100
    return count / (time.perf_counter() - began)


def connect(server: EmbeddedRedis) -> None:
    """Connect.

    Nothing is opened before the first command. That one pays for TCP and for the handshake: HELLO 3 and CLIENT SETINFO
    in one round trip, with a fall back to RESP2.
    """
    client = carmine.connect(server.url)
    assert client.ping() is True
    assert client.ping() is True


def commands(client: carmine.Client[str]) -> None:
    """Every command is a method, and its reply has a type.

    Text by default. The same Python value on RESP2 and RESP3; the type checker knows it too.
    """
    assert client.set("user:1", "Ada", ex=600) is True
    assert client.get("user:1") == "Ada"
    assert client.get("user:2") is None
    assert client.incr("visits") == 1
    assert client.hset("profile:1", mapping={"born": 1815, "field": "mathematics"}) == 2
    assert client.hgetall("profile:1") == {"born": "1815", "field": "mathematics"}
    assert client.zadd("ranking", {"Ada": 10, "Grace": 12.5}) == 2
    assert client.zrange("ranking", 0, -1, withscores=True) == [("Ada", 10.0), ("Grace", 12.5)]
    assert client.execute("OBJECT", "ENCODING", "visits") == "int"


def binary(client: carmine.Client[str]) -> None:
    """Bytes.

    A view of the same client and the same connections, whose replies are bytes.
    """
    assert client.set("picture", b"\x89PNG\xff") is True
    assert client.binary.get("picture") == b"\x89PNG\xff"
    with expect(carmine.DecodeError):
        client.get("picture")


def pipeline(client: carmine.Client[str]) -> None:
    """A pipeline: a thousand commands in one round trip."""
    for _ in range(1_000):
        client.incr("visits")  # one by one
    with client.pipeline() as pipe:
        counts = [pipe.incr("visits") for _ in range(1_000)]
        name = pipe.get("user:1")
    assert counts[-1].value == 2001
    assert name.value == "Ada"


def transactions(client: carmine.Client[str]) -> None:
    """Transactions: all or nothing, and never on stale facts."""
    with client.transaction() as tx:
        tx.set("account:ada", 100)
        tx.set("account:grace", 0)
    with expect(carmine.WatchError), client.transaction("account:ada") as tx:
        balance = int(tx.now.get("account:ada") or 0)
        client.decr("account:ada")  # somebody else, on another connection
        tx.set("account:ada", balance - 50)

    def transfer(tx: carmine.Transaction[str]) -> None:
        tx.decrby("account:ada", 50)
        tx.incrby("account:grace", 50)

    assert client.atomic(transfer, "account:ada").replies == [49, 50]


def blocking(client: carmine.Client[str]) -> None:
    """A blocking command waits in its own thread, on its own connection."""
    heard: list[Any] = []
    waiting = threading.Thread(target=lambda: heard.append(client.blpop("jobs", timeout=10)))
    waiting.start()
    until(lambda: client.info("clients")["blocked_clients"] == 1)
    assert client.rpush("jobs", "print the letter") == 1
    waiting.join()
    assert heard == [("jobs", "print the letter")]


def pinned(client: carmine.Client[str]) -> None:
    """State belongs to one connection.

    A client has many, so SELECT and its kin live on a pinned one, which never carries its state back into the pool.
    """
    with expect(carmine.UsageError):
        client.select(3)
    with client.connection() as connection:
        connection.select(3)
        connection.set("here", "database 3")
    assert client.get("here") is None


def pool(client: carmine.Client[str]) -> None:
    """One client for all threads.

    The pool opens a connection when all others are in use, up to pool_size, and reuses the latest first.
    """
    done: list[str | None] = []

    def work() -> None:
        done.extend(client.get("user:1") for _ in range(500))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), set(done)) == (4_000, {"Ada"})
    assert client.pool.stats().in_use == 0
    say(repr(client.pool.stats()))


def errors(client: carmine.Client[str], server: EmbeddedRedis) -> None:
    """Errors that tell what happened, where, and what to do."""
    with expect(carmine.WrongTypeError):
        client.lpush("user:1", "x")
    with expect(carmine.UsageError):
        client.set("user:2", None)  # type: ignore[call-overload]  # the mistake is the point
    with expect(carmine.UsageError):
        carmine.connect(server.url, pool_sise=4)  # type: ignore[call-overload]  # as above
    with expect(carmine.PipelineError), client.pipeline() as pipe:
        pipe.incr("user:1")
        pipe.incr("visits")


def crash(client: carmine.Client[str], server: EmbeddedRedis) -> None:
    """The server is killed, and comes back.

    What may have reached the server is never sent twice behind your back; what was not sent is tried again. The same
    client goes on, and so does every thread that has it.
    """
    server.kill()
    with expect(carmine.ConnectFailed):
        client.get("user:1")
    server.start()
    assert client.get("user:1") is None
    assert client.set("user:1", "Ada") is True


def scripts(client: carmine.Client[str]) -> None:
    """Lua, and walks through many keys.

    A script's text goes out once; after that its hash is enough. Variables have names, and values never become text.
    """
    capped = client.script("return math.min(redis.call('INCR', KEYS[1]), tonumber(ARGV[1]))")
    assert [capped(keys=["steps"], args=[3]) for _ in range(5)] == [1, 2, 3, 3, 3]
    assert client.lua("return redis.call('GET', _:key) .. _:end", {"key": "steps"}, {"end": "!"}) == "5!"
    assert client.mset({f"item:{number}": number for number in range(500)}) is True
    assert sum(1 for _ in client.scan_iter("item:*", count=100)) == 500


def deadlines(client: carmine.Client[str]) -> None:
    """A deadline bounds everything inside it: waiting for a connection, connecting, trying again, reading."""
    with expect(TimeoutError), carmine.deadline(0.2):
        client.blpop("nothing", timeout=30)
    assert client.get("user:1") == "Ada"


def subscriptions(client: carmine.Client[str], server: EmbeddedRedis) -> None:
    """Pub/sub, with a server that dies in the middle.

    Subscriptions are made anew by themselves, and the gap is not hidden: it stands in the stream as an event.
    """
    with client.pubsub() as subscriber:
        subscriber.subscribe("news")
        client.publish("news", "before")
        heard = [subscriber.next_message(timeout=10)]
        server.kill()
        server.start()
        heard.append(subscriber.next_message(timeout=10))
        client.publish("news", "after")
        heard.append(subscriber.next_message(timeout=10))
    assert [type(event).__name__ for event in heard] == ["Message", "Reconnected", "Message"]
    assert heard[-1] == ("message", None, "news", "after")


def locks(client: carmine.Client[str]) -> None:
    """A lock that tells the truth, handed over.

    Two round trips; who waits is woken and costs the server next to nothing; every holder has a higher fence, by which
    a store can refuse one that was held up for too long.
    """
    fences: list[int] = []

    def work() -> None:
        with Lock(client, "report", ttl=10) as lease:
            fences.append(lease.fence)

    with Lock(client, "report", ttl=10) as lease:
        fences.append(lease.fence)
        next_one = threading.Thread(target=work)
        next_one.start()
        until(lambda: client.pubsub_numsub("carmine:lock-signal:report")["carmine:lock-signal:report"])
        still_one = len(fences)
    next_one.join()
    assert (still_one, len(fences), fences == sorted(fences)) == (1, 2, True)
    assert have_lock(client, "report", lease.token) is False


def queue(client: carmine.Client[str]) -> None:
    """A queue with a live worker: a retry, a dead letter, a replay.

    At least once, with leases that are renewed and a fence for each claim; what fails is tried again, and in the end
    kept as a dead letter. A worker sleeps on the server, and is woken by the next message.
    """
    known = {"ada"}

    def send(message: Message) -> Result | None:
        return None if message.content["to"] in known else Result("retry", error="unknown")

    outbox = Queue(client, "emails")
    worker = Worker(client, "emails", send, concurrency=4, retry=[0.02], max_attempts=2)
    worker.start()
    assert outbox.enqueue({"to": "ada"}, mid="welcome:ada").action == "added"
    until(lambda: worker.status().counts["success"] == 1)
    assert outbox.enqueue({"to": "grace"}, mid="welcome:grace").action == "added"
    until(lambda: outbox.status().dead == 1)  # after a retry
    [letter] = outbox.dead()
    assert (letter.mid, letter.attempts, letter.error) == ("welcome:grace", 2, "unknown")
    known.add("grace")
    assert outbox.replay("welcome:grace") == 1
    until(lambda: worker.status().counts["success"] == 2)
    many = outbox.enqueue_many({"to": "ada"} for _ in range(2_000))
    until(lambda: worker.status().counts["success"] == 2_002, 30)  # by four threads
    assert (all(one.success for one in many), outbox.status().queued, outbox.status().dead) == (True, 0, 0)
    assert worker.stop() is True


def speed(client: carmine.Client[str]) -> None:
    """Close to the wire.

    On this machine and this load, with one connection and one thread. For comparisons: make bench.
    """
    gets = per_second(lambda: client.get("user:1"))
    say(f"{gets:,.0f} GET/s, {1e6 / gets:.1f} us each")


TOUR: Final = (
    connect,
    commands,
    binary,
    pipeline,
    transactions,
    blocking,
    pinned,
    pool,
    errors,
    crash,
    scripts,
    deadlines,
    subscriptions,
    locks,
    queue,
    speed,
)
