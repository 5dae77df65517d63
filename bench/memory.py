"""Memory of this process as the Linux kernel counts it, in bytes. Knows ``/proc`` and nothing else."""

from __future__ import annotations

from pathlib import Path

_SELF = Path("/proc/self")


def resident() -> int:
    """Return the resident memory of now."""
    return _field(_SELF / "status", "VmRSS")


def peak() -> int:
    """Return the highest resident memory since the start or the last reset."""
    return _field(_SELF / "status", "VmHWM")


def reset_peak() -> None:
    """Let the peak begin anew at the memory of now."""
    (_SELF / "clear_refs").write_text("5")


def proportional() -> int:
    """Return the memory of now, shared pages counted by their share."""
    return _field(_SELF / "smaps_rollup", "Pss")


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"{path} has no line {name}; this measurement needs Linux")
