"""The group "transactions": what goes out, where it may go, and the shape of what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import transactions
from carmine.commands.flags import NO_MULTI, STATE
from tests.unit.command_tables import check_goes_out, check_shape, named, public_functions

if TYPE_CHECKING:
    from carmine.commands.command import Command

GOES_OUT = [
    (transactions.discard(), (b"DISCARD",), []),
    (transactions.exec(), (b"EXEC",), []),
    (transactions.multi(), (b"MULTI",), []),
    (transactions.unwatch(), (b"UNWATCH",), []),
    (transactions.watch("a", b"b"), (b"WATCH", "a", b"b"), ["a", b"b"]),
]


@pytest.mark.parametrize(("command", "words", "keys"), GOES_OUT, ids=lambda value: getattr(value, "words", ""))
def test_goes_out(command: Command[Any], words: tuple[Any, ...], keys: list[Any]) -> None:
    check_goes_out(command, words, keys)


def test_every_function_has_a_case() -> None:
    assert named(command for command, *_ in GOES_OUT) == public_functions(transactions)


@pytest.mark.parametrize("command", [command for command, *_ in GOES_OUT], ids=lambda command: command.spec.name)
def test_belongs_to_a_pinned_connection(command: Command[Any]) -> None:
    assert command.spec.flags & STATE


def test_watch_is_refused_inside_multi() -> None:
    assert transactions.watch("a").spec.flags & NO_MULTI


@pytest.mark.parametrize(
    ("command", "raw", "result"),
    [
        (transactions.multi(), "OK", True),
        (transactions.watch("a"), b"OK", True),
        (transactions.exec(), ["OK", 1, None], ["OK", 1, None]),
        (transactions.exec(), None, None),
    ],
)
def test_shape(command: Command[Any], raw: Any, result: Any) -> None:
    check_shape(command, raw, raw, result)
