"""Who takes part, how many messages each handles in a second or so, and what is aimed at.

Data only. Ratios are of times: `Target("rq", "carmine", >= 4)` means that RQ takes at least four times carmine's time
for a message. A target that is about the best peer is one about every peer.
"""

from __future__ import annotations

from typing import NamedTuple

from bench.contestant import Kind
from bench.rows import Place, Row, Target
from bench.stats import Bound, at_least, at_most


class Setting(NamedTuple):
    """One way to run a worker: what it is, and about how many messages it handles in a second."""

    title: str
    rate: int


class Contender(NamedTuple):
    """One queue: how its producer starts, and its two settings."""

    kind: Kind
    default: Setting
    best: Setting


# The rates only say how many messages a drain of a second takes: they are from a machine of two cores.
CONTENDERS: dict[str, Contender] = {
    "carmine": Contender(Kind("queues.carmine_sync"), Setting("8 threads", 8_000), Setting("64 threads", 14_000)),
    "carmine-async": Contender(Kind("queues.carmine_async"), Setting("8 tasks", 8_000), Setting("64 tasks", 14_000)),
    "rq": Contender(
        Kind("queues.rq_jobs", "rq"), Setting("a fork a job, with scheduler", 60), Setting("SimpleWorker", 300)
    ),
    "dramatiq": Contender(
        Kind("queues.dramatiq_actors", "dramatiq"), Setting("8 threads", 2_000), Setting("32 threads", 3_500)
    ),
    "arq": Contender(
        Kind("queues.arq_jobs", "arq"),
        # It takes 100 messages every half second: fewer than several hundred would be one burst.
        Setting("10 tasks, polls each 0.5 s", 600),
        Setting("500 tasks, polls each 10 ms, no results", 1_400),
    ),
    "saq": Contender(Kind("queues.saq_jobs", "saq"), Setting("10 tasks", 1_700), Setting("the same", 1_700)),
    "taskiq": Contender(
        Kind("queues.taskiq_tasks", "taskiq"),
        Setting("100 tasks, no acknowledgements", 2_900),
        Setting("the same, prefetching 100", 2_900),
    ),
    "huey": Contender(Kind("queues.huey_tasks", "huey"), Setting("1 thread", 3_000), Setting("2 threads", 4_000)),
    "celery": Contender(
        Kind("queues.celery_tasks", "celery"), Setting("2 processes", 900), Setting("1 process, solo, no gossip", 900)
    ),
}

OURS = ("carmine", "carmine-async")


def peers(labels: list[str]) -> list[str]:
    """Return those that are not carmine."""
    return [label for label in labels if label not in OURS]


def _row(name: str, title: str, work: str, bounds: dict[str, Bound]) -> Row:
    places = tuple(Place(label, label, work) for label in CONTENDERS)
    targets = [Target(peer, to, bound) for to, bound in bounds.items() for peer in peers(list(CONTENDERS))]
    return Row(name, title, "carmine", places, tuple(targets))


ENQUEUE = _row("queue/enqueue", "enqueue, one by one", "enqueue", {"carmine": at_least(1.3)})
BULK = _row("queue/bulk", "enqueue in bulk", "bulk", {"carmine": at_least(3)})
DEFAULT = _row("queue/handled-default", "handle, at the default", "default", {"carmine": at_least(2)})
BEST = _row("queue/handled-best", "handle, at its best", "best", dict.fromkeys(OURS, at_least(4)))
AGAINST = _row(
    "queue/handled-default-best", "handle, carmine's default and the peers' best", "mixed", {"carmine": at_least(2)}
)


def _sweep(name: str, title: str, steps: tuple[int, ...], reference: int, worst: float) -> Row:
    places = tuple(Place(f"{step:,}", "carmine", "best") for step in steps)
    targets = tuple(Target(place.label, f"{reference:,}", at_most(worst)) for place in places[1:])
    return Row(name, title, f"{reference:,}", places, targets)


# The bound for "flat" is ours: what a million messages cost the server's memory and caches, and nothing that grows.
DEPTHS = _sweep(
    "queue/depth", "handle and enqueue, so many waiting", (100, 1_000, 10_000, 100_000, 1_000_000), 100, 1.15
)
DELAYED = _sweep("queue/delayed", "handle, so many delayed beside", (0, 1_000, 10_000, 100_000), 0, 1 / 0.8)

#: Bounds in milliseconds on carmine's own figures.
LATENCY = {"p50": at_most(1.2), "p99": at_most(3)}
LATE = {"p50": at_most(2), "max": at_most(10)}
