"""Hostile replies as a client meets them: bombs, replies out of step, confused types (SECURITY.md S-01 to S-05).

The parsers have their own tests of these rows; here stands what reaches a caller through a whole client.
"""

from __future__ import annotations

import contextlib
import gc
import time
from typing import Any, Final

import pytest

import carmine
from carmine.errors import CarmineError, ConnectionLost, ProtocolError
from carmine.retry import Retry
from tests.lab import leaks
from tests.lab.scripted import Scripted

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
