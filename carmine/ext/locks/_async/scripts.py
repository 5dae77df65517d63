"""Run a script whose second run does no harm: again, where the first may or may not have been executed.

A client never sends a script again that may have run; those of the locks compare before they act.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from carmine.client.deadline import limit
from carmine.errors import NetworkError, Outcome, WrongTypeError
from carmine.ext.locks._worlds import aio
from carmine.transport.bookkeeping import chance

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from carmine.client.lua import Program
    from carmine.commands.command import Words

__all__ = ["Ran", "run"]

R = TypeVar("R")


class Ran(NamedTuple):
    """How a script went."""

    reply: Any
    sent: float
    """When it was sent last (time.monotonic())."""
    is_first: bool
    """Whether it cannot have run before this reply."""


async def run(client: AsyncClient[bytes], program: Program[R], keys: Words, args: Words) -> Ran:
    """Run a script, as often as the client would try a command that reads.

    Raises:
        NetworkError: Nobody knows whether it ran, or it did not; the outcome says which.
    """
    retry = client.options.retry
    attempt = 0
    while True:
        attempt += 1
        sent = time.monotonic()
        try:
            return Ran(await client._run(program, keys, args), sent, attempt == 1)
        except WrongTypeError as problem:
            problem.key = keys[0] if isinstance(keys[0], str | bytes) else None
            problem.add_note("another program has written the key of a lock, or of its fence")
            raise
        except NetworkError as problem:
            if problem.outcome is Outcome.NOT_SENT:
                if attempt > 1:
                    problem.outcome = Outcome.UNKNOWN  # that is true of the attempt before
                raise
            wait = retry.decide(problem, attempt=attempt, chance=chance(), readonly=True)
            if wait is None or time.monotonic() + wait >= limit():
                raise
        await aio.sleep(wait)
