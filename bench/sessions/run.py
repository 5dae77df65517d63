"""One run: times of requests by the harness's schedule, and round trips by the server's own account."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench import envs
from bench.contestant import KINDS, Contestant
from bench.locks.server import Teller
from bench.probes import Finding
from bench.rivals.sessions.base import CHANGE, READ
from bench.rivals.work import Unavailable
from bench.run import Settings, run
from bench.sessions import rows
from bench.stats import Interval, at_most

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.run import Outcome
    from bench.server import Server

_REQUESTS = 50

_PAGES = {"read": (READ, "a page that reads", 1), "change": (CHANGE, "a page that changes", 2)}


def prepare(say: Callable[[str], None]) -> None:
    """Make these rivals known to the harness, and their environments."""
    envs.PACKAGES.update(rows.PACKAGES)
    KINDS.update(rows.KINDS)
    envs.prepare({kind.environment for kind in rows.KINDS.values()}, say)


def compare(
    server: Server, settings: Settings, say: Callable[[str], None]
) -> tuple[list[Outcome], list[Finding], dict[str, object]]:
    """Measure everything; `prepare` comes before.

    Returns:
        The rows, the round trips, and what each rival said of itself.
    """
    outcomes, versions = run(rows.ROWS, server, settings, say)
    return outcomes, [found for label in rows.KINDS for found in _trips(label, server)], versions


def _trips(label: str, server: Server) -> list[Finding]:
    """Count the commands of requests of one visitor who was there before."""
    findings = []
    teller = Teller(server.address)
    try:
        worker = Contestant(rows.KINDS[label], server.address)
        try:
            for page, (path, title, most) in _PAGES.items():
                worker.ask("requests", path=path, count=5)
                seen = teller.watch(partial(worker.ask, "requests", path=path, count=_REQUESTS))
                value = seen / _REQUESTS
                target = at_most(most) if "carmine" in label else None
                findings.append(
                    Finding(f"sessions/trips-{page}", f"round trips of {title}", label, "", _exact(value), target)
                )
        finally:
            worker.stop()
    except Unavailable as reason:
        findings.append(Finding("sessions/trips", "round trips", label, "", None, None, str(reason)))
    finally:
        teller.close()
    return findings


def _exact(value: float) -> Interval:
    return Interval(value, value, value)
