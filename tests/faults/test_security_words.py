"""Hostile arguments end to end: the server sees the words given, or nothing (SECURITY.md S-10 to S-13, S-16)."""

from __future__ import annotations

import contextlib
import random
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine import glob_escape
from carmine.errors import NoPermissionError, UsageError
from carmine.retry import Retry
from tests.lab.matrix import scaled
from tests.lab.scripted import Scripted
from tests.lab.wire import parse_commands

if TYPE_CHECKING:
    from tests.faults.invariants import MakeClient
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

ONCE: Final = Retry(1)

# S-10 to S-13: what is sent. -----------------------------------------------------------------------------------------

NASTY: Final = [
    b"", b"\r\n", b"\n", b"\0", b"*1\r\n$8\r\nFLUSHALL\r\n", b"$-1\r\n", b" ", b"a b", b"'", b'"', b"\x80\xff",
    b"GET\r\nQUIT\r\n",
    "é" * 10, "日本", "\U0001f600", "\r\nFLUSHALL\r\n", "%s", "{}", "\\r\\n", "\u2028",
]  # fmt: skip


def _bytes(word: Any) -> bytes:
    return word.encode() if isinstance(word, str) else bytes(word)


def test_s10_the_server_sees_exactly_what_was_given(make_client: MakeClient) -> None:
    """In every position, in commands, pipelines, transactions and the raw door: arrays of bulks and nothing else."""
    chance = random.Random(10)
    seen: list[list[bytes]] = []

    def note(words: list[bytes]) -> bytes:
        seen.append(words)
        return b"+OK\r\n" if words[0] != b"EXEC" else b"*1\r\n+OK\r\n"

    with Scripted.replies({}, default=note) as server, make_client(server.url, retry=ONCE) as client:
        expected: list[list[bytes]] = []
        for _ in range(scaled(4000)):
            words = [
                chance.choice(NASTY) if chance.random() < 0.5 else chance.randbytes(chance.randrange(40))
                for _ in range(chance.randrange(1, 6))
            ]
            forms: list[list[Any]] = [
                words,
                [bytearray(_bytes(word)) for word in words],
                [memoryview(_bytes(word)) for word in words],
            ]
            form: list[Any] = chance.choice(forms)
            argv = [_bytes(word) for word in words]
            which = chance.randrange(4)
            if which == 0:
                client.execute("ECHO", *form)
                expected.append([b"ECHO", *argv])
            elif which == 1:
                client.execute("NOSUCHCOMMAND", *form)
                expected.append([b"NOSUCHCOMMAND", *argv])
            elif which == 2:
                with client.pipeline() as pipe:
                    pipe.execute("DEL", *form)
                    pipe.execute("SET", *form)
                expected += [[b"DEL", *argv], [b"SET", *argv]]
            else:
                with client.transaction() as tx:
                    tx.execute("SET", *form)
                expected += [[b"MULTI"], [b"SET", *argv], [b"EXEC"]]
        server.check()
        assert seen == expected
        for number, received in server.received.items():  # and the whole wire holds commands alone
            assert parse_commands(received)[1] == len(received), number


def test_s10_options_are_words_too(make_client: MakeClient) -> None:
    """User, password and name go out as bulks, whatever they hold; what a server would refuse is refused here."""
    seen: dict[bytes, list[bytes]] = {}
    nasty = "p\r\n*1\r\n$8\r\nFLUSHALL\r\n é\0"
    protocol: Any
    for protocol in (2, 3):
        with Scripted.replies({b"PING": b"+PONG\r\n"}) as server:
            with make_client(server.url, protocol=protocol, username="a\r\nb", password=nasty) as client:
                client.ping()
            server.check()
            seen = {words[0]: words for _, words in server.commands}
            assert nasty.encode() in (seen[b"AUTH"] if protocol == 2 else seen[b"HELLO"])
            assert b"FLUSHALL" not in seen
    for name in ("a b", "a\r\nb", "", "é", "a\0"):
        with pytest.raises(UsageError):
            make_client("redis://127.0.0.1", client_name=name)


@pytest.mark.parametrize("name", ["GET k", "GET\r\nQUIT", "", " ", "\0", "GET\t", "\r\n", b"GET\nx"])
def test_s10_a_commands_name_is_one_word(name: Any, make_client: MakeClient) -> None:
    with Scripted.replies({}) as server, make_client(server.url) as client:
        with pytest.raises(UsageError, match="one word without spaces"):
            client.execute(name, "x")
        assert server.accepted == 0


def test_s10_channels_and_scripts_are_words_too(
    url: str, proxy: FaultProxy, protocol: Any, make_client: MakeClient
) -> None:
    """What a subscription, a message, a script's keys and arguments hold is never read as a command."""
    with make_client(proxy.url(url), protocol=protocol, decode=False) as client, client.pubsub() as pubsub:
        for word in NASTY:
            channel = _bytes(word)
            pubsub.subscribe(word)
            assert client.publish(word, word) == 1
            message = pubsub.next_message(5)
            assert (message.channel, message.payload) == (channel, channel)
            pubsub.unsubscribe(word)
            assert client.lua("return {_:key, _:value}", {"key": word}, {"value": word}) == [channel, channel]
            for name in (b"SUBSCRIBE", b"UNSUBSCRIBE"):
                assert [name, channel] in [[words[0].upper(), *words[1:]] for words in proxy.commands()]
    for number in range(1, proxy.accepted + 1):
        log = proxy.log("c2s", number)
        assert parse_commands(log)[1] == len(log)


# S-16, for the commands that tests/integration/*/test_scan.py leaves out. --------------------------------------------

CHANNELS: Final = ["*", "?", "[ab]", "a\\*", "a*", "\\", "news", "a", "b", "ab", "a\\x", "x"]


def test_s16_an_escaped_pattern_hears_its_own_channel_alone(url: str, protocol: Any, make_client: MakeClient) -> None:
    with make_client(url, protocol=protocol) as client:
        for name in CHANNELS:
            with client.pubsub() as pubsub:
                pubsub.psubscribe(glob_escape(name))
                assert [client.publish(each, each) for each in CHANNELS] == [each == name for each in CHANNELS]
                assert pubsub.next_message(5).payload == name


def test_s16_an_escaped_pattern_allows_its_own_key_alone(
    server: RedisServer, protocol: Any, make_client: MakeClient
) -> None:
    """In the rules of an ACL, which take the same patterns."""
    with make_client(server.url, protocol=protocol) as admin:
        for name in CHANNELS:
            admin.execute("ACL", "SETUSER", "guest", "on", "nopass", "resetkeys", f"~{glob_escape(name)}", "+@all")
            with make_client(server.url, protocol=protocol, username="guest", password="x") as guest:
                for each in CHANNELS:
                    if each == name:
                        guest.set(each, "x")
                    else:
                        with pytest.raises(NoPermissionError):
                            guest.set(each, "x")


class Grumpy:
    """Something that is no argument, and raises when it is asked for its text."""

    def __str__(self) -> str:
        raise RuntimeError("must not be asked")

    __repr__ = __str__

    def __bytes__(self) -> bytes:
        raise RuntimeError("must not be asked")


REFUSED: Final[list[Any]] = [
    None, True, False, [], {}, (), set(), object(), Grumpy(), float("nan"), 1 << 64, -(1 << 63) - 1, 10**400, "\ud800",
    "ok\udfff", 1j, Exception("x"), memoryview(b"abcdef")[::2], range(3), iter(()), type,
]  # fmt: skip


@pytest.mark.parametrize("position", [0, 1, 7, 19])
def test_s11_s12_nothing_is_sent_when_one_word_cannot_be(
    url: str, proxy: FaultProxy, position: int, make_client: MakeClient
) -> None:
    """A bad word anywhere in a batch: UsageError, and not one byte of the whole batch on the wire."""
    with make_client(proxy.url(url)) as client:
        client.ping()
        sent = len(proxy.log("c2s"))
        for bad in REFUSED:
            for batch in (client.pipeline, client.transaction):

                def run(batch: Any = batch, bad: Any = bad) -> None:
                    with batch() as queue:
                        for index in range(20):
                            queue.execute("SET", f"k{index}", bad if index == position else "v" * 5000)

                with pytest.raises(UsageError):
                    run()
            with pytest.raises(UsageError):
                client.execute("SET", "k", bad)
            with pytest.raises(UsageError):
                client.mset({"k1": "v", "k2": bad})
        assert len(proxy.log("c2s")) == sent
        assert client.pool.stats().opened == 1  # and the connection is as good as before
        assert client.dbsize() == 0


def test_s13_a_buffer_that_another_thread_changes_stays_one_word(make_client: MakeClient) -> None:
    """Lengths and bytes come from one snapshot: the server never sees a torn command."""
    small, large = bytearray(b"x" * 10), bytearray(b"x" * 200_000)
    over = threading.Event()

    def flip() -> None:
        chance = random.Random(13)
        while not over.is_set():
            with contextlib.suppress(BufferError):  # being sent by reference just now: it must not be resized
                small[:] = b"y" * chance.randrange(1, 2000)
            with contextlib.suppress(BufferError):
                large[:] = b"y" * chance.randrange(70_000, 300_000)

    flipper = threading.Thread(target=flip)
    with Scripted.replies({}, default=b"+OK\r\n") as server, make_client(server.url, retry=ONCE) as client:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        flipper.start()
        try:
            for index in range(scaled(4000)):
                client.execute("SET", "k", small)
                if index % 10 == 0:
                    client.execute("SET", "k", large)
        finally:
            over.set()
            flipper.join()
            sys.setswitchinterval(interval)
        server.check()
        words = [words for _, words in server.commands if words[0] == b"SET"]
        assert len(words) == scaled(4000) + len(range(0, scaled(4000), 10))
        assert all(len(each) == 3 and not each[2].strip(b"xy") for each in words)
