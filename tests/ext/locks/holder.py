"""A process that holds a lock and says so: `python -m tests.ext.locks.holder URL NAME TTL`.

It prints token and fence, then answers each line of its input with what it knows: `lost`, `check`, `release`.
"""

from __future__ import annotations

import sys

import carmine
from carmine.ext.locks import LeaseLost, Lock


def main() -> None:
    url, name, ttl = sys.argv[1:]
    told: list[object] = []
    with carmine.Client(url) as client:
        lease = Lock(client, name, ttl=float(ttl), on_lost=told.append).acquire()
        assert lease is not None
        print(lease.token, lease.fence, flush=True)  # noqa: T201 - its parent reads it
        for line in sys.stdin:
            match line.strip():
                case "lost":
                    answer = f"{lease.lost}"
                case "told":
                    answer = f"{len(told)}"
                case "check":
                    try:
                        lease.check()
                        answer = "held"
                    except LeaseLost:
                        answer = "LeaseLost"
                case _:
                    answer = f"{lease.release()}"
            print(answer, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
