"""Environments of the rivals: each peer in a virtual environment of its own, made on demand.

carmine's environment never sees a peer's package. An environment is made again when its list or the interpreter
changes; all of them use the interpreter that runs the benchmark, so that no rival wins by its Python.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).resolve().parent.parent
ENVS = Path(__file__).resolve().parent / ".envs"

# Versions as in the table of targets: a patch release may move, a minor one is a new comparison.
PACKAGES: dict[str, tuple[str, ...]] = {
    "redis": ("redis==8.1.*", "hiredis==3.5.*"),
    "redis-pure": ("redis==8.1.*",),
    "glide": ("valkey-glide-sync==2.6.*",),
    "glide-async": ("valkey-glide==2.6.*",),
    "coredis": ("coredis==6.9.*",),
    "rq": ("rq==3.0.*", "hiredis==3.5.*"),
    "dramatiq": ("dramatiq[redis]==2.2.*", "hiredis==3.5.*"),
    "arq": ("arq==0.28.*", "hiredis==3.5.*"),
    # It imports typing_extensions and does not name it.
    "saq": ("saq[redis]==0.26.*", "hiredis==3.5.*", "typing_extensions"),
    "taskiq": ("taskiq-redis==1.2.*", "hiredis==3.5.*"),
    "huey": ("huey==3.5.*", "redis==8.1.*", "hiredis==3.5.*"),
    "celery": ("celery[redis]==5.7.*", "hiredis==3.5.*"),
    "redis-lock": ("python-redis-lock==4.0.*", "redis==8.1.*", "hiredis==3.5.*"),
}


class Environment(NamedTuple):
    """One virtual environment and what goes into it."""

    name: str
    packages: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Return its folder, which may not exist yet."""
        return ENVS / self.name

    @property
    def python(self) -> Path:
        """Return its interpreter."""
        return self.path / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def wanted(self) -> str:
        """Describe what the environment must hold to be ready."""
        return f"{platform.python_implementation()} {platform.python_version()}\n" + "\n".join(self.packages)

    @property
    def is_ready(self) -> bool:
        """Tell whether it holds these packages for this interpreter."""
        stamp = self.path / "ready"
        return stamp.exists() and stamp.read_text() == self.wanted


def environment(name: str) -> Environment:
    """Return the environment of that name."""
    return Environment(name, PACKAGES[name])


def set_up(names: list[str] | None = None) -> list[str]:
    """Make the environments that are not ready.

    Args:
        names: Which ones; all if None.

    Returns:
        A line for each environment: ready, made, or why it could not be made.
    """
    return [_make(environment(name)) for name in names or list(PACKAGES)]


def prepare(names: Iterable[str | None], say: Callable[[str], None]) -> None:
    """Make the environments that are not ready, and tell of each; None stands for carmine's own."""
    for name in sorted(name for name in names if name and not environment(name).is_ready):
        say(set_up([name])[0])


def _make(env: Environment) -> str:
    if env.is_ready:
        return f"{env.name}: ready ({', '.join(env.packages)})"
    shutil.rmtree(env.path, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(env.path)], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        install = [str(env.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *env.packages]
        made = subprocess.run(install, capture_output=True, text=True, check=False)
    if made.returncode:
        reason = (made.stderr.strip() or "no message").splitlines()[-1]
        return f"{env.name}: not made: {reason}"
    (env.path / "ready").write_text(env.wanted)
    return f"{env.name}: made ({', '.join(env.packages)})"
