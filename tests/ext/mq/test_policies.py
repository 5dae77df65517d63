"""Retry policies and the small values of the pure core."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from carmine.errors import UsageError
from carmine.ext.mq import Exponential, Policy, Result
from carmine.ext.mq.core.values import how_of, milliseconds, told


def test_exponential_grows_to_its_bound() -> None:
    backoff = Exponential(0.5, factor=3, most=10, jitter=False)
    assert [backoff.seconds(attempt, 0.3) for attempt in (1, 2, 3, 4, 500)] == [0.5, 1.5, 4.5, 10.0, 10.0]


def test_full_jitter_is_anything_up_to_that() -> None:
    backoff = Exponential(1, most=timedelta(seconds=60))
    assert [backoff.seconds(3, chance) for chance in (0.0, 0.5, 1.0)] == [0.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        (7, [7.0, 7.0, 7.0, 7.0]),
        ([1, timedelta(seconds=2)], [1.0, 2.0, 2.0, 2.0]),
        (lambda attempt: attempt * 10, [10.0, 20.0, 30.0, 40.0]),
        (Exponential(1, jitter=False), [1.0, 2.0, 4.0, 8.0]),
    ],
)
def test_a_policy_takes_what_says_how_long(retry: Any, expected: list[float]) -> None:
    policy = Policy(retry, max_attempts=None)
    assert [policy.pause(attempt, 0.5) for attempt in (1, 2, 3, 4)] == expected


def test_attempts_are_bounded() -> None:
    policy = Policy(1, max_attempts=3)
    assert [policy.pause(attempt, 0.5) for attempt in (1, 2, 3, 4)] == [1.0, 1.0, None, None]
    assert [policy.is_exhausted(attempt) for attempt in (2, 3)] == [False, True]
    assert Policy().max_attempts == 20


def test_some_errors_are_never_tried_again() -> None:
    policy = Policy(1, never=(ValueError, KeyError))
    assert policy.pause(1, 0.5, KeyError()) is None
    assert policy.pause(1, 0.5, TypeError()) == 1.0


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Policy([]),
        lambda: Policy("1"),
        lambda: Policy(-1),
        lambda: Policy([1, -1]),
        lambda: Policy(max_attempts=0),
        lambda: Policy(lambda attempt: -1).pause(1, 0.5),
        lambda: Exponential(-1),
        lambda: Exponential(factor=0.5),
        lambda: Exponential(factor="2"),
        lambda: Exponential(most=float("inf")),
        lambda: Exponential(jitter=1),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_policy(bad: Any) -> None:
    with pytest.raises(UsageError):
        bad()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, 0), (0, 0), (1, 1000), (0.0001, 1), (0.0011, 2), (timedelta(minutes=1), 60_000), (2.5, 2500)],
)
def test_durations_are_rounded_up(value: Any, expected: int) -> None:
    assert milliseconds("x", value) == expected


def test_results_as_words() -> None:
    assert how_of("success") == ("done", 0, "")
    assert how_of(Result("error", error=ValueError("x"))) == ("done", 0, "ValueError: x")
    assert how_of(Result("retry", 1.5, "why")) == ("retry", 1500, "why")
    assert len(told("x" * 5000)) == 1000
