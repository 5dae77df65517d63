"""Stored values are untrusted and private: markers, pickles, bombs, what is told (S-14, S-24, S-30 to S-32, S-34).

The format itself is tested byte by byte in tests/unit/test_freezing*.py; here is what it does on a connection, in both
worlds: a hostile value is the error of its reply alone, in bounded time and memory.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import pickle
import random
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

import pytest

import carmine
from carmine import _secret
from carmine.errors import (
    CarmineError,
    NetworkError,
    ProtocolError,
    ServerError,
    ThawError,
    UsageError,
    server_error,
)
from carmine.freezing import MARKS
from tests.faults.drivers import ONCE
from tests.lab import clock, leaks
from tests.lab.matrix import scaled
from tests.lab.scripted import HELLO_3, Scripted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.invariants import MakeClient
    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

MiB: Final = 1 << 20


# S-14: markers. ------------------------------------------------------------------------------------------------------


def _beginnings() -> list[bytes]:
    """Return two bytes that a value may begin with: all with NUL before, and this run's share of the others."""
    others = [bytes([one, two]) for one in range(1, 256) for two in range(256)]
    return [bytes([0, two]) for two in range(256)] + random.Random(14).sample(others, scaled(16_000))


def test_s14_every_beginning_of_a_value_comes_back(
    server: RedisServer, protocol: Any, make_client: MakeClient, report: Callable[..., None]
) -> None:
    """Bytes come back as they are; text that could be taken for a frozen value is refused before a byte is sent."""
    values = [begin + b"tail" for begin in _beginnings()] + [b"\0", b"", *MARKS]
    with make_client(server.url, protocol=protocol, serializer=True) as client:
        with client.pipeline() as pipe:
            for number, value in enumerate(values):
                pipe.set(f"b:{number}", value)
        with client.pipeline() as pipe:
            for number in range(len(values)):
                pipe.get(f"b:{number}")
        assert pipe.replies == values
        sent = server.info("commandstats")
        for value in values:
            with contextlib.suppress(UnicodeDecodeError):
                _text_comes_back_or_is_refused(client, value.decode())
        assert server.info("commandstats").get("cmdstat_set") != sent["cmdstat_set"]  # some were sent
    with make_client(server.url, protocol=protocol, decode=False) as plain:  # without a serializer nothing is a marker
        for mark in MARKS:
            plain.set("k", mark + b"x")
            assert plain.get("k") == mark + b"x"
    report("test_s14_every_beginning_of_a_value_comes_back", values=len(values))


def _text_comes_back_or_is_refused(client: Any, text: str) -> None:
    if not text.startswith("\0"):
        client.set("t", text)
        assert client.get("t") == text
        return
    with pytest.raises(UsageError, match="begins with NUL"):
        client.set("t", text)
    client.set("t", carmine.freeze(text))
    assert client.get("t") == text


# S-24: values are not told. ------------------------------------------------------------------------------------------

PAYLOAD: Final = "PAYLOAD-71c0de"


def _told(error: BaseException) -> str:
    """Return what is logged of an error; what the server said in full is in `.message`, for those who ask for it."""
    return "".join([*traceback.format_exception(error), repr(error)])


def _pair(client: Any) -> Any:
    with client.pipeline() as pipe:
        pipe.lpush("text", PAYLOAD)
        return pipe.set("k", PAYLOAD)


def _aborted(client: Any) -> None:
    with client.transaction() as tx:
        tx.execute("NOSUCHCOMMAND", PAYLOAD)


def _failed_handler(client: Any) -> None:
    """A handler that fails, and nobody who hears of it but the last resort."""

    def handle(message: Any, state: Any) -> None:
        state.append(message)
        raise LookupError("a handler of mine")

    heard: list[Any] = []
    listener = client.listener(handle, heard)
    try:
        listener.subscribe("channel")
        client.publish("channel", PAYLOAD)
        with client.pubsub() as pubsub:
            pubsub.subscribe("channel")
            client.publish("channel", PAYLOAD)
            message = pubsub.next_message(5)
            assert message is not None
            assert message.payload == PAYLOAD
    finally:
        listener.close()
    client.lpush("text", PAYLOAD)


FAILURES: Final[dict[str, Callable[[Any], object]]] = {
    "wrong type": lambda client: client.lpush("text", PAYLOAD),
    "unknown command": lambda client: client.execute("NOSUCHCOMMAND", PAYLOAD),
    "no number": lambda client: client.execute("INCRBY", "n", PAYLOAD),
    "no option": lambda client: client.execute("SET", "k", PAYLOAD, PAYLOAD),
    "too few": lambda client: client.execute("HSET", "h", PAYLOAD),
    "no word": lambda client: client.execute("SET", "k", [PAYLOAD]),
    "no word in a map": lambda client: client.hset("h", mapping={"f": {PAYLOAD: 1}}),
    "no value": lambda client: client.with_serializer(True).set("k", {PAYLOAD: object()}),
    "no text": lambda client: client.get("bytes"),
    "not frozen": lambda client: client.with_serializer(True).get("ill"),
    "a value that begins with NUL": lambda client: client.with_serializer(True).set("k", "\0" + PAYLOAD),
    "pipeline": _pair,
    "transaction": _aborted,
    "handler": _failed_handler,
    "script": lambda client: client.lua("return redis.call('LPUSH', _:k, _:v)", {"k": "text"}, {"v": PAYLOAD}),
    "template": lambda client: client.lua("return _:v", args={"V": PAYLOAD}),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_s24_no_value_is_in_an_error_or_a_log(
    server: RedisServer,
    protocol: Any,
    make_client: MakeClient,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    failure: str,
) -> None:
    """Neither what the caller gave, nor what was stored, nor what the server quotes of either; hooks hear nothing."""
    caplog.set_level(logging.DEBUG)
    server.call("SET", "text", PAYLOAD)
    server.call("SET", "bytes", PAYLOAD.encode() + b"\xff")
    server.call("SET", "ill", b"\0j[" + PAYLOAD.encode())
    heard: list[str] = []

    class Hooks:
        def __getattr__(self, name: str) -> Any:
            if not name.startswith("on_"):
                raise AttributeError(name)
            return lambda *facts: heard.extend(
                _told(fact) if isinstance(fact, BaseException) else repr(fact) for fact in facts
            )

    with make_client(server.url, protocol=protocol, hooks=Hooks(), retry=ONCE) as client:
        with pytest.raises(CarmineError) as caught:
            FAILURES[failure](client)
        error: BaseException | None = caught.value
        while error is not None:
            heard.append(_told_alone(error))
            error = error.__cause__
        heard += [repr(client), repr(client.pool)]
    printed = capfd.readouterr()
    assert len(heard) >= 3
    for text in (*heard, caplog.text, printed.out, printed.err):
        at = text.find(PAYLOAD)
        assert at < 0, f"a value in: {text[max(0, at - 300) : at + 100]}"


def _told_alone(error: BaseException) -> str:
    """Return what an error says of itself; a traceback would quote the scenario's own lines."""
    return f"{error!s} {error!r} " + " ".join(traceback.format_exception_only(error))


STRAY: Final = b"?" + b"x" * 400 + b"\r\n"
"""No RESP."""


def test_s24_no_value_is_in_an_error_of_the_network(protocol: Any, make_client: MakeClient) -> None:
    hello: Any = HELLO_3 if protocol == 3 else b"-ERR unknown command\r\n"
    answers: list[Any] = [None, b"", f"$5000\r\n{PAYLOAD}".encode(), STRAY]
    for answer in answers:
        with (
            Scripted.replies({b"SET": answer, b"GET": answer}, hello=hello) as server,
            make_client(server.url, protocol=protocol, retry=ONCE, read_timeout=0.25) as client,
        ):
            for words in (("SET", "k", PAYLOAD), ("GET", "k")):
                with pytest.raises(CarmineError) as caught:
                    client.execute(*words)
                told = _told_alone(caught.value)
                if answer != STRAY:
                    assert isinstance(caught.value, NetworkError)
                    assert PAYLOAD not in told
                else:  # C12: of what is no RESP, 40 bytes are quoted, for it is another service's greeting
                    assert isinstance(caught.value, ProtocolError)
                    assert "x" * 41 not in told


def test_s25_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """S-25, as far as there is something to compare: tokens and ids come with locks and sessions."""
    compared: list[tuple[object, object]] = []

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(_secret, "_compare_digest", spy)
    assert carmine.Secret("a") == carmine.Secret("a")
    assert carmine.Secret("a") != carmine.Secret("b")
    assert carmine.Secret("a") != "a"
    assert compared == [(b"a", b"a"), (b"a", b"b")]


# S-30 to S-32: hostile values. ---------------------------------------------------------------------------------------


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return self.path.write_text, ("boom",)


def test_s30_a_published_or_watched_pickle_never_goes_off(
    server: RedisServer, protocol: Any, make_client: MakeClient, tmp_path: Path
) -> None:
    """In messages, whatever the client's serializer, and in what MONITOR tells."""
    path = tmp_path / "boom"
    bomb = pickle.dumps(Bomb(path))
    planted = [bomb, *(mark + bomb for mark in MARKS)]
    for serializer in (None, True):
        with (
            make_client(server.url, protocol=protocol, decode=False, serializer=serializer) as client,
            client.pubsub() as pubsub,
            client.monitor() as monitor,
        ):
            pubsub.subscribe("channel")
            for data in planted:
                server.call("PUBLISH", "channel", data)
                assert pubsub.next_message(5).payload == data
                assert _line(monitor, b"PUBLISH")[-1] == data
    assert not path.exists()
    pickle.loads(bomb)
    assert path.exists(), "the bomb would not have gone off"


def _line(monitor: Any, name: bytes) -> Any:
    """Return the words of the next such command that MONITOR tells."""
    while True:
        words = monitor.next_line(5).words
        if words[0] == name:
            return words


USE: Final = """
import asyncio, sys, carmine
url = sys.argv[1]
with carmine.Client(url, serializer=True) as client:
    client.set("k", {"a": (1, 2.5, b"x")})
    assert client.get("k") == {"a": (1, 2.5, b"x")}
    client.lua("return 1")
    with client.pubsub() as pubsub:
        pubsub.subscribe("c")
async def main():
    async with carmine.AsyncClient(url, serializer=True) as client:
        assert await client.get("k") == {"a": (1, 2.5, b"x")}
        async with client.transaction("k") as tx:
            tx.set("k", None)
        assert await client.get("k") is None
asyncio.run(main())
print([name for name in ("pickle", "_pickle", "shelve", "dill", "yaml", "jsonpickle") if name in sys.modules])
"""


def test_s30_nothing_that_runs_data_is_loaded_in_normal_use(url: str) -> None:
    done = subprocess.run([sys.executable, "-c", USE, url], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def _hostile() -> list[bytes]:
    """Return frozen values that were tampered with, and bombs (S-32)."""
    chance = random.Random(31)
    good = [bytes(carmine.freeze(value)) for value in ({"a": [1, (2, b"x")]}, 1 << 200, {1: {2}}, [None, 1.5, "é"])]
    made: list[bytes] = []
    for _ in range(scaled(4000)):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(2, len(data))] = chance.randrange(256)
        made.append(bytes(data[: chance.randrange(3, len(data) + 1)]))
    deep = 100_000
    bombs = [
        b"[" * deep + b"]" * deep,
        b'{"!tuple":' * deep + b"[]" + b"}" * deep,
        b'{"!int":"' + b"f" * (1 << 20) + b'"}',
        b"9" * (1 << 20),
        b'{"!bytes":"' + b"=" * (1 << 20) + b'"}',
        b'{"!decimal":"1E999999999999"}',
    ]
    return made + [b"\0j" + bomb for bomb in bombs]


def test_s31_s32_hostile_values_are_the_errors_of_their_replies_alone(
    server: RedisServer, protocol: Any, make_client: MakeClient, report: Callable[..., None]
) -> None:
    """In pipelines, hashes and transactions: a value or a ThawError that names the command, and the stream in step."""
    planted = _hostile()
    for number, data in enumerate(planted):
        server.call("SET", f"k:{number}", data)
    refused = 0
    with make_client(server.url, protocol=protocol, serializer=True) as client:
        client.ping()
        leaks.reset_peak_memory()
        before = leaks.peak_memory()
        with clock.within(5 + len(planted) / 1000):
            with client.pipeline(raise_errors=False) as pipe:
                for number in range(len(planted)):
                    pipe.get(f"k:{number}")
                    pipe.echo(f"token {number}")
            for number, (value, token) in enumerate(zip(pipe.replies[::2], pipe.replies[1::2], strict=True)):
                assert token == f"token {number}"
                if isinstance(value, Exception):
                    assert isinstance(value, ThawError), repr(value)
                    assert value.command == "GET"
                    refused += 1
            for number in random.Random(32).sample(range(len(planted)), 20):
                with contextlib.suppress(ThawError):
                    client.get(f"k:{number}")
                assert client.echo("token") == "token"
        assert leaks.peak_memory() - before < 64 * MiB
    assert refused >= 6
    report("test_s31_s32_hostile_values", values=len(planted), refused=refused)


# S-34: errors from the wire. -----------------------------------------------------------------------------------------

NAMES: Final = [
    "SystemExit", "KeyboardInterrupt", "MemoryError", "Exception", "UsageError", "carmine.errors.UsageError",
    "__class__", "os.system", "NetworkError", "ThawError", "server_error", "ERR", "",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_s34_no_name_from_the_wire_chooses_a_class(name: str, protocol: Any, make_client: MakeClient) -> None:
    """An error reply is a ServerError, of a class that the table of codes names, whatever it calls itself."""
    assert type(server_error(f"{name} x")) is ServerError
    hello: Any = HELLO_3 if protocol == 3 else b"-ERR unknown command\r\n"
    text = f"-{name} x\r\n".encode()
    table = {b"GET": text, b"MGET": b"*2\r\n" + text + b"+x\r\n"}
    with (
        Scripted.replies(table, hello=hello) as server,
        make_client(server.url, protocol=protocol, retry=ONCE) as client,
    ):
        with pytest.raises(ServerError) as caught:
            client.get("k")
        assert type(caught.value) is ServerError
        error, value = client.execute("MGET", "a", "b")
        assert (type(error), value) == (ServerError, "x")
