"""The code of the README runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_it_shows_about_ten_lines() -> None:
    assert len(BLOCKS) == 2, "one for each world"
    assert 8 <= len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 12
    assert len([line for line in BLOCKS[1].splitlines() if line.strip()]) <= 16


def test_it_runs() -> None:
    for block, name in zip(BLOCKS, ("visits", "main"), strict=True):
        scope: dict[str, object] = {"__name__": "readme"}
        exec(compile(block, str(README), "exec"), scope)
        assert name in scope


def test_it_fits_one_screen() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 50
