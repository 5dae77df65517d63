"""What the methods for those who run servers must give; those on clusters, on a node that serves all slots."""

from __future__ import annotations

from typing import Any

from carmine.commands.administration import LoggedCommand
from carmine.commands.cluster import ClusterAddress, ClusterNode, ClusterPage, ClusterShard, ClusterSlots
from carmine.errors import ServerError, UsageError
from tests.integration.reply_cases import LAST, Both, Fails, Such, call, case, since, steps

__all__ = ["ADMINISTRATION", "CLUSTERS"]

SINCE_70 = since("7.0")
SINCE_72 = since("7.2")
REDIS_80 = since("8.2", "8.1")
VALKEY_81 = since(None, "8.1")
VALKEY_90 = since(None, "9.0")
VALKEY_91 = since(None, "9.1")
K = "SET {a}1 v"
SLOT_OF_A = 15495


def is_help(name: str) -> Such:
    """Expect the lines of a server's help."""
    return Such(list, lambda lines: lines[0].startswith(f"{name} <subcommand>") and set(map(type, lines)) == {str})


def is_logged(found: list[LoggedCommand]) -> bool:
    """Whether it tells of a GET that was slow."""
    told = next(each for each in found if each.words[:1] == [b"GET"])
    return (
        type(told) is LoggedCommand
        and told.words == [b"GET", b"k"]
        and told.when > 1_700_000_000
        and told.size >= 0
        and type(told.address) is type(told.client_name) is str
    )


ADMINISTRATION = [
    *(
        case(call(f"{name.lower()}_help"), is_help(name))
        for name in ("ACL", "COMMAND", "CONFIG", "LATENCY", "MEMORY", "MODULE", "PUBSUB", "SCRIPT", "SLOWLOG")
    ),
    case(call("function_help"), is_help("FUNCTION"), since=SINCE_70),
    case(call("commandlog_help"), is_help("COMMANDLOG"), since=VALKEY_81),
    steps(
        (call("commandlog_reset"), True),
        (call("config_set", "commandlog-execution-slower-than", 0), True),
        (call("get", "k"), None),
        (call("config_set", "commandlog-execution-slower-than", 10000), True),
        (call("commandlog_get", -1), Such(list, is_logged)),
        (call("commandlog_len"), Such(int, lambda count: count >= 1)),
        (call("commandlog_reset", "slow"), True),
        (call("commandlog_get", 10, "large-reply"), []),
        since=VALKEY_81,
    ),
    case(call("commandlog_len", "large-request"), 0, since=VALKEY_81),
    case(call("debug", "SLEEP", 0), "OK"),
    case(call("debug", "OBJECT", "k"), Such(str, lambda told: "encoding:embstr" in told), "SET k v"),
    case(call("debug", "NONSENSE"), Fails(ServerError)),
    case(call("failover", abort=True), Fails(ServerError)),
    case(call("failover", timeout=0.5), Fails(ServerError)),  # there is no replica
    case(call("failover", "127.0.0.1"), Fails(UsageError)),
    case(call("module_list"), Such(list, lambda found: all(set(map(type, each)) == {str} for each in found))),
    case(call("module_list"), Such(list, lambda found: found[0]["name"] == "lua"), since=VALKEY_90),
    case(call("module_load", "/nowhere", 1), Fails(ServerError)),
    case(call("module_loadex", "/nowhere", config={"a.b": 1}, args=["x"]), Fails(ServerError), since=SINCE_70),
    case(call("module_unload", "nothing"), Fails(ServerError)),
    steps((call("replicaof", "127.0.0.1", 1), True), (call("replicaof", None), True)),
    steps((call("slaveof", "127.0.0.1", 1), True), (call("slaveof", None), True)),
    case(call("shutdown", abort=True), Fails(ServerError)),
    case(call("shutdown", save=False, abort=True), Fails(UsageError)),
    case(call("cluster_info"), Fails(ServerError)),
]


def is_own(found: list[ClusterNode]) -> bool:
    """Whether it tells of one node, with all slots."""
    (node,) = found
    return (
        type(node) is ClusterNode
        and {"myself", "master"} <= node.flags
        and node.slots == [(0, 16383)]
        and node.is_connected
        and (node.primary, node.migrating, node.importing) == (None, {}, {})
        and node.bus_port == node.port + 10_000
        and len(node.id) == 40
    )


def is_served(found: list[ClusterSlots]) -> bool:
    """Whether one node serves all."""
    ((start, end, nodes),) = found
    (node,) = nodes
    return (start, end) == (0, 16383) and type(node) is ClusterAddress and len(node.id) == 40 and node.more == {}


def is_shard(found: list[ClusterShard]) -> bool:
    """Whether one shard has all."""
    (shard,) = found
    return shard.slots == [(0, 16383)] and shard.nodes[0]["role"] == "master" and type(shard.nodes[0]["port"]) is int


def is_page(found: ClusterPage[Any]) -> bool:
    """Whether the first page of CLUSTERSCAN can be gone on from."""
    return type(found.cursor) is str and found.cursor != "0" and found.keys == []


OTHER = "0" * 40
IS_ID = Such(str, lambda id: len(id) == 40)

CLUSTERS = [
    case(call("asking"), True, pinned=True),
    case(call("cluster_help"), is_help("CLUSTER")),
    case(call("cluster_addslots", 5), Fails(ServerError)),
    steps((call("cluster_delslots", 5, 6), True), (call("cluster_addslots", 6, 5), True)),
    steps(
        (call("cluster_delslotsrange", (5, 6), (8, 8)), True),
        (call("cluster_addslotsrange", (5, 6), (8, 8)), True),
        since=SINCE_70,
    ),
    case(call("cluster_addslotsrange"), Fails(UsageError)),
    steps((call("cluster_bumpepoch"), Such(int, lambda epoch: epoch >= 1)), (call("cluster_bumpepoch"), Such(int))),
    case(call("cluster_cancelslotmigrations"), Fails(ServerError), since=VALKEY_90),
    case(call("cluster_count_failure_reports", OTHER), Fails(ServerError)),
    steps(
        (call("cluster_myid"), IS_ID),
        (call("cluster_count_failure_reports", LAST), 0),
    ),
    case(call("cluster_countkeysinslot", SLOT_OF_A), 1, K),
    case(call("cluster_failover"), Fails(ServerError)),
    case(call("cluster_failover", "FORCE"), Fails(ServerError)),
    steps(
        (call("cluster_flushslot", SLOT_OF_A), True),
        (call("cluster_flushslot", SLOT_OF_A, True), True),
        (call("cluster_countkeysinslot", SLOT_OF_A), 0),
        setup=(K,),
        since=VALKEY_90,
    ),
    case(call("cluster_flushslots"), Fails(ServerError), K),
    case(call("cluster_forget", OTHER), Fails(ServerError)),
    case(call("cluster_getkeysinslot", SLOT_OF_A, 10), ["{a}1"], K),
    case(call("cluster_getslotmigrations"), [], since=VALKEY_90),
    case(
        call("cluster_info"),
        Such(dict, lambda told: (told["cluster_slots_assigned"], type(told["cluster_state"])) == (16384, str)),
    ),
    case(call("cluster_keyslot", "{a}1"), SLOT_OF_A),
    case(call("cluster_links"), [], since=SINCE_70),
    case(call("cluster_meet", "nonsense", 1), Fails(ServerError)),
    case(call("cluster_migrateslots", {OTHER: [(1, 2), (4, 5)]}), Fails(ServerError), since=VALKEY_90),
    case(call("cluster_migrateslots", {}), Fails(UsageError)),
    case(call("cluster_myid"), IS_ID),
    case(call("cluster_myshardid"), IS_ID, since=SINCE_72),
    case(call("cluster_nodes"), Such(list, is_own)),
    case(call("cluster_replicas", OTHER), Fails(ServerError)),
    steps((call("cluster_myid"), IS_ID), (call("cluster_replicas", LAST), [])),
    steps((call("cluster_myid"), IS_ID), (call("cluster_slaves", LAST), [])),
    case(call("cluster_replicate", OTHER), Fails(ServerError)),
    case(call("cluster_reset"), Fails(ServerError), K),
    case(call("cluster_reset", hard=True), Fails(ServerError), K),
    case(call("cluster_saveconfig"), True),
    steps((call("cluster_bumpepoch"), Such(int)), (call("cluster_set_config_epoch", 5), Fails(ServerError))),
    case(call("cluster_setslot", 5, stable=True), True),
    case(call("cluster_setslot", 5, migrating=OTHER), Fails(ServerError)),
    case(call("cluster_setslot", 5, node=OTHER, timeout=1.5), Fails(ServerError), since=VALKEY_81),
    case(call("cluster_setslot", 5), Fails(UsageError)),
    case(call("cluster_shards"), Such(list, is_shard), since=SINCE_70),
    case(call("cluster_slot_stats", SLOT_OF_A, SLOT_OF_A), {SLOT_OF_A: {"key-count": 1}}, K, since=REDIS_80),
    case(
        call("cluster_slot_stats", orderby="key-count", limit=1, order="DESC"),
        {SLOT_OF_A: {"key-count": 1}},
        K,
        since=REDIS_80,
    ),
    case(call("cluster_slot_stats"), Fails(UsageError)),
    case(call("cluster_slots"), Such(list, is_served)),
    case(call("clusterscan"), Such(ClusterPage, is_page), since=VALKEY_91),
    case(
        call("clusterscan", match="{a}*", slot=SLOT_OF_A, type="string", count=10),
        Both(
            Such(ClusterPage, lambda page: page.keys in (["{a}1"], [])),
            Such(ClusterPage, lambda page: page.keys in ([b"{a}1"], [])),
        ),
        K,
        since=VALKEY_91,
    ),
    steps((call("readonly"), True), (call("readwrite"), True), pinned=True),
]
