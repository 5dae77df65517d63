"""A rate limiter: so many calls in any span of so many seconds, for each user, counted on the server.

    python examples/rate_limiter.py redis://127.0.0.1:6379

The calls of the last span stand in a sorted set, by the server's own clock; one script drops what is too old, counts
and adds, so that any number of processes keep one limit together.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import carmine

SCRIPT = """-- KEYS[1]: the calls of one user. ARGV[1]: how many; ARGV[2]: in how many milliseconds.
-- Returns {1 if the call may go on, how many calls are left, milliseconds until there is room}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local span = ARGV[2] * 1000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - span)
local used = redis.call('ZCARD', KEYS[1])
if used < tonumber(ARGV[1]) then
  redis.call('ZADD', KEYS[1], now, string.format('%.0f', now) .. ':' .. used)
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {1, ARGV[1] - used - 1, 0}
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {0, 0, math.ceil((oldest[2] + span - now) / 1000)}
"""


class Verdict(NamedTuple):
    """Whether a call may go on."""

    allowed: bool
    left: int
    retry_after: float
    """Seconds until there is room; 0 if there is."""


class RateLimiter:
    """At most `calls` in any `seconds`, for each user.

    Args:
        client: Any client.
        calls: How many.
        seconds: In how long.
    """

    def __init__(self, client: carmine.Client[str], calls: int, seconds: float) -> None:
        self._script = client.script(SCRIPT)
        self._calls = calls
        self._ms = int(seconds * 1000)

    def ask(self, user: str) -> Verdict:
        """Count a call of a user, if there is room for it."""
        allowed, left, wait_ms = self._script([carmine.key("rate", user)], [self._calls, self._ms])
        return Verdict(bool(allowed), left, wait_ms / 1000)


def main(url: str) -> None:
    """Make six calls where five are allowed."""
    with carmine.connect(url) as client:
        client.delete(carmine.key("rate", "ada"))
        limiter = RateLimiter(client, calls=5, seconds=10)
        for number in range(1, 7):
            verdict = limiter.ask("ada")
            said = f"{verdict.left} left" if verdict.allowed else f"again in {verdict.retry_after:.0f} s"
            print(f"call {number}: {'yes' if verdict.allowed else 'no'}, {said}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379")
