"""Bytes that are cut, truncated, fragmented, corrupted or dripping (FAULTS.md C01-C03, C05, C06, C20)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.errors import ConnectionLost, DecodeError, NetworkError, Outcome, ProtocolError, ReadTimeout, WriteTimeout
from tests.faults.drivers import ONCE
from tests.lab.matrix import scaled
from tests.lab.scripted import Scripted
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

LARGE: Final = "0123456789" * 10_000
HEADER: Final = len(b"$100000\r\n")


@pytest.mark.parametrize("mode", ["fin", "rst"])
def test_c01_a_reply_that_ends_in_the_middle(lab: Lab, mode: Any) -> None:
    """Every cut is ConnectionLost, "may have been executed"; never a part of the bytes, None or nothing as a value."""
    lab.server.call("SET", "k", LARGE)
    driver = lab.client(retry=ONCE)
    lab.proxy.cut_mode = mode
    # a reset waits for the system's acknowledgement of the bytes before it, 40 ms: short runs take every fourth offset
    step = 1 if mode == "fin" or scaled(4) > 1 else 4
    for n in [*range(0, 41, step), 50_000, HEADER + len(LARGE), HEADER + len(LARGE) + 1]:
        before = driver.open()
        lab.proxy.mark()
        lab.proxy.cut_after["s2c"] = n
        lab.fails(ConnectionLost, driver.call, "GET", "k", outcome=Outcome.UNKNOWN, within=1)
        lab.proxy.cut_after.clear()
        assert driver.open() == before - 1
        assert driver.call("GET", "k") == LARGE
        lab.counts["cuts"] += 1


def test_c01_a_read_only_command_is_sent_again_after_a_cut_and_a_write_is_not(lab: Lab) -> None:
    """I2 with the default retries: GET gives its value, INCR its error, and the wire shows what was sent."""
    lab.server.call("SET", "k", "value")
    lab.proxy.plan = lab.each.__getitem__
    for n in (0, 1, 3):
        for words, times in ((("GET", "k"), 2), (("INCR", "n"), 1)):
            driver = lab.client()
            bad = lab.faults_of_next(driver)
            lab.proxy.mark()
            bad.cut_after["s2c"] = n
            before = lab.sent(*words)
            if times == 2:
                assert driver.call(*words) == "value"
            else:
                lab.fails(ConnectionLost, driver.call, *words, outcome=Outcome.UNKNOWN)
            bad.clear()
            assert lab.sent(*words) - before == times
            lab.counts["cuts"] += 1
    assert lab.server.call("GET", "n") == b"3"


@pytest.mark.parametrize("mode", ["fin", "rst"])
def test_c02_a_request_that_is_cut_while_it_is_written(lab: Lab, mode: Any) -> None:
    """The value never arrives, not even its rest on another connection, and the caller hears that nobody knows."""
    value = "x" * (20 << 20)
    lab.memory += 3 * len(value)
    driver = lab.client()
    lab.proxy.cut_mode = mode
    lab.proxy.mark()
    lab.proxy.cut_after["c2s"] = 1 << 20
    connections = lab.proxy.accepted
    lab.fails(ConnectionLost, driver.call, "SET", "k", value, outcome=Outcome.UNKNOWN, within=5)
    lab.proxy.cut_after.clear()
    assert lab.proxy.accepted == connections  # not tried again
    assert driver.call("EXISTS", "k") == 0
    assert lab.server.call("EXISTS", "k") == 0
    for number in range(connections + 1, lab.proxy.accepted + 1):
        assert b"xxxx" not in lab.proxy.log("c2s", number)
    lab.counts["cuts"] += 1


def assert_one_died_of_silence(lab: Lab, driver: Any, before: int) -> None:
    """After a read that timed out; a shared connection dies of its own silence, counted from its last byte."""
    if lab.world == "async":
        wait_until(lambda: driver.open() < before, "the silent connection's end")
    assert driver.open() == before - 1


def test_c03_a_truncated_reply_and_then_silence(lab: Lab) -> None:
    """The deadline ends it and the connection dies: nobody may read the tail."""
    lab.server.call("SET", "k", LARGE)
    driver = lab.client(retry=ONCE, read_timeout=0.15)
    for n in (0, 1, 2, 7, 8, 9, 50, 99_000, HEADER + len(LARGE) + 1):
        lab.proxy.mark()
        lab.proxy.truncate["s2c"] = n
        before, opened = driver.open(), driver.stats().opened
        lab.fails(ReadTimeout, driver.call, "GET", "k", outcome=Outcome.UNKNOWN, within=0.15)
        assert_one_died_of_silence(lab, driver, before)
        lab.proxy.truncate.clear()
        lab.canaries(driver, 4)
        assert driver.stats().opened <= opened + 1
        lab.counts["truncations"] += 1


MIXED: Final = (
    ("SET", "s", "val\r\nue"),
    ("GET", "s"),
    ("GET", "missing"),
    ("HSET", "h", "a", "1", "b", "2"),
    ("HGETALL", "h"),
    ("RPUSH", "l", "x", "", "z" * 300),
    ("LRANGE", "l", "0", "-1"),
    ("INCRBYFLOAT", "f", "3.25"),
    ("ZADD", "z", "1.5", "m"),
    ("ZRANGE", "z", "0", "-1", "WITHSCORES"),
    ("SADD", "set", "one"),
    ("SMEMBERS", "set"),
    ("ECHO", "ünï"),
    ("STRLEN", "h"),
    ("EVAL", "return {1,{2,{'three',false}},{err='E1 x'}}", "0"),
)


def _result(value: Any) -> str:
    """Show a reply with its types, an error by its text."""
    if isinstance(value, list):
        return f"[{', '.join(map(_result, value))}]"
    return f"{type(value).__name__}:{value}"


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_c05_fragments_change_nothing(lab: Lab, size: int) -> None:
    """The same replies, however the bytes are cut into segments, in both directions."""
    driver = lab.client()
    whole = _result(driver.pipeline(MIXED))
    lab.server.call("FLUSHALL")
    lab.proxy.chunk.update({"s2c": size, "c2s": size})
    assert _result(driver.pipeline(MIXED)) == whole
    tokens = [f"tok-{index}" for index in range(200)]
    assert driver.pipeline([("ECHO", token) for token in tokens]) == tokens
    lab.canaries(driver, 8, "chunked")
    lab.counts["fragments"] += lab.proxy.passed["s2c"] // size


def test_c05_a_thousand_replies_in_one_block(lab: Lab) -> None:
    """Coalesced: nothing comes until everything is there."""
    driver = lab.client()
    tokens = [f"tok-{index}" for index in range(1000)]
    expected = sum(len(b"$%d\r\n%b\r\n" % (len(token), token.encode())) for token in tokens)
    logged = len(lab.proxy.log("s2c"))
    lab.proxy.hold("s2c")
    got: list[Any] = []
    caller = threading.Thread(target=lambda: got.extend(driver.pipeline([("ECHO", token) for token in tokens])))
    caller.start()
    lab.proxy.wait_until(lambda: len(lab.proxy.log("s2c")) - logged == expected, "every reply at the proxy")
    assert got == []
    lab.proxy.release()
    caller.join(10)
    assert got == tokens
    lab.counts["replies"] += len(tokens)


def test_c06_every_bit_of_a_reply_flipped(lab: Lab) -> None:
    """Only a flip in the payload may give a wrong value; one in the framing is an error, and the connection dies."""
    value = "v" * 57
    reply = b"$57\r\n" + value.encode() + b"\r\n"
    assert len(reply) == 64
    lab.server.call("SET", "k", value)
    driver = lab.client(retry=ONCE, read_timeout=0.2)
    for bit in range(8 * len(reply)):
        at = bit // 8
        lab.proxy.mark()
        lab.proxy.corrupt["s2c"] = {at: 1 << bit % 8}
        is_payload = 5 <= at < 62
        opened = driver.open()
        try:
            with lab.within(0.2):
                got = driver.call("GET", "k")
        except DecodeError as error:
            assert is_payload
            lab.saw(error)
            lab.counts["not UTF-8"] += 1
        except (ProtocolError, NetworkError) as error:
            lab.saw(error)
            lab.counts[f"noticed as {type(error).__name__}{' in the payload' if is_payload else ''}"] += 1
            if isinstance(error, ReadTimeout):
                assert_one_died_of_silence(lab, driver, opened)
            assert driver.open() == opened - 1
        else:
            assert is_payload, f"bit {bit}: {got!r}"
            differing = [index for index in range(57) if got[index] != value[index]]
            assert (len(got), differing) == (57, [at - 5])
            lab.counts["payload"] += 1
        lab.proxy.corrupt.clear()
        assert driver.call("GET", "k") == value
        lab.counts["bits"] += 1
    assert not [name for name in lab.counts if name.endswith(" in the payload")], lab.counts


def test_c20_a_slow_drip_ends_at_the_total_deadline(lab: Lab) -> None:
    """One byte every 0.8 x timeout is no progress: the deadline is for the whole reply, alone and in a pipeline."""
    lab.server.call("SET", "k", "v" * 100)
    driver = lab.client(retry=ONCE, read_timeout=0.1)
    for function, words in ((driver.call, ("GET", "k")), (driver.pipeline, ([("GET", "k")] * 5,))):
        lab.proxy.chunk["s2c"] = 1
        lab.proxy.pace["s2c"] = 0.08
        lab.fails(ReadTimeout, function, *words, outcome=Outcome.UNKNOWN, within=0.1)
        lab.proxy.heal()
        lab.canaries(driver, 4)


def test_c20_a_peer_that_takes_the_request_too_slowly(lab: Lab) -> None:
    """The deadline covers writing as well, however regularly the peer takes a little."""
    with Scripted.replies({b"SET": _never}, buffers=4096) as deaf:
        driver = lab.client(deaf.url, warm=False, retry=ONCE, read_timeout=0.2, username=None, password=None)
        lab.memory += 64 << 20
        lab.fails(WriteTimeout, driver.pipeline, [("SET", "k", "x" * 100_000)] * 100, within=0.2)
        assert driver.open() == 0
        _released.set()
        lab.forget(driver)
        wait_until(lambda: deaf.closed == deaf.accepted, "the server's side to end")
    _released.clear()


_released: Final = threading.Event()


def _never(words: list[bytes]) -> bytes:
    """Answer nothing, and read nothing further, until the test says so."""
    _released.wait(10)
    return b""
