"""Commands of the group "hyperloglog": about how many different elements there were, in 12 KB whatever their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carmine.commands import decoders
from carmine.commands.command import Command
from carmine.commands.specs import spec

if TYPE_CHECKING:
    from carmine.types import Key, Value

_PFADD = spec("PFADD", decoders.flag)
_PFCOUNT = spec("PFCOUNT")
_PFMERGE = spec("PFMERGE", decoders.ok)


def pfadd(key: Key, *elements: Value) -> Command[bool]:
    """PFADD: count elements in; without any the key is made.

    Returns:
        Whether the estimate changed, or the key was made.

    Since: 2.8.9. Cost: O(elements). Source: redis.io/commands/pfadd
    """
    return Command(_PFADD, (b"PFADD", key, *elements))


def pfcount(*keys: Key) -> Command[int]:
    """PFCOUNT: estimate how many different elements there were, in all of the keys together; 0.81 % off on average.

    Since: 2.8.9. Cost: O(1), with several keys O(keys) and slower. Source: redis.io/commands/pfcount
    """
    return Command(_PFCOUNT, (b"PFCOUNT", *keys))


def pfmerge(destination: Key, *sources: Key) -> Command[bool]:
    """PFMERGE: count into one key what others have counted; what it had counted itself stays.

    Returns:
        True.

    Since: 2.8.9. Cost: O(sources). Source: redis.io/commands/pfmerge
    """
    return Command(_PFMERGE, (b"PFMERGE", destination, *sources))
