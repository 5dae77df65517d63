"""A leaderboard: points by player, the best first, and where somebody stands, in one round trip each.

python examples/leaderboard.py redis://127.0.0.1:6379
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import carmine


class Standing(NamedTuple):
    """Where a player stands; the best has rank 1."""

    rank: int
    points: float
    ahead: str | None
    """Who is one place better."""


class Leaderboard:
    """Points of players, in a sorted set.

    Args:
        client: Any client.
        name: Which board.
    """

    def __init__(self, client: carmine.Client[str], name: str) -> None:
        self._client = client
        self._key = carmine.key("leaderboard", name)

    def award(self, player: str, points: float) -> float:
        """Give a player points; return how many he has now."""
        return self._client.zincrby(self._key, points, player)

    def top(self, count: int) -> list[tuple[str, float]]:
        """Return the best players with their points, the best first."""
        return [
            (member, score) for member, score in self._client.zrange(self._key, 0, count - 1, rev=True, withscores=True)
        ]

    def standing(self, player: str) -> Standing | None:
        """Return where a player stands; None for one without points."""
        with self._client.pipeline() as pipeline:
            place = pipeline.zrevrank(self._key, player)
            points = pipeline.zscore(self._key, player)
        rank = place.value
        if rank is None or points.value is None:
            return None
        better = self._client.zrange(self._key, rank - 1, rank - 1, rev=True) if rank else []
        return Standing(rank + 1, points.value, better[0] if better else None)


def main(url: str) -> None:
    """Award points, and show the board."""
    with carmine.connect(url) as client:
        client.delete(carmine.key("leaderboard", "chess"))
        board = Leaderboard(client, "chess")
        for player, points in (("ada", 30), ("bob", 20), ("eve", 25), ("bob", 8)):
            board.award(player, points)
        for rank, (player, score) in enumerate(board.top(3), 1):
            print(f"{rank}. {player} {score:.0f}")
        print(f"bob: {board.standing('bob')}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379")
