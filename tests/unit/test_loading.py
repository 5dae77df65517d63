"""Modules that are loaded late: a fork in the middle of it leaves the child nothing that is half loaded."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

import carmine

ROOT: Final = Path(__file__).resolve().parents[2]

FORKED: Final = """
import importlib, importlib.abc, os, signal, sys, threading
import concurrent.futures.thread, logging  # whose own hooks would complain that they were asked half-way
import carmine, carmine.types
from carmine.client import core
layer = sys.argv[3] and importlib.import_module("carmine.ext." + sys.argv[3])
client = carmine.Client("redis://127.0.0.1:1")
begun, go = threading.Event(), threading.Event()

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            begun.set()  # the module is locked now, and known to nobody
            assert go.wait(30)

def touch():
    try:
        eval(sys.argv[2])
    except carmine.CarmineError:  # no server, or no client: it was loaded
        pass

assert sys.argv[1] not in sys.modules
sys.meta_path.insert(0, Slow())
thread = threading.Thread(target=touch, daemon=True)
thread.start()
assert begun.wait(30)
os.register_at_fork(before=go.set)  # the last that is registered is the first that is asked
pid = os.fork()
if pid == 0:
    signal.alarm(10)
    touch()
    assert sys.argv[1] in sys.modules
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
thread.join(30)
assert sys.argv[1] in sys.modules
assert os.fork() or os._exit(0) is None, "and the next one waits for nobody"
"""

LATE: Final = {
    "carmine.commands.lists": ("client.llen('k')", ""),
    "carmine.commands.streams": ("client.pipeline().xlen('k')", ""),
    "carmine.client._sync.pubsub": ("client.pubsub()", ""),
    "carmine.client._sync.monitor": ("client.monitor()", ""),
    "carmine.client.serializing": ("core.serializing((len, len), True)", ""),
    "carmine.client._async.client": ("carmine.AsyncClient", ""),
    "carmine.client._async.wcar": ("carmine.wcar(object())", ""),
    "carmine.stream_types": ("carmine.types.StreamEntry", ""),
    "carmine.ext.locks.async_lock": ("layer.AsyncLock", "locks"),
    "carmine.ext.mq._async.queue": ("layer.AsyncQueue", "mq"),
    "carmine.ext.sessions._async.store": ("layer.AsyncSessionStore", "sessions"),
    "carmine.ext.tundra._async.store": ("layer.AsyncTundraStore", "tundra"),
    "carmine.ext.tundra._async.redis_store": ("layer.AsyncRedisDataStore", "tundra.redis"),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("name", LATE)
def test_a_child_forked_in_the_middle_of_a_late_import_may_use_the_module(name: str) -> None:
    """The other thread is not there any more that had the module locked."""
    script = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", FORKED, name, *LATE[name]]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False, timeout=40)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def imports_in_functions(path: Path) -> list[str]:
    """Return where a module imports in the middle of a program and who forks is not told, or not told what it is."""
    found: list[str] = []

    def line_of(node: Any) -> int:
        return int(node.lineno)

    def look(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.With) and "loading(" in ast.unparse(node.items[0]):
            if is_told(node):
                return
            found.append(f"{path.name}:{line_of(node)}")
        elif calls_for_a_module(node) or (inside and isinstance(node, ast.Import | ast.ImportFrom)):
            found.append(f"{path.name}:{line_of(node)}")
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            look(child, inside)

    look(ast.parse(path.read_text()), inside=False)
    return found


def calls_for_a_module(node: ast.AST) -> bool:
    """Return whether a call imports something."""
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__"))


def is_told(block: ast.With) -> bool:
    """Return whether a block loads one module, the one that it names."""
    [statement, *others] = block.body
    names: list[str] = []
    if isinstance(statement, ast.Import):
        names = [name.name for name in statement.names]
    elif isinstance(statement, ast.ImportFrom):
        names = [f"{statement.module}", *(f"{statement.module}.{name.name}" for name in statement.names)]
    return not others and any(ast.unparse(block.items[0]) == f"loading({name!r})" for name in names)


def test_every_late_import_is_told_to_who_forks() -> None:
    """But those of the terminal, where there are no threads yet; and what a module loads while it is loaded itself."""
    package = Path(carmine.__file__).parent
    modules = [path for path in package.rglob("*.py") if path.relative_to(package).parts[0] != "cli"]
    assert len(modules) > 200
    found = [
        entry
        for path in modules
        if path.name not in ("_loading.py", "_docs.py")
        for entry in imports_in_functions(path)
    ]
    assert found == []


def test_the_check_sees_an_import_that_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "import os\n"
        "def f():\n    import json\n"
        "def g():\n    with loading('json'):\n        from json import loads\n    def h():\n        import os\n"
        "importlib.import_module('json')\n"
        "def i():\n    with loading('json'):\n        import os\n"
        "def j():\n    with loading('json'):\n        import json\n        json.loads()\n"
    )
    lines = [entry.removeprefix("module.py:") for entry in imports_in_functions(path)]
    assert lines == ["3", "8", "9", "11", "12", "14", "15"]
