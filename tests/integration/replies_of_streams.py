"""What the methods on streams and their consumer groups must give."""

from __future__ import annotations

from typing import Any

from carmine.errors import BusyGroupError, ServerError, UsageError, WrongTypeError
from carmine.types import (
    ClaimPage,
    PendingEntry,
    PendingSummary,
    RepeatedFields,
    StreamConsumer,
    StreamEntry,
    StreamGroup,
)
from tests.integration.reply_cases import Both, Fails, Such, as_bytes, call, case, since, steps

__all__ = ["STREAMS"]

SINCE_70 = since("7.0")
SINCE_72 = since("7.2")
REDIS_82 = since("8.2", None)

ONE = StreamEntry("1-0", {"a": "1"})
TWO = StreamEntry("2-0", {"b": "2", "c": "3"})
SIX = StreamEntry("6-0", {"a": "1"})
S = ("XADD s 1-0 a 1", "XADD s 2-0 b 2 c 3")
G = (*S, "XGROUP CREATE s g 0")
HAD = (*G, "XREADGROUP GROUP g c STREAMS s >")
"""A stream of two entries, both pending at consumer c of group g."""
HAD_DELETED = (*HAD, "XDEL s 2-0")


class Doubled:
    """Fields of which one comes twice."""

    def items(self) -> list[tuple[str, int]]:
        return [("a", 1), ("b", 2), ("a", 3)]


def doubled(texts: bool) -> list[StreamEntry[Any]]:
    """Return the entry of such fields as a client must give it."""
    pairs: list[tuple[Any, Any]] = [("a", "1"), ("b", "2"), ("a", "3")]
    if not texts:
        pairs = [(name.encode(), value.encode()) for name, value in pairs]
    fields = RepeatedFields(pairs)
    fields.pairs = pairs
    return [StreamEntry("1-0" if texts else b"1-0", fields)]


def is_doubled(found: list[StreamEntry[Any]]) -> bool:
    """Whether nothing of such an entry is lost, whatever strings are read as."""
    wanted = doubled(texts=isinstance(found[0].id, str))
    fields = found[0].fields
    return found == wanted and type(fields) is RepeatedFields and fields.pairs == wanted[0].fields.pairs  # type: ignore[attr-defined]  # as doubled() made it


def is_auto_id(id: str | bytes) -> bool:
    """Whether the server made this id out of its clock."""
    millis, _, number = (id if isinstance(id, str) else id.decode()).partition("-")
    return int(millis) > 1_700_000_000_000 and number == "0"


def is_pending(*wanted: tuple[str, str, int]) -> Such:
    """Expect these entries to be pending, delivered just now."""

    def check(found: list[PendingEntry[Any]]) -> bool:
        told = [(_text(each.id), _text(each.consumer), each.deliveries) for each in found]
        return told == [*wanted] and all(type(each.idle) is float and 0 <= each.idle < 60 for each in found)

    return Such(list, check)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def are_consumers(since_72: bool) -> Such:
    """Expect the consumer c with two pending entries, and one that never got any."""

    def check(found: list[StreamConsumer[Any]]) -> bool:
        busy, idle = found
        inactive = type(busy.inactive) is float if since_72 else busy.inactive is None
        return (
            type(busy) is StreamConsumer
            and (_text(busy.name), busy.pending, _text(idle.name), idle.pending) == ("c", 2, "d", 0)
            and type(busy.idle) is type(idle.idle) is float
            and inactive
            and idle.inactive is None
        )

    return Such(list, check)


def is_full_info(told: dict[str, Any]) -> bool:
    """Whether XINFO STREAM FULL tells of the stream, its group and consumer, down to what is pending."""
    (group,) = told["groups"]
    (consumer,) = group["consumers"]
    return (
        told["length"] == 2
        and [_text(entry.id) for entry in told["entries"]] == ["1-0", "2-0"]
        and type(told["entries"][0]) is StreamEntry
        and (_text(group["name"]), _text(consumer["name"]), consumer["pel-count"]) == ("g", "c", 2)
        and [(_text(id), _text(name), count) for id, name, _, count in group["pending"]]
        == [("1-0", "c", 1), ("2-0", "c", 1)]
        and [(_text(id), count) for id, _, count in consumer["pending"]] == [("1-0", 1), ("2-0", 1)]
        and type(consumer["pending"][0]) is tuple
    )


def is_info(length: int, first: StreamEntry[str] | None) -> Such:
    """Expect what XINFO STREAM tells of a stream of this length with this first entry."""
    either = (first, as_bytes(first))

    def check(told: dict[str, Any]) -> bool:
        return told["length"] == length and told["first-entry"] in either and "last-generated-id" in told

    return Such(dict, check)


STREAMS = [
    case(call("xack", "s", "g", "1-0", "2-0", "9-0"), 2, *HAD),
    case(call("xackdel", "s", "g", "1-0", "9-0"), [1, -1], *HAD, since=REDIS_82),
    case(
        call("xackdel", "s", "g", "1-0", ref_policy="ACKED"),
        [2],
        *HAD,
        "XGROUP CREATE s other 0",
        "XREADGROUP GROUP other c STREAMS s >",
        since=REDIS_82,
    ),
    case(call("xadd", "s", {"a": 1}), Both(Such(str, is_auto_id), Such(bytes, is_auto_id))),
    case(call("xadd", "s", {"a": 1}, "1-1"), "1-1"),
    case(call("xadd", "s", {"a": 1, b"b": b"\xff"}, "5-0", maxlen=10, limit=100), "5-0", *S),
    case(call("xadd", "s", {"a": 1}, "0-1"), Fails(ServerError), *S),
    case(call("xadd", "s", {}), Fails(UsageError)),
    case(call("xadd", "x", {"a": 1}, nomkstream=True), None),
    case(call("xadd", "k", {"a": 1}), Fails(WrongTypeError), "SET k v"),
    steps(
        (call("xadd", "s", {"a": 1}, "6-0", maxlen=1, approximate=False), "6-0"),
        (call("xrange", "s"), [SIX]),
        setup=S,
    ),
    steps(
        (call("xadd", "s", {"a": 1}, "6-0", minid="2-0", approximate=False), "6-0"),
        (call("xrange", "s"), [TWO, SIX]),
        setup=S,
    ),
    case(call("xadd", "s", {"a": 1}, "6-0", maxlen=1, ref_policy="DELREF"), "6-0", *S, since=REDIS_82),
    steps((call("xadd", "s", Doubled(), "1-0"), "1-0"), (call("xrange", "s"), Such(list, is_doubled))),
    case(call("xautoclaim", "s", "g", "d", 0), ClaimPage("0-0", [ONE, TWO], []), *HAD),
    case(call("xautoclaim", "s", "g", "d", 0, count=1), ClaimPage("2-0", [ONE], []), *HAD),
    case(call("xautoclaim", "s", "g", "d", 3600), ClaimPage("0-0", [], []), *HAD),
    case(call("xautoclaim", "s", "g", "d", 0, "2-0", justid=True), ClaimPage("0-0", ["2-0"], []), *HAD),
    case(call("xautoclaim", "s", "g", "d", 0), ClaimPage("0-0", [ONE], ["2-0"]), *HAD_DELETED, since=SINCE_70),
    case(
        call("xautoclaim", "s", "g", "d", 0, justid=True),
        ClaimPage("0-0", ["1-0"], ["2-0"]),
        *HAD_DELETED,
        since=SINCE_70,
    ),
    steps(
        (call("xautoclaim", "s", "g", "d", 0), Such(ClaimPage, lambda page: len(page.items) == 1)), setup=HAD_DELETED
    ),
    case(call("xclaim", "s", "g", "d", 0, ["1-0", "2-0", "9-0"]), [ONE, TWO], *HAD),
    case(call("xclaim", "s", "g", "d", 0, ["1-0", "2-0"]), [ONE], *HAD_DELETED),
    case(call("xclaim", "s", "g", "d", 3600, "1-0"), [], *HAD),
    case(call("xclaim", "s", "g", "d", 0, "1-0", justid=True), ["1-0"], *HAD),
    case(call("xclaim", "s", "g", "d", 0, []), Fails(UsageError), *HAD),
    steps(
        (call("xclaim", "s", "g", "d", 0, "1-0", idle=40, retrycount=7, force=True, lastid="2-0"), [ONE]),
        (
            call("xpending", "s", "g", count=10, consumername="d", min_idle=30),
            is_pending(("1-0", "d", 7)),
        ),
        setup=G,
    ),
    steps(
        (call("xclaim", "s", "g", "d", 0, "1-0", time=1_700_000_000, justid=True), ["1-0"]),
        (call("xpending", "s", "g", count=1, min_idle=1e6), Such(list, lambda found: found[0].idle > 1e6)),
        setup=HAD,
    ),
    case(call("xdel", "s", "1-0", "9-0"), 1, *S),
    case(call("xdelex", "s", "1-0", "9-0"), [1, -1], *S, since=REDIS_82),
    case(call("xdelex", "s", "1-0", ref_policy="ACKED"), [2], *HAD, since=REDIS_82),
    case(call("xgroup_create", "s", "g"), True, *S),
    case(call("xgroup_create", "s", "g"), Fails(BusyGroupError), *G),
    case(call("xgroup_create", "x", "g"), Fails(ServerError)),
    steps((call("xgroup_create", "x", "g", "0", True), True), (call("xlen", "x"), 0)),
    case(call("xgroup_create", "s", "g", "1-0", entries_read=1), True, *S, since=SINCE_70),
    steps(
        (call("xgroup_createconsumer", "s", "g", "c"), True),
        (call("xgroup_createconsumer", "s", "g", "c"), False),
        setup=G,
    ),
    case(call("xgroup_delconsumer", "s", "g", "c"), 2, *HAD),
    case(call("xgroup_delconsumer", "s", "g", "x"), 0, *HAD),
    steps((call("xgroup_destroy", "s", "g"), True), (call("xgroup_destroy", "s", "g"), False), setup=G),
    case(call("xgroup_help"), Such(list, lambda lines: all(type(line) is str for line in lines))),
    case(call("xgroup_setid", "s", "g", "0"), True, *G),
    case(call("xgroup_setid", "s", "g", "$", 2), True, *G, since=SINCE_70),
    case(
        call("xinfo_consumers", "s", "g"),
        are_consumers(since_72=True),
        *HAD,
        "XGROUP CREATECONSUMER s g d",
        since=SINCE_72,
    ),
    case(
        call("xinfo_consumers", "s", "g"),
        Such(list, lambda found: found[0].pending == 2 and type(found[0].idle) is float),
        *HAD,
    ),
    case(call("xinfo_consumers", "s", "g"), [], *G),
    case(call("xinfo_groups", "s"), [StreamGroup("g", 1, 2, "2-0", 2, 0)], *HAD, since=SINCE_70),
    case(call("xinfo_groups", "s"), Such(list, lambda found: found[0][1:3] == (1, 2)), *HAD),
    case(call("xinfo_groups", "s"), [], *S),
    case(call("xinfo_help"), Such(list, lambda lines: all(type(line) is str for line in lines))),
    case(call("xinfo_stream", "s"), is_info(2, ONE), *S),
    case(call("xinfo_stream", "s"), is_info(0, None), *S, "XTRIM s MAXLEN 0"),
    case(call("xinfo_stream", "s", True), Such(dict, is_full_info), *HAD),
    case(call("xinfo_stream", "s", True, 1), Such(dict, lambda told: len(told["entries"]) == 1), *HAD),
    case(call("xinfo_stream", "x"), Fails(ServerError)),
    case(call("xlen", "s"), 2, *S),
    case(call("xlen", "x"), 0),
    case(call("xpending", "s", "g"), PendingSummary(2, "1-0", "2-0", {"c": 2}), *HAD),
    case(call("xpending", "s", "g"), PendingSummary(0, None, None, {}), *G),
    case(call("xpending", "s", "g", count=10), is_pending(("1-0", "c", 1), ("2-0", "c", 1)), *HAD),
    case(call("xpending", "s", "g", "(1-0", "+", count=10), is_pending(("2-0", "c", 1)), *HAD),
    case(call("xpending", "s", "g", count=10, consumername="q"), [], *HAD),
    case(call("xpending", "s", "g", count=10, min_idle=3600), [], *HAD),
    case(call("xpending", "s", "q"), Fails(ServerError), *HAD),
    case(call("xrange", "s"), [ONE, TWO], *S),
    case(call("xrange", "s", "(1-0", "9"), [TWO], *S),
    case(call("xrange", "s", count=1), [ONE], *S),
    case(call("xrange", "x"), []),
    case(call("xread", {"s": "0", "x": 0}), {"s": [ONE, TWO]}, *S),
    case(call("xread", {"s": "1-0", "t": "0"}, 1), {"s": [TWO], "t": [SIX]}, *S, "XADD t 6-0 a 1"),
    case(call("xread", {"s": "$"}), {}, *S),
    case(call("xread", {"s": "$"}, block=0.01), {}, *S),
    case(call("xread", {"s": "1-0"}, block=0), {"s": [TWO]}, *S),
    case(call("xread", {"s": "+"}), {"s": [TWO]}, *S, since=since("7.4", "8.0")),
    case(call("xread", {"s": 0, b"s": 0}), Fails(UsageError)),
    case(call("xreadgroup", "g", "c", {"s": ">"}), {"s": [ONE, TWO]}, *G),
    case(call("xreadgroup", "g", "c", {"s": ">"}, 1), {"s": [ONE]}, *G),
    case(call("xreadgroup", "g", "c", {"s": ">"}), {}, *HAD),
    case(call("xreadgroup", "g", "c", {"s": ">"}, block=0.01), {}, *HAD),
    case(call("xreadgroup", "g", "c", {"s": ">"}, block=0), {"s": [ONE, TWO]}, *G),
    case(call("xreadgroup", "g", "c", {"s": "0"}), {"s": [ONE, StreamEntry("2-0", {})]}, *HAD_DELETED),
    case(call("xreadgroup", "g", "c", {"s": "0"}), {"s": []}, *G),
    steps(
        (call("xreadgroup", "g", "c", {"s": ">"}, noack=True), {"s": [ONE, TWO]}),
        (call("xpending", "s", "g"), PendingSummary(0, None, None, {})),
        setup=G,
    ),
    case(call("xreadgroup", "q", "c", {"s": ">"}), Fails(ServerError), *S),
    case(call("xrevrange", "s"), [TWO, ONE], *S),
    case(call("xrevrange", "s", "1-0", "-"), [ONE], *S),
    case(call("xrevrange", "s", count=1), [TWO], *S),
    case(call("xsetid", "s", "9-0"), True, *S),
    case(call("xsetid", "s", "1-0"), Fails(ServerError), *S),
    case(call("xsetid", "s", "9-0", entries_added=5, max_deleted_id="3-0"), True, *S, since=SINCE_70),
    case(call("xtrim", "s", 1, approximate=False), 1, *S),
    case(call("xtrim", "s", minid="2-0", approximate=False), 1, *S),
    case(call("xtrim", "s", 1), 0, *S),
    case(call("xtrim", "s", 1, limit=5), 0, *S),
    case(call("xtrim", "s", 0, approximate=False, ref_policy="KEEPREF"), 2, *S, since=REDIS_82),
    case(call("xtrim", "x", 0), 0),
]
