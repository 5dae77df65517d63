"""The rules of the house: sizes, generated files, which way imports point, what an import may do.

Each rule that a tool or a scan enforces is shown to bite on a small tree that breaks it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "carmine"

LONGEST = 500
LONGEST_OF = {"carmine/_resp.pyx": 900}
# A hand-written file past the limit, with the reason why it stays whole.
LARGE = {
    "carmine/_wire.pyx": "one extension type: a frame's whole way through the system calls",
    "tests/protocol/check_vectors.py": "the conformance kit, kept word for word as it came",
    "tests/unit/test_options.py": "one table per option",
}
# Written by generators; those that exist say so on line 1.
GENERATED = (
    "carmine/commands/_table.py",
    "carmine/commands/_sync.py",
    "carmine/commands/_async.py",
    "carmine/commands/_pipeline.py",
    "carmine/client/_sync/*.py",
    "carmine/ext/*/_sync/*.py",
    "tests/ext/*/_sync/*.py",
    "tests/integration/_sync/*.py",
)
# The core imports the standard library; adapters and the rooms with an extra may have more.
WITH_EXTRAS = ("ext", "cli", "dashboard")
# What a .pyx may see: C, the rooms below it, and these few of the standard library.
PYX_ALLOWED = re.compile(
    r"(cython|cpython|libc|posix)(\.|$)|carmine\.(_\w+|errors|types|protocol)(\.|$)|(collections|sys|errno)$"
)
PYX_IMPORT = re.compile(
    r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+)|cdef extern from \"[^\"]+\")", re.MULTILINE
)


def sources(*suffixes: str) -> list[Path]:
    """Return the repository's own files of these kinds."""
    folders = [ROOT / name for name in ("carmine", "tools", "tests", "bench", "examples")]
    found = [path for folder in folders for suffix in suffixes for path in folder.rglob(f"*{suffix}")]
    found += [ROOT / "setup.py"]
    return [path for path in found if ".envs" not in path.parts]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_generated(path: Path) -> bool:
    with path.open(encoding="utf-8") as file:
        return "GENERATED" in file.readline()


def is_large(path: Path) -> bool:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    return lines > LONGEST_OF.get(name_of(path), LONGEST)


class TestFiles:
    def test_hand_written_files_are_small_or_say_why_not(self) -> None:
        large = {name_of(path) for path in sources(".py", ".pyx", ".pxi") if not is_generated(path) and is_large(path)}
        assert large - set(LARGE) == set()

    def test_no_reason_outlives_its_file(self) -> None:
        assert [name for name in LARGE if not (ROOT / name).exists() or not is_large(ROOT / name)] == []

    def test_generated_files_say_so_on_line_one(self) -> None:
        found = [path for pattern in GENERATED for path in ROOT.glob(pattern)]
        assert found
        assert [name_of(path) for path in found if not is_generated(path)] == []

    def test_nothing_else_claims_to_be_generated(self) -> None:
        known = {path for pattern in GENERATED for path in ROOT.glob(pattern)}
        assert [name_of(p) for p in sources(".py") if is_generated(p) and p not in known] == []

    def test_every_folder_of_the_package_is_a_package(self) -> None:
        folders = {path.parent for path in PACKAGE.rglob("*.py")}
        assert [name_of(folder) for folder in folders if not (folder / "__init__.py").exists()] == []

    def test_every_module_begins_with_its_purpose(self) -> None:
        silent = [p for p in PACKAGE.rglob("*.py") if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))]
        assert [name_of(path) for path in silent] == []


def imported(tree: ast.AST) -> set[str]:
    """Return the top-level names of what a module imports, wherever in it; relative imports are carmine's."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("carmine" if node.level else str(node.module).split(".")[0])
    return names


def strangers(source: str) -> set[str]:
    """Return what a module imports from neither the standard library nor carmine."""
    return imported(ast.parse(source)) - set(sys.stdlib_module_names) - {"carmine"}


def pyx_strangers(source: str) -> list[str]:
    """Return what a .pyx imports and should not see."""
    names = [found[1] or found[2] for found in PYX_IMPORT.finditer(source)]
    return [name for name in names if name and not PYX_ALLOWED.match(name)]


class TestImports:
    def test_the_core_imports_only_the_standard_library(self) -> None:
        core = [p for p in PACKAGE.rglob("*.py") if p.relative_to(PACKAGE).parts[0] not in WITH_EXTRAS]
        assert core
        found = {name_of(path): strangers(path.read_text(encoding="utf-8")) for path in core}
        assert {name: names for name, names in found.items() if names} == {}

    @pytest.mark.parametrize("line", ["import redis", "def f():\n    from boto3 import client", "import attr as ssl"])
    def test_a_foreign_import_would_be_seen(self, line: str) -> None:
        assert strangers(line)

    def test_a_pyx_sees_only_c_and_the_rooms_below(self) -> None:
        files = [path for kind in ("pyx", "pxd", "pxi") for path in PACKAGE.glob(f"*.{kind}")]
        assert files
        found = {name_of(path): pyx_strangers(path.read_text(encoding="utf-8")) for path in files}
        assert {name: names for name, names in found.items() if names} == {}

    @pytest.mark.parametrize(
        "line",
        [
            "import socket",
            "    import ssl",
            "from carmine.transport cimport x",
            "from carmine import Client",
            "cimport numpy",
        ],
    )
    def test_a_pyx_that_looks_up_would_be_seen(self, line: str) -> None:
        assert pyx_strangers(f"x = 1\n{line}\n")


# (what is broken, file, its text): each tree holds this file beside an empty room of every kind.
BROKEN = [
    ("imports point downwards", "carmine/errors.py", "import carmine.types"),
    ("imports point downwards", "carmine/transport/pool.py", "import carmine.client"),
    ("imports point downwards", "carmine/protocol/session.py", "def f():\n    import carmine.commands"),
    ("commands and freezing know no", "carmine/commands/strings.py", "import carmine.transport"),
    ("transport and _bridge know no", "carmine/transport/pool.py", "import carmine.commands.strings"),
    ("import the public names of carmine", "carmine/client/retry.py", "import carmine"),
    ("import the public names of carmine", "carmine/transport/pool.py", "from carmine import Client"),
    ("import the public names of carmine", "carmine/ext/mq/core.py", "from carmine import Client"),
    ("pure rooms do not know the world", "carmine/commands/strings.py", "import time"),
    ("pure rooms do not know the world", "carmine/protocol/session.py", "import random"),
    ("pure rooms do not know the world", "carmine/client/retry.py", "import threading"),
    ("pure rooms do not know the world", "carmine/ext/mq/core.py", "import asyncio"),
    ("only the transport opens sockets", "carmine/client/_async/client.py", "import socket"),
    ("only transport.tls knows ssl", "carmine/transport/pool.py", "import ssl"),
    ("layers are independent", "carmine/ext/mq/core.py", "import carmine.ext.tundra.core"),
    ("no row of LAYERS", "carmine/attic.py", ""),
]
HOUSE = """__init__ errors types freezing/__init__ embedded _bridge/__init__ transport/__init__ transport/tls
    transport/pool protocol/__init__ protocol/session commands/__init__ commands/strings client/__init__ client/retry
    client/_async/__init__ client/_async/client ext/__init__ ext/mq/__init__ ext/mq/core ext/tundra/__init__
    ext/tundra/core"""


def build_house(root: Path) -> None:
    for room in HOUSE.split():
        path = root / "carmine" / f"{room}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "carmine/_resp.pyx").touch()
    (root / "carmine/protocol/__init__.py").write_text("import os\nfrom carmine import errors, _resp\n")
    (root / "carmine/transport/tls.py").write_text("import ssl, socket\n")
    (root / "carmine/ext/tundra/core.py").write_text("import carmine.ext.mq.core\n")
    (root / "carmine/commands/strings.py").write_text("from carmine.protocol import session\n")


def check_contracts(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.contracts", "--root", str(root)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def has_linter() -> bool:
    return Path(sys.executable).with_name("lint-imports").exists()


@pytest.mark.skipif(not has_linter(), reason="import-linter lives in .venv only")
class TestContracts:
    def test_a_house_in_order_passes(self, tmp_path: Path) -> None:
        build_house(tmp_path)
        done = check_contracts(tmp_path)
        assert done.returncode == 0, done.stderr
        assert "kept over" in done.stdout

    @pytest.mark.parametrize(("contract", "file", "text"), BROKEN, ids=lambda value: str(value)[:40])
    def test_a_broken_rule_is_named(self, tmp_path: Path, contract: str, file: str, text: str) -> None:
        build_house(tmp_path)
        (tmp_path / file).write_text(f"{text}\n")
        done = check_contracts(tmp_path)
        assert done.returncode == 1
        assert re.search(f"{re.escape(contract)}.*(BROKEN|{Path(file).stem})", done.stderr)


SILENT = """
import socket, sys, threading
def refuse(*args, **kwargs): raise RuntimeError("import carmine touched the network")
class Refusing(socket.socket):
    __init__ = refuse
socket.socket = Refusing
socket.getaddrinfo = socket.create_connection = socket.gethostbyname = socket.socketpair = refuse
opened = []
def watch(event, args):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.posix_spawn")):
        opened.append(event)
sys.addaudithook(watch)
before = set(sys.modules)
import carmine
for name in getattr(carmine, "__all__", ()):
    if "Async" not in name and "async" not in name:
        getattr(carmine, name)
loaded = set(sys.modules) - before
opened += ["thread"] * (threading.active_count() - 1)
print(" ".join(sorted(loaded | {"!" + event for event in opened})))
"""
# Nothing of this may be loaded by `import carmine`: time and memory (and asyncio, ssl: only when they are used).
HEAVY = {"asyncio", "ssl", "_ssl", "dataclasses", "inspect", "logging", "unittest", "http", "email", "subprocess"}


class TestImport:
    """`import carmine` in a fresh interpreter (S-73)."""

    @pytest.fixture(scope="class")
    @staticmethod
    def loaded() -> set[str]:
        done = subprocess.run([sys.executable, "-c", SILENT], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return set(done.stdout.split())

    def test_loads_something(self, loaded: set[str]) -> None:
        assert "carmine" in loaded

    def test_loads_nothing_heavy(self, loaded: set[str]) -> None:
        assert loaded & HEAVY == set()

    def test_loads_nothing_foreign(self, loaded: set[str]) -> None:
        roots = {name.split(".")[0] for name in loaded if not name.startswith("!")}
        # modules that Cython's generated code makes out of nothing
        roots = {name for name in roots if not re.fullmatch(r"_cython_[\d_]+\w*|cython_runtime", name)}
        assert roots - set(sys.stdlib_module_names) - {"carmine"} == set()

    def test_opens_no_socket_starts_no_process_and_no_thread(self, loaded: set[str]) -> None:
        assert {name for name in loaded if name.startswith("!")} == set()
