"""Commands of the group "cluster" that look at a cluster, and those by which a connection says what it may be asked.

They speak to the one node that they are sent to. What a server says comes as str, on Client[bytes] too; names of keys
are what the client reads strings as. What changes a cluster is in `cluster_changes.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from carmine.commands import decoders
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.errors import UsageError

if TYPE_CHECKING:
    from carmine.types import Arg, Key

T = TypeVar("T")


class ClusterNode(NamedTuple):
    """A node, as another one sees it.

    Attributes:
        id: Its id.
        host: Its address; empty for a node that was never told its own.
        port: Where clients connect.
        bus_port: Where nodes do.
        hostname: Its name, where it has one.
        flags: Such as "myself", "master", "slave", "fail?", "handshake".
        primary: The id of the node that it is a replica of, or None.
        ping_sent: When a ping went out that is not answered yet, in milliseconds since the epoch; otherwise 0.
        pong_received: When the last answer came.
        epoch: Its configuration's.
        is_connected: Whether there is a link to it.
        slots: First and last of each range of slots it serves.
        migrating: Slots on their way from it, with the id of the node they go to.
        importing: Slots on their way to it, with the id of the node they come from.
    """

    id: str
    host: str
    port: int
    bus_port: int
    hostname: str
    flags: set[str]
    primary: str | None
    ping_sent: int
    pong_received: int
    epoch: int
    is_connected: bool
    slots: list[tuple[int, int]]
    migrating: dict[int, str]
    importing: dict[int, str]


class ClusterAddress(NamedTuple):
    """Where a node is reached: its host (None: where it was asked), port, id, and what else is told (from 7.0)."""

    host: str | None
    port: int
    id: str
    more: dict[str, str]


class ClusterSlots(NamedTuple):
    """A range of slots, and the nodes that serve it, the primary first."""

    start: int
    end: int
    nodes: list[ClusterAddress]


class ClusterShard(NamedTuple):
    """A primary with its replicas, each a dict by the server's names, their slots, and the shard's id (Valkey)."""

    slots: list[tuple[int, int]]
    nodes: list[dict[str, Any]]
    id: str | None


class ClusterPage(NamedTuple, Generic[T]):
    """One answer of CLUSTERSCAN: the cursor to go on with ("0" when done), and keys."""

    cursor: str
    keys: list[T]


def _info(raw: Any) -> dict[str, int | str]:
    lines = (line.partition(":") for line in decoders.document(raw).splitlines())
    return {name: int(text) if text.isdigit() else text for name, colon, text in lines if colon}


def _node(line: str) -> ClusterNode:
    id, address, flags, primary, ping, pong, epoch, link, *slots = line.split()
    where, _, names = address.partition(",")
    where, _, bus_port = where.partition("@")
    host, _, port = where.rpartition(":")
    hostname = names.partition(",")[0]
    ranges: list[tuple[int, int]] = []
    moving: dict[str, dict[int, str]] = {"->-": {}, "-<-": {}}
    for each in slots:
        if each.startswith("["):
            arrow = "->-" if "->-" in each else "-<-"
            slot, _, other = each[1:-1].partition(arrow)
            moving[arrow][int(slot)] = other
        else:
            first, _, last = each.partition("-")
            ranges.append((int(first), int(last or first)))
    return ClusterNode(
        id,
        host,
        int(port),
        int(bus_port or 0),
        "" if "=" in hostname else hostname,
        set(flags.split(",")) - {"noflags"},
        None if primary == "-" else primary,
        int(ping),
        int(pong),
        int(epoch),
        link == "connected",
        ranges,
        moving["->-"],
        moving["-<-"],
    )


def _nodes(raw: Any) -> list[ClusterNode]:
    lines = raw if isinstance(raw, list) else decoders.document(raw).splitlines()
    return [_node(line) for line in lines if line]


def _slots(raw: Any) -> list[ClusterSlots]:
    return [
        ClusterSlots(
            start,
            end,
            [
                ClusterAddress(host, port, id, decoders.mapping(more[0]) if more else {})
                for host, port, id, *more in nodes
            ],
        )
        for start, end, *nodes in raw
    ]


def _shards(raw: Any) -> list[ClusterShard]:
    return [
        ClusterShard(decoders.pairs(told["slots"]), [decoders.mapping(node) for node in told["nodes"]], told.get("id"))
        for told in map(decoders.mapping, raw)
    ]


def _maps(raw: Any) -> list[dict[str, Any]]:
    return [decoders.mapping(each) for each in raw]


def _slot_stats(raw: Any) -> dict[int, dict[str, int]]:
    return {slot: decoders.mapping(told) for slot, told in raw}


def _page(raw: Any) -> ClusterPage[Any]:
    cursor, keys = raw
    return ClusterPage(cursor if isinstance(cursor, str) else cursor.decode(), keys)


_ASKING = spec("ASKING", decoders.ok)
_CLUSTERSCAN = spec("CLUSTERSCAN", _page)
_COUNT_FAILURE_REPORTS = spec("CLUSTER COUNT-FAILURE-REPORTS")
_COUNTKEYSINSLOT = spec("CLUSTER COUNTKEYSINSLOT")
_GETKEYSINSLOT = spec("CLUSTER GETKEYSINSLOT")
_GETSLOTMIGRATIONS = spec("CLUSTER GETSLOTMIGRATIONS", _maps, text=True)
_INFO = spec("CLUSTER INFO", _info, text=True)
_KEYSLOT = spec("CLUSTER KEYSLOT")
_LINKS = spec("CLUSTER LINKS", _maps, text=True)
_MYID = spec("CLUSTER MYID", text=True)
_MYSHARDID = spec("CLUSTER MYSHARDID", text=True)
_NODES = spec("CLUSTER NODES", _nodes, text=True)
_READONLY = spec("READONLY", decoders.ok)
_READWRITE = spec("READWRITE", decoders.ok)
_REPLICAS = spec("CLUSTER REPLICAS", _nodes, text=True)
_SHARDS = spec("CLUSTER SHARDS", _shards, text=True)
_SLAVES = spec("CLUSTER SLAVES", _nodes, text=True)
_SLOT_STATS = spec("CLUSTER SLOT-STATS", _slot_stats, text=True)
_SLOTS = spec("CLUSTER SLOTS", _slots, text=True)


def asking() -> Command[bool]:
    """ASKING: have the next command of this connection answered for a slot that is on its way to the node.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/asking
    """
    return Command(_ASKING, (b"ASKING",))


def cluster_count_failure_reports(node_id: str) -> Command[int]:
    """CLUSTER COUNT-FAILURE-REPORTS: count the nodes that say a node has failed.

    Since: 3.0.0. Cost: O(reports). Source: redis.io/commands/cluster-count-failure-reports
    """
    return Command(_COUNT_FAILURE_REPORTS, (b"CLUSTER", b"COUNT-FAILURE-REPORTS", node_id))


def cluster_countkeysinslot(slot: int) -> Command[int]:
    """CLUSTER COUNTKEYSINSLOT: count the keys that the node holds of a slot.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/cluster-countkeysinslot
    """
    return Command(_COUNTKEYSINSLOT, (b"CLUSTER", b"COUNTKEYSINSLOT", slot))


def cluster_getkeysinslot(slot: int, count: int) -> Command[list[Text]]:
    """CLUSTER GETKEYSINSLOT: list keys that the node holds of a slot, `count` at most.

    Since: 3.0.0. Cost: O(count). Source: redis.io/commands/cluster-getkeysinslot
    """
    return Command(_GETKEYSINSLOT, (b"CLUSTER", b"GETKEYSINSLOT", slot, count))


def cluster_getslotmigrations() -> Command[list[dict[str, Any]]]:
    """CLUSTER GETSLOTMIGRATIONS: read what `cluster_migrateslots` has begun, each by the server's names.

    Since: Valkey 9.0.0. Cost: O(migrations). Source: valkey.io/commands/cluster-getslotmigrations
    """
    return Command(_GETSLOTMIGRATIONS, (b"CLUSTER", b"GETSLOTMIGRATIONS"))


def cluster_info() -> Command[dict[str, int | str]]:
    """CLUSTER INFO: read how the cluster fares, by the server's names, such as "cluster_state"; numbers as int.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/cluster-info
    """
    return Command(_INFO, (b"CLUSTER", b"INFO"))


def cluster_keyslot(key: Key) -> Command[int]:
    """CLUSTER KEYSLOT: ask for the slot of a key; `carmine.keys` has a function for it that asks nobody.

    Since: 3.0.0. Cost: O(key). Source: redis.io/commands/cluster-keyslot
    """
    return Command(_KEYSLOT, (b"CLUSTER", b"KEYSLOT", key))


def cluster_links() -> Command[list[dict[str, Any]]]:
    """CLUSTER LINKS: read the node's links to the others, each by the server's names.

    Since: 7.0.0. Cost: O(nodes). Source: redis.io/commands/cluster-links
    """
    return Command(_LINKS, (b"CLUSTER", b"LINKS"))


def cluster_myid() -> Command[str]:
    """CLUSTER MYID: read the node's id.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/cluster-myid
    """
    return Command(_MYID, (b"CLUSTER", b"MYID"))


def cluster_myshardid() -> Command[str]:
    """CLUSTER MYSHARDID: read the id of the node's shard.

    Since: 7.2.0. Cost: O(1). Source: redis.io/commands/cluster-myshardid
    """
    return Command(_MYSHARDID, (b"CLUSTER", b"MYSHARDID"))


def cluster_nodes() -> Command[list[ClusterNode]]:
    """CLUSTER NODES: read what the node knows of all nodes.

    Since: 3.0.0. Cost: O(nodes). Source: redis.io/commands/cluster-nodes
    """
    return Command(_NODES, (b"CLUSTER", b"NODES"))


def cluster_replicas(node_id: str) -> Command[list[ClusterNode]]:
    """CLUSTER REPLICAS: read what the node knows of the replicas of a primary.

    Since: 5.0.0. Cost: O(replicas). Source: redis.io/commands/cluster-replicas
    """
    return Command(_REPLICAS, (b"CLUSTER", b"REPLICAS", node_id))


def cluster_shards() -> Command[list[ClusterShard]]:
    """CLUSTER SHARDS: read which nodes make up which shard.

    Wire: Maps on RESP3, flat lists on RESP2.

    Since: 7.0.0. Cost: O(nodes). Source: redis.io/commands/cluster-shards
    """
    return Command(_SHARDS, (b"CLUSTER", b"SHARDS"))


def cluster_slaves(node_id: str) -> Command[list[ClusterNode]]:
    """CLUSTER SLAVES: as `cluster_replicas`, which has replaced it.

    Since: 3.0.0. Cost: O(replicas). Source: redis.io/commands/cluster-slaves
    """
    return Command(_SLAVES, (b"CLUSTER", b"SLAVES", node_id))


def cluster_slot_stats(
    start: int | None = None,
    end: int | None = None,
    *,
    orderby: str | None = None,
    limit: int | None = None,
    order: Literal["ASC", "DESC"] | None = None,
) -> Command[dict[int, dict[str, int]]]:
    """CLUSTER SLOT-STATS: read numbers on slots that the node serves, such as "key-count".

    Args:
        start: Of the slots from here
        end: to here;
        orderby: or of all, in the order of one such number.
        limit: With `orderby`: how many slots at most.
        order: With `orderby`: the lowest first, or the highest, as without it.

    Returns:
        Numbers by name, by slot, in the server's order.

    Raises:
        UsageError: Neither a range nor an order, or both.

    Since: 8.0.0 (Redis 8.2). Cost: O(slots). Source: redis.io/commands/cluster-slot-stats
    """
    words: tuple[Arg, ...] = (b"CLUSTER", b"SLOT-STATS")
    if start is not None and end is not None and orderby is None and limit is None and order is None:
        return Command(_SLOT_STATS, (*words, b"SLOTSRANGE", start, end))
    if start is not None or end is not None or orderby is None:
        raise UsageError("CLUSTER SLOT-STATS takes either start and end, or orderby with limit and order")
    words = (*words, b"ORDERBY", orderby, *((b"LIMIT", limit) if limit is not None else ()))
    return Command(_SLOT_STATS, words if order is None else (*words, order))


def cluster_slots() -> Command[list[ClusterSlots]]:
    """CLUSTER SLOTS: read which nodes serve which slots.

    Since: 3.0.0. Cost: O(nodes). Source: redis.io/commands/cluster-slots
    """
    return Command(_SLOTS, (b"CLUSTER", b"SLOTS"))


def clusterscan(
    cursor: str = "0",
    match: Arg | None = None,
    count: int | None = None,
    type: str | None = None,
    slot: int | None = None,
) -> Command[ClusterPage[Text]]:
    """CLUSTERSCAN: list some of the keys of the cluster; the cursor says which node goes on.

    Args:
        cursor: "0" begins; later what the page before gave.
        match: Only keys like this pattern.
        count: About how many keys to look at.
        type: Only keys that hold this type.
        slot: Only keys of this slot.

    Since: Valkey 9.1.0. Cost: O(count). Source: valkey.io/commands/clusterscan
    """
    words: list[Arg] = [b"CLUSTERSCAN", cursor]
    options: tuple[tuple[bytes, Arg | None], ...] = (
        (b"MATCH", match),
        (b"COUNT", count),
        (b"TYPE", type),
        (b"SLOT", slot),
    )
    words += (word for name, value in options if value is not None for word in (name, value))
    return Command(_CLUSTERSCAN, tuple(words))


def readonly() -> Command[bool]:
    """READONLY: let this connection read from a replica; it belongs to `client.connection()`.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/readonly
    """
    return Command(_READONLY, (b"READONLY",))


def readwrite() -> Command[bool]:
    """READWRITE: have a replica send this connection to the primary for all keys again.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/readwrite
    """
    return Command(_READWRITE, (b"READWRITE",))
