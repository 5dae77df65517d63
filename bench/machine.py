"""What the numbers hold for: processor, kernel, Python, commit, load. No host name, no path."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import subprocess
from pathlib import Path

from bench import envs


def describe() -> dict[str, object]:
    """Return the facts of this machine and this tree."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cpu": f"{processor()}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
    }


def load() -> str:
    """Return the load averages of the last 1, 5 and 15 minutes."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def commit() -> str:
    """Return the commit, marked if tracked files differ from it."""
    found = _git("rev-parse", "--short=10", "HEAD") or "unknown"
    return f"{found} with changes" if _git("status", "--porcelain", "--untracked-files=no") else found


def fingerprint() -> str:
    """Return a digest of the package as it lies here: two runs with the same one measured the same code."""
    found = hashlib.sha256()
    for path in sorted((envs.ROOT / "carmine").rglob("*")):
        if path.suffix in (".py", ".so", ".pyd"):
            found.update(path.read_bytes())
    return found.hexdigest()[:12]


def processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=envs.ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
