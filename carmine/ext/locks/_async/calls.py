"""The ancestor's four calls: a token instead of a lease, and no renewal; locks of both libraries exclude each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from carmine.ext.locks import core
from carmine.ext.locks._async.locking import Locking
from carmine.ext.locks._async.scripts import run
from carmine.ext.locks._worlds import aio
from carmine.ext.locks.core import Locked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from carmine.client._async.client import AsyncClient
    from carmine.types import Seconds

__all__ = ["acquire_lock", "have_lock", "release_lock", "with_lock"]

R = TypeVar("R")


async def acquire_lock(client: AsyncClient[Any], name: str | bytes, ttl: Seconds, wait: Seconds | None) -> str | None:
    """Acquire a lock for a while that is not extended.

    Args:
        client: Whose server is asked.
        name: What is locked.
        ttl: Seconds after which the lock is free again by itself.
        wait: Seconds to wait for it; None for as long as it takes, 0 for one attempt.

    Returns:
        The token, with which it can be released; None when another held the lock for all that time.
    """
    lease = await Locking(client, name, ttl, wait, auto_extend=False).acquire()
    return None if lease is None else lease.token


async def release_lock(client: AsyncClient[Any], name: str | bytes, token: str) -> bool:
    """Give a lock back.

    Returns:
        Whether it was held by this token. After a network error the answer may be False though it was given back.
    """
    names = Locking(client, name)._names
    words = (core.token_of(token), names.signal)
    return bool((await run(client.binary, core.RELEASE, (names.lock,), words)).reply)


async def have_lock(client: AsyncClient[Any], name: str | bytes, token: str) -> bool:
    """Tell whether a lock is held by this token."""
    return core.is_mine(await client.binary.get(Locking(client, name)._names.lock), core.token_of(token))


async def with_lock(
    client: AsyncClient[Any], name: str | bytes, ttl: Seconds, wait: Seconds | None, fn: Callable[[], Awaitable[R]]
) -> Locked[R] | None:
    """Call a function while holding a lock.

    Args:
        client: Whose server is asked.
        name: What is locked.
        ttl: Seconds that the function may take.
        wait: Seconds to wait for the lock; None for as long as it takes, 0 for one attempt.
        fn: The function.

    Returns:
        `Locked(result)`; None when another held the lock for all that time, and then the function was not called.

    Raises:
        LeaseLost: The lock ran out before the function was done. What the function itself raises comes first.
    """
    lease = await Locking(client, name, ttl, wait, auto_extend=False).acquire()
    if lease is None:
        return None
    try:
        result = await aio.call(fn)
    except BaseException as error:
        await lease._leave(error)
        raise
    await lease._leave(None)
    return Locked(cast("R", result))
