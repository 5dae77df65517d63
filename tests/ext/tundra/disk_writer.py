"""A process that puts versions of some keys until it is killed: `python -m tests.ext.tundra.disk_writer <folder>`.

It writes a dot when it is ready. A value is its key, its version and a filling, so that a reader can tell a whole one.
"""

from __future__ import annotations

import random
import sys

from carmine.ext.tundra.disk import DiskDataStore

KEYS = 5


def value(key: bytes, version: int) -> bytes:
    """Return a version of a key: from some bytes to some hundred thousand."""
    return b"%s %d " % (key, version) + b"%d" % (version % 10) * (version * 7919 % 300_000)


def is_whole(key: bytes, found: bytes) -> bool:
    """Tell whether it is one of the versions, to its last byte."""
    words = found.split(b" ", 2)
    return len(words) == 3 and words[0] == key and found == value(key, int(words[1]))


def main() -> None:
    """Write for ever."""
    store = DiskDataStore(sys.argv[1])
    dice = random.Random()
    sys.stdout.write(".")
    sys.stdout.flush()
    while True:
        key = b"k%d" % dice.randrange(KEYS)
        store.put(key, value(key, dice.randrange(1_000_000)))


if __name__ == "__main__":
    main()
