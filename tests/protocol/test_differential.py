"""The twins, given the same bytes in the same pieces, differ in nothing that can be seen.

It proves docs/protocol.md 1.4 and SECURITY S-71.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.matrix import scaled
from tests.protocol import check_vectors
from tests.protocol.fuzz import fuzz
from tests.protocol.streams import VECTORS, Mode, observe

if TYPE_CHECKING:
    from carmine.protocol import Limits
    from tests.protocol.twins import Twin


@pytest.mark.parametrize("block", range(20))  # so that no single test takes minutes at full length
def test_no_difference_is_found(both: tuple[Twin, Twin], block: int) -> None:
    inputs = scaled(20_000)
    assert fuzz(inputs, 20230320 + block, both) is None
    sys.stdout.write(f"{inputs:,} inputs, the twins agree\n")


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("flags", range(16), ids="{:04b}".format)
def test_vectors_in_every_mode(both: tuple[Twin, Twin], protocol: int, flags: int) -> None:
    decode, push_decode, each, attributes = (bool(flags & bit) for bit in (1, 2, 4, 8))
    mode = Mode(protocol, decode, push_decode, each, attributes, by_buffer=bool(flags & 1))
    rng = random.Random(flags)
    for vector in VECTORS:
        if len(vector.get("bytes_hex", "x" * 4000)) < 4000:
            data = check_vectors.data_of(vector)
            for chunks in ([data], check_vectors.by_random(data, rng)):
                first, second = (observe(twin.parser, chunks, mode) for twin in both)
                assert first == second, vector["name"]


def test_a_difference_would_be_found_and_cut_down(both: tuple[Twin, Twin]) -> None:
    cython, python = both

    def lax(protocol: int, decode: bool, limits: Limits, attributes: bool) -> Any:
        return python.parser(protocol, decode, limits._replace(depth=limits.depth + 1), attributes)

    difference = fuzz(20_000, 1, (cython, python._replace(parser=lax)))
    assert difference is not None
    assert "nested deeper" in str(difference)
    assert sum(map(len, difference.chunks)) < 40


@pytest.mark.slow
def test_the_program_says_how_many_inputs_it_tried(both: tuple[Twin, Twin]) -> None:
    words = ["-m", "tests.protocol.fuzz", "--inputs", "600", "--jobs", "2"]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert "600 inputs, the twins agree in all" in done.stdout
