"""The code of README and of the documentation does what its comments say, and README's commands exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import carmine

pytestmark = pytest.mark.one_server

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


HOWTO = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def promised(code: str) -> list[str]:
    """Return what the comments behind `print` say will be printed."""
    return re.findall(r"^ *print\(.*\)  # ([^:\n]+)", code, re.MULTILINE)


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
    blocking, asynchronous, *layers = blocks("python")
    assert len(blocking.splitlines()) <= 15
    assert len(asynchronous.splitlines()) <= 20
    assert [len(layer.splitlines()) <= 20 for layer in layers] == [True] * 3


def test_its_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"\bmake ([a-z]+)\b", "\n".join(blocks("sh")))
    assert {"demo", "test"} <= set(targets)
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_it_is_one_screen_and_a_block_for_each_layer() -> None:
    before, _, rest = README.partition("\nA lock that ")
    _, _, after = rest.partition("\nPre-alpha")
    assert len((before + after).splitlines()) <= 50
    assert len(README.splitlines()) <= 120
    assert max(map(len, README.splitlines())) <= 120


def play(code: str, names: dict[str, Any]) -> int:
    """Run a block statement by statement; compare what stands behind `# ->`, and return how often that was."""
    lines = code.splitlines()
    compared = 0
    for statement in ast.parse(code).body:
        said = re.search(r"  # -> (.+)$", lines[(statement.end_lineno or 0) - 1])
        if said is None:
            exec(compile(ast.Module([statement], []), "howto.md", "exec"), names)
            continue
        assert isinstance(statement, ast.Expr)
        given = eval(compile(ast.Expression(statement.value), "howto.md", "eval"), names)
        assert (ast.unparse(statement), repr(given)) == (ast.unparse(statement), said[1])
        compared += 1
    return compared


def test_the_code_of_the_how_to(url: str) -> None:
    names: dict[str, Any] = {"url": url, "__name__": "howto"}
    try:
        compared = sum(play(code, names) for code in blocks("python", HOWTO))
    finally:
        names["client"].close()
    assert compared == HOWTO.count("  # -> ") > 20


@pytest.mark.parametrize("code", ["1 + 1  # -> 3", "x = 1  # -> 1", "[1]  # -> (1,)"])
def test_a_wrong_claim_would_be_seen(code: str) -> None:
    with pytest.raises(AssertionError):
        play(code, {})


def test_every_public_name_has_its_place_in_the_reference() -> None:
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")]
    documented = set(re.findall(r"^\.\. auto\w+:: (\w+)$", "\n".join(pages), re.MULTILINE))
    assert set(carmine.__all__) - {"__version__"} - documented == set()
