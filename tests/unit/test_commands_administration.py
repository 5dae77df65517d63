"""Clusters, modules, replication, the command log and the servers' help: what goes out, what is refused, and shapes."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import administration, cluster, cluster_changes, help
from carmine.commands.administration import LoggedCommand
from carmine.commands.cluster import ClusterAddress, ClusterNode, ClusterPage, ClusterShard, ClusterSlots
from carmine.commands.flags import NO_MULTI, READONLY, SECRET, STATE
from carmine.errors import UsageError
from carmine.protocol.values import Verbatim
from tests.unit.command_tables import check_goes_out, check_shape, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

MODULES = (administration, cluster, cluster_changes, help)
HELPED = (
    *("acl", "cluster", "command", "commandlog", "config", "function", "latency", "memory", "module", "pubsub"),
    *("script", "slowlog"),
)
C = b"CLUSTER"

GOES_OUT: list[tuple[Command[Any], tuple[Any, ...]]] = [
    *((getattr(help, f"{name}_help")(), (name.upper().encode(), b"HELP")) for name in HELPED),
    (administration.commandlog_get(5), (b"COMMANDLOG", b"GET", 5, "slow")),
    (administration.commandlog_len("large-reply"), (b"COMMANDLOG", b"LEN", "large-reply")),
    (administration.commandlog_reset(), (b"COMMANDLOG", b"RESET", "slow")),
    (administration.debug("SLEEP", 0), (b"DEBUG", "SLEEP", 0)),
    (administration.failover(), (b"FAILOVER",)),
    (administration.failover(abort=True), (b"FAILOVER", b"ABORT")),
    (
        administration.failover("h", 1, force=True, timeout=1.5),
        (b"FAILOVER", b"TO", "h", 1, b"FORCE", b"TIMEOUT", 1500),
    ),
    (administration.module_list(), (b"MODULE", b"LIST")),
    (administration.module_load("/m.so", "a", 1), (b"MODULE", b"LOAD", "/m.so", "a", 1)),
    (administration.module_loadex("/m.so"), (b"MODULE", b"LOADEX", "/m.so")),
    (
        administration.module_loadex("/m.so", config={"a": 1, "b": "x"}, args="y"),
        (b"MODULE", b"LOADEX", "/m.so", b"CONFIG", "a", 1, b"CONFIG", "b", "x", b"ARGS", "y"),
    ),
    (administration.module_unload("m"), (b"MODULE", b"UNLOAD", "m")),
    (administration.replicaof("h"), (b"REPLICAOF", "h", 6379)),
    (administration.replicaof(None), (b"REPLICAOF", b"NO", b"ONE")),
    (administration.slaveof("h", 1), (b"SLAVEOF", "h", 1)),
    (administration.shutdown(), (b"SHUTDOWN",)),
    (administration.shutdown(True, now=True, force=True), (b"SHUTDOWN", b"SAVE", b"NOW", b"FORCE")),
    (administration.shutdown(False, safe=True, failover=True), (b"SHUTDOWN", b"NOSAVE", b"SAFE", b"FAILOVER")),
    (administration.shutdown(abort=True), (b"SHUTDOWN", b"ABORT")),
    (cluster.asking(), (b"ASKING",)),
    (cluster.cluster_count_failure_reports("n"), (C, b"COUNT-FAILURE-REPORTS", "n")),
    (cluster.cluster_countkeysinslot(1), (C, b"COUNTKEYSINSLOT", 1)),
    (cluster.cluster_getkeysinslot(1, 2), (C, b"GETKEYSINSLOT", 1, 2)),
    (cluster.cluster_getslotmigrations(), (C, b"GETSLOTMIGRATIONS")),
    (cluster.cluster_info(), (C, b"INFO")),
    (cluster.cluster_keyslot("k"), (C, b"KEYSLOT", "k")),
    (cluster.cluster_links(), (C, b"LINKS")),
    (cluster.cluster_myid(), (C, b"MYID")),
    (cluster.cluster_myshardid(), (C, b"MYSHARDID")),
    (cluster.cluster_nodes(), (C, b"NODES")),
    (cluster.cluster_replicas("n"), (C, b"REPLICAS", "n")),
    (cluster.cluster_shards(), (C, b"SHARDS")),
    (cluster.cluster_slaves("n"), (C, b"SLAVES", "n")),
    (cluster.cluster_slot_stats(0, 5), (C, b"SLOT-STATS", b"SLOTSRANGE", 0, 5)),
    (cluster.cluster_slot_stats(orderby="cpu-usec"), (C, b"SLOT-STATS", b"ORDERBY", "cpu-usec")),
    (
        cluster.cluster_slot_stats(orderby="key-count", limit=0, order="ASC"),
        (C, b"SLOT-STATS", b"ORDERBY", "key-count", b"LIMIT", 0, "ASC"),
    ),
    (cluster.cluster_slots(), (C, b"SLOTS")),
    (cluster.clusterscan(), (b"CLUSTERSCAN", "0")),
    (
        cluster.clusterscan("c", "a*", 5, "list", 0),
        (b"CLUSTERSCAN", "c", b"MATCH", "a*", b"COUNT", 5, b"TYPE", "list", b"SLOT", 0),
    ),
    (cluster.readonly(), (b"READONLY",)),
    (cluster.readwrite(), (b"READWRITE",)),
    (cluster_changes.cluster_addslots(1, 2), (C, b"ADDSLOTS", 1, 2)),
    (cluster_changes.cluster_addslotsrange((1, 2), (4, 5)), (C, b"ADDSLOTSRANGE", 1, 2, 4, 5)),
    (cluster_changes.cluster_bumpepoch(), (C, b"BUMPEPOCH")),
    (cluster_changes.cluster_cancelslotmigrations(), (C, b"CANCELSLOTMIGRATIONS")),
    (cluster_changes.cluster_delslots(1), (C, b"DELSLOTS", 1)),
    (cluster_changes.cluster_delslotsrange((1, 2)), (C, b"DELSLOTSRANGE", 1, 2)),
    (cluster_changes.cluster_failover(), (C, b"FAILOVER")),
    (cluster_changes.cluster_failover("TAKEOVER"), (C, b"FAILOVER", "TAKEOVER")),
    (cluster_changes.cluster_flushslot(1), (C, b"FLUSHSLOT", 1, b"SYNC")),
    (cluster_changes.cluster_flushslot(1, asynchronous=True), (C, b"FLUSHSLOT", 1, b"ASYNC")),
    (cluster_changes.cluster_flushslots(), (C, b"FLUSHSLOTS")),
    (cluster_changes.cluster_forget("n"), (C, b"FORGET", "n")),
    (cluster_changes.cluster_meet("h", 1), (C, b"MEET", "h", 1)),
    (cluster_changes.cluster_meet("h", 1, 2), (C, b"MEET", "h", 1, 2)),
    (
        cluster_changes.cluster_migrateslots({"n": [(1, 2), (4, 5)], "m": [(7, 7)]}),
        (C, b"MIGRATESLOTS", b"SLOTSRANGE", 1, 2, 4, 5, b"NODE", "n", b"SLOTSRANGE", 7, 7, b"NODE", "m"),
    ),
    (cluster_changes.cluster_replicate("n"), (C, b"REPLICATE", "n")),
    (cluster_changes.cluster_replicate(None), (C, b"REPLICATE", b"NO", b"ONE")),
    (cluster_changes.cluster_reset(), (C, b"RESET", b"SOFT")),
    (cluster_changes.cluster_reset(hard=True), (C, b"RESET", b"HARD")),
    (cluster_changes.cluster_saveconfig(), (C, b"SAVECONFIG")),
    (cluster_changes.cluster_set_config_epoch(5), (C, b"SET-CONFIG-EPOCH", 5)),
    (cluster_changes.cluster_setslot(1, importing="n"), (C, b"SETSLOT", 1, b"IMPORTING", "n")),
    (cluster_changes.cluster_setslot(1, migrating="n"), (C, b"SETSLOT", 1, b"MIGRATING", "n")),
    (cluster_changes.cluster_setslot(1, node="n", timeout=2), (C, b"SETSLOT", 1, b"NODE", "n", b"TIMEOUT", 2000)),
    (cluster_changes.cluster_setslot(1, stable=True), (C, b"SETSLOT", 1, b"STABLE")),
]

wrong: Any = SimpleNamespace(**{name: each for module in MODULES for name, each in vars(module).items()})
"""The same functions, without the types that would keep a checked caller from these mistakes."""


@pytest.mark.parametrize(("command", "words"), GOES_OUT, ids=lambda value: getattr(value, "words", ""))
def test_goes_out(command: Command[Any], words: tuple[Any, ...]) -> None:
    check_goes_out(command, words, [])


def test_every_function_has_a_case() -> None:
    told = {name.replace("-", "_") for name in named(command for command, *_ in GOES_OUT)}
    assert told == public_functions(*MODULES)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: wrong.failover("h"), "FAILOVER takes host and port together"),
        (lambda: wrong.failover(port=1), "FAILOVER takes host and port together"),
        (lambda: wrong.failover(force=True), "FAILOVER takes force only with host, port and timeout"),
        (lambda: wrong.failover("h", 1, force=True), "FAILOVER takes force only with host, port and timeout"),
        (lambda: wrong.failover("h", 1, abort=True), "FAILOVER takes only one of abort, host, force, timeout"),
        (lambda: wrong.failover(timeout=-1), "timeout must not be negative"),
        (lambda: wrong.module_loadex("m", config={}), "MODULE LOADEX needs at least one pair"),
        (lambda: wrong.module_loadex("m", args=5), "MODULE LOADEX takes several of these as a list"),
        (lambda: wrong.shutdown(True, abort=True), "SHUTDOWN takes abort alone"),
        (lambda: wrong.shutdown(now=True, abort=True), "SHUTDOWN takes abort alone"),
        (lambda: wrong.cluster_slot_stats(), "CLUSTER SLOT-STATS takes either start and end, or orderby"),
        (lambda: wrong.cluster_slot_stats(1), "CLUSTER SLOT-STATS takes either start and end, or orderby"),
        (lambda: wrong.cluster_slot_stats(1, 2, orderby="x"), "CLUSTER SLOT-STATS takes either start and end"),
        (lambda: wrong.cluster_slot_stats(1, 2, limit=1), "CLUSTER SLOT-STATS takes either start and end"),
        (lambda: wrong.cluster_addslotsrange(), "CLUSTER ADDSLOTSRANGE takes ranges of slots"),
        (lambda: wrong.cluster_addslotsrange(1, 2), "CLUSTER ADDSLOTSRANGE takes ranges of slots"),
        (lambda: wrong.cluster_delslotsrange((1,)), "CLUSTER DELSLOTSRANGE takes ranges of slots"),
        (lambda: wrong.cluster_migrateslots({}), "CLUSTER MIGRATESLOTS needs at least one move"),
        (lambda: wrong.cluster_migrateslots({"CANARY": []}), "CLUSTER MIGRATESLOTS takes ranges of slots"),
        (lambda: wrong.cluster_setslot(1), "CLUSTER SETSLOT takes exactly one of importing"),
        (lambda: wrong.cluster_setslot(1, node="CANARY", stable=True), "CLUSTER SETSLOT takes exactly one of"),
    ],
)
def test_refused_before_anything_goes_out(call: Callable[[], Command[Any]], sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)) as caught:
        call()
    assert "CANARY" not in str(caught.value)


A, B = "a" * 40, "b" * 40
LINES = (
    f"{A} 10.0.0.1:7000@17000,one.example,shard-id=x myself,master - 0 0 7 connected 0-5 9 [7->-{B}] [8-<-{B}]\n"
    f"{B} ::1:7001@17001 slave,fail? {A} 5 6 7 disconnected\n"
    f"{B} :0@0,,shard-id=x noflags - 0 0 0 connected\n"
    f"{B} h:1 handshake - 0 0 0 connected\n"
)
NODES = [
    ClusterNode(
        *(A, "10.0.0.1", 7000, 17000, "one.example", {"myself", "master"}, None, 0, 0, 7, True),
        *([(0, 5), (9, 9)], {7: B}, {8: B}),
    ),
    ClusterNode(B, "::1", 7001, 17001, "", {"slave", "fail?"}, A, 5, 6, 7, False, [], {}, {}),
    ClusterNode(B, "", 0, 0, "", set(), None, 0, 0, 0, True, [], {}, {}),
    ClusterNode(B, "h", 1, 0, "", {"handshake"}, None, 0, 0, 0, True, [], {}, {}),
]


@pytest.mark.parametrize(
    ("command", "resp2", "resp3", "result"),
    [
        (cluster.cluster_nodes(), LINES, Verbatim("txt", LINES), NODES),
        (cluster.cluster_replicas("x"), LINES.splitlines(), LINES.splitlines(), NODES),
        (cluster.cluster_slaves("x"), [], [], []),
        (
            cluster.cluster_info(),
            "cluster_state:ok\r\ncluster_size:3\r\n",
            Verbatim("txt", "cluster_state:ok\r\ncluster_size:3\r\n"),
            {"cluster_state": "ok", "cluster_size": 3},
        ),
        (
            cluster.cluster_slots(),
            [[0, 5, ["h", 1, A, ["hostname", "n"]], [None, 2, B]]],
            [[0, 5, ["h", 1, A, {"hostname": "n"}], [None, 2, B]]],
            [ClusterSlots(0, 5, [ClusterAddress("h", 1, A, {"hostname": "n"}), ClusterAddress(None, 2, B, {})])],
        ),
        (
            cluster.cluster_shards(),
            [["slots", [0, 5, 7, 7], "nodes", [["id", A, "port", 1]], "id", B], ["slots", [], "nodes", []]],
            [{"slots": [0, 5, 7, 7], "nodes": [{"id": A, "port": 1}], "id": B}, {"slots": [], "nodes": []}],
            [ClusterShard([(0, 5), (7, 7)], [{"id": A, "port": 1}], B), ClusterShard([], [], None)],
        ),
        (
            cluster.cluster_links(),
            [["direction", "to", "node", A]],
            [{"direction": "to", "node": A}],
            [{"direction": "to", "node": A}],
        ),
        (
            cluster.cluster_slot_stats(0, 1),
            [[5, ["key-count", 2]]],
            [[5, {"key-count": 2}]],
            {5: {"key-count": 2}},
        ),
        (cluster.clusterscan(), [b"0-{x}-1", [b"k"]], ["0-{x}-1", [b"k"]], ClusterPage("0-{x}-1", [b"k"])),
        (cluster_changes.cluster_bumpepoch(), "BUMPED 5", "BUMPED 5", 5),
        (cluster_changes.cluster_bumpepoch(), "STILL 0", "STILL 0", 0),
        (administration.module_list(), [["name", "m", "ver", 1]], [{"name": "m", "ver": 1}], [{"name": "m", "ver": 1}]),
        (
            administration.commandlog_get(1),
            [[1, 2, 3, [b"GET", b"\xff"], b"h:1", b"n\xff"]],
            [[1, 2, 3, [b"GET", b"\xff"], b"h:1", b"n\xff"]],
            [LoggedCommand(1, 2, 3, [b"GET", b"\xff"], "h:1", "n\ufffd")],
        ),
    ],
    ids=lambda value: getattr(getattr(value, "spec", None), "name", ""),
)
def test_shape(command: Command[Any], resp2: Any, resp3: Any, result: Any) -> None:
    check_shape(command, resp2, resp3, result)


def test_what_sets_state_belongs_to_a_connection() -> None:
    stateful = {command.spec.name for command, _ in GOES_OUT if command.spec.flags & STATE}
    assert stateful == {"ASKING", "READONLY", "READWRITE"}


def test_nothing_that_changes_a_server_is_repeated() -> None:
    repeatable = {command.spec.name for command, _ in GOES_OUT if command.spec.flags & READONLY}
    assert not repeatable & public_names(cluster_changes)
    assert not repeatable & {"DEBUG", "FAILOVER", "MODULE LOAD", "MODULE UNLOAD", "REPLICAOF", "SHUTDOWN", "SLAVEOF"}
    assert {"CLUSTER NODES", "CLUSTER SLOTS", "MODULE LIST"} <= repeatable
    assert administration.shutdown().spec.flags & NO_MULTI
    assert administration.module_loadex("m").spec.flags & SECRET


def public_names(module: Any) -> set[str]:
    """Return the commands that a module defines."""
    return {command.spec.name for command, _ in GOES_OUT if command.spec in vars(module).values()}
