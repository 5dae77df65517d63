"""Commands of the group "connection" that have the server tell when keys change: client-side caching.

They set state of their connection, and belong to `client.connection()`, as those of `connection.py` that do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine.commands import decoders
from carmine.commands.arguments import some_args
from carmine.commands.command import Command
from carmine.commands.specs import spec
from carmine.commands.words import only_one, switch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.types import Arg


def _tracking_info(raw: Any) -> dict[str, Any]:
    told = decoders.mapping(raw)
    return {**told, "flags": decoders.members(told["flags"])}


_CLIENT_CACHING = spec("CLIENT CACHING", decoders.ok)
_CLIENT_GETREDIR = spec("CLIENT GETREDIR")
_CLIENT_TRACKING = spec("CLIENT TRACKING", decoders.ok)
_CLIENT_TRACKINGINFO = spec("CLIENT TRACKINGINFO", _tracking_info, text=True)


def client_caching(on: bool) -> Command[bool]:
    """CLIENT CACHING: track the keys of this connection's next command, or not.

    Args:
        on: Yes after `client_tracking(optin=True)`, no after `client_tracking(optout=True)`.

    Returns:
        True.

    Since: 6.0.0. Cost: O(1). Source: redis.io/commands/client-caching
    """
    return Command(_CLIENT_CACHING, (b"CLIENT", b"CACHING", b"YES" if on else b"NO"))


def client_getredir() -> Command[int]:
    """CLIENT GETREDIR: read which connection gets the invalidations of this one.

    Returns:
        Its id; 0 when this connection gets them itself, -1 when nothing is tracked.

    Since: 6.0.0. Cost: O(1). Source: redis.io/commands/client-getredir
    """
    return Command(_CLIENT_GETREDIR, (b"CLIENT", b"GETREDIR"))


def client_tracking(
    on: bool,
    *,
    redirect: int | None = None,
    prefixes: Iterable[str] = (),
    bcast: bool = False,
    optin: bool = False,
    optout: bool = False,
    noloop: bool = False,
) -> Command[bool]:
    """CLIENT TRACKING: have the server tell when keys that this connection read change, or not.

    Args:
        on: Whether it tells.
        redirect: The number of the connection that is told instead.
        prefixes: With `bcast`: only keys that begin so.
        bcast: Tell of all keys, read or not.
        optin: Only keys of a command that follows `client_caching(True)`.
        optout: No keys of a command that follows `client_caching(False)`.
        noloop: Nothing of what this connection changes itself.

    Returns:
        True.

    Raises:
        UsageError: `optin` and `optout` together.

    Since: 6.0.0. Cost: O(prefixes). Source: redis.io/commands/client-tracking
    """
    only_one("CLIENT TRACKING", optin=optin, optout=optout)
    words: list[Arg] = [b"CLIENT", b"TRACKING", switch(on)]
    if redirect is not None:
        words += (b"REDIRECT", redirect)
    for prefix in some_args("CLIENT TRACKING", prefixes):
        words += (b"PREFIX", prefix)
    told = {b"BCAST": bcast, b"OPTIN": optin, b"OPTOUT": optout, b"NOLOOP": noloop}
    words += (token for token, given in told.items() if given)
    return Command(_CLIENT_TRACKING, tuple(words))


def client_trackinginfo() -> Command[dict[str, Any]]:
    """CLIENT TRACKINGINFO: read what the server tracks for this connection.

    Returns:
        `flags` as a set, `redirect` as a number (-1 where nothing is tracked), `prefixes` as a list.

    Since: 6.2.0. Cost: O(1). Source: redis.io/commands/client-trackinginfo
    """
    return Command(_CLIENT_TRACKINGINFO, (b"CLIENT", b"TRACKINGINFO"))
