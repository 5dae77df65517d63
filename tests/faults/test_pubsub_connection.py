"""Subscriptions whose connection is lost, silent or slow (FAULTS.md B01, B02, B04, B05, A08, C25 of subscriptions)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.client.dispatch import ERROR, RECONNECTED
from carmine.client.subscriptions import Message, Reconnected
from carmine.errors import AuthError, NetworkError, ReadTimeout
from carmine.retry import Retry
from tests.faults.drivers import ONCE, PASSWORD, USER
from tests.lab import leaks
from tests.lab.matrix import scaled
from tests.lab.servers import RedisServer, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

PATIENCE: Final = 10.0
MiB: Final = 1 << 20
QUICK: Final = Retry(3, base=0.01, cap=0.05)


@pytest.fixture
def mortal(server: RedisServer) -> Iterator[RedisServer]:
    """Give a server that knows the clients' user after a restart as well."""
    with RedisServer(users={USER: f"on >{PASSWORD} ~* &* +@all"}) as made:
        made.call("PING")  # over the connection that `call` keeps: it is there before the count of open files
        yield made


def number_of(lab: Lab) -> int:
    """Return the number of the latest connection that has subscribed to something."""
    return next(
        number
        for number in reversed(lab.proxy.numbers)
        if any(command[0].upper().endswith(b"SUBSCRIBE") for command in lab.proxy.commands(number))
    )


def is_gap(event: object) -> bool:
    return isinstance(event, Reconnected)


def published(lab: Lab, channel: str, payload: bytes | str) -> None:
    """Publish, and see that exactly one subscription takes it."""
    assert lab.server.call("PUBLISH", channel, payload) == 1


# Losses. -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fin", "rst"])
def test_c25_subscriptions_outlive_every_connection(lab: Lab, mode: Any) -> None:
    """Each is made anew, once; a mark stands where messages may be missing."""
    driver = lab.client(retry=QUICK)
    calls: list[Any] = []
    with driver.client.pubsub() as pubsub:
        pubsub.subscribe("plain")
        pubsub.subscribe({"handled": calls.append})
        pubsub.psubscribe("p*n")
        if lab.server.leg.at_least_7:
            pubsub.ssubscribe("{1}shard", "{2}shard")
        for index in range(scaled(200)):
            lab.proxy.kill(mode)
            gap = pubsub.next_message(PATIENCE)
            assert is_gap(gap), gap
            lab.saw(gap.error)
            assert lab.server.call("PUBLISH", "plain", str(index)) == 2, "channel and pattern, each once"
            published(lab, "handled", str(index))
            seen = [pubsub.next_message(PATIENCE), pubsub.next_message(PATIENCE)]
            assert sorted(seen) == [
                Message("message", None, "plain", str(index)),
                Message("pmessage", "p*n", "plain", str(index)),
            ]
            if lab.server.leg.at_least_7:
                assert lab.server.call("SPUBLISH", "{2}shard", str(index)) == 1
                assert pubsub.next_message(PATIENCE) == Message("smessage", None, "{2}shard", str(index))
            else:
                assert pubsub.next_message(0.01) is None
            assert [message.payload for message in calls] == [str(n) for n in range(index + 1)]
            lab.counts["losses"] += 1


def test_b02_the_server_is_restarted(mortal: RedisServer, lab: Lab) -> None:
    """However long it takes; a reader with a deadline keeps it meanwhile."""
    server = mortal
    driver = lab.client(server.url, retry=QUICK)
    calls: list[Any] = []
    with driver.client.pubsub() as pubsub:
        pubsub.subscribe("a", {"h": calls.append})
        pubsub.psubscribe("b*")
        server.kill()
        with lab.within(0.3):
            assert pubsub.next_message(0.3) is None
        server.start()
        gap = pubsub.next_message(PATIENCE)
        assert is_gap(gap), gap
        lab.saw(gap.error)
        for channel in ("a", "h", "bb"):
            assert server.call("PUBLISH", channel, "x") == 1
        assert pubsub.next_message(PATIENCE) == Message("message", None, "a", "x")
        assert pubsub.next_message(PATIENCE) == Message("pmessage", "b*", "bb", "x")
        assert len(calls) == 1
    lab.canaries(driver)
    lab.forget(driver)


def test_b02_a_listener_through_a_restart(mortal: RedisServer, lab: Lab) -> None:
    """It is told of the loss and of the new connection, and goes on."""
    server = mortal
    driver = lab.client(server.url, retry=QUICK)
    seen: list[Message[Any]] = []
    listener = driver.client.listener({"*": lambda message, state: seen.append(message)})
    listener.subscribe("a")
    server.kill()
    wait_until(lambda: len(seen) == 2, "the word of the loss")
    server.start()
    wait_until(lambda: len(seen) == 4, "the word of the new connection, and its confirmation")
    assert server.call("PUBLISH", "a", "x") == 1
    wait_until(lambda: len(seen) == 5, "the message")
    assert listener.status == "running"
    listener.close()
    assert [(message.kind, message.channel) for message in seen] == [
        ("subscribe", "a"),
        ("carmine", ERROR),
        ("carmine", RECONNECTED),
        ("subscribe", "a"),
        ("message", "a"),
        ("carmine", ERROR),
    ]
    assert seen[1].payload.error == "conn-broken"
    assert seen[5].payload.error == "conn-closed"
    lab.saw(seen[1].payload.cause)
    lab.canaries(driver)
    lab.forget(driver)


def test_a_password_that_is_wrong_by_now_is_final(lab: Lab) -> None:
    """No storm of logins: the reader hears of it at once, and may try again when it likes."""
    driver = lab.client(retry=QUICK)
    with driver.client.pubsub() as pubsub:
        pubsub.subscribe("a")
        lab.server.call("ACL", "SETUSER", USER, "resetpass", ">another")
        before = lab.proxy.accepted
        lab.proxy.kill()
        lab.fails(AuthError, pubsub.next_message, PATIENCE, within=1)
        lab.fails(AuthError, pubsub.next_message, PATIENCE, within=1)
        assert lab.proxy.accepted <= before + 2
        lab.server.call("ACL", "SETUSER", USER, "resetpass", f">{PASSWORD}")
        assert is_gap(pubsub.next_message(PATIENCE))
        published(lab, "a", "x")
        assert pubsub.next_message(PATIENCE) == Message("message", None, "a", "x")


def test_the_first_connection_is_tried_as_for_a_command(lab: Lab) -> None:
    driver = lab.client(retry=Retry(3, base=0.001), warm=False)
    lab.proxy.refuse()
    with driver.client.pubsub() as pubsub:
        before = lab.proxy.accepted
        lab.fails(NetworkError, pubsub.subscribe, "a", within=1)
        assert lab.proxy.accepted == before
        lab.proxy.refuse(False)
        pubsub.subscribe("a")
        published(lab, "a", "x")
        assert pubsub.next_message(PATIENCE) == Message("message", None, "a", "x"), "no gap: there was nothing before"


# B05. ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fin", "rst"])
@pytest.mark.parametrize("direction", ["c2s", "s2c"])
def test_b05_cut_between_subscribing_and_the_confirmation(lab: Lab, direction: Any, mode: Any) -> None:
    """At every byte of both: the call returns when a new connection has confirmed it, and the gap is marked."""
    lab.proxy.plan = lab.each.__getitem__
    driver = lab.client(retry=QUICK)
    texts = {"c2s": "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nb\r\n", "s2c": ">3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"}
    size = len(texts[direction])
    step = 1 if mode == "fin" or scaled(4) > 1 else 5
    for n in range(0, size, step):
        with driver.client.pubsub() as pubsub:
            pubsub.subscribe("a")
            faults = lab.each[number_of(lab)]
            lab.proxy.mark()
            faults.cut_mode = mode
            faults.cut_after[direction] = n
            with lab.within(1):
                pubsub.subscribe("b")
            assert pubsub.channels == {"a", "b"}
            published(lab, "b", str(n))
            published(lab, "a", str(n))
            assert is_gap(pubsub.next_message(PATIENCE))
            assert pubsub.next_message(PATIENCE) == Message("message", None, "b", str(n))
            assert pubsub.next_message(PATIENCE) == Message("message", None, "a", str(n))
            lab.counts["cuts"] += 1


@pytest.mark.parametrize("mode", ["fin", "rst"])
def test_b05_cut_between_unsubscribing_and_the_confirmation(lab: Lab, mode: Any) -> None:
    """What was to end is not made anew."""
    lab.proxy.plan = lab.each.__getitem__
    driver = lab.client(retry=QUICK)
    for n in (0, 1, 10, 20):
        with driver.client.pubsub() as pubsub:
            pubsub.subscribe("a", "b")
            faults = lab.each[number_of(lab)]
            lab.proxy.mark()
            faults.cut_mode = mode
            faults.cut_after["s2c"] = n
            pubsub.unsubscribe("b")
            assert pubsub.channels == {"a"}
            assert lab.server.call("PUBLISH", "b", "x") == 0
            published(lab, "a", str(n))
            assert is_gap(pubsub.next_message(PATIENCE))
            assert pubsub.next_message(PATIENCE) == Message("message", None, "a", str(n))
            lab.counts["cuts"] += 1


def test_b01_a_cut_inside_a_message_delivers_nothing_of_it(lab: Lab) -> None:
    lab.proxy.plan = lab.each.__getitem__
    driver = lab.client(retry=QUICK)
    payload = "x" * 3000
    for n in (0, 1, 5, 30, 100, 1500, 3030):
        with driver.client.pubsub() as pubsub:
            pubsub.subscribe("a")
            lab.proxy.mark()
            lab.each[number_of(lab)].cut_after["s2c"] = n
            published(lab, "a", payload)
            assert is_gap(pubsub.next_message(PATIENCE))
            published(lab, "a", "whole")
            assert pubsub.next_message(PATIENCE) == Message("message", None, "a", "whole")
            lab.counts["cuts"] += 1


# Slow consumers. -----------------------------------------------------------------------------------------------------


def test_b01_the_server_drops_a_slow_subscriber(lab: Lab) -> None:
    """It cuts in the middle of a message: what came whole is delivered, then the gap, then what is new."""
    lab.server.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0")
    driver = lab.client(lab.server.url, retry=QUICK)
    with driver.client.pubsub() as pubsub:
        pubsub.subscribe("a")
        sent = 0
        while any(client["sub"] == "1" for client in lab.server.clients()):
            for _ in range(100):  # small ones: Valkey 9 counts large ones elsewhere
                lab.server.call("PUBLISH", "a", f"{sent:06}" + "x" * 10_000)
                sent += 1
            assert sent < 20_000, "the server never dropped it"
        got = 0
        while not is_gap(message := pubsub.next_message(PATIENCE)):
            assert message == Message("message", None, "a", f"{got:06}" + "x" * 10_000)
            got += 1
        assert got < sent
        lab.saw(message.error)
        published(lab, "a", "new")
        assert pubsub.next_message(PATIENCE) == Message("message", None, "a", "new")
        lab.counts["messages"] += got


def test_a08_a_slow_consumer_stops_the_reading(lab: Lab) -> None:
    """What nobody takes stays with the server: this process reads a little ahead and no more, and loses nothing."""
    lab.server.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0")
    driver = lab.client(lab.server.url)
    count = scaled(20_000)
    with driver.client.pubsub() as pubsub:
        pubsub.subscribe("a")
        leaks.reset_peak_memory()
        before = leaks.peak_memory()
        for index in range(count):
            published(lab, "a", f"{index:06}" + "x" * 10_000)
        assert pubsub.next_message(PATIENCE).payload.startswith("000000")
        driver.client.pubsub().close()  # a round of the loop, so that it could read on
        for index in range(1, count):
            assert pubsub.next_message(PATIENCE).payload[:6] == f"{index:06}"
        grown = leaks.peak_memory() - before
        assert grown < 6 * MiB, f"{grown / MiB:.1f} MiB for {count * 10_000 / MiB:.0f} MiB of messages"
        assert pubsub.next_message(0) is None
    lab.counts["messages"] += count


# B04. ----------------------------------------------------------------------------------------------------------------


def test_b04_a_silent_server_is_left(lab: Lab) -> None:
    """A peer that answers nothing any more is noticed by the ping, in time; half an answer is none."""
    lab.proxy.plan = lab.each.__getitem__
    driver = lab.client(retry=QUICK)
    for n in (0, 3):
        with driver.client.pubsub(ping=0.2) as pubsub:
            pubsub.subscribe("a")
            assert pubsub.next_message(0.5) is None, "pings are answered, and nobody sees that"
            faults = lab.each[number_of(lab)]
            lab.proxy.mark()
            faults.truncate["s2c"] = n
            with lab.within(1.0):
                gap = pubsub.next_message(PATIENCE)
            assert is_gap(gap), gap
            assert isinstance(gap.error, ReadTimeout)
            assert "ping" in str(gap.error)
            lab.saw(gap.error)
            published(lab, "a", "x")
            assert pubsub.next_message(PATIENCE) == Message("message", None, "a", "x")


def test_b04_a_slow_consumer_is_not_taken_for_a_silent_server(lab: Lab) -> None:
    """The answer stands behind what was not read yet."""
    driver = lab.client()
    with driver.client.pubsub(ping=0.05) as pubsub:
        pubsub.subscribe("a")
        assert pubsub.next_message(0.06) is None
        for index in range(20):
            published(lab, "a", str(index))
        for index in range(20):
            began = time.monotonic()
            while time.monotonic() < began + 0.012:
                pass  # busy with the message
            assert pubsub.next_message(PATIENCE) == Message("message", None, "a", str(index))
        assert pubsub.next_message(0.01) is None


def test_a_server_that_does_not_confirm(lab: Lab) -> None:
    """I3: the call ends with read_timeout."""
    driver = lab.client(retry=ONCE, read_timeout=0.3)
    with driver.client.pubsub() as pubsub:
        pubsub.subscribe("a")
        lab.proxy.hold("s2c")
        lab.fails(ReadTimeout, pubsub.subscribe, "b", within=0.3)
        lab.proxy.release()
        published(lab, "a", "x")
        assert pubsub.next_message(PATIENCE) == Message("message", None, "a", "x")
        published(lab, "b", "y")  # it stayed wanted
        assert pubsub.next_message(PATIENCE) == Message("message", None, "b", "y")


def test_what_nobody_asked_for_ends_the_stream(lab: Lab) -> None:
    """Bytes that are no message are never taken for one, and never for the confirmation of something."""
    driver = lab.client(retry=QUICK)
    for stray in (b"+PONG\r\n", b"$2\r\nhi\r\n", b":1\r\n", b"-ERR odd\r\n", b"*1\r\n$1\r\nx\r\n", b"HTTP/1.1 400\r\n"):
        with driver.client.pubsub() as pubsub:
            pubsub.subscribe("a")
            lab.proxy.inject_now("s2c", stray)
            gap = pubsub.next_message(PATIENCE)
            assert is_gap(gap), gap
            lab.saw(gap.error)
            published(lab, "a", "x")
            assert pubsub.next_message(PATIENCE) == Message("message", None, "a", "x")
