"""One walk through the commands, as data: method, arguments, and the Python result that every server must give.

`commands_record.py` walks it on real servers and keeps the bytes of their replies in commands_replies.json;
`test_commands_replies.py` reads those bytes without a server. A step may expect a value, or a function that judges it;
"k" and "v" are text here, and become bytes for Client[bytes].
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from carmine.commands.server import SlowCommand
from carmine.commands.string_parts import LcsMatch, LcsMatches
from carmine.types import ScanPage

if TYPE_CHECKING:
    from collections.abc import Callable

LATER: Final = datetime(2100, 1, 1, tzinfo=UTC)
LATER_S: Final = 4102444800


class Step(NamedTuple):
    """One call of the walk."""

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    expected: Any
    is_judged: bool = False
    always: bool | None = None

    @property
    def name(self) -> str:
        """How a test calls it."""
        told = [*map(repr, self.args), *(f"{key}={value!r}" for key, value in self.kwargs.items())]
        return f"{self.method}({', '.join(told)})"


def step(method: str, *args: Any, gives: Any, always: bool | None = None, **kwargs: Any) -> Step:
    """Return a step; `always` is what the reply's own strings are on every client: True str, False bytes."""
    return Step(method, args, kwargs, gives, callable(gives), always)


def is_between(least: float, most: float) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def is_clock(value: Any) -> bool:
    return isinstance(value, tuple) and all(type(part) is int for part in value) and value[0] > 1_700_000_000


def is_client(value: Any) -> bool:
    return isinstance(value, dict) and value["id"].isdigit() and value["addr"].startswith("127.0.0.1:")


def is_client_list(value: Any) -> bool:
    return isinstance(value, list) and any(is_client(each) for each in value)


def is_hello(value: Any) -> bool:
    return isinstance(value, dict) and value["mode"] == "standalone" and isinstance(value["modules"], list)


def is_slow_log(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(type(each) is SlowCommand and isinstance(each.address, str) for each in value)
        and any(each.words[:2] == [b"SET", b"slow"] for each in value)
    )


def is_get_info(value: Any) -> bool:
    known, unknown = value
    plain = (known["name"], known["arity"], known["first_key"], known["last_key"], known["step"])
    sets = known["flags"] == {"readonly", "fast"} and known["acl_categories"] == {"@read", "@string", "@fast"}
    specs = known["key_specs"]
    found = not specs or (
        specs[0]["flags"] == {"RO", "access"}
        and specs[0]["begin_search"] == {"type": "index", "spec": {"index": 1}}
        and specs[0]["find_keys"]["spec"] == {"lastkey": 0, "keystep": 1, "limit": 0}
    )
    return bool(unknown is None and plain == ("get", 2, 1, 1, 1) and sets and found and type(known["tips"]) is set)


def is_object_docs(value: Any) -> bool:
    freq = value["object"]["subcommands"]["object|freq"]
    return (
        set(value) == {"object", "getex"}
        and freq["group"] == "generic"
        and freq["arguments"][0]["name"] == "key"
        and value["getex"]["arguments"][1]["flags"] == {"optional"}
        and all(each["token"] for each in value["getex"]["arguments"][1]["arguments"])
    )


def is_replication(value: Any) -> bool:
    return (value["role"], value["connected_slaves"]) == ("master", 0) and is_text(value["master_replid"])


def is_tracking(value: Any) -> bool:
    return bool(value == {"flags": {"off"}, "redirect": -1, "prefixes": []})


def is_key_with_flags(value: Any) -> bool:
    return value in ([("k", {"RO", "access"})], [(b"k", {"RO", "access"})])


def is_encoding(value: Any) -> bool:
    return value in ("embstr", "raw", "int")


STEPS: Final = (
    step("flushall", gives=True),
    # strings
    step("set", "k", "v", gives=True),
    step("get", "k", gives="v"),
    step("get", "none", gives=None),
    step("set", "k", "w", nx=True, gives=False),
    step("set", "k", "w", xx=True, gives=True),
    step("set", "k", "v", get=True, gives="w"),
    step("set", "new", "v", get=True, gives=None),
    step("set", "k", "v", ifeq="v", gives=True),
    step("set", "k", "v", ifeq="other", gives=False),
    step("set", "k", "v", ex=100, gives=True),
    step("ttl", "k", gives=is_between(99, 100)),
    step("set", "k", "v", keepttl=True, gives=True),
    step("set", "k", "v", ex=1.5, gives=True),
    step("pttl", "k", gives=is_between(1000, 1500)),
    step("set", "k", "v", px=timedelta(seconds=100), gives=True),
    step("pttl", "k", gives=is_between(99_000, 100_000)),
    step("set", "k", "v", exat=LATER, gives=True),
    step("expiretime", "k", gives=LATER_S),
    step("set", "k", "v", pxat=LATER, gives=True),
    step("pexpiretime", "k", gives=LATER_S * 1000),
    step("getex", "k", persist=True, gives="v"),
    step("ttl", "k", gives=-1),
    step("getex", "k", gives="v"),
    step("getex", "none", ex=1, gives=None),
    step("append", "k", "vv", gives=3),
    step("strlen", "k", gives=3),
    step("getrange", "k", 0, 1, gives="vv"),
    step("getrange", "none", 0, -1, gives=""),
    step("substr", "k", 0, 0, gives="v"),
    step("setrange", "k", 1, "x", gives=3),
    step("getset", "k", "v", gives="vxv"),
    step("getset", "fresh", "v", gives=None),
    step("getdel", "fresh", gives="v"),
    step("getdel", "fresh", gives=None),
    step("incr", "n", gives=1),
    step("incr", "n", 4, gives=5),
    step("incrby", "n", 5, gives=10),
    step("decr", "n", gives=9),
    step("decr", "n", 2, gives=7),
    step("decrby", "n", 2, gives=5),
    step("incrbyfloat", "n", 0.5, gives=5.5),
    step("mset", {"a": "1", "b": 2}, gives=True),
    step("mget", "a", "none", "b", gives=["1", None, "2"]),
    step("msetnx", {"a": "1", "z": 2}, gives=False),
    step("msetnx", {"y": "1", "z": 2}, gives=True),
    step("msetex", {"y": "1", "z": 2}, ex=100, gives=True),
    step("msetex", {"y": "1", "z": 2}, nx=True, gives=False),
    step("setnx", "k", "v", gives=False),
    step("setex", "e", 100, "v", gives=True),
    step("setex", "e", 1.5, "v", gives=True),
    step("psetex", "e", 100_000, "v", gives=True),
    step("delifeq", "e", "other", gives=False),
    step("delifeq", "e", "v", gives=True),
    step("mset", {"l1": "ohmytext", "l2": "mynewtext"}, gives=True),
    step("lcs", "l1", "l2", gives="mytext"),
    step("lcs", "l1", "l2", len=True, gives=6),
    step(
        "lcs",
        "l1",
        "l2",
        idx=True,
        withmatchlen=True,
        minmatchlen=4,
        gives=LcsMatches([LcsMatch((4, 7), (5, 8), 4)], 6),
        always=True,
    ),
    step(
        "lcs",
        "l1",
        "l2",
        idx=True,
        gives=LcsMatches([LcsMatch((4, 7), (5, 8), None), LcsMatch((2, 3), (0, 1), None)], 6),
        always=True,
    ),
    # hashes
    step("hset", "h", "f", "v", gives=1),
    step("hset", "h", mapping={"g": 1, "i": "x"}, gives=2),
    step("hset", "h", "f", "v", {"g": "1"}, gives=0),
    step("hget", "h", "f", gives="v"),
    step("hget", "h", "none", gives=None),
    step("hgetall", "h", gives={"f": "v", "g": "1", "i": "x"}),
    step("hgetall", "none", gives={}),
    step("hmget", "h", "f", "none", gives=["v", None]),
    step("hmset", "h", {"f": "v"}, gives=True),
    step("hexists", "h", "f", gives=True),
    step("hexists", "h", "none", gives=False),
    step("hlen", "h", gives=3),
    step("hkeys", "h", gives=["f", "g", "i"]),
    step("hvals", "h", gives=["v", "1", "x"]),
    step("hstrlen", "h", "f", gives=1),
    step("hincrby", "h", "g", gives=2),
    step("hincrby", "h", "g", 5, gives=7),
    step("hincrbyfloat", "h", "g", 0.5, gives=7.5),
    step("hsetnx", "h", "f", "v", gives=False),
    step("hdel", "h", "g", "i", "none", gives=2),
    step("hrandfield", "h", gives="f"),
    step("hrandfield", "none", gives=None),
    step("hrandfield", "h", 2, gives=["f"]),
    step("hrandfield", "h", -2, gives=["f", "f"]),
    step("hrandfield", "h", 2, True, gives=[("f", "v")]),
    step("hrandfield", "h", -2, True, gives=[("f", "v"), ("f", "v")]),
    step("hrandfield", "none", 2, True, gives=[]),
    step("hscan", "h", gives=ScanPage(0, {"f": "v"})),
    step("hscan", "h", 0, "x*", 10, gives=ScanPage(0, {})),
    step("hscan", "h", no_values=True, gives=ScanPage(0, ["f"])),
    step("hsetex", "h", {"t": "v"}, ex=100, gives=True),
    step("hsetex", "h", {"t": "v"}, fnx=True, gives=False),
    step("hgetex", "h", "t", "none", px=50_000, gives=["v", None]),
    step("hgetex", "h", "t", gives=["v"]),
    step("hexpire", "h", 100, "f", "none", gives=[1, -2]),
    step("hexpire", "h", 1.5, "f", nx=True, gives=[0]),
    step("httl", "h", "f", "none", gives=lambda value: value == [100, -2] or value == [99, -2]),
    step("hpttl", "h", "none", gives=[-2]),
    step("hpexpire", "h", 100_000, "f", gt=True, gives=lambda value: value in ([0], [1])),
    step("hexpireat", "h", LATER, "f", gives=[1]),
    step("hexpiretime", "h", "f", gives=[LATER_S]),
    step("hpexpireat", "h", LATER, "f", gives=[1]),
    step("hpexpiretime", "h", "f", gives=[LATER_S * 1000]),
    step("hpersist", "h", "f", "none", gives=[1, -2]),
    step("hgetdel", "h", "t", "none", gives=["v", None]),
    # keys
    step("exists", "k", "k", "none", gives=2),
    step("touch", "k", "none", gives=1),
    step("type", "h", gives="hash", always=True),
    step("type", "none", gives="none", always=True),
    step("copy", "k", "k2", gives=True),
    step("copy", "k", "k2", gives=False),
    step("copy", "k", "k2", replace=True, gives=True),
    step("copy", "k", "k2", 1, gives=True),
    step("rename", "k2", "k3", gives=True),
    step("renamenx", "k3", "k", gives=False),
    step("move", "k3", 2, gives=True),
    step("move", "k3", 2, gives=False),
    step("expire", "k", 100, gives=True),
    step("expire", "k", 100, nx=True, gives=False),
    step("expire", "none", 100, gives=False),
    step("expire", "k", 1.5, gives=True),
    step("pexpire", "k", timedelta(minutes=1), gives=True),
    step("expireat", "k", LATER, gives=True),
    step("pexpireat", "k", LATER_S * 1000, gives=True),
    step("persist", "k", gives=True),
    step("persist", "k", gives=False),
    step("ttl", "none", gives=-2),
    step("object_encoding", "k", gives=is_encoding, always=True),
    step("object_encoding", "none", gives=None),
    step("object_idletime", "k", gives=is_between(0, 1000)),
    step("object_refcount", "k", gives=1),
    step("object_help", gives=lambda value: all(map(is_text, value)), always=True),
    step("dump", "none", gives=None),
    step("dump", "k", gives=lambda value: type(value) is bytes and len(value) > 10, always=False),
    step("unlink", "y", "z", "none", gives=lambda value: value in (1, 2)),
    step("delete", "a", "b", "n", "e", "new", "l1", "l2", "h", gives=is_between(5, 8)),
    step("keys", gives=["k"]),
    step("keys", "x*", gives=[]),
    step("randomkey", gives="k"),
    step("dbsize", gives=1),
    step("scan", gives=ScanPage(0, ["k"])),
    step("scan", 0, "x*", 100, "string", gives=ScanPage(0, [])),
    step("mset", {"w_1": 3, "w_2": 1, "w_3": 2, "d_1": "one"}, gives=True),
    step("execute_raw", "RPUSH", "items", "1", "2", "3", gives=3),
    step("sort", "items", desc=True, gives=["3", "2", "1"]),
    step("sort", "items", by="w_*", get=["#", "d_*"], offset=0, num=3, gives=["2", None, "3", None, "1", "one"]),
    step("sort", "items", alpha=True, store="sorted", gives=3),
    step("sort_ro", "items", gives=["1", "2", "3"]),
    step("wait", 0, 0.01, gives=0),
    step("waitaof", 0, 0, 0.01, gives=(0, 0)),
    # connection
    step("ping", gives=True),
    step("ping", "hello", gives="hello"),
    step("echo", "hello", gives="hello"),
    step("client_id", gives=is_between(1, 1 << 62)),
    step("client_getname", gives=None),
    step("client_setname", "me", gives=True),
    step("client_getname", gives="me", always=True),
    step("client_setinfo", "LIB-NAME", "carmine", gives=True),
    step("client_getredir", gives=-1),
    step("client_info", gives=is_client, always=True),
    step("client_list", gives=is_client_list, always=True),
    step("client_list", "normal", gives=is_client_list, always=True),
    step("client_kill", client_id=1 << 40, gives=0),
    step("client_no_evict", True, gives=True),
    step("client_no_touch", False, gives=True),
    step("client_pause", 0.001, "WRITE", gives=True),
    step("client_unpause", gives=True),
    step("client_unblock", 1 << 40, gives=False),
    step("client_trackinginfo", gives=is_tracking, always=True),
    step("client_help", gives=lambda value: all(map(is_text, value)), always=True),
    step("client_capa", "redirect", gives=True),
    step("client_import_source", False, gives=True),
    step("select", 0, gives=True),
    step("hello", gives=is_hello, always=True),
    # server
    step("time", gives=is_clock),
    step("role", gives={"role": "master", "offset": 0, "replicas": []}, always=True),
    step("lastsave", gives=is_between(1_700_000_000, 1 << 40)),
    step("info", "replication", gives=is_replication, always=True),
    step("lolwut", gives=is_text, always=True),
    step("memory_usage", "k", gives=is_between(10, 1000)),
    step("memory_usage", "none", 0, gives=None),
    step("config_get", "maxmemory", gives={"maxmemory": "0"}, always=True),
    step("config_set", "slowlog-log-slower-than", 0, gives=True),
    step("set", "slow", "v", gives=True),
    step("config_set", "slowlog-log-slower-than", 10_000, gives=True),
    step("slowlog_get", gives=is_slow_log, always=False),
    step("slowlog_len", gives=is_between(1, 128)),
    step("slowlog_reset", gives=True),
    step("slowlog_get", 1, gives=[]),
    step("config_resetstat", gives=True),
    step("command_count", gives=is_between(200, 600)),
    step("command_info", "get", "nosuch", gives=is_get_info, always=True),
    step("command_docs", "object", "getex", gives=is_object_docs, always=True),
    step("command_list", pattern="xad*", gives=["xadd"], always=True),
    step("command_getkeys", "SET", "k", "v", gives=["k"]),
    step("command_getkeysandflags", "GET", "k", gives=is_key_with_flags),
    step("swapdb", 0, 3, gives=True),
    step("flushdb", gives=True),
    step("flushdb", True, gives=True),
    step("flushall", True, gives=True),
    step("reset", gives=True),
)
