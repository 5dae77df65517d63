"""The event loops that tests of the shared connection run on: asyncio's own, and uvloop where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from typing import TYPE_CHECKING, Any, Final

from tests.lab.leaks import Snapshot, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.servers import RedisServer

__all__ = ["LOOPS", "run_on", "stock"]


def _new_uvloop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415 - it may not be there

    made: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return made


LOOPS: Final[dict[str, Callable[[], asyncio.AbstractEventLoop]]] = {"asyncio": asyncio.new_event_loop}
"""Kind of loop -> what makes one."""

if importlib.util.find_spec("uvloop"):
    LOOPS["uvloop"] = _new_uvloop


def run_on(kind: str, main: Any) -> Any:
    """Run a coroutine to its end on a new loop of one kind."""
    with asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
        return runner.run(main)


class _Ended(asyncio.Protocol):
    def __init__(self) -> None:
        self.gone = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set_result(None)


async def stock(server: RedisServer | None = None) -> Snapshot:
    """Take a snapshot when the loop has opened what it keeps for good: uvloop does so with its first transport."""
    ours, peers = socket.socketpair()
    with peers:
        transport, protocol = await asyncio.get_running_loop().create_connection(_Ended, sock=ours)
        transport.close()
        await protocol.gone
    ours.close()
    return snapshot(server)
