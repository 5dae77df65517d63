"""The stubs of the compiled codec say what the extensions have: mypy's stubtest compares the two, nothing excepted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.protocol.twins import CYTHON

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(CYTHON is None, reason="the Cython twin was not built")
def test_stubs_and_extensions_agree() -> None:
    """A constructor of an extension cannot be seen; test_twins.py calls it instead."""
    pytest.importorskip("mypy.stubtest", reason="mypy is a tool of the house, not of every environment")
    words = ["-m", "mypy.stubtest", "carmine._resp"]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no issues found in 1 module" in done.stdout
