"""Who takes part, and what is aimed at. Data only."""

from __future__ import annotations

from typing import NamedTuple

from bench.contestant import Kind
from bench.rows import Place, Row
from bench.stats import Bound, at_most


class Contender(NamedTuple):
    """One lock, and how its processes start."""

    kind: Kind


CONTENDERS: dict[str, Contender] = {
    "carmine": Contender(Kind("locks.carmine_sync")),
    "carmine-async": Contender(Kind("locks.carmine_async")),
    "redis-py": Contender(Kind("locks.redis_py", "redis")),
    "python-redis-lock": Contender(Kind("locks.python_redis_lock", "redis-lock")),
    "polling": Contender(Kind("locks.polling", "redis")),
}

OURS = ("carmine", "carmine-async")

TURN = Row(
    "locks/turn",
    "acquire and release, uncontended",
    "carmine",
    tuple(Place(label, label, "turn") for label in CONTENDERS),
)


class Figure(NamedTuple):
    """One figure: its name, what it is, its unit, and carmine's bound."""

    name: str
    title: str
    unit: str
    bound: Bound


TRIPS = Figure("locks/trips", "round trips of acquire and release", "", at_most(2))
HANDOVER = {
    "p50": Figure("locks/handover", "hand-over to a waiter, p50", "ms", at_most(1.5)),
    "p99": Figure("locks/handover", "hand-over to a waiter, p99", "ms", at_most(5)),
}
WAITER = Figure("locks/waiter", "commands a second, one waiter", "", at_most(3))
CROWD = Figure("locks/crowd", "commands a second, 50 waiters", "", at_most(150))
