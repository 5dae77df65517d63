"""The stub of the compiled codec says what the extension has: mypy's stubtest compares the two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.protocol.twins import CYTHON

ROOT = Path(__file__).parents[2]
# Names that Cython adds to every module; a constructor's words are compared by test_twins.py
ALLOWED = r"carmine\._resp\.__(reduce_cython|setstate_cython|test)__"


def stubtest(allowed: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run stubtest on the compiled codec."""
    allowlist = folder / "allowlist.txt"
    allowlist.write_text(f"{allowed}\n", encoding="utf-8")
    words = ["-m", "mypy.stubtest", "carmine._resp", "--allowlist", str(allowlist), "--ignore-unused-allowlist"]
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.skipif(CYTHON is None, reason="the Cython twin was not built")
def test_stub_and_extension_agree(tmp_path: Path) -> None:
    pytest.importorskip("mypy.stubtest", reason="mypy is a tool of the house, not of every environment")
    done = stubtest(ALLOWED, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stubtest("nothing", tmp_path).returncode == 1, "it compares nothing"
