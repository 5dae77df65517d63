"""Replies that come late, twice, unasked or after an error (FAULTS.md C04, C07, C08, C16, C18, C19)."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

import carmine
from carmine.errors import BadRequestError, CarmineError, ConnectionLost, NetworkError, Outcome, ReadTimeout
from tests.faults.drivers import ONCE, SHAPES
from tests.lab.matrix import scaled
from tests.lab.scripted import Scripted
from tests.lab.wire import RawClient

if TYPE_CHECKING:
    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

STALE: Final = b"+STALE\r\n"
STRAYS: Final = (
    STALE,
    b"$5\r\nSTALE\r\n",
    b"+STA",
    b":1\r\n:2\r\n",
    b"-ERR stale\r\n",
    b"*1\r\n+STALE\r\n",
    b"_\r\n",
    b"garbage\r\n",
)


@pytest.mark.parametrize("shape", SHAPES)
def test_c04_a_late_reply_reaches_nobody_else(lab: Lab, shape: str) -> None:
    """A call times out while its reply is on the way; the next one, at once and without delay, gets its own."""
    chance = random.Random(4)
    driver = lab.client(retry=ONCE, read_timeout=0.1)
    for number in range(scaled(400)):
        lab.proxy.delay["s2c"] = chance.uniform(0, 0.3)
        try:
            with lab.within(0.1 * (3 if shape == "watch" else 1)):
                SHAPES[shape](driver, f"secret:alice-{number}")
            lab.counts["in time"] += 1
        except ReadTimeout as error:
            lab.saw(error, Outcome.UNKNOWN)
            lab.counts["late"] += 1
        lab.proxy.delay.clear()
        lab.canary(driver, shape, f"public:bob-{number}")


def test_c07_a_stray_reply_on_an_idle_connection(lab: Lab) -> None:
    """What is no push and lies there at borrow time ends the connection, and answers nobody."""
    driver = lab.client()
    for stray in (
        STALE,
        b"$5\r\nSTALE\r\n",
        b"+STA",
        b":1\r\n:2\r\n",
        b"-ERR stale\r\n",
        b"*1\r\n+STALE\r\n",
        b"_\r\n",
    ):
        for shape in SHAPES.values():
            lab.wait_idle()
            before = driver.stats()
            idle = before.idle + before.shared
            lab.proxy.inject_now("s2c", stray)
            lab.wait_idle()
            for number in range(lab.pool_size + 1):
                shape(driver, f"canary-{number}")
            after = driver.stats()
            assert 1 <= after.opened - before.opened <= idle
            lab.counts["strays"] += idle
            lab.counts["canaries"] += lab.pool_size + 1


@pytest.mark.parametrize("way", ["inject", "dup"])
@pytest.mark.parametrize("segments", [1, 2])
def test_c07_a_stray_reply_between_a_request_and_its_reply(lab: Lab, way: str, segments: int) -> None:
    """It cannot be told from the reply, but what it leaves behind can, one reply later at most; then all is well."""
    lab.proxy.plan = lab.each.__getitem__
    driver = lab.client(retry=ONCE)
    for number in range(scaled(400)):
        token = f"tok-{number:04}"
        reply = b"$8\r\n" + token.encode() + b"\r\n"
        bad = lab.faults_of_next(driver)
        lab.wait_idle()
        lab.proxy.mark()
        opened = driver.stats().opened
        if way == "inject":
            bad.inject["s2c"] = {0: STALE}
        else:
            bad.dup["s2c"] = (0, len(reply))
        if segments == 2:
            bad.chunk["s2c"] = len(STALE if way == "inject" else reply)
            bad.pace["s2c"] = 0.002
        try:
            got = driver.call("ECHO", token)
        except ConnectionLost as error:  # both came in one segment
            lab.saw(error, Outcome.UNKNOWN)
            lab.counts["noticed at once"] += 1
        else:
            assert got == (token if way == "dup" else "STALE")
            lab.counts["noticed one reply later"] += 1
        lab.proxy.wait_passed("s2c", len(reply) + len(STALE if way == "inject" else reply))
        lab.wait_idle()
        lab.canaries(driver, 2 * lab.pool_size, f"{number}")
        assert driver.stats().opened <= opened + 1
        lab.counts["strays"] += 1


def test_c07_a_connection_that_is_never_idle_for_long_and_out_of_step_is_found_out(lab: Lab) -> None:
    """Calls follow each other within a millisecond; a stray reply must not shift every reply from then on."""
    lab.proxy.plan = lab.each.__getitem__
    driver = lab.client(pool_size=1, retry=ONCE)
    elsewhere = threading.Event()
    for attempt in range(scaled(400)):
        bad = lab.faults_of_next(driver)
        opened = driver.stats().opened
        lab.proxy.mark()
        bad.dup["s2c"] = (0, len(b"$6\r\n000-00\r\n"))  # of the first reply, whole
        bad.chunk["s2c"] = len(b"$6\r\n000-00\r\n")
        bad.pace["s2c"] = 2e-4
        wrong = 0
        for number in range(30):
            token = f"{attempt:03}-{number:02}"
            try:
                wrong += driver.call("ECHO", token) != token
            except ConnectionLost as error:
                lab.saw(error)
            bad.clear()
            elsewhere.wait(3e-4)  # what an application does between two calls
        assert driver.stats().opened == opened + 1
        lab.counts["shifted replies"] += wrong
        lab.counts["strays"] += 1
        assert wrong < 15


def test_c08_ten_thousand_invalidations_on_an_idle_connection(lab: Lab) -> None:
    """All are read at the next use, none is taken for a reply, the connection stays; on RESP2 there are no pushes."""
    count = 10_000
    driver = lab.client(protocol=3)
    keys = [f"key:{number}" for number in range(count)]
    with RawClient(lab.server.unix_path) as writer:
        writer.sock.sendall(b"".join(_set(key) for key in keys))
        assert all(writer.read() == b"OK" for _ in keys)
        with driver.holding(1) as [pinned]:
            pinned.execute("CLIENT", "TRACKING", "ON")
            assert len(pinned.execute("MGET", *keys)) == count
            me = pinned.execute("CLIENT", "ID")
            writer.sock.sendall(b"".join(_set(key) for key in keys))
            assert all(writer.read() == b"OK" for _ in keys)
            for number in range(50):
                assert pinned.execute("ECHO", f"canary-{number}") == f"canary-{number}"
            assert pinned.execute("CLIENT", "ID") == me
            got = [push[1][0] for push in _pushes(pinned)]
            assert sorted(map(str, got)) == sorted(keys)
            lab.counts["invalidations"] += len(got)


def _set(key: str) -> bytes:
    return b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$1\r\nv\r\n" % (len(key), key.encode())


def _pushes(pinned: Any) -> list[Any]:
    """Return the pushes that have come; the public way to them is client-side caching, a later layer."""
    connection = pinned._held()
    pushes: list[Any] = []
    while (push := connection.next_push(0)) is not None:
        pushes.append(push)
    return pushes


@pytest.mark.parametrize("when", ["in a call", "idle"])
def test_c16_a_bad_request_ends_the_connection(lab: Lab, when: str) -> None:
    """The server's "ERR Protocol error" is a normal error reply, but the connection may not be used again."""
    driver = lab.client(pool_size=1, retry=ONCE)
    bad = b"*1\r\n$-5\r\n"
    opened, there = driver.stats().opened, driver.open()
    if when == "idle":
        lab.proxy.inject_now("c2s", bad)
        lab.proxy.wait_until(lambda: b"Protocol error" in lab.proxy.log("s2c"), "the server's answer")
        lab.wait_server_end()
    else:
        lab.proxy.mark()
        lab.proxy.inject["c2s"] = {0: bad}
        error = lab.fails((BadRequestError, ConnectionLost), driver.call, "ECHO", "x")
        assert "Protocol error" in str(error)
        lab.proxy.inject.clear()
        assert driver.open() == there - 1
    lab.canaries(driver)
    assert driver.stats().opened == opened + (there if when == "idle" else 1)


def test_c18_the_servers_output_buffer_limit(lab: Lab) -> None:
    """A reply that the server gives up in the middle is ConnectionLost, and costs no more than what came."""
    big = ("EVAL", "local s = string.rep('x', 524288); local t = {}; for i = 1, 200 do t[i] = s end; return t", 0)
    lab.server.call("CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0")
    driver = lab.client(lab.server.url)  # past the proxy, whose log is in this process
    lab.memory = 32 << 20
    for function, words in ((driver.call, big), (driver.pipeline, ([("ECHO", "x"), big],))):
        lab.fails(ConnectionLost, function, *words, outcome=Outcome.UNKNOWN, within=5)
        lab.canaries(driver, 4)


LARGE_REPLY: Final = 4 << 20


@pytest.mark.parametrize("pool_size", [1], ids=["pool1"], indirect=True)  # a pipeline uses one connection
@pytest.mark.parametrize("request_size", [10, 100_000], ids=["small-requests", "large-requests"])
def test_c19_a_pipeline_never_deadlocks(lab: Lab, request_size: int) -> None:
    """The server reads no further request until its replies are taken; so the client reads while it writes."""
    count = scaled(1000)
    large = min(20, count)  # the others are shorter: 4 GB would test this machine's memory

    def reply(words: list[bytes]) -> list[bytes]:
        number = int(words[1])
        size = LARGE_REPLY if number < large else 100_000
        return [b"$%d\r\n" % (8 + size), b"%08d" % number, b"x" * size, b"\r\n"]

    lab.memory += 3 * (large * LARGE_REPLY + (count + 40) * 100_000) + 2 * count * request_size
    with Scripted.replies({b"GET": lambda words: iter(reply(words))}, buffers=1 << 18) as server:
        driver = lab.client(server.url, warm=False, retry=ONCE, decode=False, username=None, password=None)
        padding = "p" * request_size
        with lab.within(30):
            replies = driver.pipeline([("GET", number, padding) for number in range(count)])
        assert [int(each[:8]) for each in replies] == list(range(count))
        assert {len(each) for each in replies} <= {8 + LARGE_REPLY, 8 + 100_000}
        lab.counts["requests"] += count
        lab.counts["megabytes"] += sum(map(len, replies)) >> 20
        server.check()
        lab.forget(driver)
    del replies


def test_c19_threads_share_the_pool_while_pipelines_run(lab: Lab) -> None:
    """Pipelines with large replies and canaries side by side: nobody gets another's reply."""
    driver = lab.client()
    problems: list[BaseException] = []
    lab.memory += 6 * scaled(100) * 20 * 20_000 * 4  # what the proxy records, both ways, in buffers that double

    def work(name: str) -> None:
        try:
            for number in range(scaled(100)):
                tokens = [f"{name}-{number}-{index}" + "x" * 20_000 for index in range(20)]
                assert driver.pipeline([("ECHO", token) for token in tokens]) == tokens
                lab.canaries(driver, 4, f"{name}-{number}")
        except (AssertionError, CarmineError) as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems
    assert not any(thread.is_alive() for thread in threads)


def test_what_is_public_is_enough_to_tell_a_late_reply_from_a_lost_one() -> None:
    """I7: both are NetworkErrors with an outcome; the timeout is a TimeoutError too."""
    assert issubclass(ReadTimeout, NetworkError)
    assert issubclass(ReadTimeout, TimeoutError)
    assert not issubclass(carmine.errors.ConnectionLost, TimeoutError)
