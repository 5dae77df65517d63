"""What the numbers hold for: processor, kernel, Python, commit, load. No host name, no path."""

from __future__ import annotations

import datetime
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


def processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def busy_ticks() -> tuple[int, int]:
    """Return the ticks that all processors have worked and those the hypervisor took, since boot."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0, 0
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(
        int, stat.read_text().split("\n", 1)[0].split()[1:]
    )
    return user + nice + system + irq + softirq, steal


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=envs.ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
