"""Build the optional Cython twins; everything else about the package is in pyproject.toml.

``CARMINE_BUILD_EXT`` decides what happens to ``carmine/_*.pyx``:

* ``auto`` (the default): build them; where that is not possible, say so in one line and install the pure twin.
* ``require``: build them or fail.
* ``0``: leave them alone and make a ``py3-none-any`` wheel.

pip hides a build's output, so the outcome is also written to ``carmine/_build_info.json``: one entry for each extension
suffix (an editable checkout serves several Pythons), or ``any`` in the pure wheel.

What is built also leaves out the docstrings that stand twice in the sources (``BuildModules``).
"""

from __future__ import annotations

import ast
import json
import os
import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from subprocess import CalledProcessError
from sysconfig import get_path
from typing import TYPE_CHECKING, Any, ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

if TYPE_CHECKING:
    from collections.abc import Callable

MODES = ("auto", "require", "0")
MODE = os.environ.get("CARMINE_BUILD_EXT", "auto")
HERE = Path(__file__).resolve().parent
SUFFIX = EXTENSION_SUFFIXES[0]
# what this platform has no use for: the fast path makes POSIX system calls
ELSEWHERE = ("_wire",) if sys.platform == "win32" else ()

# Weight (ADR 9): nothing here is pickled, and the code that would refuse it is 40 KB; built-in methods instead of ones
# that look like Python's functions are 36 KB less, and "clinic" tells inspect their signatures all the same.
DIRECTIVES = {
    "language_level": "3",
    "auto_pickle": False,
    "binding": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
}

# 33 KB more (ADR 9): no unwind tables, since no exception passes through C, and no gaps between functions or before
# jumps. Native profilers and debuggers want the tables, and distributions have their rules: who sets CFLAGS decides.
LIGHT = ["-fno-asynchronous-unwind-tables", "-fno-align-functions", "-fno-align-jumps", "-fno-align-labels"]
# The compiler lets inlining add 40 % to a file. The wire is as fast with 5; the codec would be a tenth slower.
LESS_INLINED = {"_wire": ["--param", "inline-unit-growth=5"]}

if MODE not in MODES:
    sys.exit(f"setup.py: CARMINE_BUILD_EXT must be one of {', '.join(MODES)}, not {MODE!r}")


class Outcome:
    """What became of the extensions; filled in by the commands below and written down by the last of them."""

    built: tuple[str, ...] = ()
    reason: str | None = None


def say(line: str) -> None:
    """Print one line where the person who builds can see it."""
    sys.stderr.write(f"carmine: {line}\n")
    sys.stderr.flush()


def extensions() -> list[Extension]:
    """Return the extensions to build: one per ``carmine/_*.pyx``, or none with the reason noted."""
    sources = [path for path in sorted(HERE.glob("carmine/_*.pyx")) if path.stem not in ELSEWHERE]
    if MODE == "0":
        Outcome.reason = "CARMINE_BUILD_EXT=0"
    elif not sources:
        Outcome.reason = "the source tree has no carmine/_*.pyx"
    elif MODE == "auto" and sys.implementation.name != "cpython":
        Outcome.reason = f"the pure twin is the faster one on {sys.implementation.name}"
    if Outcome.reason is not None:
        return []
    # -O3 is 37 KB more and no faster, -Os a third slower (ADR 9)
    flags = [] if sys.platform == "win32" else ["-O2"]
    is_light = sys.platform == "linux" and not os.environ.get("CFLAGS")
    # code and constants in one segment: without the padding between them each file is a page or two smaller
    links = ["-Wl,-z,noseparate-code"] if sys.platform == "linux" else []
    return [
        Extension(
            f"carmine.{source.stem}",
            [f"carmine/{source.name}"],
            extra_compile_args=[*flags, *LIGHT, *LESS_INLINED.get(source.stem, ())] if is_light else flags,
            extra_link_args=links,
            # setuptools must not look for the file of an extension that was allowed to fail
            optional=MODE == "auto",
        )
        for source in sources
    ]


def why(error: BaseException) -> str:
    """Say in one line why a build failed: the compiler's own words are long and pip hides them."""
    if not (Path(get_path("include")) / "Python.h").exists():
        return "Python.h is missing: install the headers of this Python, e.g. python3-dev"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, CalledProcessError):
            return f"the compiler {cause.cmd[0]} failed with status {cause.returncode}"
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


@cache
def facade_docs() -> dict[str, str | None]:
    """Return the docstrings of the sync facade, by the name of the method."""
    tree = ast.parse((HERE / "carmine" / "commands" / "_sync.py").read_bytes())
    [facade] = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {node.name: ast.get_docstring(node) for node in facade.body if isinstance(node, ast.FunctionDef)}


def without_facade_docs(source: bytes) -> bytes:
    """Return a module with empty lines in place of each function's docstring that the sync facade holds word for word.

    Nothing else changes, and no line its number: tracebacks are those of the repository.
    """
    lines = source.splitlines(keepends=True)
    for function in ast.parse(source).body:
        match function:
            case ast.FunctionDef(body=[ast.Expr(value=ast.Constant(value=str())) as told, _, *_]):
                first, last = told.lineno - 1, told.end_lineno or 0
                stands_alone = not (lines[first][: told.col_offset] + lines[last - 1][told.end_col_offset :]).strip()
                if stands_alone and ast.get_docstring(function) == facade_docs().get(function.name):
                    lines[first:last] = [b"\n"] * (last - first)
    return b"".join(lines)


class BuildModules(build_py):
    """Copy the modules; command functions leave behind the docstrings that the sync facade has too (ADR 9).

    They get them back from it when they are loaded (``carmine/commands/_docs.py``). The sdist and an editable checkout
    keep all.
    """

    def build_module(self, module: str, module_file: str, package: str) -> Any:
        """Copy one module."""
        copied = super().build_module(module, module_file, package)  # type: ignore[no-untyped-call]  # not typed there
        if package == "carmine.commands" and not module.startswith("_"):
            target = Path(copied[0])
            target.write_bytes(without_facade_docs(target.read_bytes()))
        return copied


class BuildTwins(build_ext):
    """Translate and compile the twins; in mode ``auto`` a failure becomes one line and a note."""

    def build_extensions(self) -> None:
        """Build all extensions, or none."""
        try:
            # not at the top: the pure build must not need Cython
            from Cython.Build import cythonize

            for extension in self.extensions:
                [translated] = cythonize(  # type: ignore[no-untyped-call]  # Cython is not typed
                    [extension],
                    build_dir="build/cython",
                    compiler_directives=DIRECTIVES,
                    quiet=True,
                )
                extension.sources = translated.sources
                # setuptools would swallow the error of an optional one
                extension.optional = False
            super().build_extensions()
            Outcome.built = tuple(extension.name for extension in self.extensions)
        except (Exception, SystemExit) as error:
            if MODE == "require":
                raise
            Outcome.reason = why(error)
            # all twins or none: half of them is a combination that nobody tests
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            say(f"the Cython twin was not built, installing the pure Python twin ({Outcome.reason})")
        finally:
            for extension in self.extensions:
                extension.optional = MODE == "auto"


class BuildNote(Command):
    """Write ``_build_info.json`` beside the package, and take a stale twin out of an editable tree."""

    description = "note which twins were built, and why not"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []
    editable_mode: bool
    build_lib: str  # where the files of the wheel gather

    def initialize_options(self) -> None:
        """Start from nothing; ``editable_mode`` is set from outside."""
        self.editable_mode = False
        self.build_lib = ""

    def finalize_options(self) -> None:
        """Learn the build folder from the ``build`` command."""
        self.build_lib = self.get_finalized_command("build").build_lib

    def _target(self) -> Path:
        base = HERE if self.editable_mode else Path(self.build_lib)
        return base / "carmine" / "_build_info.json"

    def run(self) -> None:
        """Write the note."""
        target = self._target()
        if self.editable_mode:
            for twin in target.parent.glob(f"_*{SUFFIX}"):
                if f"carmine.{twin.name.removesuffix(SUFFIX)}" not in Outcome.built:
                    twin.unlink()
        note: dict[str, Any] = {}
        if self.editable_mode and target.exists():
            note = json.loads(target.read_text(encoding="utf-8"))
        key = SUFFIX if self.distribution.ext_modules or self.editable_mode else "any"
        note[key] = {"mode": MODE, "built": Outcome.built, "reason": Outcome.reason, "python": sys.version.split()[0]}
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(note, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def get_source_files(self) -> list[str]:
        """Return nothing: the note is made, not copied."""
        return []

    def get_outputs(self) -> list[str]:
        """Return the note."""
        return [str(self._target())]

    def get_output_mapping(self) -> dict[str, str]:
        """Return nothing: the note has no source."""
        return {}


class Build(build):
    """``build`` with the note as its last step, so that it knows how the steps before it ended."""

    sub_commands: ClassVar[list[tuple[str, Callable[[Command], bool] | None]]] = [
        *build.sub_commands,
        ("build_note", None),
    ]


setup(
    ext_modules=extensions(),
    cmdclass={"build": Build, "build_py": BuildModules, "build_ext": BuildTwins, "build_note": BuildNote},
)
