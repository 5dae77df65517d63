"""How fault scenarios bring a server into a state, from a connection beside those of the clients (FAULTS.md group S).

Everything is said over the server's unix socket, by the laboratory's own `RawClient`, so that a state in which the
server answers nobody can be left again.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

from tests.lab.servers import wait_until
from tests.lab.wire import RawClient, ReplyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.drivers import Driver
    from tests.lab.servers import RedisServer

__all__ = ["aside", "called", "errors_told", "loop_for", "running", "wait_silent"]

_ROUNDS: Final = 4_000_000
"""Of an empty loop in Lua: some hundredths of a second."""


def loop_for(server: RedisServer, seconds: float) -> str:
    """Return Lua that keeps the server busy for so many seconds of its processor, and then ends by itself."""
    with aside(server) as raw:

        def timed() -> float:
            began = time.monotonic()
            raw.call("EVAL", f"for _ = 1, {_ROUNDS} do end", 0)
            return time.monotonic() - began

        fastest = min(timed(), timed(), timed())
    return f"for _ = 1, {int(_ROUNDS * seconds / fastest)} do end return 'through'"


@contextlib.contextmanager
def aside(server: RedisServer) -> Iterator[RawClient]:
    """Give a connection to the server for what it is not to be asked by the laboratory's usual one."""
    with RawClient(server.unix_path, 30.0) as raw:
        yield raw


@contextlib.contextmanager
def running(server: RedisServer, lua: str) -> Iterator[RawClient]:
    """Let the server run somebody else's script meanwhile; it is over when the block has ended.

    Yields the connection that waits for the script's reply.
    """
    with aside(server) as runner, aside(server) as killer:
        runner.send("EVAL", lua, 0)
        wait_until(lambda: _is_busy(killer), "a server that is busy with a script")
        try:
            yield runner
        finally:
            with contextlib.suppress(ReplyError):  # it has ended, or has written and will end by itself
                killer.call("SCRIPT", "KILL")
            wait_until(lambda: not _is_busy(killer), "the end of the script")


def wait_silent(server: RedisServer) -> None:
    """Wait until the server answers nobody: a ping has no answer within a time that is long for one."""
    with aside(server) as raw:
        raw.sock.settimeout(0.04)

        def is_silent() -> bool:
            try:
                raw.call("PING")
            except TimeoutError:
                return True
            return False

        wait_until(is_silent, "a server that answers nobody")


def _is_busy(raw: RawClient) -> bool:
    try:
        raw.call("PING")
    except ReplyError as error:
        if not str(error).startswith("BUSY"):
            raise
        return True
    return False


def called(driver: Driver, text: str, *keys: str) -> Any:
    """Call a script by its hash, as `client.script(text)(keys)` does in either world."""
    return driver.client.script(text).__call__(keys)


def errors_told(server: RedisServer, code: str) -> int:
    """Return how often the server has answered with an error of this code (from 6.2)."""
    told = server.info("errorstats").get(f"errorstat_{code}", "count=0")
    return int(told.partition("=")[2])
