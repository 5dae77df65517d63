"""Threats as a client meets them: hostile replies, hostile arguments, secrets, URLs (SECURITY.md).

Parsers and encoders have their own tests of these rows; here stands what reaches a caller through a whole client:
S-01 to S-05, S-07 (with test_auth.py), S-10 to S-13, S-20, S-21, S-22 (with test_tls.py), S-23, S-73.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import pickle
import random
import signal
import socket
import string
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest

import carmine
from carmine.errors import CarmineError, ConnectionLost, ProtocolError, UsageError
from carmine.retry import Retry
from carmine.transport import credentials
from tests.lab import leaks
from tests.lab.matrix import scaled
from tests.lab.scripted import Scripted
from tests.lab.wire import parse_commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.certs import Certificates
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.faults

ONCE: Final = Retry(1)
MIB: Final = 1 << 20
GET: Final = b"$1\r\nv\r\n"

# S-01 to S-03: bombs. ------------------------------------------------------------------------------------------------

BOMBS: Final = {
    "array of 2**32-1": b"*4294967295\r\n",
    "array over the limit": b"*4294967296\r\n",
    "map of 2**31": b"%2147483648\r\n",
    "set of 2**32-1": b"~4294967295\r\n",
    "push of a thousand million": b">1000000000\r\n",
    "attribute of a thousand million": b"|1000000000\r\n",
    "bulk of 2**63-1": b"$9223372036854775807\r\n",
    "bulk over 2**63": b"$9223372036854775808\r\n",
    "bulk of 400 MB that never comes": b"$400000000\r\n" + b"x" * 1000,
    "bulk error of 400 MB": b"!400000000\r\n",
    "arrays in arrays": b"*1000000\r\n" * 100,
    "arrays of arrays, 100000 deep": b"*1\r\n" * 100_000,
    "maps in maps, 100000 deep": b"%1\r\n" * 100_000,
    "attributes without end": b"|1\r\n+k\r\n+v\r\n" * 100_000,
    "number of a million digits": b":" + b"1" * 1_000_000,
    "big number of a million digits": b"(" + b"1" * 1_000_000,
    "double of a million digits": b"," + b"1" * 1_000_000,
    "line without an end": b"+" + b"x" * 2_000_000,
    "length of a million digits": b"$" + b"1" * 1_000_000,
    "streamed string without end": b"$?\r\n" + b";1\r\nx\r\n" * 10_000,
    "nothing known": b"@" * 1000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_s01_to_s03_a_bomb_costs_neither_memory_nor_time(bomb: str) -> None:
    """It ends by ProtocolError, or by the deadline where it only says that more will come; the next call is served."""
    asked = {"n": 0}

    def answer(words: list[bytes]) -> bytes:
        asked["n"] += 1
        return BOMBS[bomb] if asked["n"] == 1 else GET

    with Scripted.replies({b"GET": answer}) as server:
        with carmine.Client(server.url, retry=ONCE, read_timeout=0.25) as client:
            client.execute("CLIENT", "GETNAME")
            leaks.reset_peak_memory()
            before = leaks.peak_memory()
            began = time.monotonic()
            with pytest.raises((ProtocolError, carmine.ReadTimeout)) as caught:
                client.get("k")
            assert time.monotonic() - began < 0.25 + 1.0
            grown = leaks.peak_memory() - before
            assert grown < 48 * MIB, f"{grown / MIB:.0f} MiB"
            assert len(str(caught.value)) < 400
            assert client.pool.stats().open == 0
            assert client.get("k") == "v"
        assert server.accepted == 2


def test_s02_a_deep_reply_that_is_allowed_can_be_used() -> None:
    """A thousand levels are a value like any other: to be compared, printed and dropped."""
    deep = b"*1\r\n" * 1000 + b"*0\r\n"
    with Scripted.replies({b"GET": deep}) as server, carmine.Client(server.url, retry=ONCE) as client:
        value = client.execute("GET", "k")
        depth = 0
        inner = value
        while inner:
            inner, depth = inner[0], depth + 1
        assert depth == 1000
        del value, inner
        gc.collect()


def test_s03_many_small_pieces_cost_linear_time() -> None:
    """200,000 elements that arrive in pieces of 97 bytes: seconds would mean that each piece starts anew."""
    body = b"*200000\r\n" + b":1\r\n" * 200_000
    pieces = [body[index : index + 97] for index in range(0, len(body), 97)]
    with Scripted.replies({b"GET": lambda words: pieces}) as server, carmine.Client(server.url, retry=ONCE) as client:
        began = time.monotonic()
        assert client.execute("GET", "k") == [1] * 200_000
        assert time.monotonic() - began < 5


# S-04: out of step. --------------------------------------------------------------------------------------------------

OUT_OF_STEP: Final = {
    "bulk without its trailer": b"$1\r\nvXX$5\r\nalice\r\n",
    "bulk that is longer": b"$1\r\nvv\r\n",
    "a reply too many": GET + b"$5\r\nalice\r\n",
    "an error too many": GET + b"-ERR late\r\n",
    "an attribute alone": b"|1\r\n+a\r\n+b\r\n" + GET + b"|1\r\n+a\r\n+b\r\n",
    "half a reply too many": GET + b"$5\r\nal",
    "a push of -1": b">-1\r\n" + GET,
    "an empty push and a reply": b">0\r\n" + GET,
    "a bare line feed": b"+OK\n",
    "a negative length": b"$-2\r\n",
    "a length with a sign": b"$+1\r\nv\r\n",
    "a length with a blank": b"$ 1\r\nv\r\n",
}


@pytest.mark.parametrize("name", OUT_OF_STEP)
def test_s04_any_doubt_ends_the_connection(name: str) -> None:
    """Whatever the first caller gets, "alice" belongs to nobody: the second caller has a new connection."""
    answers = {1: OUT_OF_STEP[name]}
    with Scripted.replies({b"GET": lambda words: answers.pop(1, b"$3\r\nbob\r\n")}) as server:
        with carmine.Client(server.url, retry=ONCE, read_timeout=0.25) as client:
            with contextlib.suppress(ProtocolError, ConnectionLost, carmine.ReadTimeout):
                assert client.get("k") in ("v", "vv", "bob", "OK")
            assert [client.get("k") for _ in range(5)] == ["bob"] * 5
        assert server.accepted <= 2


@pytest.mark.parametrize("name", ["bulk without its trailer", "a push of -1", "a negative length"])
def test_s04_what_failed_once_never_yields_again(name: str) -> None:
    with (
        Scripted.replies({b"GET": OUT_OF_STEP[name]}) as server,
        carmine.Client(server.url, retry=ONCE) as client,
        client.connection() as connection,
    ):
        with pytest.raises(ProtocolError):
            connection.get("k")
        for _ in range(3):
            with pytest.raises(CarmineError):
                connection.get("k")
        assert [words[0] for _, words in server.commands].count(b"GET") == 1


# S-05: types. --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "check"),
    [
        (b"%3\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n$1\r\na\r\n:3\r\n", lambda v: v == {"a": 3, "b": 2}),
        (b"%2\r\n:1\r\n+int\r\n#t\r\n+true\r\n", lambda v: list(v) == [(1, "int"), (True, "true")]),
        (b"%2\r\n:1\r\n+int\r\n,1\r\n+float\r\n", lambda v: [type(k) for k, _ in v] == [int, float]),
        (b"%1\r\n*1\r\n:1\r\n+list\r\n", lambda v: list(v) == [([1], "list")]),
        (b"~2\r\n:1\r\n#t\r\n", lambda v: list(v) == [1, True] and [type(m) for m in v] == [int, bool]),
        (b"~2\r\n*1\r\n:1\r\n:2\r\n", lambda v: list(v) == [[1], 2]),
        (b"*3\r\n_\r\n#f\r\n:0\r\n", lambda v: [type(m) for m in v] == [type(None), bool, int]),
    ],
)  # fmt: skip
def test_s05_no_value_is_silently_another(reply: bytes, check: Any) -> None:
    with Scripted.replies({b"GET": reply}) as server, carmine.Client(server.url, retry=ONCE) as client:
        assert check(client.execute("GET", "k"))


@pytest.mark.parametrize("reply", [b"#x\r\n", b"#\r\n", b"#tt\r\n", b"_x\r\n", b":1_0\r\n", b": 1\r\n", b",1_0\r\n"])
def test_s05_what_is_no_value_is_refused(reply: bytes) -> None:
    with (
        Scripted.replies({b"GET": reply}) as server,
        carmine.Client(server.url, retry=ONCE) as client,
        pytest.raises(ProtocolError),
    ):
        client.execute("GET", "k")


# S-10 to S-13: what is sent. -----------------------------------------------------------------------------------------

NASTY: Final = [
    b"", b"\r\n", b"\n", b"\0", b"*1\r\n$8\r\nFLUSHALL\r\n", b"$-1\r\n", b" ", b"a b", b"'", b'"', b"\x80\xff",
    b"GET\r\nQUIT\r\n",
    "é" * 10, "日本", "\U0001f600", "\r\nFLUSHALL\r\n", "%s", "{}", "\\r\\n", "\u2028",
]  # fmt: skip


def _bytes(word: Any) -> bytes:
    return word.encode() if isinstance(word, str) else bytes(word)


def test_s10_the_server_sees_exactly_what_was_given() -> None:
    """In every position, in commands, pipelines, transactions and the raw door: arrays of bulks and nothing else."""
    chance = random.Random(10)
    seen: list[list[bytes]] = []

    def note(words: list[bytes]) -> bytes:
        seen.append(words)
        return b"+OK\r\n" if words[0] != b"EXEC" else b"*1\r\n+OK\r\n"

    with Scripted.replies({}, default=note) as server, carmine.Client(server.url, retry=ONCE) as client:
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


def test_s10_options_are_words_too() -> None:
    """User, password and name go out as bulks, whatever they hold; what a server would refuse is refused here."""
    seen: dict[bytes, list[bytes]] = {}
    nasty = "p\r\n*1\r\n$8\r\nFLUSHALL\r\n é\0"
    protocol: Any
    for protocol in (2, 3):
        with Scripted.replies({b"PING": b"+PONG\r\n"}) as server:
            with carmine.Client(server.url, protocol=protocol, username="a\r\nb", password=nasty) as client:
                client.ping()
            server.check()
            seen = {words[0]: words for _, words in server.commands}
            assert nasty.encode() in (seen[b"AUTH"] if protocol == 2 else seen[b"HELLO"])
            assert b"FLUSHALL" not in seen
    for name in ("a b", "a\r\nb", "", "é", "a\0"):
        with pytest.raises(UsageError):
            carmine.Client(client_name=name)


@pytest.mark.parametrize("name", ["GET k", "GET\r\nQUIT", "", " ", "\0", "GET\t", "\r\n", b"GET\nx"])
def test_s10_a_commands_name_is_one_word(name: Any) -> None:
    with Scripted.replies({}) as server, carmine.Client(server.url) as client:
        with pytest.raises(UsageError, match="one word without spaces"):
            client.execute(name, "x")
        assert server.accepted == 0


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
def test_s11_s12_nothing_is_sent_when_one_word_cannot_be(url: str, proxy: FaultProxy, position: int) -> None:
    """A bad word anywhere in a batch: UsageError, and not one byte of the whole batch on the wire."""
    with carmine.Client(proxy.url(url)) as client:
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


def test_s13_a_buffer_that_another_thread_changes_stays_one_word() -> None:
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
    with Scripted.replies({}, default=b"+OK\r\n") as server, carmine.Client(server.url, retry=ONCE) as client:
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


# S-20: secrets. ------------------------------------------------------------------------------------------------------

CANARY: Final = "CANARY-9f3b17"
USERINFO: Final = f"canary-user:{CANARY}@"


class Eavesdropper:
    """Hooks, logs, warnings and errors of a scenario, all as text."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *facts: self.hear(name, *facts)

    def hear(self, *things: object) -> None:
        for thing in things:
            if isinstance(thing, BaseException):
                self.hear_error(thing)
            else:
                self.texts.append(f"{thing!r} {thing!s}")

    def hear_error(self, error: BaseException) -> None:
        """Note what a reporter would show: messages, notes and the locals of every frame but the scenario's own."""
        outer = error.__traceback__
        while outer is not None and outer.tb_frame.f_code.co_filename == __file__:
            outer = outer.tb_next
        report = traceback.TracebackException(type(error), error, outer, capture_locals=True)
        self.texts.append("".join(report.format()))
        link: BaseException | None = error
        while link is not None:
            self.texts.append(f"{link!r} {link!s} {link.args!r} {vars(link)!r}")
            if isinstance(link, CarmineError):
                self.texts.append(repr(pickle.dumps(link)))
            link = link.__cause__ or link.__context__

    def check(self, *more: str) -> None:
        for text in (*self.texts, *more):
            at = text.find(CANARY)
            assert at < 0, f"the password in: {text[max(0, at - 800) : at + 200]}"


def _shown(thing: Any) -> str:
    """Return what people print of an object to find a mistake."""
    inside = {name: getattr(thing, name, None) for name in dir(thing) if not name.startswith("__")}
    return f"{thing!r} {thing!s} {inside!r} {vars(thing) if hasattr(thing, '__dict__') else ''!r}"


def _failing_handshakes() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return servers that end a handshake, each in its own way: name -> (how to make it, options)."""
    hello = (
        f"-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `canary-user`, `{CANARY}`, \r\n".encode()
    )
    auth = f"-ERR unknown command `AUTH`, with args beginning with: `canary-user`, `{CANARY}`, \r\n".encode()
    wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    return {
        "wrong password": (lambda: Scripted.replies({b"AUTH": wrong}, hello=wrong), {}),
        "wrong password, RESP2": (lambda: Scripted.replies({b"AUTH": wrong}), {"protocol": 2}),
        "HELLO unknown, told with its arguments": (lambda: Scripted.replies({}, hello=hello), {"protocol": 3}),
        "AUTH unknown, told with its arguments": (lambda: Scripted.replies({b"AUTH": auth}, hello=hello), {}),
        "HELLO refused, told with its arguments": (
            lambda: Scripted.replies({}, hello=hello.replace(b"unknown command", b"bad command")), {}),
        "silence": (lambda: Scripted(lambda number, block: b""), {"connect_timeout": 0.1}),
        "hanging up": (lambda: Scripted(lambda number, block: None), {}),
        "a web server": (lambda: Scripted(lambda number, block: b"HTTP/1.1 400 Bad Request\r\n\r\n"), {}),
        "half a reply": (lambda: Scripted(lambda number, block: [b"%7\r\n$6\r\nser", None]), {}),
        "SELECT refused": (lambda: Scripted.replies({b"SELECT": b"-ERR DB index is out of range\r\n"}), {"db": 9}),
    }  # fmt: skip


@pytest.fixture
def eavesdropper(caplog: pytest.LogCaptureFixture) -> Eavesdropper:
    caplog.set_level(logging.DEBUG)
    return Eavesdropper()


@pytest.mark.parametrize("name", _failing_handshakes())
def test_s20_failing_handshakes_tell_no_password(
    name: str, eavesdropper: Eavesdropper, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    make, options = _failing_handshakes()[name]
    with make() as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        url = server.url.replace("redis://", f"redis://{USERINFO}").removesuffix("/0")
        client = carmine.Client(url, hooks=eavesdropper, retry=Retry(2, base=0.001), **options)
        with client:
            for call in (client.ping, client.pipeline().flush, lambda: _pinned(client), lambda: _in_a_batch(client)):
                try:
                    call()
                except CarmineError as error:
                    eavesdropper.hear_error(error)
        eavesdropper.texts += [_shown(client), _shown(client.pool), _shown(client.options)]
    printed = capfd.readouterr()
    assert len(eavesdropper.texts) > 5
    eavesdropper.check(caplog.text, printed.out, printed.err, *(str(each.message) for each in warned))


def _pinned(client: carmine.Client[str]) -> None:
    with client.connection() as connection:
        connection.ping()


def _in_a_batch(client: carmine.Client[str]) -> None:
    with client.pipeline() as pipe:
        pipe.ping()


class Struck(BaseException):
    """What a signal handler raises."""


def test_s20_an_interrupted_handshake_tells_no_password(eavesdropper: Eavesdropper) -> None:
    def strike(*_: object) -> None:
        raise Struck

    before = signal.signal(signal.SIGALRM, strike)
    try:
        with Scripted(lambda number, block: b"") as server:
            protocol: Any
            for protocol in (2, 3):
                url = server.url.replace("redis://", f"redis://{USERINFO}")
                client = carmine.Client(url, protocol=protocol)
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                try:
                    client.ping()
                except Struck as error:
                    eavesdropper.hear_error(error)
                client.close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(eavesdropper.texts) >= 4
    eavesdropper.check()


def test_s20_a_provider_and_its_failures_tell_no_password(eavesdropper: Eavesdropper, url: str) -> None:
    answers: list[Any] = [
        ("user", CANARY, "too many"), CANARY, (None, CANARY.encode()), (None, CANARY + "\ud800"), [CANARY],
        {"p": CANARY},
        ("canary-user", CANARY), carmine.Credentials("canary-user", CANARY),
    ]  # fmt: skip
    for answer in answers:
        with carmine.Client(url, credentials=lambda answer=answer: answer, hooks=eavesdropper) as client:
            try:
                client.ping()
            except CarmineError as error:
                eavesdropper.hear_error(error)
            eavesdropper.texts += [_shown(client.options), _shown(client.pool)]
    eavesdropper.check()


BAD_OPTIONS: Final[list[tuple[str, dict[str, Any]]]] = [
    (f"redis://{USERINFO}h:0", {}),
    (f"redis://{USERINFO}h:70000/0", {}),
    (f"redis://{USERINFO}h/zero", {}),
    (f"redis://{USERINFO}h/0?pol_size=3", {}),
    (f"redis://{USERINFO}", {}),
    (f"http://{USERINFO}h", {}),
    (f"redis://u:{CANARY}/slash@h", {}),
    (f"redis://u:{CANARY}#hash@h", {}),
    (f"redis://u:{CANARY}?query@h", {}),
    (f"redis://u:{CANARY}%zz@h", {}),
    (f"redis://h/0?password={CANARY}&password={CANARY}", {}),
    (f"redis://h/0?passwort={CANARY}", {}),
    (f"{CANARY}", {}),
    (f":{CANARY}@h:6379", {}),
    (f"unix://:{CANARY}@run/x", {}),
    ("redis://h", {"password": CANARY.encode()}),
    ("redis://h", {"password": [CANARY]}),
    ("redis://h", {"password": CANARY + "\ud800"}),
    ("redis://h", {"passwort": CANARY}),
    ("redis://h", {"password": CANARY, "pool_size": "many"}),
    ("redis://h", {"password": CANARY, "credentials": carmine.Credentials(None, CANARY)}),
    ("redis://h", {"credentials": (None, CANARY)}),
    ("redis://h", {"username": 5, "password": CANARY}),
    (f"redis://{USERINFO}h", {"tls": "yes"}),
]


@pytest.mark.parametrize("make", [carmine.Client, carmine.connect, carmine.Options.build])
def test_s20_wrong_options_tell_no_password(make: Callable[..., object], eavesdropper: Eavesdropper) -> None:
    """Not even in the locals of the frames they pass, which error reporters print."""
    for url, options in BAD_OPTIONS:
        try:
            make(url, **options)
        except UsageError as error:
            eavesdropper.hear_error(error)
            del error
        else:
            raise AssertionError(f"accepted: {url.replace(CANARY, '...')}")
    assert len(eavesdropper.texts) == 3 * len(BAD_OPTIONS)
    eavesdropper.check()


def test_s20_a_working_client_tells_no_password(
    server: RedisServer, protocol: Any, eavesdropper: Eavesdropper, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever may be printed of it, and of every error it meets, with its connection and replies at hand."""
    server.call("ACL", "SETUSER", "canary-user", "on", f">{CANARY}", "~*", "&*", "+@all")
    server.call("SET", "text", b"\xff")
    url = server.url.replace("redis://", f"redis://{USERINFO}")
    with (
        carmine.Client(url, protocol=protocol, hooks=eavesdropper, pool_timeout=0.05, pool_size=1) as client,
        client.connection() as connection,
    ):
        held = connection._held()
        things: list[Any] = [client, client.pool, client.options, connection, held, held._io, client.binary]
        eavesdropper.texts += map(_shown, things)
        for thing in (*things[:5], client.options.password):
            with pytest.raises((TypeError, AttributeError, pickle.PicklingError)) as refused:
                pickle.dumps(thing)
            eavesdropper.texts.append(str(refused.value))
        calls: list[Callable[[], object]] = [
            client.ping,  # PoolTimeout
            lambda: connection.get("text"),
            lambda: connection.lpush("text", "x"),
            lambda: connection.execute("NOSUCHCOMMAND", "x"),
            lambda: connection.execute("SET", "k", None),  # type: ignore[arg-type]
            lambda: client.execute("SELECT", 1),
            connection.reset,
            lambda: connection.get("text"),  # NOAUTH or not: RESET took the user away
        ]
        for call in calls:
            try:
                call()
            except CarmineError as error:
                eavesdropper.hear_error(error)
    eavesdropper.check(caplog.text)
    assert len(eavesdropper.texts) > 20


SECRET_COMMANDS: Final[list[tuple[str, bytes]]] = [
    ("AUTH", b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
    ("AUTH", f"-ERR unknown command 'AUTH', with args beginning with: '{CANARY}' \r\n".encode()),
    ("ACL", f"-ERR Error in ACL SETUSER modifier '{CANARY}': Syntax error\r\n".encode()),
    ("MIGRATE", f"-ERR Target instance replied with error: bad password '{CANARY}'\r\n".encode()),
]


@pytest.mark.parametrize(("name", "reply"), SECRET_COMMANDS)
def test_s20_commands_that_carry_secrets_tell_none(name: str, reply: bytes, eavesdropper: Eavesdropper) -> None:
    """What a server repeats of their arguments stays out of the error, its attributes and its pickle, and of hooks.

    The frames of the call hold what the caller wrote there: they are the caller's, and not looked at here.
    """
    words: dict[str, tuple[str, ...]] = {
        "AUTH": ("AUTH", CANARY),
        "ACL": ("ACL", "SETUSER", "bob", CANARY),
        "MIGRATE": ("MIGRATE", "127.0.0.1", "1", "k", "0", "10", "AUTH", CANARY),
    }
    heard: list[str] = []

    def note(error: BaseException) -> None:
        heard.append(f"{error} {error!r} {error.args} {vars(error)} {pickle.dumps(error)!r}")

    class Hooks:
        def on_command_end(self, *facts: Any) -> None:
            heard.append(repr(facts))
            if facts[-1] is not None:
                note(facts[-1])

    with (
        Scripted.replies({name.encode(): reply}) as server,
        carmine.Client(server.url, hooks=Hooks()) as client,
        client.connection() as connection,
    ):
        with pytest.raises(carmine.ServerError) as caught:
            connection.execute(*words[name])
        note(caught.value)
        with client.pipeline(raise_errors=False) as pipe:
            queued = pipe.execute("MIGRATE", "h", "1", "k", "0", "10", "AUTH", CANARY)
        heard.append(repr(queued))
        if queued.error is not None:
            note(queued.error)
    assert len(heard) >= 4
    eavesdropper.check(*heard)


# S-21: URLs. ---------------------------------------------------------------------------------------------------------

PASSWORDS: Final = [
    "plain", "with:colon", "a:b:c", "at@sign", "a@b@c", "slash/", "?query", "#hash", "100%", "%41", "%2541",
    "plus+plus", "space space", "é", "日本", "\U0001f511", "quote'\"", "back\\slash", "&amp;=", "[v6]",
    "tab\t", "nl\nnl", "\x7f", "~!$^*()", string.punctuation, "x" * 400,
]  # fmt: skip


def test_s21_every_password_arrives_as_it_is(server: RedisServer, protocol: Any) -> None:
    """Through a URL and percent-encoding once, or as a keyword: it logs in, so it is the same."""
    for number, password in enumerate(PASSWORDS):
        user = f"user{number}"
        server.call("ACL", "SETUSER", user, "on", "resetpass", f">{password}", "~*", "+@all")
        place = f"127.0.0.1:{server.port}/0"
        url = f"redis://{user}:{quote(password, safe='')}@{place}"
        assert server.port is not None
        for made in (
            carmine.Client(url, protocol=protocol),
            carmine.Client(f"redis://{place}", protocol=protocol, username=user, password=password),
            carmine.Client(f"redis://{place}?username={user}&password={quote(password, safe='')}", protocol=protocol),
            carmine.Client(f"redis://{place}", protocol=protocol, credentials=lambda u=user, p=password: (u, p)),
        ):
            with made as client:
                assert client.execute("ACL", "WHOAMI") == user


def test_s21_a_unix_url_takes_a_password_too(make_server: Callable[..., RedisServer], protocol: Any) -> None:
    server = make_server(password="p:@/%", unix=True)
    url = f"unix://:{quote('p:@/%', safe='')}@{quote(server.unix_path)}"
    with carmine.Client(url, protocol=protocol) as client:
        assert client.ping() is True


# S-23: cleartext. ----------------------------------------------------------------------------------------------------


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the name of a host that is far for the client, and 127.0.0.1 for the resolver."""

    def look_up(host: str, port: int, *args: object, **kwargs: object) -> list[Any]:
        assert host == "redis.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(credentials, "_warned", set())
    return "redis.example"


def test_s23_a_password_in_the_clear_is_warned_of_once(server: RedisServer, far: str, protocol: Any) -> None:
    server.call("ACL", "SETUSER", "canary-user", "on", f">{CANARY}", "~*", "+@all")
    url = f"redis://{USERINFO}{far}:{server.port}"
    with carmine.Client(url, protocol=protocol) as client:
        with pytest.warns(carmine.InsecureConnectionWarning) as warned:
            assert client.ping() is True
        (only,) = warned
        assert str(only.message) == (
            "The password crosses the network unencrypted, readable for anybody on the way: use rediss:// or tls=True "
            f"[{far}:{server.port}]"
        )
        with client.connection(), client.connection():  # more connections, and no more warnings: they would be errors
            pass
    with carmine.Client(url, protocol=protocol) as client:
        assert client.ping() is True


def test_s23_nothing_is_warned_of_where_nothing_is_shown(
    server: RedisServer, far: str, certs: Certificates, protocol: Any
) -> None:
    server.call("ACL", "SETUSER", "canary-user", "on", f">{CANARY}", "~*", "+@all")
    with carmine.Client(f"redis://{far}:{server.port}", protocol=protocol) as client:  # no password
        assert client.ping() is True
    with carmine.Client(server.url.replace("redis://", f"redis://{USERINFO}"), protocol=protocol) as client:  # loopback
        assert client.ping() is True
    with carmine.Client(f"unix://{USERINFO}{quote(server.unix_path)}", protocol=protocol) as client:
        assert client.ping() is True
    context = certs.server_context(certs.good)
    with Scripted.replies({b"PING": b"+PONG\r\n"}, tls=context) as tls:
        url = f"rediss://{USERINFO}{far}:{tls.port}"
        own = certs.client_context()
        own.check_hostname = False  # the certificate is for 127.0.0.1
        with carmine.Client(url, protocol=protocol, tls=own) as client:
            assert client.ping() is True


# S-73: side effects. -------------------------------------------------------------------------------------------------


def test_s73_importing_and_making_a_client_touches_nothing(tmp_path: Path) -> None:
    """No socket, no file, no thread, no process, no look at the environment beyond the twin's name."""
    script = """
        import builtins, os, socket, subprocess, sys, threading
        events = []
        armed = False
        WATCHED = ("socket.", "subprocess.", "os.system", "os.fork", "os.exec", "urllib.", "ftplib.", "smtplib.",
                   "webbrowser.", "os.putenv", "shutil.", "os.mkdir", "os.remove", "os.rename", "ctypes.")
        def hook(event, args):
            if armed and event.startswith(WATCHED):
                events.append((event, args))
            if armed and event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
                events.append((event, args))
        sys.addaudithook(hook)
        sys.dont_write_bytecode = True
        armed = True
        import carmine
        client = carmine.connect("redis://nowhere.example:1/0", password="x")
        repr(client), client.pool.stats()
        client.pipeline(), client.connection(), client.transaction()
        client.close()
        armed = False
        assert events == [], events
        assert threading.active_count() == 1
        assert "ssl" not in sys.modules and "asyncio" not in sys.modules and "pickle" not in sys.modules
        print("clean")
    """
    root = Path(carmine.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "clean\n", done.stderr
    assert list(tmp_path.iterdir()) == []
