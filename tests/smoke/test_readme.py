"""The code of the README runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_it_shows_about_ten_lines() -> None:
    assert len(BLOCKS) == 5, "one for each world, one each for the lock, the queue, and sessions and archive"
    assert 8 <= len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 12
    assert [len([line for line in block.splitlines() if line.strip()]) <= 18 for block in BLOCKS[1:]] == [True] * 4
    assert len([line for line in BLOCKS[1].splitlines() if line.strip()]) <= 16


def test_it_runs() -> None:
    for block, name in zip(BLOCKS, ("visits", "main", "lock", "queue", "archive"), strict=True):
        scope: dict[str, object] = {"__name__": "readme"}
        exec(compile(block, str(README), "exec"), scope)
        assert name in scope


def test_what_the_client_is_fits_one_screen() -> None:
    before, _, layers = README.read_text(encoding="utf-8").partition("\nA lock that ")
    assert layers
    assert len(before.splitlines()) <= 50
