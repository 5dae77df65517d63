"""The pure part of a worker: hands and leases, verdicts, counts, settings, pauses after failures. No socket."""

from __future__ import annotations

from typing import Any

import pytest

from carmine.errors import UsageError
from carmine.ext.mq import exp_backoff
from carmine.ext.mq.core.counting import Statistics
from carmine.ext.mq.core.policies import Exponential, Policy
from carmine.ext.mq.core.runs import Runs
from carmine.ext.mq.core.settings import Settings, Trouble
from carmine.ext.mq.core.values import Result
from carmine.ext.mq.core.verdicts import BACK, Ending, exhausted, failed, judge

DONE = Ending("done", 0, "", "success")


class Held:
    """As much of a message as a run looks at."""

    def __init__(self, lease: float = 60.0, queue: str = "q") -> None:
        self.lease = lease
        self.queue = queue


def test_as_many_are_claimed_as_hands_are_free() -> None:
    runs = Runs(3)
    assert runs.room("q") == 3
    first, second = runs.take(Held(), 0.0), runs.take(Held(), 0.0)
    assert (runs.room("q"), runs.running, runs.ended) == (1, 2, 0)
    assert runs.end(first, DONE)
    assert (runs.room("q"), runs.running, runs.ended) == (2, 1, 1)
    assert runs.to_tell("q", 500) == [first]
    assert runs.end(second, DONE)
    assert (runs.room("q"), runs.ended) == (3, 1)
    assert runs.of(second.message) is None
    assert runs.to_tell("other", 500) == []


def test_fewer_are_claimed_while_ends_pile_up() -> None:
    """Where a queue takes no ends, it is not asked for more and more messages; others are."""
    runs = Runs(2)
    for _ in range(3):
        assert runs.room("q")
        runs.end(runs.take(Held(), 0.0), DONE)
    assert runs.room("q") == 1
    runs.end(runs.take(Held(), 0.0), DONE)
    assert (runs.room("q"), runs.room("other")) == (0, 2)
    told = runs.to_tell("q", 3)
    assert (len(told), runs.room("q"), runs.waits("q"), runs.waits("other")) == (3, 2, True, False)
    runs.untold("q")
    assert runs.room("q") == 0
    assert [run.is_unsure for run in told] == [True] * 3
    assert runs.to_tell("q", 1) == told[:1], "in their old order"


def test_an_end_that_is_late_is_told_before_the_next_claim() -> None:
    runs = Runs(9)
    run = runs.take(Held(5.0), 100.0)
    assert not runs.is_late("q", 200.0), "its handler goes on"
    runs.end(run, DONE)
    assert [runs.is_late("q", now) for now in (104.9, 105.0)] == [False, True]
    assert not runs.is_late("other", 200.0)
    assert runs.to_tell("q", 9) == [run]
    assert runs.is_late("q", 105.0), "there is no answer yet"
    runs.untold("q")
    assert runs.is_late("q", 105.0)
    runs.to_tell("q", 9)
    runs.told("q")
    assert not runs.is_late("q", 200.0)


def test_a_run_ends_once() -> None:
    runs = Runs(2)
    run = runs.take(Held(), 0.0)
    assert runs.hand_back(run, BACK)
    assert runs.running == 1, "its handler goes on"
    assert not runs.end(run, DONE)
    assert [one.ending for one in runs.to_tell("q", 9)] == [BACK]
    assert runs.running == 0
    lost = runs.take(Held(), 0.0)
    assert runs.lose(lost)
    assert not runs.lose(lost)
    assert runs.room("q") == 1, "the hands are still taken"
    assert (runs.all(), runs.held()) == ([lost], [])
    assert not runs.hand_back(lost, BACK)
    assert not runs.end(lost, DONE)
    assert runs.to_tell("q", 9) == []
    ended = runs.take(Held(), 0.0)
    runs.end(ended, DONE)
    assert not runs.lose(ended), "it has ended: the server will say whether in time"


def test_leases_are_renewed_in_time_and_together() -> None:
    runs = Runs(9)
    assert runs.next_renewal() == float("inf")
    short, first, second = runs.take(Held(3.0), 100.0), runs.take(Held(60.0), 100.0), runs.take(Held(60.0), 104.0)
    assert (short.until, runs.next_renewal()) == (103.0, 101.0)
    assert runs.due(100.9) == []
    assert runs.due(101.0) == [short]
    short.confirm(101.0)
    assert (short.until, short.renew_at) == (104.0, 102.0)
    short.message.lease = 600.0  # its handler has asked for more
    short.confirm(102.0)
    assert set(runs.due(120.0)) == {first, second}, "what is due soon goes along"
    first.put_off(120.0)
    assert 120.0 < first.renew_at < first.until
    runs.end(second, DONE)
    runs.lose(short)
    assert runs.held() == [first]


POLICY = Policy([5.0], max_attempts=3, never=(KeyError,))


@pytest.mark.parametrize(
    ("returned", "attempt", "expected"),
    [
        (None, 9, DONE),
        (Result(), 1, DONE),
        ("success", 1, DONE),
        (Result("success", backoff=2), 1, Ending("done", 2000, "", "success")),
        ("retry", 1, Ending("retry", 5000, "", "retry")),
        (Result("retry", backoff=0), 2, Ending("retry", 0, "", "retry")),
        (Result("retry", backoff=7), 3, Ending("dead", 0, "", "dead")),
        (Result("retry", error="why"), 3, Ending("dead", 0, "why", "dead")),
        (Result("error", backoff=1, error=ValueError("v")), 1, Ending("dead", 1000, "ValueError: v", "dead")),
    ],
)
def test_verdicts_on_what_handlers_return(returned: Any, attempt: int, expected: Ending) -> None:
    assert judge(POLICY, attempt, returned, 0.5) == expected


@pytest.mark.parametrize("nonsense", [0, True, "fine", ("success",), Result("never"), Result(backoff=-1), object()])  # type: ignore[arg-type]
def test_a_return_value_that_means_nothing_ends_it_as_a_dead_letter(nonsense: object) -> None:
    """FAULTS Q10: its effects have happened, so it is not run again, and not dropped either."""
    ending = judge(POLICY, 1, nonsense, 0.5)
    assert (ending.how, ending.kind) == ("dead", "dead")
    assert ending.error


def test_verdicts_on_failed_attempts() -> None:
    assert failed(POLICY, 1, ValueError("v"), 0.5) == Ending("retry", 5000, "", "retry")
    assert failed(POLICY, 3, ValueError("v"), 0.5) == Ending("dead", 0, "ValueError: v", "dead")
    assert failed(POLICY, 1, KeyError("k"), 0.5) == Ending("dead", 0, "KeyError: 'k'", "dead")
    assert failed(POLICY, 1, SystemExit(3), 0.5).kind == "retry"
    assert failed(POLICY, 3, ValueError(), 0.5, drops=True) == Ending("done", 0, "", "dropped")
    jitter = Policy(Exponential(2.0))
    assert [failed(jitter, 3, None, chance).backoff for chance in (0.0, 0.5, 1.0)] == [0, 4000, 8000]


@pytest.mark.parametrize("retry", [lambda attempt: 1 / 0, lambda attempt: "soon", lambda attempt: -1])
def test_a_policy_that_fails_loses_no_message(retry: Any) -> None:
    assert failed(Policy(retry), 1, ValueError(), 1.0) == Ending("retry", 1000, "", "retry")


def test_a_message_that_was_claimed_once_too_often() -> None:
    """Weakness 14: what kills its worker is not run for ever."""
    assert exhausted(POLICY, 3) is None
    ending = exhausted(POLICY, 4)
    assert ending is not None
    assert ending.how == "dead"
    assert exhausted(Policy(max_attempts=None), 10**6) is None


def test_times_are_right_to_a_tenth() -> None:
    statistics = Statistics()
    assert statistics.handling.times() == (0, 0.0, 0.0, 0.0, 0.0)
    for n in range(1, 1001):
        statistics.handling.add(n / 1000)
    times = statistics.handling.times()
    assert times.n == 1000
    assert times.max == 1.0
    for found, right in ((times.p50, 0.5), (times.p90, 0.9), (times.p99, 0.99)):
        assert right <= found <= right * 1.1
    statistics.handling.add(1e9)
    assert statistics.handling.times().max == 1e9
    statistics.clear()
    assert statistics.handling.times().n == 0


def test_pauses_after_failures_grow_to_a_cap_and_are_spread() -> None:
    """FAULTS Q14."""
    trouble = Trouble(0.05, 5.0)
    longest = [trouble.delay(1.0) for _ in range(100)]
    assert longest[:4] == [0.05, 0.1, 0.2, 0.4]
    assert longest[-1] == 5.0
    assert trouble.is_over()
    assert not trouble.is_over()
    assert trouble.delay(0.0) == 0.025, "never less than half: no tight loop, whatever chance says"
    assert [exp_backoff(n, most=5) for n in (0, 1, 2, 3, 4, 999)] == [1, 1, 2, 4, 5, 5]


GOOD: dict[str, Any] = {
    "concurrency": 8, "lease": 60, "retry": None, "max_attempts": 20, "never": (), "on_exception": "retry",
    "at_most_once": False, "throttle": None, "idle_backoff": None, "sleeps": (1,) * 5, "monitor": None,
    "auto_start": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("concurrency", 0), ("concurrency", 10_001), ("concurrency", "8"), ("lease", 0.01), ("lease", None),
        ("retry", []), ("retry", "soon"), ("max_attempts", 0), ("never", KeyError), ("never", ("KeyError",)),
        ("on_exception", "ignore"), ("at_most_once", 1), ("throttle", -1), ("idle_backoff", 3),
        ("idle_backoff", lambda n: -n), ("monitor", 3), ("auto_start", -1),
    ],
)  # fmt: skip
def test_settings_are_checked(name: str, bad: object) -> None:
    Settings(**GOOD)
    with pytest.raises(UsageError):
        Settings(**GOOD | {name: bad})


def test_settings_mean_what_they_say() -> None:
    settings = Settings(**GOOD | {"idle_backoff": lambda dry: dry * 2, "throttle": lambda size: size / 10 or None})
    assert settings.sleeps == (2, 4, 6, 8, 10)
    assert (settings.pause_after(5), settings.pause_after(0)) == (0.5, 0.0)
    delays = [Settings(**GOOD | {"auto_start": each}).delay for each in (False, True, 1.5)]
    assert delays == [None, 0.0, 1.5]
