"""Run tests over a twin that was built with the address and undefined-behaviour sanitizers.

The package is built into a folder of its own, so that the twin of every day stays what it is; pytest finds it there
because that folder leads its path. The interpreter itself is not instrumented: the sanitizer's library is loaded before
it, Python's own allocator is turned off so that every buffer has its red zones, and leaks are not looked for, since
CPython keeps many objects on purpose.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def library(name: str) -> str:
    """Return the path of one of the compiler's libraries."""
    compiler = os.environ.get("CC", "gcc")
    done = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = done.stdout.strip()
    if not Path(path).is_absolute():
        sys.exit(f"asan: {compiler} has no {name}")
    return path


def build(folder: Path, flags: str) -> None:
    """Build the package with these flags into a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    words = ["-q", "build", "--build-lib", str(folder), "--build-temp", f"{folder}-objects"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "setup.py", *words],
        cwd=ROOT,
        env={**os.environ, "CARMINE_BUILD_EXT": "require", "CFLAGS": flags, "LDFLAGS": flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nasan: the build failed")


def main() -> int:
    """Build, then run pytest with the words after ``--``; return its status."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--flags", required=True)
    parser.add_argument("words", nargs="+")
    args = parser.parse_args()
    folder = ROOT / args.folder
    build(folder, args.flags)
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(library(name) for name in ("libasan.so", "libubsan.so")),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
        "CARMINE_EXPECT_IMPL": "cython",
        "CARMINE_EXPECT_FROM": str(folder),
    }
    pytest = [str(Path(sys.executable).with_name("pytest")), "-p", "no:cacheprovider", "-o", f"pythonpath={folder} ."]
    return subprocess.run([*pytest, *args.words], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
