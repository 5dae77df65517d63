"""Commands of the group "pubsub" that have one reply: publishing, and asking who listens.

Subscribing is not here: it turns a connection into a stream of pushes, which `client.pubsub()` reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from carmine.commands import decoders
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec

if TYPE_CHECKING:
    from carmine.types import Arg, Key

_PUBLISH = spec("PUBLISH")
_PUBSUB_CHANNELS = spec("PUBSUB CHANNELS")
_PUBSUB_NUMPAT = spec("PUBSUB NUMPAT")
_PUBSUB_NUMSUB = spec("PUBSUB NUMSUB", decoders.mapping)
_PUBSUB_SHARDCHANNELS = spec("PUBSUB SHARDCHANNELS")
_PUBSUB_SHARDNUMSUB = spec("PUBSUB SHARDNUMSUB", decoders.mapping)
_SPUBLISH = spec("SPUBLISH")


def publish(channel: Key, message: Arg) -> Command[int]:
    """PUBLISH: send a message to all who listen to a channel.

    Returns:
        How many of this server's clients it went to; on a cluster others may have had it too.

    Since: 2.0.0. Cost: O(listeners + patterns). Source: redis.io/commands/publish
    """
    return Command(_PUBLISH, (b"PUBLISH", channel, message))


def pubsub_channels(pattern: Key | None = None) -> Command[list[Text]]:
    """PUBSUB CHANNELS: list the channels that somebody listens to, those of patterns apart.

    Args:
        pattern: A glob pattern that they must match.

    Since: 2.8.0. Cost: O(channels). Source: redis.io/commands/pubsub-channels
    """
    if pattern is None:
        return Command(_PUBSUB_CHANNELS, (b"PUBSUB", b"CHANNELS"))
    return Command(_PUBSUB_CHANNELS, (b"PUBSUB", b"CHANNELS", pattern))


def pubsub_numpat() -> Command[int]:
    """PUBSUB NUMPAT: count the different patterns that clients listen to.

    Since: 2.8.0. Cost: O(1). Source: redis.io/commands/pubsub-numpat
    """
    return Command(_PUBSUB_NUMPAT, (b"PUBSUB", b"NUMPAT"))


def pubsub_numsub(*channels: Key) -> Command[dict[Text, int]]:
    """PUBSUB NUMSUB: count the listeners of each channel, those by pattern apart.

    Since: 2.8.0. Cost: O(channels given). Source: redis.io/commands/pubsub-numsub
    """
    return Command(_PUBSUB_NUMSUB, (b"PUBSUB", b"NUMSUB", *channels))


def pubsub_shardchannels(pattern: Key | None = None) -> Command[list[Text]]:
    """PUBSUB SHARDCHANNELS: list the shard channels that somebody listens to.

    Args:
        pattern: A glob pattern that they must match.

    Since: 7.0.0. Cost: O(channels). Source: redis.io/commands/pubsub-shardchannels
    """
    if pattern is None:
        return Command(_PUBSUB_SHARDCHANNELS, (b"PUBSUB", b"SHARDCHANNELS"))
    return Command(_PUBSUB_SHARDCHANNELS, (b"PUBSUB", b"SHARDCHANNELS", pattern))


def pubsub_shardnumsub(*channels: Key) -> Command[dict[Text, int]]:
    """PUBSUB SHARDNUMSUB: count the listeners of each shard channel.

    Since: 7.0.0. Cost: O(channels given). Source: redis.io/commands/pubsub-shardnumsub
    """
    return Command(_PUBSUB_SHARDNUMSUB, (b"PUBSUB", b"SHARDNUMSUB", *channels))


def spublish(channel: Key, message: Arg) -> Command[int]:
    """SPUBLISH: send a message to all who listen to a shard channel; on a cluster it stays in the channel's slot.

    Returns:
        How many of this server's clients it went to.

    Since: 7.0.0. Cost: O(listeners). Source: redis.io/commands/spublish
    """
    return Command(_SPUBLISH, (b"SPUBLISH", channel, message))
