"""`carmine mq enqueue`: puts messages into a queue, from the command line or from stdin.

What is no message is refused before anything is sent; of many lines, those before the first bad one are in the queue.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from carmine import UsageError
from carmine.cli import mq_shape as shape
from carmine.ext.mq import Queue, QueueError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from carmine import Client
    from carmine.cli.screen import Screen
    from carmine.ext.mq import Enqueued

__all__ = ["enqueue"]

_BLOCK: Final = 1 << 16
_WHY: Final = {
    "already-queued": "the queue has a message of this mid already",
    "locked": "a message of this mid is being handled; --requeue puts this one behind it",
    "backoff": "a message of this mid was handled, and rests; --requeue puts this one behind it",
    "full": "the queue is full",
}


def enqueue(asked: argparse.Namespace, screen: Screen, client: Client[Any]) -> int:
    """Put one message into a queue, or each line of stdin."""
    queue = Queue(client, asked.queue, max_size=asked.max_size)
    options = {
        "backoff": asked.backoff,
        "lease": asked.lease,
        "can_update": asked.update,
        "can_requeue": asked.requeue,
        "reset_backoff": asked.reset_backoff,
    }
    if isinstance(asked.json, str):
        if asked.message is not None:
            raise UsageError("a message is given once: behind --json, or behind the queue")
        asked.message, asked.json = asked.json, True
    if asked.lines:
        if asked.message not in (None, "-") or asked.mid is not None:
            raise UsageError("--lines takes its messages from stdin, and makes their mids")
        return _enqueue_lines(asked, screen, queue, options)
    message = _message(_text(asked), "the message", is_json=asked.json)
    done = queue.enqueue(message, mid=asked.mid, **options)
    if asked.json:
        screen.raw(shape.line(done._asdict()))
    if done.error is not None:
        raise QueueError(_WHY[done.error])
    if not asked.json:
        screen.raw(f"{done.action} {shape.name(done.mid or '')}")
    return 0


def _enqueue_lines(asked: argparse.Namespace, screen: Screen, queue: Queue, options: dict[str, Any]) -> int:
    taken = refused = 0
    with screen.progress("messages") as show:
        for messages, problem in _blocks(is_json=asked.json):
            for done in queue.enqueue_many(messages, **options):
                taken += done.success
                refused += not done.success
                _tell(asked, screen, done)
            show(taken + refused)
            if problem is not None:
                raise QueueError(f"{problem}; of what came before, {shape.many(taken, 'message')} went into the queue")
    if not asked.json:
        screen.raw(f"added {shape.many(taken, 'message')}")
    if refused:
        raise QueueError(f"{shape.many(refused, 'message')} did not go into the queue: {_WHY['full']}")
    return 0


def _tell(asked: argparse.Namespace, screen: Screen, done: Enqueued) -> None:
    if asked.json:
        screen.raw(shape.line(done._asdict()))


# What is given. ------------------------------------------------------------------------------------------------------


def _text(asked: argparse.Namespace) -> str:
    """Return the message's text, from the command line or else from stdin, less the end of its last line."""
    if asked.message not in (None, "-"):
        return str(asked.message)
    if asked.message is None and sys.stdin.isatty():
        raise UsageError('give the message, or "-" to type it')
    return _decoded(sys.stdin.buffer.read(), "the message on stdin").removesuffix("\n").removesuffix("\r")


def _blocks(*, is_json: bool) -> Iterator[tuple[list[Any], UsageError | None]]:
    """Give the messages of stdin as they come, with what is wrong with the line behind them."""
    number, rest = 0, b""
    stdin: Any = sys.stdin.buffer
    while True:
        block: bytes = stdin.read1(_BLOCK)
        *whole, rest = (rest + block).split(b"\n") if block else (rest, b"")
        messages: list[Any] = []
        for line in whole:
            number += 1
            if not line.strip():
                continue
            what = f"line {number} of stdin"
            try:
                messages.append(_message(_decoded(line, what).removesuffix("\r"), what, is_json=is_json))
            except UsageError as problem:
                yield messages, problem
                return
        yield messages, None
        if not block:
            return


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{what} is not UTF-8") from None


def _message(text: str, what: str, *, is_json: bool) -> Any:
    if not is_json:
        return text
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as problem:
        raise UsageError(f"{what} is not JSON: {problem}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, NaN, brackets without end
        raise UsageError(f"{what} is not JSON that can be read") from None


def _refuse(word: str) -> Any:
    raise ValueError(word)
