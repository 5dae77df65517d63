"""Differential fuzzing: the twins get the same bytes in the same pieces and may differ in nothing.

    python -m tests.protocol.fuzz --inputs 10000000 [--seed N] [--jobs N]

Prints the number of inputs and the verdict; a difference is cut down to a short stream first. Status 1 when there is
one. The inputs follow from the seed alone.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from tests.protocol.streams import Mode, chunks_of, observe, random_mode, random_stream
from tests.protocol.twins import CYTHON, PYTHON, Twin

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Difference", "fuzz"]

_BLOCK = 20_000


class Difference(NamedTuple):
    """Where the twins, or two ways of cutting one stream, disagree."""

    chunks: list[bytes]
    mode: Mode
    seen: str

    def __str__(self) -> str:
        """Tell all that is needed to see it again."""
        return f"chunks {self.chunks!r}\n{self.mode}\n{self.seen}"


def _apart(chunks: Sequence[bytes], mode: Mode, twins: tuple[Twin, Twin]) -> str:
    first, second = (observe(twin.parser, chunks, mode) for twin in twins)
    if first != second:
        return f"{twins[0].name}: {first}\n{twins[1].name}: {second}"
    whole = b"".join(chunks)
    if len(chunks) > 1:
        cut, uncut = (observe(twins[0].parser, some, mode, exact=False) for some in (chunks, [whole]))
        if cut != uncut:
            return f"in pieces: {cut}\nwhole:     {uncut}"
    return ""


def _shortened(chunks: list[bytes], mode: Mode, twins: tuple[Twin, Twin]) -> list[bytes]:
    """Leave out chunks, then bytes, as long as the difference stays."""
    tried = 0
    while tried < len(chunks):
        fewer = chunks[:tried] + chunks[tried + 1 :]
        if fewer and _apart(fewer, mode, twins):
            chunks = fewer
        else:
            tried += 1
    for at in range(len(chunks)):
        tried = 0
        while tried < len(chunks[at]):
            less = chunks[at][:tried] + chunks[at][tried + 1 :]
            if _apart([*chunks[:at], less, *chunks[at + 1 :]], mode, twins):
                chunks[at] = less
            else:
                tried += 1
    return chunks


def fuzz(inputs: int, seed: int, twins: tuple[Twin, Twin]) -> Difference | None:
    """Try that many inputs; return the first difference."""
    rng = random.Random(seed)
    for _ in range(inputs):
        chunks, mode = chunks_of(random_stream(rng), rng), random_mode(rng)
        if _apart(chunks, mode, twins):
            short = _shortened(chunks, mode, twins)
            return Difference(short, mode, _apart(short, mode, twins))
    return None


def _block(work: tuple[int, int]) -> Difference | None:
    assert CYTHON is not None
    return fuzz(*work, (CYTHON, PYTHON))


def main() -> int:
    """Fuzz until a difference is found or the inputs are used up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    if CYTHON is None:
        sys.exit("fuzz: the Cython twin was not built, so there is nothing to compare")
    blocks = [(min(_BLOCK, args.inputs - done), args.seed + done) for done in range(0, args.inputs, _BLOCK)]
    start, done = time.monotonic(), 0
    with ProcessPoolExecutor(args.jobs) as pool:
        for (count, seed), difference in zip(blocks, pool.map(_block, blocks), strict=True):
            if difference is not None:
                sys.stdout.write(f"fuzz: the twins DIFFER, seed {seed}\n{difference}\n")
                pool.shutdown(cancel_futures=True)
                return 1
            done += count
    sys.stdout.write(f"fuzz: {done:,} inputs, the twins agree in all ({time.monotonic() - start:.0f} s)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
