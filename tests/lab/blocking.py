"""An asyncio client for who cannot await: its calls run on an event loop in a thread of its own, each to a deadline.

`Blocking` shows an object of the async world with the manners of the blocking one: what its methods return is awaited
on the loop, `async with` becomes `with`, `aclose` becomes `close`. So one text of a scenario serves both worlds. It
knows no client: which objects are to be shown so again is told by their class's name.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

__all__ = ["Blocking", "LoopThread"]

WATCHDOG: Final = 30.0
"""Seconds after which a call is taken to hang."""


class LoopThread:
    """An event loop in a thread of its own.

    Attributes:
        native_id: The thread's id, for a stopwatch.
        problems: What went wrong where nobody could catch it: in callbacks, or in tasks that nobody awaited.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._note)
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="event-loop", daemon=True)
        self._thread.start()
        self.native_id: int = self.run(threading.get_native_id)

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._loop.run_forever()
            except (KeyboardInterrupt, SystemExit):
                continue  # a task's: the loop lets it through as well as giving it to who awaits the task

    def _note(self, loop: asyncio.AbstractEventLoop, facts: dict[str, Any]) -> None:
        self.problems.append(f"{facts.get('message')}: {facts.get('exception')!r}")

    def run(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Call a function on the loop, await what it returns if it can be, and return or raise how that ended."""
        assert self.is_running, "this event loop was stopped"
        assert threading.current_thread() is not self._thread, "a call that waits for its own loop would never end"

        async def call() -> Any:
            made = function(*args, **named)
            return await made if inspect.isawaitable(made) else made

        future = asyncio.run_coroutine_threadsafe(call(), self._loop)
        try:
            return future.result(WATCHDOG)
        except TimeoutError:
            if future.done():
                raise  # the call's own
            future.cancel()
            raise AssertionError(f"{function!r} hangs on the event loop") from None

    @property
    def is_running(self) -> bool:
        """Whether calls can be made."""
        return self._thread.is_alive()

    def tasks(self) -> list[str]:
        """Name the tasks that are left."""

        async def ask() -> list[str]:
            return [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]

        told: list[str] = self.run(ask)
        return told

    def stop(self) -> None:
        """End the loop and its thread; fail over tasks that are left, and over what went wrong unseen."""
        if not self.is_running:
            return
        left = self.tasks()
        self.run(self._loop.shutdown_asyncgens)
        self.run(self._loop.shutdown_default_executor)
        self._is_over = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        assert not left, f"tasks are left: {left}"
        assert not self.problems, f"went wrong unseen: {self.problems}"


class Blocking:
    """An object of the async world, as the blocking world would have it."""

    def __init__(self, loop: LoopThread, shown: Any) -> None:
        self._loop = loop
        self._shown = shown

    def __getattr__(self, name: str) -> Any:
        """Return an attribute; a method is called on the loop."""
        if name == "close" and not hasattr(self._shown, "close"):
            name = "aclose"
        found = getattr(self._shown, name)
        if not inspect.isroutine(found) and not inspect.isfunction(found):
            return self._show(found)
        return lambda *args, **named: self._call(found, *args, **named)

    def _call(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        return self._show(self._loop.run(function, *map(self._awaitable, args), **named))

    def _awaitable(self, value: Any) -> Any:
        """Return a function that a method takes (such as that of `atomic`) as one that may use what it is given."""
        if not inspect.isfunction(value):
            return value

        def called(*args: Any) -> Awaitable[Any]:
            return asyncio.to_thread(value, *map(self._show, args))

        return called

    def _show(self, value: Any) -> Any:
        return Blocking(self._loop, value) if type(value).__name__.startswith("Async") else value

    def __enter__(self) -> Any:
        """Enter the block on the loop."""
        entered = self._call(self._shown.__aenter__)
        return self if entered._shown is self._shown else entered

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> Any:
        """Leave the block on the loop."""
        return self._call(self._shown.__aexit__, kind, error, tb)

    def __bool__(self) -> bool:
        """Be something."""
        return True

    def __repr__(self) -> str:
        """Show the object itself."""
        return repr(self._shown)

    def __eq__(self, other: object) -> bool:
        """Be what is shown."""
        return isinstance(other, Blocking) and other._shown is self._shown

    def __hash__(self) -> int:
        return hash(id(self._shown))
