"""README's code does what its comments say, and its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def promised(code: str) -> list[str]:
    """Return what the comments behind `print` say will be printed."""
    return re.findall(r"^ *print\(.*?\)  # ([^:\n]+)", code, re.MULTILINE)


@pytest.mark.parametrize("code", blocks("python"))
def test_the_code_prints_what_its_comments_say(code: str) -> None:
    wanted = promised(code)
    assert len(wanted) == code.count("print(") > 0
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == wanted


def test_the_code_is_read_by_a_type_checker(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy lives in .venv only")
    file = tmp_path / "readme.py"
    file.write_text("\n".join(blocks("python")), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_there_is_code() -> None:
    [code] = blocks("python")
    assert len(code.splitlines()) <= 15


def test_its_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"\bmake ([a-z]+)\b", "\n".join(blocks("sh")))
    assert {"demo", "test"} <= set(targets)
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_it_is_one_screen() -> None:
    lines = README.splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 120
