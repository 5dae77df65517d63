"""The one object through which a program watches a client: metrics and tracing are built on it, outside the core.

Hooks see names, addresses, times and errors, never arguments or replies. What a hook raises is reported through
`sys.excepthook` and changes nothing.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Hooks", "Watched", "tell"]


class Hooks:
    """Override what you want to hear of; every method here does nothing.

    The methods are called in the thread or task that did the work, on its time: return quickly.
    """

    def on_command_start(self, name: str, address: str) -> None:
        """Hear that a command (or "PIPELINE", or the "TRANSACTION" of MULTI to EXEC) is about to be sent."""

    def on_command_end(self, name: str, address: str, seconds: float, error: BaseException | None) -> None:
        """Hear that a command has ended, after all attempts, and with which error."""

    def on_retry(self, name: str, attempt: int, wait: float, error: BaseException) -> None:
        """Hear that attempt number `attempt` failed and another follows after `wait` seconds."""

    def on_pool_wait(self, seconds: float, timed_out: bool) -> None:
        """Hear how long a caller waited for a connection of an exhausted pool."""

    def on_connect(self, address: str, seconds: float) -> None:
        """Hear that a connection was opened, handshake included."""

    def on_close(self, address: str) -> None:
        """Hear that a connection was closed."""

    def on_push(self, address: str, push: list[Any]) -> None:
        """Hear a push (such as an invalidation) that came on a connection an async client shares among its tasks."""

    def on_error(self, address: str, error: BaseException) -> None:
        """Hear that a connection could not be opened, or was lost under a call."""


def tell(hooks: Any, name: str, *facts: object) -> None:
    """Call one hook, if the object has it; nothing it raises gets out."""
    if hooks is None:
        return
    method = getattr(hooks, name, None)
    if method is None:
        return
    try:
        method(*facts)
    except Exception as error:  # noqa: BLE001 - the caller's reply must not depend on who watches
        sys.excepthook(type(error), error, error.__traceback__)


class Watched:
    """Tell the hooks that a command starts and how it ends, for the length of a `with` block."""

    __slots__ = ("_began", "_hooks", "_name", "_where")

    def __init__(self, hooks: Any, name: str, where: object) -> None:
        self._hooks = hooks
        self._name = name
        self._where = where
        self._began = 0.0

    def __enter__(self) -> None:
        if self._hooks is not None:
            self._began = time.monotonic()
            tell(self._hooks, "on_command_start", self._name, str(self._where))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._hooks is not None:
            seconds = time.monotonic() - self._began
            tell(self._hooks, "on_command_end", self._name, str(self._where), seconds, error)
