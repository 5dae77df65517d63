"""What both worlds share about sending commands and settling replies: pure, it waits for nothing.

Invariants: a command that has no place here is refused before a byte is sent; an error knows its command and address;
what a decoder cannot read is an error of that reply alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NoReturn

from carmine._loading import loading
from carmine.commands.command import settle_each
from carmine.commands.flags import (
    BLOCKING,
    FORBIDDEN,
    READONLY,
    SECRET,
    STATE,
    SUBSCRIBE,
    UNKNOWN,
    block_seconds,
)
from carmine.commands.specs import is_absolute, refusal
from carmine.errors import (
    CarmineError,
    ConnectionLost,
    DecodeError,
    ExecAbortError,
    Outcome,
    PipelineError,
    RetryRule,
    ServerError,
    UnexpectedReplyError,
    UsageError,
    WatchError,
)
from carmine.protocol.values import Attributed, Verbatim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from carmine.client.serializing import Serializing
    from carmine.commands.command import Reply, Spec, Words
    from carmine.retry import Retry
    from carmine.transport.address import Address

__all__ = [
    "MISSHAPEN",
    "NEVER",
    "RECONNECTING",
    "SPECIAL",
    "decide",
    "ends_connection",
    "finish",
    "first_error",
    "located",
    "patience",
    "patience_of_many",
    "refuse",
    "serializing",
    "settle",
    "settle_exec",
    "settle_rest",
    "told_to_entries",
    "unexpected",
    "values_or_error",
    "was_stale",
]

NEVER: Final = FORBIDDEN | SUBSCRIBE
"""Refused everywhere: in a pipeline and on a pinned connection as well."""

SPECIAL: Final = FORBIDDEN | SUBSCRIBE | STATE | BLOCKING
"""A command with one of these bits leaves the fast path."""


SCRIPTS: Final = frozenset({"EVAL", "EVALSHA", "FCALL"})
"""Commands behind which several others stand: what came before their error reply is done."""

MISSHAPEN: Final = (TypeError, ValueError, LookupError, AttributeError, OverflowError)
"""What a decoder raises at a reply that is not of its command's shape."""


def refuse(spec: Spec) -> NoReturn:
    """Raise the error for a command that has no place on a client or in a pipeline."""
    if spec.flags & FORBIDDEN:
        raise UsageError(refusal(spec))
    if spec.flags & SUBSCRIBE:
        raise UsageError(f"{spec.name} turns its connection into a stream of messages; use client.pubsub()")
    raise UsageError(
        f"{spec.name} changes the state of one connection, and a client has many; use it on "
        "`with client.connection() as connection:`, or set what you need as an option of the client"
    )


def serializing(serializer: Any, text: bool) -> Serializing:
    """Return what freezes and thaws for a client.

    Args:
        serializer: The option of the client, not None.
        text: Whether strings without a marker are read as str.
    """
    with loading("carmine.client.serializing"):
        from carmine.client.serializing import Serializing  # noqa: PLC0415 - json and decimal are for who asks for them

    return Serializing(serializer, text)


def patience(spec: Spec, words: Words, read_timeout: float | None) -> float | None:
    """Return the seconds to wait for a command's reply; None for the connection's own timeout.

    A blocking command has its own timeout, and `read_timeout` on top for the way there and back.
    """
    if not spec.flags & BLOCKING:
        return None
    own = block_seconds(spec, words)
    if own is None:
        return None
    return math.inf if read_timeout is None else own + read_timeout


def patience_of_many(queue: Sequence[Reply[Any]], read_timeout: float | None) -> float | None:
    """Return the seconds that a pipeline with blocking commands may take, inf for no limit; None where none blocks."""
    own = [patience(entry.spec, entry.words, 0.0) for entry in queue if entry.spec.flags & BLOCKING]
    waits = [wait for wait in own if wait is not None]
    if not waits:
        return None
    return math.inf if read_timeout is None else sum(waits) + read_timeout


def decide(retry: Retry, error: CarmineError, attempt: int, chance: float, spec: Spec, words: Words) -> float | None:
    """Return the seconds to wait before another attempt, or None to give up."""
    return retry.decide(
        error,
        attempt=attempt,
        chance=chance,
        readonly=bool(spec.flags & READONLY),
        absolute_write=is_absolute(spec, words),
        compound=spec.name in SCRIPTS,
    )


def was_stale(error: CarmineError) -> bool:
    """Whether a pooled connection had died while it lay idle; a broken handshake has a CarmineError as its cause."""
    return (
        isinstance(error, ConnectionLost)
        and error.outcome is Outcome.NOT_SENT
        and not isinstance(error.__cause__, CarmineError)
    )


RECONNECTING: Final = frozenset({RetryRule.RECONNECT, RetryRule.REFRESH_TOPOLOGY})
"""What asks for another connection: this one was unblocked, or leads to what is no primary (any more)."""


def ends_connection(replies: Sequence[Any], blocked: bool) -> bool:
    """Whether an error among the replies of a batch asks for another connection.

    READONLY is looked for at both ends alone, so that a long batch does not pay for it; a transaction that was refused
    and commands that blocked (UNBLOCKED) are looked at whole.
    """
    if not blocked:
        ends = (replies[0], replies[-1])
        if not isinstance(ends[0], ServerError) and not isinstance(ends[1], ServerError):
            return False  # as nearly every batch
        if not isinstance(ends[1], ExecAbortError):
            replies = ends
    return any(isinstance(reply, ServerError) and reply.retry in RECONNECTING for reply in replies)


def finish(spec: Spec, reply: Any, address: Address) -> Any:
    """Return a command's result, or raise what its reply says."""
    if isinstance(reply, CarmineError):
        raise located(reply, spec, address)
    return shaped(spec, reply)


def located(error: CarmineError, spec: Spec, address: Address) -> CarmineError:
    """Return an error reply with its command and address; a handshake's error keeps the command it answered."""
    if isinstance(error, ServerError):
        error.command = error.command or spec.name
        error.address = str(address)
        if spec.flags & SECRET and not spec.flags & UNKNOWN and spec.name != "CONFIG SET":  # which repeats names alone
            error.message = _without_quoted(error.message, spec.name)
            error.args = (error.message,)
    return error


def _without_quoted(message: str, name: str) -> str:
    """Return a server's text without the words it quotes, which may be passwords; the command's name may stay."""
    parts = message.partition(", with args beginning with:")[0].replace("`", "'").split("'")
    return "'".join(part if index % 2 == 0 or part.upper() == name else "***" for index, part in enumerate(parts))


def shaped(spec: Spec, reply: Any) -> Any:
    """Return a raw reply in the shape of its command."""
    if spec.decode is None:
        return reply
    try:
        return spec.decode(reply)
    except MISSHAPEN as problem:
        raise unexpected(spec, reply) from problem


def unexpected(spec: Spec, reply: Any) -> UnexpectedReplyError:
    """Return the error for a reply that its command's decoder could not read."""
    if spec.name.startswith("EVAL"):
        return UnexpectedReplyError(
            f"the script's decode function could not read what it returned ({type(reply).__name__})"
        )
    return UnexpectedReplyError(
        f"the reply to {spec.name} is none that Redis documents ({type(reply).__name__}); "
        "client.execute gives it as it came"
    )


def settle(queue: list[Reply[Any]], replies: list[Any], address: Address, failure: CarmineError | None) -> None:
    """Give every queued entry its reply; those that got none, the failure.

    What ends more than one reply (KeyboardInterrupt in a decoder) is raised, when every entry is settled.
    """
    try:
        settle_each(queue, replies, lambda entry, reply: _settle_one(entry, reply, address))
        for entry in queue[len(replies) :]:
            entry.settle(failure)
    except BaseException as problem:
        settle_rest(queue, told_to_entries(problem, str(address)))
        raise


def settle_rest(queue: list[Reply[Any]], failure: CarmineError) -> None:
    """Give the failure to every entry that has neither a reply nor an error."""
    for entry in queue:
        if not entry.is_settled:
            entry.settle(failure)


def told_to_entries(failure: BaseException, address: str) -> CarmineError:
    """Return what the entries of a batch without a reply shall hold after a failure.

    An exception from elsewhere (KeyboardInterrupt) stays with its caller: kept in an entry, its traceback would keep
    every frame it passed alive.
    """
    if isinstance(failure, CarmineError):
        return failure
    return ConnectionLost(
        f"the call was ended by {type(failure).__name__} before this reply was read",
        outcome=Outcome.UNKNOWN,
        address=address,
    )


def _settle_one(entry: Reply[Any], reply: Any, address: Address) -> None:
    try:
        entry.settle(finish(entry.spec, reply, address))
    except (Exception, GeneratorExit) as problem:  # noqa: BLE001 - the caller's own decoder; other entries have theirs
        entry.settle(problem)


def first_error(queue: Sequence[Reply[Any]], what: str) -> PipelineError | None:
    """Return the error for a pipeline in which at least one command failed, or None."""
    failed = [index for index, entry in enumerate(queue) if entry.error is not None]
    if not failed:
        return None
    index = failed[0]
    entry = queue[index]
    more = f"; {len(failed)} of {len(queue)} commands failed" if len(failed) > 1 else ""
    error = PipelineError(
        f"command {index} of the {what}, {entry.spec.name}, failed: {entry.error}{more}",
        index=index,
        command=entry.spec.name,
        replies=[values_or_error(entry) for entry in queue],
    )
    error.__cause__ = entry.error
    return error


def values_or_error(entry: Reply[Any]) -> Any:
    """Return what a settled entry holds, an error as a value."""
    return entry.error if entry.error is not None else entry.value


def settle_exec(queue: list[Reply[Any]], replies: list[Any], address: Address, modes: bytes | None) -> None:
    """Give the queued entries of a transaction their replies, from those of MULTI, the commands and EXEC.

    Args:
        queue: The entries.
        replies: The raw replies; the last one is that of EXEC.
        address: Where the connection leads.
        modes: Set where EXEC was read as bytes because its commands differ: which of them want text.

    Raises:
        WatchError: EXEC answered null: a watched key had changed, nothing was executed.
        ExecAbortError: A command was refused while it was queued; nothing was executed. `.causes` says which.
    """
    outcome = replies[-1]
    if outcome is None:
        raise WatchError("a watched key was changed by somebody else; the transaction was not executed")
    if isinstance(outcome, ServerError):
        causes = tuple((index, reply) for index, reply in enumerate(replies[1:-1]) if isinstance(reply, ServerError))
        for index, cause in causes:
            located(cause, queue[index].spec, address)
        outcome.address = str(address)
        outcome.command = "EXEC"
        if isinstance(outcome, ExecAbortError):
            outcome.causes = causes
        if causes:
            raise outcome from causes[0][1]
        raise outcome
    if not isinstance(outcome, list) or len(outcome) != len(queue):
        raise UnexpectedReplyError("the reply to EXEC does not have one element for each command of the transaction")
    for index, (entry, reply) in enumerate(zip(queue, outcome, strict=True)):
        _settle_one(entry, as_text(reply) if modes is not None and modes[index] else reply, address)


def as_text(value: Any) -> Any:
    """Return a reply that was read as bytes with its strings as text; DecodeError where one is not UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return DecodeError(value)
    return _deep_text(value) if isinstance(value, (list, tuple, dict, set, Verbatim, Attributed)) else value


def _deep_text(value: Any) -> Any:
    made: Any
    parts: Any
    if isinstance(value, Verbatim):
        parts = (as_text(value.data),)
        made = Verbatim(value.format, *parts)
    elif isinstance(value, Attributed):
        parts = (as_text(value.value), as_text(value.attributes))
        made = Attributed(*parts)
    elif isinstance(value, dict):
        made = {as_text(key): as_text(item) for key, item in value.items()}
        parts = (*made.keys(), *made.values())
    else:
        parts = made = type(value)(as_text(item) for item in value)
    return next((part for part in parts if isinstance(part, DecodeError)), made)
