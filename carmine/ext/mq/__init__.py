"""carmine.ext.mq: a message queue on the server's own lists and hashes, with leases, retries and dead letters.

Public names only; those of asyncio load it when they are first touched. docs/queue.md tells what is promised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine._loading import load
from carmine.ext.mq._sync.admin import clear_all_queues, clear_queues, queue_names
from carmine.ext.mq._sync.message import Message
from carmine.ext.mq._sync.queue import Poll, Queue
from carmine.ext.mq._sync.worker import Worker
from carmine.ext.mq.core.counting import Times, WorkerStatus
from carmine.ext.mq.core.policies import Exponential, Policy
from carmine.ext.mq.core.settings import exp_backoff
from carmine.ext.mq.core.values import DeadLetter, Enqueued, Entry, QueuedMessage, QueueStatus, Result
from carmine.ext.mq.errors import ContentError, LayoutError, QueueError
from carmine.ext.mq.monitoring import monitor_fn

if TYPE_CHECKING:
    from carmine.ext.mq._async.admin import clear_all_queues_async, clear_queues_async, queue_names_async
    from carmine.ext.mq._async.message import AsyncMessage
    from carmine.ext.mq._async.queue import AsyncQueue
    from carmine.ext.mq._async.worker import AsyncWorker

__all__ = [
    "AsyncMessage",
    "AsyncQueue",
    "AsyncWorker",
    "ContentError",
    "DeadLetter",
    "Enqueued",
    "Entry",
    "Exponential",
    "LayoutError",
    "Message",
    "Policy",
    "Poll",
    "Queue",
    "QueueError",
    "QueueStatus",
    "QueuedMessage",
    "Result",
    "Times",
    "Worker",
    "WorkerStatus",
    "clear_all_queues",
    "clear_all_queues_async",
    "clear_queues",
    "clear_queues_async",
    "exp_backoff",
    "monitor_fn",
    "queue_names",
    "queue_names_async",
]

_LATER = {
    "AsyncMessage": "carmine.ext.mq._async.message",
    "AsyncQueue": "carmine.ext.mq._async.queue",
    "AsyncWorker": "carmine.ext.mq._async.worker",
    "clear_all_queues_async": "carmine.ext.mq._async.admin",
    "clear_queues_async": "carmine.ext.mq._async.admin",
    "queue_names_async": "carmine.ext.mq._async.admin",
}


def __getattr__(name: str) -> Any:
    """Load a name of asyncio's world at its first touch (PEP 562)."""
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module 'carmine.ext.mq' has no attribute {name!r}")
    value = getattr(load(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
