"""Commands of the group "transactions": several commands run with none of another client in between.

They belong to one connection: a client refuses them and offers `transaction()`; a pinned connection takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine.commands import decoders
from carmine.commands.command import Command
from carmine.commands.specs import spec

if TYPE_CHECKING:
    from carmine.types import Key

_DISCARD = spec("DISCARD", decoders.ok)
_EXEC = spec("EXEC")
_MULTI = spec("MULTI", decoders.ok)
_UNWATCH = spec("UNWATCH", decoders.ok)
_WATCH = spec("WATCH", decoders.ok)


def discard() -> Command[bool]:
    """DISCARD: drop what was queued since MULTI, and forget what is watched.

    Raises:
        ServerError: There was no MULTI.

    Since: 2.0.0. Cost: O(queued commands). Source: redis.io/commands/discard
    """
    return Command(_DISCARD, (b"DISCARD",))


def exec() -> Command[list[Any] | None]:
    """EXEC: run what was queued since MULTI, and forget what is watched.

    Returns:
        The replies as the protocol gave them, not shaped as each command's own method would; an error among them
        is a ServerError in its place. None where a watched key had been changed: nothing was run.

    Raises:
        ExecAbortError: A command was refused while it was queued: nothing was run.

    Since: 1.2.0. Cost: that of the queued commands. Source: redis.io/commands/exec
    """
    return Command(_EXEC, (b"EXEC",))


def multi() -> Command[bool]:
    """MULTI: from here on commands are queued, each answered by QUEUED, until EXEC or DISCARD.

    Since: 1.2.0. Cost: O(1). Source: redis.io/commands/multi
    """
    return Command(_MULTI, (b"MULTI",))


def unwatch() -> Command[bool]:
    """UNWATCH: forget what is watched.

    Since: 2.2.0. Cost: O(1). Source: redis.io/commands/unwatch
    """
    return Command(_UNWATCH, (b"UNWATCH",))


def watch(*keys: Key) -> Command[bool]:
    """WATCH: let the next EXEC do nothing if one of these keys is changed by then.

    Since: 2.2.0. Cost: O(keys). Source: redis.io/commands/watch
    """
    return Command(_WATCH, (b"WATCH", *keys))
