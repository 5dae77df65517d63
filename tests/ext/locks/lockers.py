"""Locks in fault scenarios: one text for both worlds, the asyncio lock shown with the manners of the blocking one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from carmine.ext.locks import AsyncLock, Lock, core
from carmine.retry import Retry
from tests.lab.blocking import Blocking
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from tests.faults.drivers import Driver
    from tests.faults.invariants import Lab
    from tests.lab.servers import RedisServer

__all__ = [
    "KEY", "QUICK", "Call", "free", "lock_of", "ready", "renewals", "token_in", "wait_free", "wait_listeners",
]  # fmt: skip

KEY: Final = "carmine:lock:"
QUICK: Final = Retry(3, base=0.01, cap=0.05)


def lock_of(driver: Driver, name: str, **options: Any) -> Any:
    """Return a lock of a driver's client, and of its world."""
    if driver.world == "sync":
        return Lock(driver.client, name, **options)
    made: Any = driver
    return Blocking(made.loop, AsyncLock(made._made, name, **options))


def token_in(server: RedisServer, name: str) -> str | None:
    """Return what the lock's key holds."""
    held = server.call("GET", KEY + name)
    return held.decode() if isinstance(held, bytes) else None


def free(server: RedisServer, name: str) -> bool:
    """Tell whether nobody holds a lock."""
    return token_in(server, name) is None


def wait_free(server: RedisServer, name: str, within: float = 5.0) -> None:
    """Wait until nobody holds a lock."""
    wait_until(lambda: free(server, name), f"the lock {name} is free", within)


def wait_listeners(server: RedisServer, count: int) -> None:
    """Wait until so many clients listen to some channel."""
    wait_until(lambda: sum(one["sub"] != "0" for one in server.clients()) == count, f"{count} clients that listen")


class Call:
    """A call in a thread of its own: what it returned, or raised."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.returned: Any = None
        self.raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(function, args), daemon=True)
        self._thread.start()

    def _run(self, function: Any, args: tuple[Any, ...]) -> None:
        try:
            self.returned = function(*args)
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self.raised = error

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def result(self, within: float = 10.0) -> Any:
        """Wait for its end; return or raise what it did."""
        self._thread.join(within)
        assert self.is_done, f"the call did not end within {within} s"
        if self.raised is not None:
            raise self.raised
        return self.returned


def ready(lab: Lab, **options: Any) -> Any:
    """Return a driver whose server knows the scripts."""
    driver = lab.client(retry=options.pop("retry", QUICK), **options)
    with lock_of(driver, "warm"):
        pass
    return driver


def renewals(lab: Lab) -> int:
    """Return how many renewals were sent by hash."""
    return lab.sent("EVALSHA", core.EXTEND.sha)
