"""What the tests of a wheel's texts read: docstrings by their owners' names, and what an installed wheel answers."""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


Part = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def parts(tree: ast.Module) -> dict[str, Part]:
    """Return a module (named ""), its functions and classes, and what these define, by dotted names."""
    found: dict[str, Part] = {}

    def look(node: Part, name: str) -> None:
        found[name] = node
        for part in [] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else node.body:
            if isinstance(part, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                look(part, f"{name}.{part.name}".lstrip("."))

    look(tree, "")
    return found


def told(node: Part) -> str | None:
    """Return a docstring that its owner can live without in its own file."""
    return ast.get_docstring(node) if len(node.body) > 1 else None


def blocking(name: str) -> str:
    """Return the dotted name of a part's blocking twin."""
    for mine, theirs in (("Async", ""), ("connect_async", "connect"), ("aclose", "close"), (".__a", ".__")):
        name = name.replace(mine, theirs)
    return name


def is_public(name: str) -> bool:
    """Whether editors show the part of a shell: not the module, and nothing with an underscore."""
    return bool(name) and not any(each.startswith("_") for each in name.split("."))


def without_shared(source: str, shared: dict[str, str | None], keeps_firsts: bool) -> str:
    """Return a module's tree, positions and all, without the docstrings that another one has word for word.

    Args:
        source: The module.
        shared: What the other one has, by dotted names.
        keeps_firsts: Whether public parts keep their first lines.
    """
    tree = ast.parse(source)
    for name, node in parts(tree).items():
        whole = told(node)
        if not whole or whole != shared.get(blocking(name)):
            continue
        if not (keeps_firsts and is_public(name)):
            del node.body[0]
        elif "\n" in whole:
            [line] = node.body[:1]
            assert isinstance(line, ast.Expr)
            assert isinstance(line.value, ast.Constant)
            line.value.value = whole.partition("\n")[0]
            for each in (line, line.value):
                each.end_lineno = line.lineno
                each.end_col_offset = len(source.splitlines()[line.lineno - 1].encode()) + len('"""')
    return ast.dump(tree, include_attributes=True)


def late_comments(source: str) -> list[str]:
    """Return the comments of a module behind its docstring."""
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    head = next(index for index, token in enumerate(tokens) if token.type == tokenize.STRING)
    return [token.string for token in tokens[head:] if token.type == tokenize.COMMENT]


COLUMN = re.compile(r"(end_)?col_offset=\d+")
SHELLS = sorted(path.stem for path in (ROOT / "carmine/client/_async").glob("[!_]*.py"))

ASKED = """
import carmine, sys
from carmine.commands.streams import xadd  # a late group, before any client asked for it
import carmine.commands.sorting
from carmine.commands import strings, server
for function in (strings.get, xadd, carmine.commands.sorting.sort, server.info):
    for facade in (carmine.Client, carmine.Pipeline, carmine.AsyncClient):
        if getattr(facade, function.__name__).__doc__ is not function.__doc__:
            sys.exit(f"{function} and the method of {facade} have docstrings of their own")
print(strings.get.__doc__, xadd.__doc__, carmine.__file__)
"""

SHELLS_ASKED = """
import carmine, importlib, inspect, json
told = {}
def ask(name, holder, module):
    told[name] = holder.__doc__
    for key, value in list(vars(holder).items()):
        if isinstance(value, property) or (inspect.isfunction(value) and value.__module__ == module):
            told[f"{name}.{key}"] = value.__doc__
        elif isinstance(value, type) and value.__module__ == module:
            ask(f"{name}.{key}", value, module)
carmine.Pipeline.flush = print  # as a tracer does: what was put in a method's place is not in the way
for shell in SHELLS:
    module = importlib.import_module("carmine.client._async." + shell)
    ask(shell, module, module.__name__)
print(carmine.__file__)
print(json.dumps(told))
"""


def answer(place: Path, script: str, *switches: str) -> list[str]:
    """Run a script with the package of a place; return the lines that it prints."""
    made = place / "asked.py"
    made.write_text(f"import sys\nsys.path.insert(0, {str(place)!r})\nSHELLS = {SHELLS}\n{script}")
    command = [sys.executable, "-S", *switches, str(made)]  # -S: not the editable install
    clean = {**os.environ, "CARMINE_IMPL": "python"}
    done = subprocess.run(command, cwd=place, env=clean, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(place / "carmine/__init__.py") in done.stdout
    return done.stdout.splitlines()
