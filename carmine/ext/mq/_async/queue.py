"""A message queue: producers put in, workers claim and end; and the ways to look at it.

All that happens to a message happens inside one script on the server (scripts/*.lua, docs/queue.md). This room turns
Python values into their words and their replies into values. Invariants: a call is one round trip, however many
messages it is about, up to the chunk that one script takes; no clock of a client counts; contents never get into a log.
"""

from __future__ import annotations

from functools import partial
from os import urandom
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple, overload

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.mq import journal
from carmine.ext.mq._async.message import AsyncMessage
from carmine.ext.mq._async.view import AsyncQueueView
from carmine.ext.mq.core.values import (
    CHUNK,
    Enqueued,
    Entry,
    Result,
    entry_words,
    how_of,
    milliseconds,
    read_each,
    read_enqueued,
    told,
)
from carmine.ext.mq.errors import ContentError
from carmine.ext.mq.keys import checked_mid

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence
    from typing import Literal

    from carmine.client.lua import ScriptQueue
    from carmine.commands.command import Reply
    from carmine.types import Seconds

__all__ = ["SLEEPS", "AsyncQueue", "Poll"]

SLEEPS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds to sleep after 1, 2, 3, 4, 5 and more polls without work: an enqueue and what becomes due end them early;
messages that the ancestor's producers put into the circle wait for them."""

_FOREIGN_BACKOFF: Final = 60.0
"""Seconds a message of the ancestor's format rests before it is handed out again."""
_MOST: Final = 1_000
"""Entries one poll looks at, at most."""


class Poll(NamedTuple):
    """What a poll gave.

    Attributes:
        kind: "handle": messages; "skip": poll again at once; "sleep": nothing to do for `seconds`.
        messages: The messages claimed.
        seconds: How long to sleep at most.
        reason: Why there is nothing.
    """

    kind: Literal["handle", "skip", "sleep"]
    messages: list[AsyncMessage]
    seconds: float
    reason: str


class AsyncQueue(AsyncQueueView):
    """One queue of messages on a client's server.

    Args:
        client: Any client; its decoding and serializer do not matter here.
        name: The queue's name.
        serializer: What writes and reads contents that are no str: None for carmine's own format, or two functions.
        thaw_foreign: Reads contents that the ancestor has frozen with Nippy, marker included.
        max_size: How many messages the queue may hold; more are refused ("full"). None for no bound.
        max_dead: How many dead letters are kept; the oldest go.

    Raises:
        UsageError: A name that cannot be one, or another argument that is none.
    """

    # In. -------------------------------------------------------------------------------------------------------------

    @overload
    def enqueue(
        self,
        msg: Any,
        *,
        mid: str | None = None,
        backoff: Seconds | None = None,
        lease: Seconds | None = None,
        can_update: bool = False,
        can_requeue: bool = False,
        reset_backoff: bool = False,
        on: None = None,
    ) -> Coroutine[Any, Any, Enqueued]: ...
    @overload
    def enqueue(
        self,
        msg: Any,
        *,
        mid: str | None = None,
        backoff: Seconds | None = None,
        lease: Seconds | None = None,
        can_update: bool = False,
        can_requeue: bool = False,
        reset_backoff: bool = False,
        on: ScriptQueue,
    ) -> Reply[Enqueued]: ...
    def enqueue(
        self,
        msg: Any,
        *,
        mid: str | None = None,
        backoff: Seconds | None = None,
        lease: Seconds | None = None,
        can_update: bool = False,
        can_requeue: bool = False,
        reset_backoff: bool = False,
        on: ScriptQueue | None = None,
    ) -> Coroutine[Any, Any, Enqueued] | Reply[Enqueued]:
        """Put a message into the queue, as the status of its mid allows.

        Args:
            msg: Any value that can be frozen; a str is stored as it is.
            mid: Its id, under which the queue has it once; None makes a new one. Ids that come from users belong behind
                a prefix of yours, or one user takes another's.
            backoff: Seconds before it is handed out.
            lease: Seconds it is one worker's before another may have it; None leaves it to the worker.
            can_update: Replace the content that waits.
            can_requeue: Where it is being handled now: have it handled once more afterwards, with this content.
            reset_backoff: Where it waits: begin its backoff anew. Alone it keeps the content (debounce).
            on: A pipeline or a transaction to go with; then the Reply it will have is returned.

        Raises:
            UsageError: The mid or an option cannot be used, or the message cannot be frozen; nothing was sent.
            NetworkError: With outcome UNKNOWN the message may be in the queue. To try again with the same mid is safe
                while its first copy is there; so give one where that matters.
        """
        drawn = mid is None
        mid = urandom(16).hex() if mid is None else checked_mid(mid)
        options = (backoff, lease, can_update, can_requeue, reset_backoff)
        args = (self._now, self._max_size, *entry_words(mid, self._contents.write(msg), *options, drawn=drawn))
        if on is None:
            return self._enqueue(mid, args)
        return self._queue(on, "enqueue", args, lambda raw: read_enqueued(mid, raw[0]))

    async def _enqueue(self, mid: str, args: tuple[Any, ...]) -> Enqueued:
        if monotonic() > self._registered_until:
            await self._register()
        return read_enqueued(mid, (await self._run("enqueue", args))[0])

    @overload
    def enqueue_many(
        self,
        msgs: Iterable[Any],
        *,
        backoff: Seconds | None = None,
        lease: Seconds | None = None,
        can_update: bool = False,
        can_requeue: bool = False,
        reset_backoff: bool = False,
        on: None = None,
    ) -> Coroutine[Any, Any, list[Enqueued]]: ...
    @overload
    def enqueue_many(
        self,
        msgs: Iterable[Any],
        *,
        backoff: Seconds | None = None,
        lease: Seconds | None = None,
        can_update: bool = False,
        can_requeue: bool = False,
        reset_backoff: bool = False,
        on: ScriptQueue,
    ) -> list[Reply[list[Enqueued]]]: ...
    def enqueue_many(
        self,
        msgs: Iterable[Any],
        *,
        backoff: Seconds | None = None,
        lease: Seconds | None = None,
        can_update: bool = False,
        can_requeue: bool = False,
        reset_backoff: bool = False,
        on: ScriptQueue | None = None,
    ) -> Coroutine[Any, Any, list[Enqueued]] | list[Reply[list[Enqueued]]]:
        """Put many messages into the queue in one round trip; each stands for itself.

        Args:
            msgs: The messages; one that is an `Entry` has a mid and options of its own.
            backoff: As for `enqueue`, for those that are no Entry; so are the others.
            lease: As for `enqueue`.
            can_update: As for `enqueue`.
            can_requeue: As for `enqueue`.
            reset_backoff: As for `enqueue`.
            on: A pipeline or a transaction to go with; then Replies are returned, one for each 500 messages.

        Returns:
            What became of each, in their order.
        """
        chunks = self._chunks(list(msgs), (backoff, lease, can_update, can_requeue, reset_backoff))
        if on is None:
            return self._enqueue_chunks(chunks)
        return [self._queue(on, "enqueue", args, partial(read_each, mids)) for mids, args in chunks]

    def _chunks(self, msgs: list[Any], options: tuple[Any, ...]) -> list[tuple[list[str], list[Any]]]:
        """Return mids and words of each call that the messages take."""
        write, chance = self._contents.write, urandom(16 * len(msgs)).hex()
        usual = entry_words("", "", *options, drawn=True)[2:]
        chunks = []
        for start in range(0, len(msgs), CHUNK):
            mids: list[str] = []
            args: list[Any] = [self._now, self._max_size]
            for at, msg in enumerate(msgs[start : start + CHUNK], start):
                made = chance[32 * at : 32 * at + 32]
                if isinstance(msg, Entry):
                    mid = made if msg.mid is None else checked_mid(msg.mid)
                    args += entry_words(mid, write(msg.msg), *msg[2:], drawn=msg.mid is None)
                else:
                    mid = made
                    args += (mid, write(msg), *usual)
                mids.append(mid)
            chunks.append((mids, args))
        return chunks

    async def _enqueue_chunks(self, chunks: list[tuple[list[str], list[Any]]]) -> list[Enqueued]:
        if chunks and monotonic() > self._registered_until:
            await self._register()
        if len(chunks) == 1:
            mids, args = chunks[0]
            return read_each(mids, await self._run("enqueue", args))
        told_all: list[Enqueued] = []
        async with self._client.pipeline() as pipe:
            replies = [self._queue(pipe, "enqueue", args, None) for _, args in chunks]
        for (mids, _), reply in zip(chunks, replies, strict=True):
            told_all += read_each(mids, reply.value)
        return told_all

    # Out. ------------------------------------------------------------------------------------------------------------

    async def poll(
        self, count: int = 1, *, scan: int = 256, default_lease: Seconds = 60.0, sleeps: Sequence[Seconds] = SLEEPS
    ) -> Poll:
        """Claim the next messages, and keep the queue in order on the way; a worker does it in a loop.

        A content that cannot be read never reaches the caller: it becomes a dead letter, or, in the ancestor's format,
        is handed back with a backoff.

        Args:
            count: How many at most, up to 500. Claim no more than can be handled at once: their leases run.
            scan: How many entries to look at, up to 1,000; 1 is the ancestor's single step.
            default_lease: Seconds a message is held that has no lease of its own.
            sleeps: Five lengths, in seconds, that grow with the number of polls without work.
        """
        _checks.whole("count", count, least=1, most=CHUNK)
        _checks.whole("scan", scan, least=1, most=_MOST)
        if len(sleeps) != 5:
            raise UsageError("sleeps are five numbers of seconds")
        if monotonic() > self._registered_until:
            await self._register()
        lease = milliseconds("default_lease", default_lease, 0.001)
        naps = [milliseconds("sleeps", nap) for nap in sleeps]
        raw = await self._run("poll", (self._now, count, scan, lease, *naps))
        if raw[0] != b"handle":
            seconds = raw[2] / 1000 if len(raw) > 2 else 0.0
            return Poll("sleep" if raw[0] == b"sleep" else "skip", [], seconds, raw[1].decode())
        messages, read, size = [], self._contents.read, raw[1]
        unread: list[tuple[AsyncMessage, ContentError]] = []
        for at in range(2, len(raw), 6):
            word, data, attempt, lease_ms, age_ms, fence = raw[at : at + 6]
            message = AsyncMessage(self, word, None, attempt, lease_ms / 1000, age_ms / 1000, fence, size)
            try:
                message.content = read(data)
            except ContentError as problem:
                unread.append((message, problem))
            else:
                messages.append(message)
        if unread:
            await self._put_aside(unread)
        return Poll("handle", messages, 0.0, "") if messages else Poll("skip", [], 0.0, "contents that cannot be read")

    async def _put_aside(self, unread: list[tuple[AsyncMessage, ContentError]]) -> None:
        runs: list[Any] = []
        for message, problem in unread:
            if problem.is_foreign:
                runs += (message.word, message.fence, "back", int(_FOREIGN_BACKOFF * 1000), "")
            else:
                runs += (message.word, message.fence, "dead", 0, told(problem))
            if not self._has_warned or not problem.is_foreign:
                what = "is handed back, and others like it" if problem.is_foreign else "becomes a dead letter"
                journal.warn("queue %r, message %r, attempt %d %s: %s", *journal.named(message), what, problem)
                self._has_warned = self._has_warned or problem.is_foreign
        await self._run("finish", (self._now, self._max_dead, *runs))

    async def finish(self, message: AsyncMessage, result: Result | str = "success") -> bool:
        """End a run: "success", "retry" or "error", with a backoff; False when the lease was lost, and nothing changed.

        Args:
            message: What `poll` gave.
            result: How it ended. A retry is handed out again after its backoff; after a success or an error the same
                mid is refused for as long (dedupe window). An error drops the message; `bury` keeps it.
        """
        return (await self.finish_many([(message, result)]))[0]

    async def finish_many(self, runs: Iterable[tuple[AsyncMessage, Result | str]]) -> list[bool]:
        """End many runs in one round trip, each by its result; False where the lease was lost."""
        return await self._end([(message, *how_of(result)) for message, result in runs])

    async def nack(self, message: AsyncMessage, backoff: Seconds | None = None) -> bool:
        """Hand a message back as if it had not been claimed: it keeps its place, and the attempt does not count."""
        return (await self._end([(message, "back", milliseconds("backoff", backoff), "")]))[0]

    async def bury(self, message: AsyncMessage, error: object = None) -> bool:
        """End a run for good and keep the message as a dead letter, with its error."""
        return (await self._end([(message, "dead", 0, told(error))]))[0]

    async def _end(self, runs: Sequence[tuple[AsyncMessage, str, int, str]]) -> list[bool]:
        ended: list[bool] = []
        for start in range(0, len(runs), CHUNK):
            args: list[Any] = [self._now, self._max_dead]
            for message, how, backoff, error in runs[start : start + CHUNK]:
                args += (message.word, message.fence, how, backoff, error)
            ended += map(bool, await self._run("finish", args))
        return ended

    async def extend(self, message: AsyncMessage, lease: Seconds | None = None) -> bool:
        """Make a lease last longer, counted from now; False when it was lost."""
        return (await self.extend_many([message], lease))[0]

    async def extend_many(self, messages: Sequence[AsyncMessage], lease: Seconds | None = None) -> list[bool]:
        """Make many leases last longer in one round trip; None for as many seconds as each had."""
        held: list[bool] = []
        for start in range(0, len(messages), CHUNK):
            some = messages[start : start + CHUNK]
            args: list[Any] = [self._now]
            sent = monotonic()
            for message in some:
                args += (message.word, message.fence, milliseconds("lease", lease or message.lease, 0.001))
            replies = await self._run("extend", args)
            for message, reply in zip(some, replies, strict=True):
                if reply and lease is not None:
                    message.lease = _checks.seconds("lease", lease)
                    if message.worker is not None:
                        message.worker._extended(message, sent)
                held.append(bool(reply))
        return held

    async def wait(self, timeout: Seconds) -> bool:  # noqa: ASYNC109 - both worlds have it
        """Sleep on the server until a message comes; True when one did, False after `timeout` seconds.

        One message wakes one sleeper. The server counts time roughly, up to 0.1 s late.
        """
        seconds = _checks.seconds("timeout", timeout, least=0.001)
        keys = (self._key("isleep-b"), self._key("isleep-a"))
        return await self._client.blmove(*keys, seconds, "RIGHT", "LEFT") is not None

    # For workers. ----------------------------------------------------------------------------------------------------

    async def _pass_on(self) -> None:
        """Give the signal that `wait` got to another sleeper."""
        await self._client.lmove(self._key("isleep-a"), self._key("isleep-b"), "RIGHT", "LEFT")

    async def _tidy(self) -> None:
        """Keep the queue in order as `poll` does, and claim nothing."""
        await self._run("poll", (self._now, 0, _MOST, 1, *[1] * 5))
