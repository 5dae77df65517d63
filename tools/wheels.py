"""Make and try what is published: the sdist, the pure wheel, and one repaired wheel for each CPython of the machine.

Every wheel is made from the sdist, so the sdist is known to be complete. ``auditwheel`` proves that a wheel asks for
nothing newer than manylinux_2_28. Each wheel is looked at by twine and check-wheel-contents, weighed, installed in an
empty environment without an index, and tried with ``tools/smoke.py``; cibuildwheel does the same for other platforms.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
RAW = ROOT / "build" / "wheels"
TRIES = ROOT / "build" / "tries"
PLATFORM = "manylinux_2_28_x86_64"
HEAVIEST = 1_500_000  # bytes of the core, unpacked
LAYERS = ("carmine/ext/", "carmine/cli/", "carmine/embedded.py")  # what stands on the core has an account of its own
SOURCES = (".pyx", ".pxd", ".pxi", ".c")
MAIN = Path(sys.executable)


def run(*words: str | Path, quiet: bool = True, **variables: str) -> None:
    """Run a command; stop with its output when it fails."""
    environment = {**os.environ, **variables, "PATH": f"{MAIN.parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    command = [str(word) for word in words]
    done = subprocess.run(
        command,
        cwd=ROOT / "build",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nwheels: {' '.join(command)} failed")
    if not quiet:
        sys.stdout.write(done.stdout)


def only(folder: Path, pattern: str) -> Path:
    """Return the one file that a step was to make."""
    [found] = folder.glob(pattern)
    return found


def build(python: Path, sdist: Path, mode: str) -> Path:
    """Build one wheel from the sdist; return the file to publish."""
    shutil.rmtree(RAW, ignore_errors=True)
    words = ("-m", "pip", "-qq", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation")
    run(python, *words, "--no-cache-dir", "-w", RAW, sdist, CARMINE_BUILD_EXT=mode)
    raw = only(RAW, "*.whl")
    if mode == "0" or sys.platform != "linux":
        return Path(shutil.copy(raw, DIST))
    before = set(DIST.glob("*.whl"))
    run(MAIN, "-m", "auditwheel", "repair", "--plat", PLATFORM, "--only-plat", "--strip", "-w", DIST, raw)
    [repaired] = set(DIST.glob("*.whl")) - before
    return repaired


def is_layers(name: str) -> bool:
    """Tell whether a file belongs to what stands on the core."""
    return name.startswith(LAYERS)


def weigh(wheel: Path) -> tuple[int, int]:
    """Return the unpacked sizes of core and layers; stop when the core is too heavy or something is of no use there.

    The wheel's list of its files has a line for each: those of the layers' files are the layers'.
    """
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        core = {name: size for name, size in sizes.items() if not is_layers(name)}
        for name in [name for name in core if name.endswith(".dist-info/RECORD")]:
            lines = archive.read(name).splitlines(keepends=True)
            core[name] -= sum(len(line) for line in lines if is_layers(line.decode()))
    size = sum(core.values())
    if size > HEAVIEST:
        heavy = sorted(core.items(), key=lambda item: -item[1])[:8]
        sys.exit(
            f"wheels: the core in {wheel.name} is {size:,} bytes unpacked, {size - HEAVIEST:,} more than {HEAVIEST:,}; "
            f"most of it: {', '.join(f'{name} {weight:,}' for name, weight in heavy)}"
        )
    if ballast := [name for name in sizes if name.endswith(SOURCES) or "tests" in name]:
        sys.exit(f"wheels: {wheel.name} holds {', '.join(ballast)}")
    return size, sum(sizes.values()) - size


def try_out(wheel: Path, python: Path, impl: str) -> None:
    """Install a wheel in an empty environment and run the smoke test there."""
    place = TRIES / wheel.stem
    run(python, "-m", "venv", "--without-pip", place)
    inside = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pip = (MAIN, "-m", "pip", "-qq", "--disable-pip-version-check", "--python", inside, "install")
    run(*pip, "--no-index", "--no-deps", wheel)
    run(inside, ROOT / "tools" / "smoke.py", quiet=False, CARMINE_EXPECT_IMPL=impl)


def main() -> int:
    """Make everything in dist/, or stop at the first thing that is wrong."""
    for folder in (DIST, TRIES):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (DIST, RAW):
        folder.mkdir(parents=True, exist_ok=True)
    run(MAIN, "-m", "build", "--no-isolation", "--sdist", "--outdir", DIST, ROOT)
    sdist = only(DIST, "*.tar.gz")
    pythons = [MAIN, *sorted(ROOT.glob(".venv-3.*/bin/python"))]
    wheels = [(build(MAIN, sdist, "0"), MAIN, "python")]
    wheels += [(build(python, sdist, "require"), python, "cython") for python in pythons]
    run(MAIN, "-m", "twine", "check", "--strict", *DIST.iterdir())
    run(MAIN.with_name("check-wheel-contents"), *DIST.glob("*.whl"))
    for wheel, python, impl in wheels:
        core, layers = weigh(wheel)
        try_out(wheel, python, impl)
        sys.stdout.write(f"wheels: {wheel.name}, unpacked: core {core:,} bytes, layers {layers:,}\n")
    sys.stdout.write(f"wheels: {sdist.name} and {len(wheels)} wheels in dist/\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
