"""Django's source distribution: the tests that its wheels leave out.

Fetched by pip as the version that is installed, once, into `build/django/<version>`. Only where the index cannot be
reached a test is skipped; whatever else goes wrong fails.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path

import pytest

__all__ = ["ROOT", "own_tests", "version_of"]

ROOT = Path(__file__).resolve().parents[4]

OFFLINE = re.compile(
    r"NewConnectionError|NameResolutionError|Max retries exceeded|ProxyError|Read timed out"
    r"|Connection (?:refused|reset)|Network is unreachable|Temporary failure in name resolution"
)


def version_of(python: Path) -> str | None:
    """Return the version of the Django that a Python has; None if it has none."""
    ask = "import django; print(django.__version__)"
    done = subprocess.run([python, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def own_tests(python: Path, version: str) -> Path:
    """Return the folder in which `sessions_tests` of this version lies; skip the test where it cannot be had."""
    folder = ROOT / "build" / "django" / version
    if not (folder / "sessions_tests" / "tests.py").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(python, version, folder)
        (packed,) = folder.glob("[Dd]jango-*.tar.gz")
        with tarfile.open(packed) as archive:
            for member in archive.getmembers():
                path = member.name.split("/")
                if path[1:3] == ["tests", "sessions_tests"] and member.isfile():
                    member.name = "/".join(path[2:])
                    archive.extract(member, folder, filter="data")
    return folder


def _fetch(python: Path, version: str, folder: Path) -> None:
    words = ("--no-deps", "--no-binary", "django", "--no-build-isolation", "--retries", "1", "-d", str(folder))
    command = [str(python), "-m", "pip", "-q", "download", *words, f"django=={version}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode and OFFLINE.search(done.stderr + done.stdout):
        pytest.skip("offline: Django's source distribution, which holds its tests, cannot be fetched")
    assert done.returncode == 0, done.stderr
