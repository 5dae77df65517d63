"""Commands of the group "cluster" that change one: nodes that meet, slots that move, replicas that take over.

They speak to the one node that they are sent to, and give True where it agrees. Tools do this; programs rarely should.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from carmine.commands import decoders
from carmine.commands.command import Command
from carmine.commands.specs import spec
from carmine.commands.words import wait_ms
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.types import Arg, Items, Seconds


def _epoch(raw: str) -> int:
    """`BUMPED 5` or `STILL 5` -> 5."""
    return int(raw.rpartition(" ")[2])


_ADDSLOTS = spec("CLUSTER ADDSLOTS", decoders.ok)
_ADDSLOTSRANGE = spec("CLUSTER ADDSLOTSRANGE", decoders.ok)
_BUMPEPOCH = spec("CLUSTER BUMPEPOCH", _epoch, text=True)
_CANCELSLOTMIGRATIONS = spec("CLUSTER CANCELSLOTMIGRATIONS", decoders.ok)
_DELSLOTS = spec("CLUSTER DELSLOTS", decoders.ok)
_DELSLOTSRANGE = spec("CLUSTER DELSLOTSRANGE", decoders.ok)
_FAILOVER = spec("CLUSTER FAILOVER", decoders.ok)
_FLUSHSLOT = spec("CLUSTER FLUSHSLOT", decoders.ok)
_FLUSHSLOTS = spec("CLUSTER FLUSHSLOTS", decoders.ok)
_FORGET = spec("CLUSTER FORGET", decoders.ok)
_MEET = spec("CLUSTER MEET", decoders.ok)
_MIGRATESLOTS = spec("CLUSTER MIGRATESLOTS", decoders.ok)
_REPLICATE = spec("CLUSTER REPLICATE", decoders.ok)
_RESET = spec("CLUSTER RESET", decoders.ok)
_SAVECONFIG = spec("CLUSTER SAVECONFIG", decoders.ok)
_SET_CONFIG_EPOCH = spec("CLUSTER SET-CONFIG-EPOCH", decoders.ok)
_SETSLOT = spec("CLUSTER SETSLOT", decoders.ok)


def _flat(command: str, ranges: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """Return the ends of ranges, one after the other."""
    try:
        found = tuple(end for first, last in ranges for end in (first, last))
    except (TypeError, ValueError):
        found = ()
    if not found:
        raise UsageError(f"{command} takes ranges of slots as (first, last), at least one")
    return found


def cluster_addslots(*slots: int) -> Command[bool]:
    """CLUSTER ADDSLOTS: have the node serve slots that nobody serves.

    Since: 3.0.0. Cost: O(slots). Source: redis.io/commands/cluster-addslots
    """
    return Command(_ADDSLOTS, (b"CLUSTER", b"ADDSLOTS", *slots))


def cluster_addslotsrange(*ranges: tuple[int, int]) -> Command[bool]:
    """CLUSTER ADDSLOTSRANGE: have the node serve ranges of slots, each `(first, last)`.

    Since: 7.0.0. Cost: O(slots). Source: redis.io/commands/cluster-addslotsrange
    """
    return Command(_ADDSLOTSRANGE, (b"CLUSTER", b"ADDSLOTSRANGE", *_flat("CLUSTER ADDSLOTSRANGE", ranges)))


def cluster_bumpepoch() -> Command[int]:
    """CLUSTER BUMPEPOCH: give the node the highest epoch, if another one has it; read the node's epoch.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/cluster-bumpepoch
    """
    return Command(_BUMPEPOCH, (b"CLUSTER", b"BUMPEPOCH"))


def cluster_cancelslotmigrations() -> Command[bool]:
    """CLUSTER CANCELSLOTMIGRATIONS: give up all that `cluster_migrateslots` has begun.

    Since: Valkey 9.0.0. Cost: O(migrations). Source: valkey.io/commands/cluster-cancelslotmigrations
    """
    return Command(_CANCELSLOTMIGRATIONS, (b"CLUSTER", b"CANCELSLOTMIGRATIONS"))


def cluster_delslots(*slots: int) -> Command[bool]:
    """CLUSTER DELSLOTS: have the node forget who serves slots.

    Since: 3.0.0. Cost: O(slots). Source: redis.io/commands/cluster-delslots
    """
    return Command(_DELSLOTS, (b"CLUSTER", b"DELSLOTS", *slots))


def cluster_delslotsrange(*ranges: tuple[int, int]) -> Command[bool]:
    """CLUSTER DELSLOTSRANGE: have the node forget who serves ranges of slots, each `(first, last)`.

    Since: 7.0.0. Cost: O(slots). Source: redis.io/commands/cluster-delslotsrange
    """
    return Command(_DELSLOTSRANGE, (b"CLUSTER", b"DELSLOTSRANGE", *_flat("CLUSTER DELSLOTSRANGE", ranges)))


def cluster_failover(option: Literal["FORCE", "TAKEOVER"] | None = None) -> Command[bool]:
    """CLUSTER FAILOVER: have a replica take its primary's place.

    Args:
        option: FORCE does not wait for the primary, TAKEOVER asks no other node either.

    Returns:
        True: it has begun.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/cluster-failover
    """
    return Command(_FAILOVER, (b"CLUSTER", b"FAILOVER") if option is None else (b"CLUSTER", b"FAILOVER", option))


def cluster_flushslot(slot: int, asynchronous: bool = False) -> Command[bool]:
    """CLUSTER FLUSHSLOT: delete all keys of a slot.

    Args:
        slot: The slot.
        asynchronous: Free the memory afterwards, beside other work.

    Since: Valkey 9.0.0. Cost: O(keys). Source: valkey.io/commands/cluster-flushslot
    """
    return Command(_FLUSHSLOT, (b"CLUSTER", b"FLUSHSLOT", slot, b"ASYNC" if asynchronous else b"SYNC"))


def cluster_flushslots() -> Command[bool]:
    """CLUSTER FLUSHSLOTS: have a node without keys forget all slots.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/cluster-flushslots
    """
    return Command(_FLUSHSLOTS, (b"CLUSTER", b"FLUSHSLOTS"))


def cluster_forget(node_id: str) -> Command[bool]:
    """CLUSTER FORGET: have the node forget another, for a minute at least.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/cluster-forget
    """
    return Command(_FORGET, (b"CLUSTER", b"FORGET", node_id))


def cluster_meet(host: str, port: int, bus_port: int | None = None) -> Command[bool]:
    """CLUSTER MEET: have the node meet another, and so two clusters become one.

    Args:
        host: The other's IP address.
        port: Its port for clients.
        bus_port: Its port for nodes; 10,000 more when not given.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/cluster-meet
    """
    words = (b"CLUSTER", b"MEET", host, port)
    return Command(_MEET, words if bus_port is None else (*words, bus_port))


def cluster_migrateslots(moves: Items[str, Iterable[tuple[int, int]]]) -> Command[bool]:
    """CLUSTER MIGRATESLOTS: have the node give slots and their keys to others.

    Args:
        moves: Ranges of slots, each `(first, last)`, by the id of the node they go to.

    Returns:
        True: it has begun; `cluster_getslotmigrations` tells how it goes.

    Raises:
        UsageError: No move, or a range that is none.

    Since: Valkey 9.0.0. Cost: O(slots). Source: valkey.io/commands/cluster-migrateslots
    """
    words: list[Arg] = [b"CLUSTER", b"MIGRATESLOTS"]
    for node_id, ranges in moves.items():
        words += (b"SLOTSRANGE", *_flat("CLUSTER MIGRATESLOTS", ranges), b"NODE", node_id)
    if len(words) == 2:
        raise UsageError("CLUSTER MIGRATESLOTS needs at least one move; the mapping is empty")
    return Command(_MIGRATESLOTS, tuple(words))


def cluster_replicate(node_id: str | None) -> Command[bool]:
    """CLUSTER REPLICATE: make the node a replica of another; None makes it one of nobody (Valkey 9.0).

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/cluster-replicate
    """
    words = (b"CLUSTER", b"REPLICATE")
    return Command(_REPLICATE, (*words, b"NO", b"ONE") if node_id is None else (*words, node_id))


def cluster_reset(hard: bool = False) -> Command[bool]:
    """CLUSTER RESET: have the node forget the cluster; `hard` its own id and epochs too.

    Since: 3.0.0. Cost: O(nodes). Source: redis.io/commands/cluster-reset
    """
    return Command(_RESET, (b"CLUSTER", b"RESET", b"HARD" if hard else b"SOFT"))


def cluster_saveconfig() -> Command[bool]:
    """CLUSTER SAVECONFIG: have the node save what it knows of the cluster.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/cluster-saveconfig
    """
    return Command(_SAVECONFIG, (b"CLUSTER", b"SAVECONFIG"))


def cluster_set_config_epoch(epoch: int) -> Command[bool]:
    """CLUSTER SET-CONFIG-EPOCH: give a new node its first epoch.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/cluster-set-config-epoch
    """
    return Command(_SET_CONFIG_EPOCH, (b"CLUSTER", b"SET-CONFIG-EPOCH", epoch))


def cluster_setslot(
    slot: int,
    *,
    importing: str | None = None,
    migrating: str | None = None,
    node: str | None = None,
    stable: bool = False,
    timeout: Seconds | None = None,
) -> Command[bool]:
    """CLUSTER SETSLOT: say what becomes of a slot.

    Args:
        slot: The slot.
        importing: It comes from the node of this id,
        migrating: or goes to that one,
        node: or is that one's from now on,
        stable: or stays where it is.
        timeout: How long the node waits for its replicas to know it (Valkey 8.0).

    Raises:
        UsageError: Not exactly one of the four.

    Since: 3.0.0. Cost: O(1). Source: redis.io/commands/cluster-setslot
    """
    told = ((b"IMPORTING", importing), (b"MIGRATING", migrating), (b"NODE", node))
    given: list[tuple[Arg, ...]] = [(word, id) for word, id in told if id is not None]
    given += [(b"STABLE",)] if stable else []
    if len(given) != 1:
        raise UsageError("CLUSTER SETSLOT takes exactly one of importing, migrating, node, stable")
    wait = () if timeout is None else (b"TIMEOUT", wait_ms("timeout", timeout))
    return Command(_SETSLOT, (b"CLUSTER", b"SETSLOT", slot, *given[0], *wait))
