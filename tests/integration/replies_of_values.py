"""What the methods on keys, strings, hashes, the connection and the server must give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from carmine.commands.server import SlowCommand
from carmine.commands.server_health import LatencyEvent, LatencyHistogram
from carmine.commands.string_parts import LcsMatch, LcsMatches
from carmine.errors import AuthError, ServerError, UsageError, WrongTypeError
from carmine.types import ScanPage
from tests.integration.reply_cases import LAST, Both, Fails, Such, call, case, since, steps

__all__ = ["CONNECTION", "HASHES", "KEYS", "SERVER", "STRINGS"]

SINCE_70 = since("7.0")
SINCE_72 = since("7.2")
FIELD_TTL = since("7.4", "9.0")
FIELD_GETEX = since("8.0", "9.0")

FAR = 4102444800
"""The beginning of the year 2100: a point in time that no test reaches."""
FAR_DATE = datetime(2100, 1, 1, tzinfo=UTC)
K = "SET k v"


def positive(value: float) -> bool:
    """Whether it is above zero."""
    return value > 0


def is_long(value: str | bytes) -> bool:
    """Whether there is more to it than a few characters."""
    return len(value) > 8


KEYS = [
    case(call("copy", "k", "d"), True, K),
    case(call("copy", "x", "d"), False),
    case(call("copy", "k", "d", 1, True), True, K),
    case(call("delete", "k", "x"), 1, K),
    steps((call("dump", "k"), Such(bytes, is_long)), setup=(K,)),
    steps(
        (call("dump", "k"), Such(bytes, is_long)),
        (call("restore", "r", 0, LAST), True),
        (call("exists", "r"), 1),
        setup=(K,),
    ),
    case(call("dump", "x"), None),
    case(call("exists", "k", "k", "x"), 2, K),
    case(call("expire", "k", 100), True, K),
    case(call("expire", "k", 100.5), True, K),
    case(call("expire", "x", 100), False),
    case(call("expire", "k", 100, xx=True), False, K, since=SINCE_70),
    steps((call("expireat", "k", FAR_DATE), True), (call("expiretime", "k"), FAR), setup=(K,), since=SINCE_70),
    case(call("expireat", "k", FAR), True, K),
    case(call("expiretime", "k"), -1, K, since=SINCE_70),
    case(call("keys"), ["k"], K),
    case(call("keys", "x*"), [], K),
    case(call("migrate", "127.0.0.1", 1, "x"), False),
    case(call("move", "k", 1), True, K),
    case(call("move", "x", 1), False),
    case(call("object_encoding", "k"), "int", "SET k 1"),
    case(call("object_encoding", "x"), None),
    case(call("object_freq", "k"), Such(int), "CONFIG SET maxmemory-policy allkeys-lfu", K),
    case(call("object_freq", "k"), Fails(ServerError), K),
    case(call("object_help"), Such(list, lambda lines: all(type(line) is str for line in lines))),
    case(call("object_idletime", "k"), Such(int), K),
    case(call("object_idletime", "x"), None),
    case(call("object_refcount", "k"), 1, "SET k value"),
    case(call("persist", "k"), True, "SET k v EX 100"),
    case(call("persist", "k"), False, K),
    case(call("pexpire", "k", 100_000), True, K),
    case(call("pexpire", "k", timedelta(seconds=100)), True, K),
    case(call("pexpireat", "k", FAR * 1000), True, K),
    case(call("pexpiretime", "k"), FAR * 1000 + 1, f"SET k v PXAT {FAR * 1000 + 1}", since=SINCE_70),
    case(call("pttl", "k"), Such(int, positive), "SET k v EX 100"),
    case(call("pttl", "x"), -2),
    case(call("randomkey"), "k", K),
    case(call("randomkey"), None),
    case(call("rename", "k", "r"), True, K),
    case(call("rename", "x", "r"), Fails(ServerError)),
    case(call("renamenx", "k", "r"), True, K),
    case(call("renamenx", "k", "r"), False, K, "SET r v"),
    case(call("restore", "r", 0, b"x"), Fails(ServerError)),
    case(call("scan"), ScanPage(0, ["k"]), K),
    case(call("scan", 0, "x*", 100, "string"), ScanPage(0, []), K),
    case(call("sort", "l"), ["1", "2", "10"], "RPUSH l 10 2 1"),
    case(call("sort", "l", desc=True, alpha=True, offset=0, num=2), ["b", "a"], "RPUSH l a b"),
    case(call("sort", "l", by="nosort", get=["w_*", "#"]), ["v", "a", None, "b"], "SET w_a v", "RPUSH l a b"),
    case(call("sort", "l", store="d"), 2, "RPUSH l 2 1"),
    case(call("sort_ro", "l"), ["1", "2"], "RPUSH l 2 1", since=SINCE_70),
    case(call("touch", "k", "x"), 1, K),
    case(call("ttl", "k"), 100, "SET k v EX 100"),
    case(call("ttl", "k"), -1, K),
    case(call("type", "k"), "string", K),
    case(call("type", "x"), "none"),
    case(call("unlink", "k"), 1, K),
    case(call("wait", 0, 0.01), 0),
    case(call("waitaof", 0, 0, 0.01), (0, 0), since=SINCE_72),
]

LCS = ("MSET a ohmytext b mynewtext",)

STRINGS = [
    case(call("append", "k", "w"), 2, K),
    case(call("decr", "n"), -1),
    case(call("decr", "n", 5), -5),
    case(call("decrby", "n", 2), -2),
    case(call("delifeq", "k", "v"), True, K, since=since(None, "9.0")),
    case(call("delifeq", "k", "w"), False, K, since=since(None, "9.0")),
    case(call("get", "k"), "v", K),
    case(call("get", "x"), None),
    case(call("get", "l"), Fails(WrongTypeError), "RPUSH l a"),
    case(call("getdel", "k"), "v", K),
    case(call("getdel", "x"), None),
    case(call("getex", "k", ex=100), "v", K),
    case(call("getex", "x", persist=True), None),
    case(call("getrange", "k", 1, -1), "bc", "SET k abc"),
    case(call("getset", "k", "w"), "v", K),
    case(call("getset", "x", "w"), None),
    case(call("incr", "n"), 1),
    case(call("incr", "n", 5), 6, "SET n 1"),
    case(call("incr", "k"), Fails(ServerError), K),
    case(call("incrby", "n", -3), -3),
    case(call("incrbyfloat", "n", 0.5), 1.5, "SET n 1"),
    case(call("lcs", "a", "b"), "mytext", *LCS, since=SINCE_70),
    case(call("lcs", "a", "b", len=True), 6, *LCS, since=SINCE_70),
    case(
        call("lcs", "a", "b", idx=True),
        LcsMatches([LcsMatch((4, 7), (5, 8), None), LcsMatch((2, 3), (0, 1), None)], 6),
        *LCS,
        since=SINCE_70,
    ),
    case(
        call("lcs", "a", "b", idx=True, minmatchlen=4, withmatchlen=True),
        LcsMatches([LcsMatch((4, 7), (5, 8), 4)], 6),
        *LCS,
        since=SINCE_70,
    ),
    case(call("mget", "k", "x"), ["v", None], K),
    case(call("mset", {"a": 1, "b": "x"}), True),
    case(call("msetex", {"a": 1}, ex=100, nx=True), True, since=since(None, "9.1")),
    case(call("msetex", {"k": 1}, nx=True), False, K, since=since(None, "9.1")),
    case(call("msetnx", {"k": 1}), False, K),
    case(call("msetnx", {"a": 1}), True),
    case(call("psetex", "k", 100_000, "v"), True),
    case(call("set", "k", "v"), True),
    case(call("set", "k", "w", nx=True), False, K),
    case(call("set", "k", "w", ex=100, get=True), "v", K),
    case(call("set", "x", "w", get=True), None),
    case(call("set", "k", "w", ifeq="v"), True, K, since=since(None, "8.1")),
    case(call("set", "k", "w", ifeq="q"), False, K, since=since(None, "8.1")),
    case(call("set", "k", "w", nx=True, xx=True), Fails(UsageError)),
    case(call("setex", "k", 100, "v"), True),
    case(call("setnx", "k", "v"), False, K),
    case(call("setrange", "k", 1, "x"), 2, K),
    case(call("strlen", "k"), 1, K),
    case(call("substr", "k", 0, 0), "v", K),
]

H = "HSET h f 1 g two"
ONE = "HSET h f 1"

HASHES = [
    case(call("hdel", "h", "f", "x"), 1, H),
    case(call("hexists", "h", "f"), True, H),
    case(call("hexists", "h", "x"), False, H),
    case(call("hexpire", "h", 100, "f", "x"), [1, -2], H, since=FIELD_TTL),
    case(call("hexpireat", "h", FAR, "f"), [1], H, since=FIELD_TTL),
    steps(
        (call("hpexpireat", "h", FAR * 1000, "f"), [1]),
        (call("hexpiretime", "h", "f", "g", "x"), [FAR, -1, -2]),
        (call("hpexpiretime", "h", "f"), [FAR * 1000]),
        (call("hpersist", "h", "f"), [1]),
        setup=(H,),
        since=FIELD_TTL,
    ),
    case(call("hget", "h", "f"), "1", H),
    case(call("hget", "h", "x"), None, H),
    case(call("hgetall", "h"), {"f": "1", "g": "two"}, H),
    case(call("hgetall", "x"), {}),
    case(call("hgetdel", "h", "f", "x"), ["1", None], H, since=since("8.0", None)),
    case(call("hgetex", "h", "f", "x", ex=100), ["1", None], H, since=FIELD_GETEX),
    case(call("hincrby", "h", "f"), 2, H),
    case(call("hincrbyfloat", "h", "f", 0.5), 1.5, H),
    case(call("hkeys", "h"), ["f", "g"], H),
    case(call("hlen", "h"), 2, H),
    case(call("hmget", "h", "f", "x"), ["1", None], H),
    case(call("hmset", "h", {"f": 1}), True),
    case(call("hpexpire", "h", 100_000, "f"), [1], H, since=FIELD_TTL),
    case(call("hpttl", "h", "g", "x"), [-1, -2], H, since=FIELD_TTL),
    case(call("hrandfield", "h"), "f", ONE),
    case(call("hrandfield", "x"), None),
    case(call("hrandfield", "h", -2), ["f", "f"], ONE),
    case(call("hrandfield", "h", -2, True), [("f", "1"), ("f", "1")], ONE),
    case(call("hrandfield", "x", 2, True), []),
    case(call("hscan", "h"), ScanPage(0, {"f": "1"}), ONE),
    case(call("hscan", "h", 0, "g*", 100), ScanPage(0, {"g": "two"}), H),
    case(call("hscan", "h", no_values=True), ScanPage(0, ["f"]), ONE, since=since("7.4", "8.0")),
    case(call("hset", "h", "f", 2), 0, H),
    case(call("hset", "h", mapping={"a": 1, "b": 2}), 2, H),
    case(call("hsetex", "h", {"f": 1}, ex=100), True, since=FIELD_GETEX),
    case(call("hsetex", "h", {"x": 1}, fxx=True), False, H, since=FIELD_GETEX),
    case(call("hsetnx", "h", "f", 2), False, H),
    case(call("hstrlen", "h", "g"), 3, H),
    case(call("httl", "h", "g", "x"), [-1, -2], H, since=FIELD_TTL),
    case(call("hvals", "h"), ["1", "two"], H),
]

NOT_TRACKING = {"flags": {"off"}, "redirect": -1, "prefixes": []}

CONNECTION = [
    case(call("auth", "pw", "u"), True, "ACL SETUSER u on >pw ~* +@all", pinned=True),
    case(call("auth", "wrong", "u"), Fails(AuthError), "ACL SETUSER u on >pw ~* +@all", pinned=True),
    case(call("client_caching", True), Fails(ServerError), pinned=True),
    case(call("client_capa", "redirect"), True, since=since(None, "8.0"), pinned=True),
    case(call("client_getname"), Such(type(None))),
    steps((call("client_setname", "me"), True), (call("client_getname"), "me"), pinned=True),
    case(call("client_getredir"), -1),
    case(call("client_help"), Such(list, lambda lines: all(type(line) is str for line in lines))),
    case(call("client_id"), Such(int, positive)),
    case(call("client_import_source", True), Fails(ServerError), since=since(None, "8.1"), pinned=True),
    case(call("client_info"), Such(dict, lambda told: int(told["id"]) > 0 and told["db"] == "0")),
    case(call("client_kill", client_id=1 << 40), 0),
    case(call("client_kill", filters={"NAME": "nobody", "NOT-DB": 0}), 0, since=since(None, "9.0")),
    case(call("client_list", filters={"NAME": "nobody", "NOT-ID": [1, 2]}), [], since=since(None, "9.0")),
    case(
        call("client_list", filters={"DB": 0, "NOT-NAME": "nobody"}),
        Such(list, lambda found: found and all(each["db"] == "0" for each in found)),
        since=since(None, "9.0"),
    ),
    case(call("client_list"), Such(list, lambda found: all(type(each) is dict and each["id"] for each in found))),
    case(call("client_no_evict", True), True, since=SINCE_70, pinned=True),
    case(call("client_no_touch", True), True, since=SINCE_72, pinned=True),
    case(call("client_pause", 0.001), True),
    case(call("client_setinfo", "LIB-NAME", "me"), True, since=SINCE_72, pinned=True),
    case(call("client_tracking", False), True, pinned=True),
    case(call("client_trackinginfo"), NOT_TRACKING),
    case(call("client_unblock", 1 << 40), False),
    case(call("client_unpause"), True),
    case(call("echo", "x"), "x"),
    case(
        call("hello"),
        Such(dict, lambda told: all(type(each) is dict for each in told["modules"]) and told["proto"] in (2, 3)),
        pinned=True,
    ),
    case(call("ping"), True),
    case(call("ping", "x"), "x"),
    case(call("reset"), True, pinned=True),
    case(call("select", 3), True, pinned=True),
    case(call("select", 99), Fails(ServerError), pinned=True),
]


def is_history(found: list[tuple[int, int]]) -> bool:
    """Whether it tells of one spike of some milliseconds."""
    return len(found) == 1 and found[0][0] > 1_700_000_000 and 5 <= found[0][1] < 1000


def is_latest(found: list[LatencyEvent]) -> bool:
    """Whether it tells of a slow command."""
    (event,) = found
    return type(event) is LatencyEvent and event.name == "command" and 5 <= event.latest_ms <= event.highest_ms


def is_histogram(told: dict[str, LatencyHistogram]) -> bool:
    """Whether it tells of two calls, counted together in the last bucket."""
    return set(told) == {"get"} and told["get"].calls == 2 == [*told["get"].micros.values()][-1]


def is_memory(told: dict[str, Any]) -> bool:
    """Whether numbers are numbers and a database is a dict."""
    return (
        type(told["peak.allocated"]) is int
        and type(told["peak.percentage"]) is type(told["fragmentation"]) is float
        and type(told["db.0"]["overhead.hashtable.main"]) is int
    )


DOCS = {"summary", "since", "group", "complexity"}

SERVER = [
    case(call("bgrewriteaof"), True),
    case(call("bgsave"), True),
    case(call("bgsave", True), True),
    case(call("bgsave", cancel=True), Fails(ServerError), since=since(None, "8.1")),
    case(call("command"), Such(list, lambda found: {each["name"] for each in found} >= {"get", "set"})),
    case(call("command_count"), Such(int, lambda count: count > 100)),
    case(call("command_docs", "get"), Such(dict, lambda told: set(told["get"]) >= DOCS), since=SINCE_70),
    case(call("command_getkeys", "MSET", "a", 1, "b", 2), ["a", "b"]),
    case(
        call("command_getkeysandflags", "SET", "a", 1),
        Both([("a", {"OW", "update"})], [(b"a", {"OW", "update"})]),
        since=SINCE_70,
    ),
    case(
        call("command_info", "get", "nonsense"),
        Such(list, lambda found: found[0]["arity"] == 2 and "readonly" in found[0]["flags"] and found[1] is None),
    ),
    case(call("command_list", pattern="ge?"), ["get"], since=SINCE_70),
    case(call("config_get", "maxmemory"), {"maxmemory": "0"}),
    case(call("config_get", "nonsense"), {}),
    case(call("config_resetstat"), True),
    case(call("config_rewrite"), True),
    case(call("config_set", "maxmemory", 0), True),
    case(call("config_set", "nonsense", 0), Fails(ServerError)),
    case(call("dbsize"), 1, K),
    case(call("flushall"), True),
    case(call("flushall", True), True),
    case(call("flushdb"), True),
    case(call("info"), Such(dict, lambda told: told["tcp_port"] >= 0 and type(told["redis_version"]) is str)),
    case(call("info", "keyspace"), Such(dict, lambda told: told["db0"]["keys"] == 1), K),
    case(call("lastsave"), Such(int, positive)),
    case(call("lolwut"), Such(str, is_long)),
    case(call("lolwut", 5, 1, 1, 1), Such(str, is_long)),
    case(call("latency_doctor"), Such(str, is_long)),
    steps(
        (call("latency_graph", "command"), Such(str, lambda drawn: drawn.startswith("command - high "))),
        (call("latency_history", "command"), Such(list, is_history)),
        (call("latency_latest"), Such(list, is_latest)),
        (call("latency_reset", "command", "fork"), 1),
        (call("latency_latest"), []),
        (call("latency_history", "command"), []),
        (call("latency_graph", "command"), Fails(ServerError)),
        setup=("CONFIG SET latency-monitor-threshold 1", "DEBUG SLEEP 0.005"),
    ),
    case(call("latency_histogram", "get", "nonsense"), {}, "CONFIG RESETSTAT", since=SINCE_70),
    case(
        call("latency_histogram", "get"),
        Such(dict, is_histogram),
        *("CONFIG RESETSTAT", "GET x", "GET x"),
        since=SINCE_70,
    ),
    case(call("latency_reset"), Such(int)),
    case(call("memory_doctor"), Such(str, is_long)),
    case(call("memory_malloc_stats"), Such(str, is_long)),
    case(call("memory_purge"), True),
    case(call("memory_stats"), Such(dict, is_memory), K),
    case(call("memory_usage", "k"), Such(int, positive), K),
    case(call("memory_usage", "x"), None),
    case(call("role"), {"role": "master", "offset": 0, "replicas": []}),
    case(call("save"), True),
    case(
        call("slowlog_get"),
        Such(list, lambda found: type(found[0]) is SlowCommand and any(each.words == [b"GET", b"q"] for each in found)),
        "CONFIG SET slowlog-log-slower-than 0",
        "GET q",
    ),
    case(call("slowlog_get", 1), Such(list)),
    case(call("slowlog_len"), Such(int)),
    case(call("slowlog_reset"), True),
    case(call("swapdb", 0, 1), True),
    case(call("time"), Such(tuple, lambda now: now[0] > 1_700_000_000 and 0 <= now[1] < 1_000_000)),
]
