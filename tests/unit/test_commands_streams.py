"""The group "stream": what goes out, what is refused, and the shape of what comes back."""

from __future__ import annotations

import math
import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from carmine import types
from carmine.commands import stream_groups, streams
from carmine.commands.flags import READONLY, WRITE
from carmine.errors import UsageError
from carmine.types import (
    ClaimPage,
    PendingEntry,
    PendingSummary,
    RepeatedFields,
    StreamConsumer,
    StreamEntry,
    StreamGroup,
)
from tests.unit.command_tables import check_goes_out, check_shape, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

GOES_OUT = [
    (stream_groups.xack("s", "g", "1-0", b"2-0"), (b"XACK", "s", "g", "1-0", b"2-0"), ["s"], None),
    (stream_groups.xackdel("s", "g", "1"), (b"XACKDEL", "s", "g", b"IDS", 1, "1"), ["s"], None),
    (
        stream_groups.xackdel("s", "g", "1", "2", ref_policy="ACKED"),
        (b"XACKDEL", "s", "g", "ACKED", b"IDS", 2, "1", "2"),
        ["s"],
        None,
    ),
    (streams.xadd("s", {"a": 1, b"b": b"x"}), (b"XADD", "s", "*", "a", 1, b"b", b"x"), ["s"], None),
    (
        streams.xadd("s", {"a": 1}, "5-*", nomkstream=True, maxlen=9, ref_policy="DELREF"),
        (b"XADD", "s", b"NOMKSTREAM", "DELREF", b"MAXLEN", b"~", 9, "5-*", "a", 1),
        ["s"],
        None,
    ),
    (
        streams.xadd("s", {"a": 1}, minid="3-0", approximate=False),
        (b"XADD", "s", b"MINID", b"=", "3-0", "*", "a", 1),
        ["s"],
        None,
    ),
    (
        streams.xadd("s", {"a": 1}, maxlen=0, limit=7),
        (b"XADD", "s", b"MAXLEN", b"~", 0, b"LIMIT", 7, "*", "a", 1),
        ["s"],
        None,
    ),
    (stream_groups.xautoclaim("s", "g", "c", 60), (b"XAUTOCLAIM", "s", "g", "c", 60_000, "0-0"), ["s"], None),
    (
        stream_groups.xautoclaim("s", "g", "c", 0.5, "5-0", 10, justid=True),
        (b"XAUTOCLAIM", "s", "g", "c", 500, "5-0", b"COUNT", 10, b"JUSTID"),
        ["s"],
        None,
    ),
    (
        stream_groups.xclaim("s", "g", "c", timedelta(minutes=1), "1-0"),
        (b"XCLAIM", "s", "g", "c", 60_000, "1-0"),
        ["s"],
        None,
    ),
    (
        stream_groups.xclaim("s", "g", "c", 0, ["1", "2"], idle=1.5, retrycount=3, force=True, lastid="9", justid=True),
        (b"XCLAIM", "s", "g", "c", 0, "1", "2", b"IDLE", 1500, b"RETRYCOUNT", 3, b"FORCE", b"LASTID", "9", b"JUSTID"),
        ["s"],
        None,
    ),
    (
        stream_groups.xclaim("s", "g", "c", 0, ("1",), time=datetime(2100, 1, 1, tzinfo=UTC)),
        (b"XCLAIM", "s", "g", "c", 0, "1", b"TIME", 4_102_444_800_000),
        ["s"],
        None,
    ),
    (streams.xdel("s", "1", "2"), (b"XDEL", "s", "1", "2"), ["s"], None),
    (streams.xdelex("s", "1", "2"), (b"XDELEX", "s", b"IDS", 2, "1", "2"), ["s"], None),
    (streams.xdelex("s", "1", ref_policy="KEEPREF"), (b"XDELEX", "s", "KEEPREF", b"IDS", 1, "1"), ["s"], None),
    (stream_groups.xgroup_create("s", "g"), (b"XGROUP", b"CREATE", "s", "g", "$"), ["s"], None),
    (
        stream_groups.xgroup_create("s", "g", "0", True, 5),
        (b"XGROUP", b"CREATE", "s", "g", "0", b"MKSTREAM", b"ENTRIESREAD", 5),
        ["s"],
        None,
    ),
    (
        stream_groups.xgroup_createconsumer("s", "g", "c"),
        (b"XGROUP", b"CREATECONSUMER", "s", "g", "c"),
        ["s"],
        None,
    ),
    (stream_groups.xgroup_delconsumer("s", "g", "c"), (b"XGROUP", b"DELCONSUMER", "s", "g", "c"), ["s"], None),
    (stream_groups.xgroup_destroy("s", "g"), (b"XGROUP", b"DESTROY", "s", "g"), ["s"], None),
    (stream_groups.xgroup_help(), (b"XGROUP", b"HELP"), [], None),
    (stream_groups.xgroup_setid("s", "g", "0"), (b"XGROUP", b"SETID", "s", "g", "0"), ["s"], None),
    (
        stream_groups.xgroup_setid("s", "g", "$", 0),
        (b"XGROUP", b"SETID", "s", "g", "$", b"ENTRIESREAD", 0),
        ["s"],
        None,
    ),
    (stream_groups.xinfo_consumers("s", "g"), (b"XINFO", b"CONSUMERS", "s", "g"), ["s"], None),
    (stream_groups.xinfo_groups("s"), (b"XINFO", b"GROUPS", "s"), ["s"], None),
    (streams.xinfo_help(), (b"XINFO", b"HELP"), [], None),
    (streams.xinfo_stream("s"), (b"XINFO", b"STREAM", "s"), ["s"], None),
    (streams.xinfo_stream("s", True), (b"XINFO", b"STREAM", "s", b"FULL"), ["s"], None),
    (streams.xinfo_stream("s", True, 0), (b"XINFO", b"STREAM", "s", b"FULL", b"COUNT", 0), ["s"], None),
    (streams.xlen("s"), (b"XLEN", "s"), ["s"], None),
    (stream_groups.xpending("s", "g"), (b"XPENDING", "s", "g"), ["s"], None),
    (stream_groups.xpending("s", "g", count=5), (b"XPENDING", "s", "g", "-", "+", 5), ["s"], None),
    (
        stream_groups.xpending("s", "g", "1", "2", count=5, consumername="c", min_idle=0.25),
        (b"XPENDING", "s", "g", b"IDLE", 250, "1", "2", 5, "c"),
        ["s"],
        None,
    ),
    (streams.xrange("s"), (b"XRANGE", "s", "-", "+"), ["s"], None),
    (streams.xrange("s", "(1", "2", 3), (b"XRANGE", "s", "(1", "2", b"COUNT", 3), ["s"], None),
    (streams.xread({"s": "0"}), (b"XREAD", b"STREAMS", "s", "0"), ["s"], None),
    (
        streams.xread({"s": "0", b"t": "$"}, 5, 1.5),
        (b"XREAD", b"COUNT", 5, b"BLOCK", 1500, b"STREAMS", "s", b"t", "0", "$"),
        ["s", b"t"],
        1.5,
    ),
    (streams.xread({"s": "$"}, block=0), (b"XREAD", b"BLOCK", 0, b"STREAMS", "s", "$"), ["s"], math.inf),
    (streams.xread({"s": "$"}, block=1e-5), (b"XREAD", b"BLOCK", 1, b"STREAMS", "s", "$"), ["s"], 0.001),
    (
        stream_groups.xreadgroup("g", "c", {"s": ">"}),
        (b"XREADGROUP", b"GROUP", "g", "c", b"STREAMS", "s", ">"),
        ["s"],
        None,
    ),
    (
        stream_groups.xreadgroup("g", "c", {"s": ">", "t": "0"}, 1, timedelta(seconds=2), noack=True),
        (
            *(b"XREADGROUP", b"GROUP", "g", "c", b"COUNT", 1, b"BLOCK", 2000, b"NOACK"),
            *(b"STREAMS", "s", "t", ">", "0"),
        ),
        ["s", "t"],
        2.0,
    ),
    (streams.xrevrange("s"), (b"XREVRANGE", "s", "+", "-"), ["s"], None),
    (streams.xrevrange("s", "9", "1", 3), (b"XREVRANGE", "s", "9", "1", b"COUNT", 3), ["s"], None),
    (streams.xsetid("s", "9"), (b"XSETID", "s", "9"), ["s"], None),
    (
        streams.xsetid("s", "9", entries_added=5, max_deleted_id="3"),
        (b"XSETID", "s", "9", b"ENTRIESADDED", 5, b"MAXDELETEDID", "3"),
        ["s"],
        None,
    ),
    (streams.xtrim("s", 5), (b"XTRIM", "s", b"MAXLEN", b"~", 5), ["s"], None),
    (streams.xtrim("s", minid="5", approximate=False), (b"XTRIM", "s", b"MINID", b"=", "5"), ["s"], None),
    (
        streams.xtrim("s", 5, limit=10, ref_policy="DELREF"),
        (b"XTRIM", "s", b"MAXLEN", b"~", 5, b"LIMIT", 10, "DELREF"),
        ["s"],
        None,
    ),
]


@pytest.mark.parametrize(("command", "words", "keys", "waits"), GOES_OUT, ids=lambda value: getattr(value, "words", ""))
def test_goes_out(command: Command[Any], words: tuple[Any, ...], keys: list[Any], waits: float | None) -> None:
    check_goes_out(command, words, keys, waits)


def test_every_function_has_a_case() -> None:
    assert named(command for command, *_ in GOES_OUT) == public_functions(streams, stream_groups)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: streams.xadd("s", {}), "at least one pair"),
        (lambda: streams.xadd("s", {"a": 1}, maxlen=1, minid="2"), "only one of maxlen, minid"),
        (lambda: streams.xadd("s", {"a": 1}, maxlen=1, limit=2, approximate=False), "only with approximate"),
        (lambda: streams.xadd("s", {"a": 1}, limit=2), "needs maxlen or minid for its limit"),
        (lambda: streams.xtrim("s"), "needs maxlen or minid$"),
        (lambda: streams.xtrim("s", 1, minid=1), "only one of maxlen, minid"),
        (lambda: streams.xread({}), "at least one pair"),
        (lambda: streams.xread({"s": 0, b"s": 0}), "takes each stream once"),
        (lambda: streams.xread({"s": 0, "t": 0, memoryview(b"s"): 0}), "takes each stream once"),
        (lambda: streams.xread({"s": 0}, block=-1), "block must not be negative"),
        (lambda: streams.xread({"s": 0}, block=math.nan), "block must be finite"),
        (lambda: stream_groups.xreadgroup("g", "c", {bytes(1): ">", "\0": ">"}), "XREADGROUP takes each stream once"),
        (lambda: streams.xinfo_stream("s", count=1), "only with full=True"),
        (lambda: stream_groups.xpending("s", "g", min_idle=1), "only with count"),
        (lambda: stream_groups.xpending("s", "g", "5"), "only with count"),
        (lambda: stream_groups.xclaim("s", "g", "c", 0, []), "at least one id"),
        (lambda: stream_groups.xclaim("s", "g", "c", 0, "1", idle=1, time=1), "only one of idle, time"),
        (
            lambda: stream_groups.xclaim("s", "g", "c", 0, "1", time=datetime(2100, 1, 1)),
            "aware datetime",
        ),  # the mistake
        (lambda: stream_groups.xautoclaim("s", "g", "c", "1"), "min_idle must be a number of seconds"),  # type: ignore[call-overload]  # the mistake
    ],
)
def test_what_is_refused(wrong: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        wrong()


def test_keys_that_cannot_go_out_are_left_to_the_encoder() -> None:
    assert streams.xread({"\ud800": 0, "s": 0}).words[-4:] == ("\ud800", "s", 0, 0)


def test_only_reading_without_a_group_may_be_repeated() -> None:
    reads = [command for command, *_ in GOES_OUT if command.spec.flags & READONLY]
    assert {command.spec.name for command in reads} == {
        *("XINFO CONSUMERS", "XINFO GROUPS", "XINFO STREAM", "XLEN", "XPENDING", "XRANGE", "XREAD", "XREVRANGE"),
    }
    assert stream_groups.xreadgroup("g", "c", {"s": ">"}).spec.flags & WRITE


WIRE = [["1-0", ["a", "1", "b", "2"]], ["2-0", ["a", "3"]]]
ENTRIES = [StreamEntry("1-0", {"a": "1", "b": "2"}), StreamEntry("2-0", {"a": "3"})]
GROUP_2 = ["name", "g", "consumers", 1, "pending", 2, "last-delivered-id", "2-0", "entries-read", 2, "lag", None]
GROUP_3 = dict(zip(GROUP_2[::2], GROUP_2[1::2], strict=True))
BUSY_2 = ["name", "c", "pending", 2, "idle", 1500, "inactive", 250]
NEW_2 = ["name", "d", "pending", 0, "idle", 10, "inactive", -1]
CONSUMERS_3 = [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in (BUSY_2, NEW_2)]
FULL_2 = [
    *("length", 2, "entries", WIRE, "groups"),
    [["name", "g", "pending", [["1-0", "c", 99, 1]], "consumers", [["name", "c", "pending", [["1-0", 99, 1]]]]]],
]
FULL_3 = {
    "length": 2,
    "entries": WIRE,
    "groups": [
        {"name": "g", "pending": [["1-0", "c", 99, 1]], "consumers": [{"name": "c", "pending": [["1-0", 99, 1]]}]}
    ],
}
FULL = {
    "length": 2,
    "entries": ENTRIES,
    "groups": [
        {"name": "g", "pending": [("1-0", "c", 99, 1)], "consumers": [{"name": "c", "pending": [("1-0", 99, 1)]}]}
    ],
}
READ = streams.xread({"s": 0})
CLAIM = stream_groups.xautoclaim("s", "g", "c", 0)
CLAIM_IDS = stream_groups.xautoclaim("s", "g", "c", 0, justid=True)


@pytest.mark.parametrize(
    ("command", "resp2", "resp3", "result"),
    [
        (streams.xadd("s", {"a": 1}), "1-0", "1-0", "1-0"),
        (streams.xadd("s", {"a": 1}, nomkstream=True), None, None, None),
        (streams.xrange("s"), WIRE, WIRE, ENTRIES),
        (streams.xrange("s"), [], [], []),
        (READ, [["s", WIRE]], {"s": WIRE}, {"s": ENTRIES}),
        (READ, None, None, {}),
        (
            stream_groups.xreadgroup("g", "c", {"s": 0}),
            [["s", [["1", None]]]],
            {"s": [["1", None]]},
            {"s": [("1", {})]},
        ),
        (stream_groups.xclaim("s", "g", "c", 0, "1"), [None, *WIRE], [None, *WIRE], ENTRIES),
        (stream_groups.xclaim("s", "g", "c", 0, "1", justid=True), ["1-0"], ["1-0"], ["1-0"]),
        (CLAIM, ["0-0", WIRE, ["3-0"]], ["0-0", WIRE, ["3-0"]], ClaimPage("0-0", ENTRIES, ["3-0"])),
        (CLAIM, ["0-0", [None, *WIRE]], ["0-0", [None, *WIRE]], ClaimPage("0-0", ENTRIES, [])),
        (CLAIM_IDS, ["9", ["1"], []], ["9", ["1"]], ClaimPage("9", ["1"], [])),
        (
            stream_groups.xpending("s", "g"),
            [0, None, None, None],
            [0, None, None, []],
            PendingSummary(0, None, None, {}),
        ),
        (
            stream_groups.xpending("s", "g"),
            [2, "1", "2", [["c", "2"]]],
            [2, "1", "2", [["c", "2"]]],
            PendingSummary(2, "1", "2", {"c": 2}),
        ),
        (
            stream_groups.xpending("s", "g", count=1),
            [["1", "c", 1500, 2]],
            [["1", "c", 1500, 2]],
            [PendingEntry("1", "c", 1.5, 2)],
        ),
        (stream_groups.xinfo_groups("s"), [GROUP_2], [GROUP_3], [StreamGroup("g", 1, 2, "2-0", 2, None)]),
        (stream_groups.xinfo_groups("s"), [GROUP_2[:8]], [GROUP_2[:8]], [StreamGroup("g", 1, 2, "2-0", None, None)]),
        (
            stream_groups.xinfo_consumers("s", "g"),
            [BUSY_2, NEW_2],
            CONSUMERS_3,
            [StreamConsumer("c", 2, 1.5, 0.25), StreamConsumer("d", 0, 0.01, None)],
        ),
        (stream_groups.xinfo_consumers("s", "g"), [BUSY_2[:6]], [BUSY_2[:6]], [StreamConsumer("c", 2, 1.5, None)]),
        (
            streams.xinfo_stream("s"),
            ["length", 1, "first-entry", WIRE[1], "last-entry", None],
            {"length": 1, "first-entry": WIRE[1], "last-entry": None},
            {"length": 1, "first-entry": ENTRIES[1], "last-entry": None},
        ),
        (streams.xinfo_stream("s", True), FULL_2, FULL_3, FULL),
    ],
)
def test_shape(command: Command[Any], resp2: Any, resp3: Any, result: Any) -> None:
    if result == {"s": [("1", {})]}:
        result = {"s": [StreamEntry("1", {})]}
    check_shape(command, resp2, resp3, result)


def test_names_of_the_server_are_text_and_the_rest_is_as_the_client_reads() -> None:
    decode = stream_groups.xinfo_groups("s").spec.decode
    assert decode is not None
    told = decode([{b"name": b"g", b"consumers": 1, b"pending": 2, b"last-delivered-id": b"2-0"}])
    assert told == [StreamGroup(b"g", 1, 2, b"2-0", None, None)]


def test_a_field_that_comes_twice_is_not_lost() -> None:
    decode = streams.xrange("s").spec.decode
    assert decode is not None
    (entry,) = decode([["1-0", ["a", "1", "b", "2", "a", "3"]]])
    assert entry.fields == {"a": "3", "b": "2"}
    assert entry.fields.pairs == [("a", "1"), ("b", "2"), ("a", "3")]
    again = pickle.loads(pickle.dumps(entry))
    assert again == entry
    assert (type(again.fields), again.fields.pairs) == (RepeatedFields, entry.fields.pairs)


def test_an_odd_number_of_names_and_values_is_no_entry() -> None:
    decode = streams.xrange("s").spec.decode
    assert decode is not None
    with pytest.raises(ValueError, match="zip"):
        decode([["1-0", ["a", "1", "b"]]])


def test_the_types_are_found_where_all_types_are() -> None:
    assert {name for name in types.__all__ if not hasattr(types, name)} == set()
    assert types.StreamEntry is StreamEntry
    assert set(types.__all__) <= set(dir(types))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        types.Nonsense  # type: ignore[attr-defined]  # noqa: B018  # the mistake
