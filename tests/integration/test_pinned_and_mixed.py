"""Pinned connections that follow their server's state, and transactions whose replies are text and bytes by turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine.client.core import as_text
from carmine.errors import ConnectionLost, DecodeError, Outcome
from carmine.protocol.values import Attributed, Members, Pairs, Push, Verbatim

if TYPE_CHECKING:
    from collections.abc import Callable

    import carmine


@pytest.fixture
def client(make: Callable[..., carmine.Client[str]]) -> carmine.Client[str]:
    """Give a client of each protocol in turn."""
    return make()


# Pinned. -------------------------------------------------------------------------------------------------------------


def test_everything_is_queued_inside_multi(client: carmine.Client[str]) -> None:
    with client.connection() as pinned:
        pinned.multi()
        told = [pinned.select(1), pinned.set("k", "v"), pinned.get("k"), pinned.execute("SELECT", 0)]
        assert told == ["QUEUED"] * 4
        assert pinned.execute("EXEC") == ["OK", "OK", "v", "OK"]
        pinned.set("word", "QUEUED")
        assert pinned.select(0) is True
        assert pinned.strlen("word") == 6


@pytest.mark.parametrize("spoken", [2, 3])
def test_a_pinned_connection_knows_what_it_speaks(client: carmine.Client[str], spoken: int, protocol: int) -> None:
    with client.connection() as pinned:
        assert pinned.protocol == protocol
        pinned.execute("HELLO", spoken)
        assert pinned.protocol == spoken
        assert pinned.hgetall("none") == {}
        pinned.execute("RESET")
        assert pinned.protocol == 2
        assert pinned.ping() is True
    with client.connection() as pinned:
        assert pinned.protocol == protocol


# Transactions. -------------------------------------------------------------------------------------------------------


def test_text_and_bytes_in_one_transaction(client: carmine.Client[str]) -> None:
    client.hset("h", "f", "v")
    client.zadd("z", {"m": 1.5})
    with client.transaction() as tx:
        dump = tx.dump("h")
        info = tx.info("server")
        hash_ = tx.hgetall("h")
        scores = tx.execute("ZRANGE", "z", 0, -1, "WITHSCORES")
    assert isinstance(dump.value, bytes)
    assert hash_.value == {"f": "v"}
    assert scores.value == client.execute("ZRANGE", "z", 0, -1, "WITHSCORES")
    assert {type(name) for name in info.value} == {str}
    assert info.value.keys() == client.info("server").keys()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a", "a"),
        ([b"a", [b"b", 1]], ["a", ["b", 1]]),
        ({b"k": {b"v"}}, {"k": {"v"}}),
        (Pairs([(b"k", b"v"), ([b"x"], 1)]), Pairs([("k", "v"), (["x"], 1)])),
        (Members([b"m", [b"n"]]), Members(["m", ["n"]])),
        (Verbatim("txt", b"v"), Verbatim("txt", "v")),
        ([Verbatim("txt", b"v")], [Verbatim("txt", "v")]),
        (Attributed([b"v"], {b"a": b"b"}), Attributed(["v"], {"a": "b"})),
        (1.5, 1.5),
        (None, None),
    ],
    ids=repr,
)
def test_bytes_become_text_at_any_depth(raw: Any, text: Any) -> None:
    made = as_text(raw)
    assert made == text
    assert type(made) is type(text)


@pytest.mark.parametrize(
    "raw",
    [b"\xff", [b"a", [b"\xff"]], {b"\xff": 1}, Verbatim("txt", b"\xff"), Pairs([(b"k", b"\xff")]), Push([b"\xff"])],
    ids=repr,
)
def test_what_is_not_text_is_an_error_of_the_whole_reply(raw: Any) -> None:
    made = as_text(raw)
    assert isinstance(made, DecodeError)
    assert made.data == b"\xff"


class Stop(BaseException):
    """What strikes: no Exception, as KeyboardInterrupt is none."""


def test_entries_of_an_interrupted_transaction_say_that_it_may_have_run(
    client: carmine.Client[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def struck(*_: object) -> None:
        raise Stop

    monkeypatch.setattr("carmine.client._sync.transaction.settle_exec", struck)
    with pytest.raises(Stop), client.transaction() as tx:
        entry = tx.set("k", "v")
    assert isinstance(entry.error, ConnectionLost)
    assert entry.error.outcome is Outcome.UNKNOWN
    assert client.get("k") == "v"
