"""Statistics of an interleaved run: from paired times to one ratio with an interval.

Knows numbers only: no clock, no process, no file. The unit is a *launch*: one set of worker processes, measured for
some rounds. Rounds of one launch share its memory layout and its hash seed, so they are not independent; the interval
is therefore bootstrapped over launches first and over rounds inside them second. Invariant: the same samples give the
same interval (the generator is seeded).
"""

from __future__ import annotations

import math
import random
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Interval(NamedTuple):
    """A ratio and the bounds that hold it with the given confidence."""

    ratio: float
    low: float
    high: float

    def contains(self, value: float) -> bool:
        """Tell whether the value lies between the bounds."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.ratio:.3g} [{self.low:.3g}, {self.high:.3g}]"


class Verdict(Enum):
    """What an interval says about a target."""

    MET = "met"
    MISSED = "missed"
    UNDECIDED = "undecided"


class Bound(NamedTuple):
    """A target for a ratio: at most or at least a number."""

    sign: str
    value: float

    def judge(self, interval: Interval) -> Verdict:
        """Say met or missed only where the whole interval says so.

        Args:
            interval: The measured ratio.

        Returns:
            MET or MISSED when both bounds of the interval agree, UNDECIDED otherwise.
        """
        low_ok, high_ok = self._holds(interval.low), self._holds(interval.high)
        if low_ok and high_ok:
            return Verdict.MET
        return Verdict.UNDECIDED if low_ok or high_ok else Verdict.MISSED

    def _holds(self, value: float) -> bool:
        return value <= self.value if self.sign == "<=" else value >= self.value

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}"


def at_most(value: float) -> Bound:
    """Return the target ``ratio <= value``."""
    return Bound("<=", value)


def at_least(value: float) -> Bound:
    """Return the target ``ratio >= value``."""
    return Bound(">=", value)


def midmean(values: Sequence[float]) -> float:
    """Return the mean of the middle half.

    A block that another process interrupted is an outlier of any size: the mean would follow it, and the median
    throws away more of the good blocks than it must.
    """
    ordered = sorted(values)
    cut = len(ordered) // 4
    middle = ordered[cut : len(ordered) - cut]
    return math.fsum(middle) / len(middle)


def log_ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return the logarithm of each pair's ratio.

    Args:
        over: Times of the numerator, one per round.
        under: Times of the denominator in the same rounds.
    """
    if len(over) != len(under):
        raise ValueError(f"{len(over)} times cannot be paired with {len(under)}")
    return [math.log(a / b) for a, b in zip(over, under, strict=True)]


def ratio_interval(
    launches: Sequence[Sequence[float]], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 1
) -> Interval:
    """Estimate the ratio and its interval from the log ratios of every launch.

    Args:
        launches: For each launch the log ratios of its rounds.
        confidence: Share of the resampled estimates inside the interval.
        resamples: How many times launches and rounds are drawn again.
        seed: Seed of the generator, so that a result file can be recomputed.

    Returns:
        The ratio (not its logarithm) with its bounds.
    """
    groups = [list(rounds) for rounds in launches if rounds]
    if not groups:
        raise ValueError("no round was measured")
    chance = random.Random(seed)
    estimates = sorted(_resampled(groups, chance) for _ in range(resamples))
    tail = (1 - confidence) / 2
    low = estimates[int(tail * (resamples - 1))]
    high = estimates[math.ceil((1 - tail) * (resamples - 1))]
    centre = midmean([value for rounds in groups for value in rounds])
    return Interval(math.exp(centre), math.exp(min(low, centre)), math.exp(max(high, centre)))


def _resampled(groups: list[list[float]], chance: random.Random) -> float:
    drawn: list[float] = []
    for _ in groups:
        rounds = chance.choice(groups)
        drawn.extend(chance.choices(rounds, k=len(rounds)))
    return midmean(drawn)
