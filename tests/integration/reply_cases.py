"""The form of the reply tables: calls of facade methods with what they must give, on any client and either protocol.

A table says nothing of how a call is made. What runs it asks `run_case` with a function `invoke(name, args, options)`,
which returns the value or raises; a client that waits wraps itself into such a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import pytest

from carmine.types import ScanPage
from tests.unit.command_tables import typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.matrix import Leg

    Invoke = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]

__all__ = [
    "ALWAYS",
    "LAST",
    "Both",
    "Call",
    "Case",
    "Fails",
    "Such",
    "as_bytes",
    "call",
    "case",
    "fits",
    "run_case",
    "since",
    "steps",
]

LAST: Final = object()
"""As an argument: what the step before gave."""


class Since(NamedTuple):
    """From which version a case holds on Redis and on Valkey; None for never."""

    redis: str | None
    valkey: str | None

    def holds_on(self, leg: Leg) -> bool:
        """Whether this server is new enough."""
        wanted = self.valkey if leg.is_valkey else self.redis
        return wanted is not None and _version(leg.version) >= _version(wanted)


ALWAYS: Final = Since("0", "0")


def since(redis: str | None, valkey: str | None = "7.2") -> Since:
    """Return the versions from which a case holds; Valkey began as Redis 7.2."""
    return Since(redis, valkey)


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


@final
class Such:
    """Expects a value of this type that passes a check."""

    def __init__(self, kind: type, check: Callable[[Any], bool] = lambda value: True) -> None:
        self.kind = kind
        self.check = check

    def verify(self, value: Any) -> None:
        """Fail unless the value is such a one."""
        assert type(value) is self.kind
        assert self.check(value), f"not as expected: {value!r}"


@final
class Both:
    """Expects one value, or Such, of a client of text, and another of a client of bytes."""

    def __init__(self, text: Any, data: Any) -> None:
        self.text = text
        self.data = data


@final
class Fails:
    """Expects an exception of exactly this class."""

    def __init__(self, kind: type[Exception]) -> None:
        self.kind = kind


class Call(NamedTuple):
    """A facade method with its arguments."""

    name: str
    args: tuple[Any, ...]
    options: dict[str, Any]


class Case(NamedTuple):
    """Calls in a row on one connection, each with what it must give; and what the server is told before."""

    steps: tuple[tuple[Call, Any], ...]
    setup: tuple[str, ...]
    since: Since
    pinned: bool

    @property
    def name(self) -> str:
        """Name the case by its calls."""
        return "+".join(each.name for each, _ in self.steps)

    def __repr__(self) -> str:
        return self.name


def call(name: str, /, *args: Any, **options: Any) -> Call:
    """Return a call."""
    return Call(name, args, options)


def case(called: Call, gives: Any, *setup: str, since: Since = ALWAYS, pinned: bool = False) -> Case:
    """Return a case of one call.

    Args:
        called: The call.
        gives: The value, compared down to its types; or Such, Both, Fails.
        *setup: Commands for the server, words between spaces, sent before by another connection.
        since: Where the case holds.
        pinned: Whether the call needs a pinned connection.
    """
    return Case(((called, gives),), setup, since, pinned)


def steps(*pairs: tuple[Call, Any], setup: tuple[str, ...] = (), since: Since = ALWAYS, pinned: bool = False) -> Case:
    """Return a case of several calls on one connection."""
    return Case(pairs, setup, since, pinned)


def fits(cases: list[Case], leg: Leg) -> list[Case]:
    """Return the cases that hold on this server."""
    return [each for each in cases if each.since.holds_on(leg)]


def as_bytes(value: Any) -> Any:
    """Return an expected value as a client of bytes must give it."""
    if isinstance(value, Both):
        return value.data
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return {as_bytes(key): as_bytes(item) for key, item in value.items()}
    if isinstance(value, set | list):
        return type(value)(map(as_bytes, value))
    if isinstance(value, ScanPage):
        return ScanPage(value.cursor, as_bytes(value.items))
    if isinstance(value, tuple):
        made: Any = type(value)
        parts = map(as_bytes, value)
        return made._make(parts) if hasattr(made, "_make") else tuple(parts)
    return value


def run_case(tried: Case, invoke: Invoke, expect: Callable[[Call, Any], Any] = lambda called, gives: gives) -> None:
    """Make the calls and compare what they give.

    Args:
        tried: The case.
        invoke: Makes one call.
        expect: Turns what the table expects into what this client must give.
    """
    last: Any = None
    for called, gives in tried.steps:
        args = tuple(last if arg is LAST else arg for arg in called.args)
        if isinstance(gives, Fails):
            with pytest.raises(gives.kind) as caught:
                invoke(called.name, args, called.options)
            assert caught.type is gives.kind
            continue
        last = invoke(called.name, args, called.options)
        wanted = expect(called, gives)
        if isinstance(wanted, Both):
            wanted = wanted.text
        if isinstance(wanted, Such):
            wanted.verify(last)
        else:
            assert typed(last) == typed(wanted), called.name
