"""Find the CPythons of this machine: the tests and the wheels run on each that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

WANTED = ("3.11", "3.12", "3.13")


def candidates(version: str) -> list[str]:
    """Return the places where a Python of this version may be: on PATH, then pyenv's own folder, newest first."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), shutil.which("python3")]
    found += sorted((str(path) for path in versions.glob(f"{version}.*/bin/python{version}")), reverse=True)
    return [path for path in found if path]


def answers(path: str, version: str) -> bool:
    """Tell whether this is a working CPython of this version; pyenv's shims exist without one behind them."""
    ask = "import sys, venv; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([path, "-c", ask], capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.split() == ["cpython", version]


def find() -> dict[str, str]:
    """Return version -> path, for those of WANTED that the machine has."""
    found = {}
    for version in WANTED:
        for path in candidates(version):
            if answers(path, version):
                found[version] = path
                break
    return found
