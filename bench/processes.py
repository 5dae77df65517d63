"""A rival's service process and whatever that forks: started in a session of its own, measured, ended.

Knows Linux's /proc; without it only the first process is seen. Invariant: what was started here is ended here, by the
ids found in that session.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Seconds: how finely the kernel counts processor time here.
TICK = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
_PROC = Path("/proc")


class Service:
    """One process that serves until it is ended, with its children.

    Args:
        words: The command.
        folder: Its working directory.
        variables: Its environment.
    """

    def __init__(self, words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=self._errors,
            stderr=self._errors,
            cwd=folder,
            env=dict(variables),
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Return the id of its first process, which is also its session's."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Tell whether its first process is there."""
        return self._process.poll() is None

    def cpu(self) -> float:
        """Return the seconds of processor time that it has used, and its children, those that have ended too."""
        return sum(map(_cpu, self._members()))

    def last_words(self) -> str:
        """Return the last line it wrote, for the reason of a failure."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "it said nothing"

    def stop(self) -> None:
        """End it at once, children first: their parent might start them again."""
        self._kill(signal.SIGSTOP, [self._process.pid])
        self._kill(signal.SIGKILL, [*(pid for pid in self._members() if pid != self._process.pid), self._process.pid])
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._errors.close()

    def _kill(self, number: int, pids: Sequence[int]) -> None:
        if self.is_alive:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _members(self) -> list[int]:
        return list(members(self._process.pid)) or [self._process.pid]


def members(session: int) -> Iterator[int]:
    """Find the processes of a session."""
    if not _PROC.is_dir():
        return
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                if int(_fields(int(entry.name))[3]) == session:
                    yield int(entry.name)


def _cpu(pid: int) -> float:
    try:
        # utime, stime, and those of children that were waited for
        return sum(map(int, _fields(pid)[11:15])) * TICK
    except (OSError, IndexError, ValueError):
        return 0.0


def _fields(pid: int) -> list[str]:
    # The name of a process may hold blanks and brackets; what counts comes after the last bracket.
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
