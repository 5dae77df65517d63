"""Handlers that misbehave, and pushes by the thousand among replies (FAULTS.md B03 and B06)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.client.subscriptions import Message, Reconnected
from carmine.errors import UsageError
from carmine.retry import Retry
from tests.faults.drivers import ONCE
from tests.lab.matrix import scaled
from tests.lab.scripted import Scripted
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

PATIENCE: Final = 10.0
only_resp3 = pytest.mark.parametrize("protocol", [3], ids=["resp3"])  # RESP2 has no pushes among replies


def test_b03_handlers_that_raise_and_block_beside_others(lab: Lab) -> None:
    """Every other message is handled, in order, once; what was raised is told each time."""
    driver = lab.client()
    go_on = threading.Event()
    handled: list[str] = []
    troubles: list[Any] = []

    def handle(message: Message[Any], state: Any) -> None:
        if message.kind == "carmine":
            troubles.append(message.payload)
        elif message.kind == "message":
            if message.channel == "bad":
                raise ZeroDivisionError(message.payload)
            if message.channel == "slow":
                go_on.wait(PATIENCE)
            handled.append(message.payload)

    count = scaled(2000)
    listener = driver.client.listener(handle)
    listener.subscribe("good", "bad", "slow")
    assert lab.server.call("PUBLISH", "slow", "slow") == 1
    for index in range(count):
        assert lab.server.call("PUBLISH", "good", str(index)) == 1
        assert lab.server.call("PUBLISH", "bad", str(index)) == 1
    assert handled == [], "one worker, in order"
    go_on.set()
    wait_until(lambda: len(troubles) == count, "the word of every failure")
    listener.close()
    assert handled == ["slow", *map(str, range(count))]
    assert [str(trouble.cause) for trouble in troubles[:-1]] == [str(index) for index in range(count)]
    assert {trouble.error for trouble in troubles[:-1]} == {"handler-ex"}
    assert troubles[-1].error == "conn-closed"
    lab.counts["failures"] += count


def test_b03_a_handler_in_the_middle_of_a_loss(lab: Lab) -> None:
    """What it raises comes out; the subscriptions are as they were."""
    driver = lab.client(retry=Retry(3, base=0.01, cap=0.05))

    def fail(message: Message[Any]) -> None:
        raise ZeroDivisionError(message.payload)

    with driver.client.pubsub() as pubsub:
        pubsub.subscribe({"a": fail})
        for index in range(scaled(100)):
            assert lab.server.call("PUBLISH", "a", str(index)) == 1
            with pytest.raises(ZeroDivisionError, match=str(index)):
                pubsub.next_message(PATIENCE)
            lab.kill()
            assert isinstance(pubsub.next_message(PATIENCE), Reconnected)


@only_resp3
def test_b06_a_storm_of_pushes_among_replies(lab: Lab) -> None:
    """Ten thousand commands in flight, a push before, behind and between their replies: each has its own."""
    count = scaled(200_000)
    lab.memory += count * 120  # tokens, replies, and the pushes that are kept
    push = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
    told = 0

    def reply(words: list[bytes]) -> Iterator[bytes]:
        nonlocal told
        told += 1
        between = b"" if told % 4 else push  # the blocking client keeps them, 65,536 at most
        yield between + b"$%d\r\n%s\r\n" % (len(words[1]), words[1])

    with Scripted.replies({b"ECHO": reply}) as server:
        driver = lab.client(server.url, warm=False, retry=ONCE, username=None, password=None)
        tokens = [f"token-{index}" for index in range(count)]
        with lab.within(30):
            assert driver.pipeline([("ECHO", token) for token in tokens]) == tokens
        for token in tokens[:20]:
            assert driver.call("ECHO", token) == token
        server.check()
        lab.forget(driver)
    lab.counts["pushes"] += told // 4


@only_resp3
def test_b06_a_real_storm(lab: Lab) -> None:
    """Tracking by broadcast: another client writes while this one reads; every reply is its own."""
    driver = lab.client()
    over = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not over.is_set() and written < 60_000:  # nobody takes them: one connection keeps 65,536
            lab.server.call("SET", f"key:{written}", "x")
            written += 1

    with driver.client.connection() as connection:
        connection.execute("CLIENT", "TRACKING", "ON", "BCAST")
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for index in range(scaled(20_000)):
                assert connection.execute("ECHO", f"token-{index}") == f"token-{index}"
        finally:
            over.set()
            writer.join()
    assert written
    lab.counts["pushes"] += written


def test_subscriptions_change_while_messages_storm(lab: Lab) -> None:
    """A publisher at full speed; threads subscribe and unsubscribe; a reader misses nothing of what stays."""
    driver = lab.client()
    over = threading.Event()
    published = 0

    def publish() -> None:
        nonlocal published
        while not over.is_set():
            lab.server.call("PUBLISH", "steady", str(published))
            published += 1

    def change(name: str) -> None:
        while not over.is_set():
            pubsub.subscribe(name)
            pubsub.unsubscribe(name)

    with driver.client.pubsub() as pubsub:
        pubsub.subscribe("steady")
        threads = [threading.Thread(target=publish), *(threading.Thread(target=change, args=(n,)) for n in "abc")]
        for thread in threads:
            thread.start()
        try:
            for index in range(scaled(20_000)):
                assert pubsub.next_message(PATIENCE) == Message("message", None, "steady", str(index))
        finally:
            over.set()
            while any(thread.is_alive() for thread in threads):
                pubsub.next_message(0.01)  # else those who wait for a confirmation would read
            for thread in threads:
                thread.join(PATIENCE)
        assert pubsub.channels == {"steady"}
    lab.counts["messages"] += published


def test_closing_while_another_thread_reads(lab: Lab) -> None:
    """The reader is told, in time, whatever it was doing; nothing is left."""
    driver = lab.client()
    for index in range(scaled(400)):
        ended: list[BaseException] = []
        pubsub = driver.client.pubsub()

        def read(pubsub: Any = pubsub, into: list[BaseException] = ended) -> None:
            try:
                while True:
                    pubsub.next_message()
            except Exception as problem:  # noqa: BLE001 - judged below
                into.append(problem)

        if index % 2:
            pubsub.subscribe("a")
        reader = threading.Thread(target=read)
        reader.start()
        with lab.within(1):
            pubsub.close()
            reader.join(PATIENCE)
        assert len(ended) == 1
        assert isinstance(ended[0], UsageError), repr(ended[0])
        lab.saw(ended[0])
