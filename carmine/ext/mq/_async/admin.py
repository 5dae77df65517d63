"""All queues of a server: their names, and the end of them.

What deletes takes exact names, lists before it deletes, and deletes exactly these: no name is ever used as a pattern.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine.ext.mq.keys import PREFIX, REGISTRY, SUFFIXES, checked_name, key_of, tagged

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient

__all__ = ["clear_all_queues_async", "clear_queues_async", "queue_names_async"]

_PAGE = 1_000
_MARK = "mid-circle"
"""The key that every queue has from its first message on."""


async def queue_names_async(client: AsyncClient[Any], pattern: str = "*", *, scan: bool | None = None) -> list[str]:
    """Return the names of the queues, sorted.

    Args:
        client: A client of the server.
        pattern: A Redis pattern that the names match; `carmine.glob_escape` makes one of a name.
        scan: Whether to go through all keys of the database as well, for queues that only the ancestor has used; None
            does when the registry has no name.
    """
    view = client.binary
    names = set()
    cursor = 0
    while True:
        page = await view.sscan(REGISTRY, cursor, pattern, _PAGE)
        names.update(page.items)
        cursor = page.cursor
        if not cursor:
            break
    if scan or (scan is None and not names and not await view.exists(REGISTRY)):
        start, end = len(PREFIX), -len(_MARK) - 1
        while True:
            page = await view.scan(cursor, f"{PREFIX}{pattern}:{_MARK}", _PAGE, "list")
            names.update(key[start:end] for key in page.items)
            cursor = page.cursor
            if not cursor:
                break
    return sorted(name.decode(errors="surrogateescape") for name in names)


async def clear_queues_async(client: AsyncClient[Any], *names: str) -> int:
    """Delete queues with all that belongs to them, dead letters and pause included; return how many there were.

    Args:
        client: A client of the server.
        *names: Their exact names.
    """
    view, count = client.binary, 0
    for name in names:
        key_name = tagged(checked_name(name)) if getattr(client, "is_cluster", False) else checked_name(name)
        # the last fence stays for its day, so that a queue of the same name goes on above it
        keys = [key_of(key_name, suffix) for suffix in sorted(SUFFIXES - {"fence"})]
        was_known = await view.srem(REGISTRY, name)
        count += bool(await view.unlink(*keys)) or bool(was_known)
    return count


async def clear_all_queues_async(client: AsyncClient[Any]) -> int:
    """Delete all queues of the database, as `clear_queues` does; return how many there were."""
    return await clear_queues_async(client, *await queue_names_async(client, scan=True))
