"""What the distribution says of itself, and what its build does with and without a compiler."""

from __future__ import annotations

import ast
import email
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

import carmine._version
from tests.unit.wheel_texts import (
    ASKED,
    COLUMN,
    SHELLS,
    SHELLS_ASKED,
    answer,
    blocking,
    is_public,
    late_comments,
    parsed,
    parts,
    told,
    without_shared,
)
from tools import gen_facades, wheels

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]
SYNC = "carmine/commands/_sync.py"
EXTRAS = {"embedded", "tundra", "s3", "dynamodb", "cli", "dashboard", "otel", "test", "all"}


def installed() -> importlib.metadata.PackageMetadata:
    return importlib.metadata.metadata("carmine-redis")


class TestMetadata:
    def test_the_core_has_no_runtime_dependency(self) -> None:
        """S-74: what is installed without an extra is the package alone."""
        assert PROJECT["dependencies"] == []
        requirements = installed().get_all("Requires-Dist") or []
        assert requirements
        assert [line for line in requirements if "extra ==" not in line] == []

    def test_names(self) -> None:
        assert installed()["Name"] == "carmine-redis"
        assert installed()["Requires-Python"] == ">=3.11"

    def test_every_extra_is_named(self) -> None:
        assert set(PROJECT["optional-dependencies"]) == EXTRAS
        assert set(installed().get_all("Provides-Extra") or []) == EXTRAS

    def test_extras_have_floors_and_no_pins(self) -> None:
        extras = {name: lines for name, lines in PROJECT["optional-dependencies"].items() if name != "all"}
        lines = [line.split(";")[0] for group in extras.values() for line in group]
        assert lines
        assert [line for line in lines if not re.fullmatch(r"[\w.\-]+(\[\w+\])?>=[\d.]+", line)] == []

    def test_all_names_every_extra_for_users(self) -> None:
        [line] = PROJECT["optional-dependencies"]["all"]
        assert set(line.partition("[")[2].strip("]").split(",")) == EXTRAS - {"all", "test"}

    def test_licence(self) -> None:
        assert installed()["License-Expression"] == "MIT"
        assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")

    def test_the_version_stands_in_one_place(self) -> None:
        assert PROJECT["dynamic"] == ["version"]
        version = carmine._version.__version__
        assert importlib.metadata.version("carmine-redis") == version
        files = [*ROOT.glob("carmine/**/*.py"), *ROOT.glob("*.py"), *ROOT.glob("*.toml")]
        assert [path.name for path in files if version in path.read_text(encoding="utf-8")] == ["_version.py"]

    def test_the_version_is_read_without_importing(self) -> None:
        tree = ast.parse((ROOT / "carmine/_version.py").read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom | ast.Call)]


def cibuildwheel() -> Path:
    """Return cibuildwheel's folder, or skip: it lives in the main environment, with the tools."""
    spec = importlib.util.find_spec("cibuildwheel")
    if spec is None or spec.origin is None:
        pytest.skip("cibuildwheel lives in .venv only")
    return Path(spec.origin).parent


def identifiers(platform: str) -> set[str]:
    """Return what cibuildwheel would build on a platform."""
    cibuildwheel()
    command = [sys.executable, "-m", "cibuildwheel", "--platform", platform, "--print-build-identifiers", str(ROOT)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CIBW_")}
    done = subprocess.run(command, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


PYTHONS = ("cp311", "cp312", "cp313", "cp314", "cp314t", "cp315", "cp315t")
PLATFORMS = {
    "linux": ("manylinux_x86_64", "manylinux_aarch64", "musllinux_x86_64", "musllinux_aarch64"),
    "macos": ("macosx_x86_64", "macosx_arm64"),
    "windows": ("win_amd64", "win_arm64"),
}


class TestWheelMatrix:
    @pytest.mark.parametrize("platform", PLATFORMS)
    def test_identifiers(self, platform: str) -> None:
        assert identifiers(platform) == {f"{python}-{kind}" for python in PYTHONS for kind in PLATFORMS[platform]}

    def test_images(self) -> None:
        linux = PYPROJECT["tool"]["cibuildwheel"]["linux"]
        images = {key: value for key, value in linux.items() if key.endswith("-image")}
        assert images == {
            f"{kind}-{arch}-image": image
            for kind, image in (("manylinux", "manylinux_2_28"), ("musllinux", "musllinux_1_2"))
            for arch in ("x86_64", "aarch64")
        }

    def test_a_wheel_without_its_twin_would_fail(self) -> None:
        assert PYPROJECT["tool"]["cibuildwheel"]["environment"] == {
            "CARMINE_BUILD_EXT": "require",
            "CARMINE_EXPECT_IMPL": "cython",
        }

    def test_schema(self) -> None:
        """The section is what cibuildwheel's own schema allows, and a misspelt key is not."""
        fastjsonschema = pytest.importorskip("fastjsonschema")
        text = (cibuildwheel() / "resources" / "cibuildwheel.schema.json").read_text(encoding="utf-8")
        validate = fastjsonschema.compile(json.loads(text))
        section = PYPROJECT["tool"]["cibuildwheel"]
        validate(section)
        with pytest.raises(fastjsonschema.JsonSchemaException):
            validate({**section, "wheel": "cp311-*"})

    def test_pyproject_is_valid(self, tmp_path: Path) -> None:
        tool = Path(sys.executable).with_name("validate-pyproject")
        if not tool.exists():
            pytest.skip("validate-pyproject lives in .venv only")
        subprocess.run([tool, ROOT / "pyproject.toml"], check=True, capture_output=True)
        broken = tmp_path / "pyproject.toml"
        broken.write_text('[project]\nname = "x"\nversion = 1\n')
        assert subprocess.run([tool, broken], check=False, capture_output=True).returncode != 0


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of what a build reads, with the smallest twin: the compiler is not under test."""
    pytest.importorskip("Cython")
    place = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, place)
    made = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.c", "*.pyx", "*.pxd", "*.pxi", "_build_info.json")
    shutil.copytree(ROOT / "carmine", place / "carmine", ignore=made)
    (place / "carmine/_resp.pyx").write_text('"""A twin."""\n\ndef answer():\n    return 42\n')
    return place


class Build:
    """One wheel made in one mode."""

    def __init__(self, checkout: Path, mode: str, **variables: str) -> None:
        shutil.rmtree(checkout / "build", ignore_errors=True)
        out = checkout / "out"
        shutil.rmtree(out, ignore_errors=True)
        clean = {name: value for name, value in os.environ.items() if name not in ("CFLAGS", "LDFLAGS", "CC")}
        done = subprocess.run(
            [sys.executable, "-c", HOOK, str(out)],
            cwd=checkout,
            env={**clean, "CARMINE_BUILD_EXT": mode, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.ok = done.returncode == 0
        self.output = done.stdout
        self.said = [line for line in done.stdout.splitlines() if line.startswith("carmine: ")]
        self.wheel = next(out.glob("*.whl"), None)

    def names(self) -> list[str]:
        assert self.wheel is not None, self.output
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.namelist()

    def read(self, name: str) -> str:
        assert self.wheel is not None, self.output
        with zipfile.ZipFile(self.wheel) as archive:
            [full] = [entry for entry in archive.namelist() if entry.endswith(name)]
            return archive.read(full).decode()

    def note(self) -> dict[str, Any]:
        [entry] = json.loads(self.read("carmine/_build_info.json")).values()
        assert isinstance(entry, dict)
        return entry

    def twins(self) -> list[str]:
        return [name for name in self.names() if name.endswith((".so", ".pyd"))]


# What a build front end does, without its isolation: the environment of the tests has setuptools and Cython.
HOOK = """
import os, sys
from setuptools import build_meta
os.makedirs(sys.argv[1])
build_meta.build_wheel(sys.argv[1])
"""
NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false", "LDSHARED": "/bin/false"}
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
unix = pytest.mark.skipif(sys.platform == "win32", reason="the compiler is not chosen by CC there")


@pytest.fixture(scope="module")
def pure(checkout: Path) -> Build:
    """Give the wheel without the extension, kept where the next build does not clear it away."""
    made = Build(checkout, "0", **NO_COMPILER)
    if made.wheel is not None:
        made.wheel = made.wheel.rename(checkout / made.wheel.name)
    return made


@pytest.mark.slow
@pytest.mark.build
class TestBuildModes:
    @needs_compiler
    @pytest.mark.parametrize("mode", ["auto", "require"])
    def test_with_a_compiler(self, checkout: Path, mode: str) -> None:
        made = Build(checkout, mode)
        assert made.ok, made.output
        assert len(made.twins()) == 1
        assert made.said == []
        assert made.note() == {
            "mode": mode,
            "built": ["carmine._resp"],
            "reason": None,
            "python": made.note()["python"],
        }

    @needs_compiler
    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the compiler's defaults are light")
    @pytest.mark.parametrize(("flags", "is_light"), [("", True), ("-O1 -g", False)])
    def test_who_sets_cflags_keeps_the_unwind_tables(self, checkout: Path, flags: str, is_light: bool) -> None:
        """They are what native profilers and debuggers read; a wheel does without (ADR 9)."""
        made = Build(checkout, "require", CFLAGS=flags)
        [compiled] = [line for line in made.output.splitlines() if " -c build/cython/carmine/_resp.c " in line]
        assert ("-fno-asynchronous-unwind-tables" in compiled) == is_light
        assert flags in compiled

    @unix
    @pytest.mark.parametrize("compiler", ["/bin/false", "/no/such/compiler"])
    def test_auto_without_a_compiler_says_so_in_one_line(self, checkout: Path, compiler: str) -> None:
        made = Build(checkout, "auto", **{**NO_COMPILER, "CC": compiler})
        assert made.ok, made.output
        assert made.twins() == []
        [line] = made.said
        assert "pure Python twin" in line
        assert compiler in line
        assert made.note()["built"] == []
        assert compiler in made.note()["reason"]

    @needs_compiler
    def test_auto_with_one_twin_that_cannot_be_built_installs_none(self, checkout: Path) -> None:
        second = checkout / "carmine/_wire.pyx"
        second.write_text('cdef extern from "no_such_header.h":\n    int missing\n\nanswer = missing\n')
        try:
            made = Build(checkout, "auto")
        finally:
            second.unlink()
        assert made.ok, made.output
        assert made.twins() == []
        assert len(made.said) == 1
        assert made.note()["built"] == []

    @unix
    def test_require_without_a_compiler_fails(self, checkout: Path) -> None:
        made = Build(checkout, "require", **NO_COMPILER)
        assert not made.ok
        assert made.wheel is None

    @unix
    def test_without_the_extension_the_wheel_is_for_everyone(self, pure: Build) -> None:
        made = pure
        assert made.ok, made.output
        assert made.wheel is not None
        assert made.wheel.name.endswith("-py3-none-any.whl")
        assert made.twins() == []
        assert made.note()["reason"] == "CARMINE_BUILD_EXT=0"
        wheel = email.message_from_string(made.read(".dist-info/WHEEL"))
        assert wheel["Root-Is-Purelib"] == "true"

    def test_an_unknown_mode_is_refused(self, checkout: Path) -> None:
        made = Build(checkout, "maybe")
        assert not made.ok
        assert "CARMINE_BUILD_EXT must be one of auto, require, 0" in made.output

    def test_a_wheel_holds_no_sources_of_the_twin(self, checkout: Path) -> None:
        made = Build(checkout, "auto")
        assert "carmine/py.typed" in made.names()
        assert [name for name in made.names() if name.endswith((".pyx", ".c", ".pxd", ".pxi"))] == []


@pytest.fixture(scope="module")
def site(pure: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give what the wheel installs."""
    assert pure.wheel is not None, pure.output
    place = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(pure.wheel) as archive:
        archive.extractall(place)
    return place


@pytest.fixture(scope="module")
def shared(site: Path) -> dict[str, str | None]:
    [facade] = [node for node in parsed(site / SYNC).body if isinstance(node, ast.ClassDef)]
    return {node.name: ast.get_docstring(node) for node in facade.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.slow
@pytest.mark.build
class TestDocstrings:
    """A wheel has each docstring once, and generated modules are thin; nobody who uses it can tell (ADR 9)."""

    def test_nothing_else_is_changed_and_no_line_moves(
        self, checkout: Path, site: Path, shared: dict[str, str | None]
    ) -> None:
        """Every file is the repository's but for that, and every line left has its number."""
        changed, generated = set[str](), set[str]()
        for path in sorted((checkout / "carmine").rglob("*.py")):
            name = path.relative_to(checkout)
            before, after = path.read_text(encoding="utf-8"), (site / name).read_text(encoding="utf-8")
            if before.startswith("# GENERATED "):
                generated.add(name.as_posix())
                assert late_comments(after) == []
                trees = [ast.dump(ast.parse(text), include_attributes=True) for text in (before, after)]
                assert len({COLUMN.sub("", tree) for tree in trees}) == 1, name
            elif before != after:
                twin = path.parent.parent / "_sync" / path.name
                is_shell = path.parent.name == "_async"
                docs = {key: told(node) for key, node in parts(parsed(twin)).items()} if is_shell else shared
                expected = without_shared(before, docs, keeps_firsts=is_shell)
                assert expected == ast.dump(ast.parse(after), include_attributes=True), name
                pairs = list(zip(before.splitlines(), after.splitlines(), strict=True))
                assert [now for then, now in pairs if now not in ("", then, f'{then}"""')] == [], name
                changed.add(name.as_posix())
        groups = {f"carmine/commands/{group}.py" for group in gen_facades.GROUPS}
        assert changed == groups | {f"carmine/client/_async/{shell}.py" for shell in SHELLS}
        assert {f"carmine/commands/_{each}.py" for each in ("async", "pipeline", "sync", "table")} < generated

    def test_no_function_with_a_method_keeps_its_docstring(self, site: Path, shared: dict[str, str | None]) -> None:
        files = [site / "carmine/commands" / f"{group}.py" for group in gen_facades.GROUPS]
        functions = [node for path in files for node in parsed(path).body if isinstance(node, ast.FunctionDef)]
        assert {node.name for node in functions if told(node) and node.name in shared} == set()
        assert all(shared.values())

    @pytest.mark.parametrize("shell", SHELLS)
    def test_shells_keep_first_lines_for_editors_and_no_more(self, site: Path, shell: str) -> None:
        """Of what their twins have: those of public classes, methods and properties."""
        theirs = {name: told(node) for name, node in parts(parsed(site / f"carmine/client/_sync/{shell}.py")).items()}
        mine = parts(parsed(site / f"carmine/client/_async/{shell}.py"))
        assert theirs[""]
        for name, node in mine.items():
            whole = theirs[blocking(name)] or ""
            kept = ast.get_docstring(node) or ""
            wanted = whole.partition("\n")[0] if is_public(name) else ""
            assert kept == wanted or not whole.startswith(kept), name

    def test_a_docstring_that_stands_nowhere_else_stays(self, checkout: Path, pure: Build) -> None:
        """What is left out is decided by the text, not by the name; a shell with its own module docstring has all."""
        changes = {
            "commands/strings.py": ('"""GET: ', '"""GET, of another text: '),
            "client/_async/wcar.py": ('"""Begin to queue apart.', '"""Begin to queue, in other words.'),
            "client/_async/monitor.py": ('"""MONITOR: ', '"""MONITOR, of another text: '),
        }
        whole = {name: (checkout / "carmine" / name).read_text(encoding="utf-8") for name in changes}
        try:
            for name, (before, after) in changes.items():
                assert whole[name].count(before) == 1, name
                (checkout / "carmine" / name).write_text(whole[name].replace(before, after), encoding="utf-8")
            made = Build(checkout, "0")
        finally:
            for name, text in whole.items():
                (checkout / "carmine" / name).write_text(text, encoding="utf-8")
        for name, (before, after) in changes.items():
            assert after in made.read(f"carmine/{name}"), name
            assert before not in pure.read(f"carmine/{name}"), name
        assert made.read("carmine/client/_async/monitor.py") == whole["client/_async/monitor.py"].replace(
            *changes["client/_async/monitor.py"]
        )

    @pytest.mark.parametrize(("switch", "first"), [("-I", "GET: "), ("-OO", "None None ")])
    def test_functions_of_an_installed_wheel_have_them(self, site: Path, switch: str, first: str) -> None:
        """And where Python is told to have none, nothing breaks."""
        assert answer(site, ASKED, switch)[0].startswith(first)

    def test_shells_of_an_installed_wheel_have_them(self, checkout: Path, site: Path) -> None:
        """Modules, classes, methods and properties, public or not: each as in the repository."""
        whole, mine = (json.loads(answer(place, SHELLS_ASKED, "-I")[-1]) for place in (checkout, site))
        replaced = "pipeline.AsyncPipeline.flush"
        assert whole.pop(replaced).partition("\n")[0] == mine.pop(replaced)
        assert mine == whole
        public = {name: text for name, text in whole.items() if "._" not in name}
        assert len(public) > 90
        assert all(public.values())

    def test_shells_without_docstrings_work(self, site: Path) -> None:
        """`python -OO` has none to share."""
        assert set(json.loads(answer(site, SHELLS_ASKED, "-OO")[-1]).values()) == {None}


class TestWeight:
    """A wheel is weighed after each build (tools/wheels.py), and may not grow unseen."""

    @staticmethod
    def weigh(folder: Path, **sizes: int) -> tuple[int, int]:
        wheel = folder / "x-1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, size in sizes.items():
                archive.writestr(name, b"x" * size)
        return wheels.weigh(wheel)

    def test_the_core_is_weighed_and_the_layers_are_not(self, tmp_path: Path) -> None:
        core = {"carmine/a.py": 900_000, "carmine/client/b.so": 600_000}
        layers = {"carmine/ext/mq/core.py": 1_000_000, "carmine/cli/main.py": 20_000, "carmine/embedded.py": 3_000}
        assert self.weigh(tmp_path, **core, **layers) == (wheels.HEAVIEST, 1_023_000) == (1_500_000, 1_023_000)

    def test_the_list_of_files_is_weighed_with_those_it_lists(self, tmp_path: Path) -> None:
        wheel = tmp_path / "x-1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("carmine/a.py", b"x" * 100)
            archive.writestr("x-1.dist-info/RECORD", "carmine/a.py,h,100\ncarmine/ext/b.py,h,7\ncarmine/cli/c.py,h,7\n")
        assert wheels.weigh(wheel) == (100 + 19, 21 + 21)

    def test_a_byte_too_much_is_told_with_the_files_that_weigh_most(self, tmp_path: Path) -> None:
        with pytest.raises(SystemExit) as caught:
            self.weigh(tmp_path, **{"carmine/a.py": 600_000, "carmine/b.so": 900_001})
        told = str(caught.value)
        assert "1,500,001 bytes unpacked, 1 more than 1,500,000" in told
        assert told.endswith("most of it: carmine/b.so 900,001, carmine/a.py 600,000")

    @pytest.mark.parametrize("name", ["carmine/_resp.pyx", "carmine/_pack.pxi", "carmine/_resp.c", "tests/x.py"])
    def test_ballast_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(SystemExit, match=re.escape(f"holds {name}")):
            self.weigh(tmp_path, **{name: 1})


class TestBuildNote:
    def test_the_tree_knows_how_it_was_built(self) -> None:
        """`python -m carmine doctor` reads this note to say why there is no Cython twin."""
        note = json.loads((ROOT / "carmine/_build_info.json").read_text(encoding="utf-8"))
        mine = note[EXTENSION_SUFFIXES[0]]
        there = [name for name in mine["built"] if (ROOT / f"{name.replace('.', '/')}{EXTENSION_SUFFIXES[0]}").exists()]
        assert there == mine["built"]
        assert bool(mine["built"]) != bool(mine["reason"])
