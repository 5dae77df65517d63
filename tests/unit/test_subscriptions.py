"""The pure rooms of pub/sub: the books of subscriptions, the choice of a handler, the lines of MONITOR."""

from __future__ import annotations

from typing import Any

import pytest

from carmine.client import dispatch
from carmine.client.dispatch import Trouble, check_handlers, find_handler, own
from carmine.client.monitor_lines import MonitorLine, parse_line
from carmine.client.subscriptions import (
    CHANNELS,
    PATTERNS,
    SHARDS,
    Asked,
    Lost,
    Message,
    Reconnected,
    Subscriptions,
    entries_of,
    is_passing,
    name_of,
)
from carmine.errors import (
    AuthError,
    CarmineError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    DecodeError,
    HandshakeFailed,
    LoadingError,
    NoPermissionError,
    PoolClosed,
    PoolTimeout,
    ProtocolError,
    ServerError,
    UsageError,
)
from carmine.protocol import Push, key_slot


def wire(protocol: int, *parts: Any) -> Any:
    """Return a message as the parser gives it."""
    return Push(parts) if protocol == 3 else list(parts)


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    version: int = request.param
    return version


@pytest.fixture
def books(protocol: int) -> Subscriptions:
    made = Subscriptions()
    assert made.restart(protocol) == []
    return made


def want(books: Subscriptions, family: int, *names: Any, text: bool = True, **handlers: Any) -> Asked:
    return books.subscribe(family, entries_of(names, handlers, text, None))


VERBS = {CHANNELS: b"subscribe", PATTERNS: b"psubscribe", SHARDS: b"ssubscribe"}
ENDS = {CHANNELS: b"unsubscribe", PATTERNS: b"punsubscribe", SHARDS: b"sunsubscribe"}
FAMILIES = pytest.mark.parametrize("family", [CHANNELS, PATTERNS, SHARDS], ids=["channels", "patterns", "shards"])


def confirm(books: Subscriptions, protocol: int, verb: bytes, *names: bytes) -> list[Any]:
    told = [books.take(wire(protocol, verb, name, count)) for count, name in enumerate(names, 1)]
    return [event and event[0] for event in told]


# Confirmations. ------------------------------------------------------------------------------------------------------


@FAMILIES
def test_a_command_is_settled_by_one_confirmation_for_each_name(
    books: Subscriptions, protocol: int, family: int
) -> None:
    asked = want(books, family, "a", b"b", "a")
    assert asked.words == (VERBS[family].upper(), b"a", b"b")
    pattern = "a" if family == PATTERNS else None
    assert confirm(books, protocol, VERBS[family], b"a") == [Message(VERBS[family].decode(), pattern, "a", 1)]
    assert not asked.is_settled
    confirm(books, protocol, VERBS[family], b"b")
    assert asked.is_settled
    assert asked.error is None
    assert books.labels(family) == {"a", "b"}


@FAMILIES
def test_an_end_is_settled_in_the_same_way(books: Subscriptions, protocol: int, family: int) -> None:
    want(books, family, "a", "b")
    confirm(books, protocol, VERBS[family], b"a", b"b")
    asked = books.unsubscribe(family, None)
    assert asked is not None
    assert asked.words == (ENDS[family].upper(), b"a", b"b")
    assert books.labels(family) == set()
    confirm(books, protocol, ENDS[family], b"a", b"b")
    assert asked.is_settled
    assert books.unsubscribe(family, None) is None, "there is nothing left to end"


def test_messages_come_until_the_end_is_confirmed(books: Subscriptions, protocol: int) -> None:
    want(books, CHANNELS, "a")
    confirm(books, protocol, b"subscribe", b"a")
    books.unsubscribe(CHANNELS, [b"a"])
    message = wire(protocol, b"message", b"a", b"x")
    assert books.take(message) == (Message("message", None, "a", "x"), None)
    confirm(books, protocol, b"unsubscribe", b"a")
    assert books.take(message) is None


def test_wanted_again_before_the_end_is_confirmed(books: Subscriptions, protocol: int) -> None:
    want(books, CHANNELS, "a")
    confirm(books, protocol, b"subscribe", b"a")
    books.unsubscribe(CHANNELS, [b"a"])
    want(books, CHANNELS, "a")
    confirm(books, protocol, b"unsubscribe", b"a")
    confirm(books, protocol, b"subscribe", b"a")
    assert books.labels(CHANNELS) == {"a"}
    assert books.take(wire(protocol, b"message", b"a", b"x")) is not None


def test_the_end_of_what_never_was(books: Subscriptions, protocol: int) -> None:
    asked = books.unsubscribe(CHANNELS, [b"a"])
    assert asked is not None
    assert confirm(books, protocol, b"unsubscribe", b"a") == [None]
    assert asked.is_settled


@pytest.mark.parametrize(
    "parts",
    [
        (b"subscribe", b"x", 1),
        (b"psubscribe", b"a", 1),
        (b"unsubscribe", b"a", 0),
        (b"unsubscribe", None, 0),
        (b"sunsubscribe", b"a", 0),
    ],
)
def test_a_confirmation_of_something_else_is_out_of_step(
    books: Subscriptions, protocol: int, parts: tuple[Any, ...]
) -> None:
    want(books, CHANNELS, "a")
    with pytest.raises(ConnectionLost, match="out of step"):
        books.take(wire(protocol, *parts))


def test_a_confirmation_of_nothing_is_out_of_step(books: Subscriptions, protocol: int) -> None:
    with pytest.raises(ConnectionLost, match="unasked"):
        books.take(wire(protocol, b"subscribe", b"a", 1))


# Refusals. -----------------------------------------------------------------------------------------------------------


def test_one_error_settles_the_whole_command(books: Subscriptions, protocol: int) -> None:
    want(books, CHANNELS, "old")
    confirm(books, protocol, b"subscribe", b"old")
    asked = want(books, CHANNELS, "a", "old", "b")
    later = want(books, PATTERNS, "p")
    error = NoPermissionError("NOPERM no")
    assert books.take(error) is None
    assert asked.is_settled
    assert asked.error is error
    assert books.labels(CHANNELS) == {"old"}, "what was there before stays"
    confirm(books, protocol, b"psubscribe", b"p")
    assert later.is_settled


def test_a_refused_end_ends_nothing(books: Subscriptions, protocol: int) -> None:
    want(books, CHANNELS, "a")
    confirm(books, protocol, b"subscribe", b"a")
    asked = books.unsubscribe(CHANNELS, None)
    books.take(ServerError("ERR no"))
    assert asked is not None
    assert asked.error is not None
    assert books.labels(CHANNELS) == {"a"}


def test_an_error_that_answers_nothing_ends_the_stream(books: Subscriptions) -> None:
    with pytest.raises(ConnectionLost, match="out of step"):
        books.take(ServerError("ERR max number of clients reached"))


# Pings. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [b"PONG", b"hi", [b"pong", b""], [b"pong", b"hi"]])
def test_every_form_of_a_pong_is_eaten(books: Subscriptions, protocol: int, form: Any) -> None:
    asked = books.ping()
    if protocol == 3 and isinstance(form, list):  # RESP3 has no such form: it would be a reply, but not to PING
        form = b"PONG"
    assert asked.words == (b"PING",)
    assert not asked.is_settled
    assert books.take(form) is None
    assert asked.is_settled
    with pytest.raises(ConnectionLost):
        books.take(form)


def test_an_error_answers_a_ping(books: Subscriptions) -> None:
    asked = books.ping()
    assert books.take(NoPermissionError("NOPERM no")) is None
    assert asked.is_settled


def test_a_pong_out_of_its_turn(books: Subscriptions) -> None:
    want(books, CHANNELS, "a")
    books.ping()
    with pytest.raises(ConnectionLost, match="answers nothing"):
        books.take(b"PONG")


# Messages. -----------------------------------------------------------------------------------------------------------


def test_each_kind_goes_to_its_own_subscription(books: Subscriptions, protocol: int) -> None:
    seen: list[Any] = []
    want(books, CHANNELS, a=seen.append)
    want(books, PATTERNS, {"a*": print})
    want(books, SHARDS, "a")
    take = books.take
    assert take(wire(protocol, b"message", b"a", b"1")) == (Message("message", None, "a", "1"), seen.append)
    assert take(wire(protocol, b"pmessage", b"a*", b"ab", b"2")) == (Message("pmessage", "a*", "ab", "2"), print)
    assert take(wire(protocol, b"smessage", b"a", b"3")) == (Message("smessage", None, "a", "3"), None)


def test_text_or_bytes_by_subscription(books: Subscriptions, protocol: int) -> None:
    seen: list[Any] = []
    want(books, CHANNELS, "text")
    want(books, CHANNELS, b"\xff", text=False)
    books.subscribe(CHANNELS, entries_of((), {"raw": seen.append}, True, False))
    told = books.take(wire(protocol, b"message", b"\xff", b"\xfe"))
    assert told == (Message("message", None, b"\xff", b"\xfe"), None)
    assert books.take(wire(protocol, b"message", b"raw", b"\xfe")) == (
        Message("message", None, b"raw", b"\xfe"),
        seen.append,
    )
    told = books.take(wire(protocol, b"message", b"text", b"\xfe"))
    assert told is not None
    assert isinstance(told[0], DecodeError)
    assert told[0].data == b"\xfe"
    assert books.take(wire(protocol, b"message", b"text", b"ok")) is not None


def test_what_nobody_wants(books: Subscriptions, protocol: int) -> None:
    assert books.take(wire(protocol, b"message", b"a", b"x")) is None
    if protocol == 3:
        assert books.take(Push([b"invalidate", None])) is None
        assert books.take(Push([])) is None
    for stray in ([b"other", b"x"], [], 7, None, b"x"):
        with pytest.raises(ConnectionLost):
            books.take(stray)


# A new connection. ---------------------------------------------------------------------------------------------------


def test_everything_wanted_is_asked_for_once(books: Subscriptions, protocol: int) -> None:
    want(books, CHANNELS, "a", "b", "c")
    confirm(books, protocol, b"subscribe", b"a", b"b", b"c")
    want(books, PATTERNS, "p*")
    confirm(books, protocol, b"psubscribe", b"p*")
    want(books, SHARDS, "{x}1", "{y}1", "{x}2")
    leaving = books.unsubscribe(CHANNELS, [b"b"])
    unsure = want(books, CHANNELS, "d")
    books.ping()
    flight = books.restart(protocol)
    assert [asked.words for asked in flight] == [
        (b"SUBSCRIBE", b"a", b"c", b"d"),
        (b"PSUBSCRIBE", b"p*"),
        (b"SSUBSCRIBE", b"{x}1", b"{x}2"),
        (b"SSUBSCRIBE", b"{y}1"),
    ]
    assert key_slot(b"{x}1") == key_slot(b"{x}2") != key_slot(b"{y}1")
    assert leaving is not None
    assert not leaving.is_settled
    confirm(books, protocol, b"subscribe", b"a", b"c", b"d")
    confirm(books, protocol, b"psubscribe", b"p*")
    confirm(books, protocol, b"ssubscribe", b"{x}1", b"{x}2", b"{y}1")
    assert all(asked.is_settled for asked in flight)
    books.restarted()
    assert leaving.is_settled
    assert unsure.is_settled
    assert books.labels(CHANNELS) == {"a", "c", "d"}


def test_a_second_loss_before_the_first_was_mended(books: Subscriptions, protocol: int) -> None:
    unsure = want(books, CHANNELS, "a")
    books.restart(protocol)
    flight = books.restart(5 - protocol)
    assert [asked.words for asked in flight] == [(b"SUBSCRIBE", b"a")]
    confirm(books, 5 - protocol, b"subscribe", b"a")
    books.restarted()
    assert unsure.is_settled


# What callers give. --------------------------------------------------------------------------------------------------


def test_names() -> None:
    assert [name_of(name) for name in ("ä", b"b", bytearray(b"c"), memoryview(b"d"))] == [
        "ä".encode(),
        b"b",
        b"c",
        b"d",
    ]
    for bad in (1, None, 1.5, ["a"]):
        with pytest.raises(UsageError, match="name of a channel"):
            name_of(bad)
    with pytest.raises(UsageError, match="lone surrogate"):
        name_of("\ud800")


@pytest.mark.parametrize(
    ("channels", "handlers", "decode", "what"),
    [
        ((), {}, None, "at least one"),
        (({},), {}, None, "at least one"),
        (("a",), {"b": 1}, None, "something to call"),
        (({"a": "b"},), {}, None, "something to call"),
        (("a",), {}, False, "client.binary"),
        ((b"\xff",), {}, None, "not UTF-8"),
        ((1,), {}, None, "name of a channel"),
    ],
)
def test_what_cannot_be_subscribed_to(channels: Any, handlers: Any, decode: bool | None, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        entries_of(channels, handlers, True, decode)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConnectFailed("refused"), True),
        (ConnectTimeout("slow"), True),
        (ConnectionLost("cut"), True),
        (PoolTimeout("full"), True),
        (LoadingError("LOADING"), True),
        (HandshakeFailed("odd"), False),
        (AuthError("WRONGPASS"), False),
        (NoPermissionError("NOPERM"), False),
        (PoolClosed("closed"), False),
        (UsageError("bad"), False),
        (ProtocolError("bad", offset=0), False),
    ],
)
def test_what_is_worth_another_attempt(error: CarmineError, passes: bool) -> None:
    assert is_passing(error) is passes


def test_a_refused_handshake_is_judged_by_its_cause() -> None:
    for cause, passes in ((LoadingError("LOADING"), True), (AuthError("WRONGPASS"), False), (ValueError(), False)):
        error = ConnectFailed("no")
        error.__cause__ = cause
        assert is_passing(error) is passes


# Listeners. ----------------------------------------------------------------------------------------------------------


def test_pattern_before_channel_before_the_rest() -> None:
    def one(message: Any, state: Any) -> None: ...
    def two(message: Any, state: Any) -> None: ...
    def three(message: Any, state: Any) -> None: ...

    handlers = {"p*": one, "pa": two, "*": three}
    assert find_handler(handlers, Message("pmessage", "p*", "pa", "x")) is one
    assert find_handler(handlers, Message("message", None, "pa", "x")) is two
    assert find_handler(handlers, Message("pmessage", "q*", "pa", "x")) is two
    assert find_handler(handlers, Message("message", None, "pb", "x")) is three
    assert find_handler(handlers, Message("message", None, b"pa", b"x")) is two
    assert find_handler({b"pa": one}, Message("message", None, b"pa", b"x")) is one
    assert find_handler({}, Message("message", None, "pb", "x")) is None
    assert find_handler(two, Message("message", None, "pb", "x")) is two


def test_what_befalls_a_listener_is_a_message() -> None:
    lost = ConnectionLost("cut")
    assert own(Lost(lost)) == Message("carmine", None, dispatch.ERROR, Trouble("conn-broken", lost, None))
    assert own(Reconnected(lost)) == Message("carmine", None, dispatch.RECONNECTED, Reconnected(lost))


@pytest.mark.parametrize("bad", [None, 1, {"a": 1}, {"a": None}])
def test_what_is_no_handler(bad: Any) -> None:
    with pytest.raises(UsageError, match="handlers are"):
        check_handlers(bad)


# MONITOR. ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "address", "words"),
    [
        (b'1339518083.107412 [0 127.0.0.1:60866] "keys" "*"', "127.0.0.1:60866", [b"keys", b"*"]),
        (b'1339518083.107412 [0 [::1]:60866] "ping"', "[::1]:60866", [b"ping"]),
        (b'1339518083.107412 [0 unix:/tmp/a b.sock] "ping"', "unix:/tmp/a b.sock", [b"ping"]),
        (b'1339518083.107412 [0 lua] "set" "" "a b"', "lua", [b"set", b"", b"a b"]),
        (
            rb'1339518083.107412 [0 x:1] "set" "\"] \"q\" \\" "\n\r\t\a\b\x00\xff\\x41"',
            "x:1",
            [b"set", b'"] "q" \\', b"\n\r\t\a\b\x00\xff\\x41"],
        ),
    ],
)
def test_a_line_of_monitor(line: bytes, address: str, words: list[bytes]) -> None:
    assert parse_line(line, False) == MonitorLine(1339518083.107412, 0, address, words)


def test_a_line_as_text() -> None:
    line = parse_line(b'1.5 [15 x:1] "set" "\\xc3\\xa4" "\\xff"', True)
    assert line == MonitorLine(1.5, 15, "x:1", ["set", "ä", "\\xff"])


@pytest.mark.parametrize(
    "line",
    [
        b"OK",
        b"",
        b'1.5 [0 x:1] "a',
        b"1.5 [0 x:1] a",
        b'1.5 [0 x:1] "a"b"',
        b'1.5 [0 x:1] "a"  "b"',
        b'1 [0 x:1] "a"',
        b'1.5 [q x:1] "a"',
    ],
)
def test_what_is_no_line_of_monitor(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_line(line, False)
