"""Build the optional Cython twins; everything else about the package is in pyproject.toml.

``CARMINE_BUILD_EXT`` decides what happens to ``carmine/_*.pyx``:

* ``auto`` (the default): build them; where that is not possible, say so in one line and install the pure twin.
* ``require``: build them or fail.
* ``0``: leave them alone and make a ``py3-none-any`` wheel.

pip hides a build's output, so the outcome is also written to ``carmine/_build_info.json``: one entry for each extension
suffix (an editable checkout serves several Pythons), or ``any`` in the pure wheel.

What is built also leaves out what stands twice in the sources: docstrings, and the comments of generated modules
(``BuildModules``).
"""

from __future__ import annotations

import ast
import json
import os
import runpy
import sys
import tokenize
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from subprocess import CalledProcessError
from sysconfig import get_path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from setuptools import Command, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODES = ("auto", "require", "0")
MODE = os.environ.get("CARMINE_BUILD_EXT", "auto")
HERE = Path(__file__).resolve().parent
SUFFIX = EXTENSION_SUFFIXES[0]
# how a module begins that tools/gen_*.py have written
GENERATED = b"# GENERATED "
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
def blocking_name() -> Callable[[str], str]:
    """Return the rule by which an asyncio shell finds its docstrings in the blocking one when it is loaded."""
    return cast("Callable[[str], str]", runpy.run_path(str(HERE / "carmine/commands/_docs.py"))["blocking_name"])


Told = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def parts(source: bytes, named: Callable[[str], str] = str) -> Iterator[tuple[str, Told]]:
    """Give a module (named ""), its functions and classes, and what these define, each with its dotted name.

    Args:
        source: The module.
        named: Makes the name of each part.
    """

    def inside(node: Told, name: str) -> Iterator[tuple[str, Told]]:
        yield name, node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in node.body:
                if isinstance(part, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    yield from inside(part, f"{name}.{named(part.name)}" if name else named(part.name))

    return inside(ast.parse(source), "")


@cache
def facade_docs() -> dict[str, str | None]:
    """Return the docstrings of the sync facade, by the name of the method."""
    told = parts((HERE / "carmine" / "commands" / "_sync.py").read_bytes())
    return {name.removeprefix("Commands."): ast.get_docstring(node) for name, node in told if "." in name}


def docs_elsewhere(package: str, module: str) -> dict[str, str | None]:
    """Return the docstrings that a module gets when it is loaded, by the dotted names of `parts`; none for most.

    A command function has those of the sync facade, an asyncio shell those of the blocking one.
    """
    if package == "carmine.commands" and not module.startswith("_"):
        return facade_docs()
    if package == "carmine.client._async" and module != "__init__":
        twin = parts((HERE / "carmine" / "client" / "_sync" / f"{module}.py").read_bytes())
        return {name: found for name, node in twin if (found := ast.get_docstring(node))}
    return {}


def without_docs(source: bytes, elsewhere: dict[str, str | None]) -> bytes:
    """Return a module with empty lines in place of each docstring that stands elsewhere word for word.

    Public parts of a shell keep the first line, for editors. Nothing else changes, and no line its number: tracebacks
    are those of the repository.
    """
    lines = source.splitlines(keepends=True)
    is_shell = "" in elsewhere
    for name, node in parts(source, blocking_name()):
        match node.body:
            case [ast.Expr(value=ast.Constant(value=str())) as told, _, *_]:
                first, last = told.lineno - 1, told.end_lineno or 0
                stands_alone = not (lines[first][: told.col_offset] + lines[last - 1][told.end_col_offset :]).strip()
                if stands_alone and ast.get_docstring(node) == elsewhere.get(name):
                    if is_shell and name and not f".{name}".count("._"):
                        if last - first > 1:
                            lines[first] = lines[first].rstrip() + b'"""\n'
                        first += 1
                    lines[first:last] = [b"\n"] * (last - first)
                elif is_shell and not name:
                    return source  # a module with a docstring of its own has all of its own
    return b"".join(lines)


def thinned(source: bytes) -> bytes:
    """Return a generated module without the comments behind its head, and with one space for each level.

    What it was made of has the comments. Nothing else changes, and no line its number.
    """
    lines = source.splitlines(keepends=True)
    tokens = list(tokenize.tokenize(iter(lines).__next__))
    head = next(token.start[0] for token in tokens if token.type == tokenize.STRING)
    for kind, _, (row, column), _, _ in tokens:
        if kind == tokenize.COMMENT and row > head:
            lines[row - 1] = lines[row - 1].decode()[:column].rstrip().encode() + b"\n"
    inside = {row for token in tokens for row in range(token.start[0] + 1, token.end[0] + 1)}  # of a string
    for row, line in enumerate(lines, 1):
        if row not in inside:
            text = line.lstrip(b" ")
            lines[row - 1] = b" " * ((len(line) - len(text)) // 4) + text
    made = b"".join(lines)
    if ast.dump(ast.parse(made)) != ast.dump(ast.parse(source)):
        sys.exit("setup.py: a generated module would mean something else without its comments")
    return made


class BuildModules(build_py):
    """Copy the modules; they leave behind the docstrings that stand in another one too, and what is generated more.

    They get the docstrings back when they are loaded (``carmine/commands/_docs.py``). Generated modules have no
    comments, and one space for each level (ADR 9). The sdist and an editable checkout keep all.
    """

    def build_module(self, module: str, module_file: str, package: str) -> Any:
        """Copy one module."""
        copied = super().build_module(module, module_file, package)  # type: ignore[no-untyped-call]  # not typed there
        target = Path(copied[0])
        source = made = target.read_bytes()
        if elsewhere := docs_elsewhere(package, module):
            made = without_docs(made, elsewhere)
        if made.startswith(GENERATED):
            made = thinned(made)
        if made != source:
            target.write_bytes(made)
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
