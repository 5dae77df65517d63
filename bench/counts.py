"""Counts that do not depend on the machine's speed: frames, system calls, imported modules, instructions.

Tests use these as gates: a count moves when the code does and not when a neighbour is busy. Each function takes
Python source or a callable and returns plain numbers; the tools it needs (``strace``, ``valgrind``) are named in
``MissingTool`` where they are not there.

Invariant: what is counted is the work alone. The harness's own frames and calls are left out by marks in the trace or
by taking the difference between two lengths of the same run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_BEGIN, _END = "carmine-count-begin", "carmine-count-end"
# A call's first line is ``pid name(arguments``; the second half of an interrupted one begins with ``<...`` instead.
_CALL = re.compile(r"^\s*(?:\d+\s+)?(\w+)\((.*)")
_COLLECTED = re.compile(r"Collected : (\d+)")


class MissingTool(RuntimeError):
    """A program that this count needs is not installed."""


def frames_per_call(call: Callable[[], object], *, warm: int = 3) -> tuple[str, ...]:
    """Count the ``call`` events of ``sys.setprofile`` in one warm call.

    Args:
        call: What to call. A ``functools.partial`` adds no frame of its own; a lambda would be counted.
        warm: Calls made before the one that counts.

    Returns:
        The functions entered, in order, each as ``module.qualified_name``; ``len`` of it is the count.
    """
    names: list[str] = []

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            names.append(f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}")

    for _ in range(warm):
        call()
    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return tuple(names)


def modules_imported(statement: str) -> frozenset[str]:
    """Return the modules that a statement loads in a fresh interpreter, beyond those that were there before it."""
    source = f"import sys; before = set(sys.modules)\n{statement}\nprint('\\n'.join(set(sys.modules) - before))"
    return frozenset(_python(["-c", source]).stdout.split())


def system_calls(setup: str, call: str, *, times: int = 100) -> dict[str, float]:
    """Count the system calls of a statement, in all threads of a fresh interpreter.

    Args:
        setup: Python source that runs first and is not counted.
        call: Python source of one call; it is made a few times before counting.
        times: How often it is made while counting.

    Returns:
        System calls for one call, by name; fractions where something does not happen every time.

    Raises:
        MissingTool: ``strace`` is not installed.
    """
    if not shutil.which("strace"):
        raise MissingTool("strace is not installed")
    loop = f"for _ in range({{}}):\n {_indented(call)}\n"
    # A write to a closed descriptor fails at once and is seen in the trace: a mark that needs no file.
    mark = "try: os.write(1023, b'{}')\nexcept OSError: pass\n"
    parts = ["import os, gc\n", setup, "\ngc.disable()\n", loop.format(5), mark.format(_BEGIN), loop.format(times)]
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as trace:
        _python(["-c", "".join([*parts, mark.format(_END)])], before=["strace", "-f", "-o", trace.name])
        found = _between_marks(trace.read())
    return {name: number / times for name, number in sorted(found.items())}


def instructions(setup: str, call: str, *, times: int = 200) -> float:
    """Count the instructions of a statement under callgrind, everything below it included.

    Two runs of different length are compared, so that the interpreter's start and the set-up cancel out. The hash
    seed is fixed: the same build gives the same number to within a few in a thousand.

    Args:
        setup: Python source that runs first and is not counted.
        call: Python source of one call.
        times: The longer run makes this many calls more.

    Returns:
        Instructions for one call, the loop around it included.

    Raises:
        MissingTool: ``valgrind`` is not installed.
    """
    if not shutil.which("valgrind"):
        raise MissingTool("valgrind is not installed")
    few, many = (_collected(setup, call, number) for number in (50, 50 + times))
    return (many - few) / times


def _collected(setup: str, call: str, times: int) -> int:
    source = f"import gc\n{setup}\ngc.disable()\nfor _ in range({times}):\n {_indented(call)}\n"
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    found = _COLLECTED.search(_python(["-c", source], before=tool).stderr)
    if not found:
        raise RuntimeError("callgrind did not say how many instructions it collected")
    return int(found[1])


def _between_marks(trace: str) -> Counter[str]:
    found: Counter[str] = Counter()
    counting = False
    for line in trace.splitlines():
        matched = _CALL.match(line)
        if not matched:
            continue
        name, rest = matched.groups()
        if name == "write" and _BEGIN in rest:
            counting = True
        elif name == "write" and _END in rest:
            return found
        elif counting:
            found[name] += 1
    raise RuntimeError("the traced process did not reach its end")


def _python(words: list[str], before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*(before or []), sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    if done.returncode:
        raise RuntimeError(f"the counted process failed:\n{done.stderr[-2000:]}")
    return done


def _indented(source: str) -> str:
    return source.replace("\n", "\n ")
