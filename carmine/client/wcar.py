"""The door to the ancestor's context, for clients of both worlds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from carmine import _checks
from carmine._loading import loading
from carmine.client._sync.wcar import Wcar
from carmine.client.engine import Engine
from carmine.errors import UsageError

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from carmine.client._async.wcar import AsyncWcar
    from carmine.client._sync.client import Client

__all__ = ["wcar"]

T = TypeVar("T", bound=str | bytes)


@overload
def wcar(client: Client[T], as_list: bool = False) -> Wcar[T]: ...
@overload
def wcar(client: AsyncClient[T], as_list: bool = False) -> AsyncWcar[T]: ...
def wcar(client: Any, as_list: bool = False) -> Any:
    """Return a context manager that queues commands and sends them at its end.

    After `with carmine.wcar(client) as p: p.get(key)`, `p.replies` is the reply, or a list of them when there were
    several. A single error reply is raised; among several it is a value. A block inside another one sends first what
    that has queued.

    Args:
        client: A client of either world; with an AsyncClient it is `async with`.
        as_list: Whether one reply is a list of one, and an error in it a value.
    """
    _checks.flag("as_list", as_list)
    if isinstance(client, Engine):
        return Wcar(client, as_list)
    with loading("carmine.client._async.wcar"):
        from carmine.client._async.wcar import AsyncWcar  # noqa: PLC0415 - asyncio is for those who use it
    with loading("carmine.client.async_engine"):
        from carmine.client.async_engine import AsyncEngine  # noqa: PLC0415

    if isinstance(client, AsyncEngine):
        return AsyncWcar(client, as_list)
    raise UsageError(f"wcar takes a Client or an AsyncClient, not {_checks.kind(client)}")
