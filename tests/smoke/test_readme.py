"""The code of the README runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_it_shows_about_ten_lines() -> None:
    assert len(BLOCKS) == 1
    assert 8 <= len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 12


def test_it_runs() -> None:
    scope: dict[str, object] = {"__name__": "readme"}
    exec(compile(BLOCKS[0], str(README), "exec"), scope)
    assert "visits" in scope


def test_it_fits_one_screen() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 50
