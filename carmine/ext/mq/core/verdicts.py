"""What becomes of a message when its handler has ended, however it did.

Pure: chance comes in as an argument. A handler's word counts, within the policy's bounds; an exception of any kind is
an attempt that failed; a return value that means nothing ends the message as a dead letter, for its handler has run.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from carmine.errors import UsageError
from carmine.ext.mq.core.policies import Exponential, Policy
from carmine.ext.mq.core.values import How, Result, milliseconds, told

__all__ = ["BACK", "Ending", "Kind", "exhausted", "failed", "judge"]

Kind: TypeAlias = Literal["success", "retry", "dead", "dropped", "back"]


class Ending(NamedTuple):
    """The end of a run: the words of finish.lua, and what it counts as."""

    how: How
    backoff: int
    error: str
    kind: Kind


BACK: Final = Ending("back", 0, "", "back")
_SUCCESS: Final = Ending("done", 0, "", "success")
_FALLBACK: Final = Policy(Exponential())


def exhausted(policy: Policy, attempt: int) -> Ending | None:
    """Return the end of a message that was claimed once too often, or None: what killed its worker is not run again."""
    if policy.max_attempts is None or attempt <= policy.max_attempts:
        return None
    return Ending("dead", 0, f"none of its {policy.max_attempts} attempts came to an end", "dead")


def judge(policy: Policy, attempt: int, returned: object, chance: float) -> Ending:
    """Return the end of a run whose handler returned something.

    Args:
        policy: The worker's.
        attempt: Which one it was, counted from 1.
        returned: None, a Result, or a status alone.
        chance: A random number from 0 to 1.
    """
    if returned is None:
        return _SUCCESS
    try:
        result = Result(returned) if isinstance(returned, str) else returned  # type: ignore[arg-type]  # checked below
        if not isinstance(result, Result) or result.status not in ("success", "retry", "error"):
            raise UsageError(f"the handler returned a {type(returned).__name__}, neither None nor a Result")
        backoff = milliseconds("backoff", result.backoff)
    except BaseException as problem:  # noqa: BLE001 - what a handler returns may be anything, and do anything
        return Ending("dead", 0, told(problem), "dead")
    if result.status == "success":
        return Ending("done", backoff, "", "success")
    if result.status == "error":
        return Ending("dead", backoff, told(result.error), "dead")
    if result.backoff is None:
        return failed(policy, attempt, None, chance, error=told(result.error))
    if policy.is_exhausted(attempt):
        return Ending("dead", 0, told(result.error), "dead")
    return Ending("retry", backoff, "", "retry")


def failed(
    policy: Policy,
    attempt: int,
    raised: BaseException | None,
    chance: float,
    *,
    error: str | None = None,
    drops: bool = False,
) -> Ending:
    """Return the end of a run whose attempt failed.

    Args:
        policy: The worker's; one that raises, or gives no number, is left out of account.
        attempt: Which one it was, counted from 1.
        raised: What the handler raised, if it did.
        chance: A random number from 0 to 1.
        error: What to note, instead of what was raised.
        drops: Whether the message is dropped instead of tried again.
    """
    if error is None:
        error = told(raised)
    if drops:
        return Ending("done", 0, "", "dropped")
    try:
        pause = policy.pause(attempt, chance, raised)
    except BaseException:  # noqa: BLE001 - the user's function; its message is tried again all the same
        pause = _FALLBACK.pause(attempt, chance)
    if pause is None:
        return Ending("dead", 0, error, "dead")
    return Ending("retry", milliseconds("retry", pause), "", "retry")
