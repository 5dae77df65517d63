"""Where the time goes: Python frames, C symbols and system calls of carmine and of the reference on the same row.

A missed target is explained by this file and not by a guess. Uses ``perf`` and ``strace`` where they are installed
and says so where they are not. What is written names functions and system calls, no paths.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bench.contestant import KEPT_HEAP, KINDS, Contestant
from bench.measure import calibrate
from bench.rivals.work import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from bench.rows import Place, Row
    from bench.run import Settings
    from bench.server import Server

Say = Callable[[str], None]


def write(rows: Sequence[Row], server: Server, settings: Settings, folder: Path, say: Say) -> str:
    """Profile the reference and carmine on each row; write one text file a row and return all of it.

    Args:
        rows: Which rows.
        server: A server that holds the data.
        settings: Cores and block length; the launches and rounds are not used.
        folder: Where the files go.
        say: Called with a line on each step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = []
    for row in rows:
        say(f"profiling {row.name}")
        places = [place for place in row.places if place.label in (row.reference, "carmine", "small", "large")]
        text = f"# {row.name}: {row.title}\n\n" + "\n".join(_place(place, server, settings) for place in places)
        (folder / f"{row.name.replace('/', '-')}.txt").write_text(text)
        texts.append(text)
    return "\n".join(texts)


def _place(place: Place, server: Server, settings: Settings) -> str:
    title = f"## {place.label} ({place.kind}, {place.work})\n\n"
    try:
        worker = Contestant(KINDS[place.kind], server.address, settings.cores, KEPT_HEAP)
    except Unavailable as reason:
        return f"{title}not available: {reason}\n"
    try:
        worker.order("open", work=place.work)
        count = calibrate(worker, place.work, 1.0)
        sample = worker.run(place.work, count)
        split = worker.order("split", work=place.work, count=count)
        units = count * place.unit
        waiting = max(0.0, sample.wall - sample.cpu)
        parts = [
            f"per unit: wall {sample.wall / units * 1e6:.3f} us = processor {sample.cpu / units * 1e6:.3f}"
            f" + waiting {waiting / units * 1e6:.3f} us; processor in user mode {float(str(split['user'])):.0%}\n",
            "### Python frames\n\n" + str(worker.order("frames", work=place.work, count=max(1, count // 20))["text"]),
            "### system calls\n\n" + _strace(worker, place.work, max(1, count // 10), place.unit),
            "### C symbols\n\n" + _perf(worker, place.work, count),
        ]
    except Unavailable as reason:
        return f"{title}not available: {reason}\n"
    finally:
        worker.stop()
    return title + "\n".join(parts)


def _strace(worker: Contestant, work: str, count: int, unit: int) -> str:
    if not shutil.which("strace"):
        return "strace is not installed\n"
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as out:
        tracer = subprocess.Popen(
            ["strace", "-f", "-c", "-o", out.name, "-p", str(worker.pid)], stderr=subprocess.PIPE, text=True
        )
        _attached(tracer)
        worker.run(work, count)
        tracer.terminate()
        tracer.wait()
        return f"(in {count * unit} units; the talk with the harness adds a few)\n{out.read()}\n"


def _perf(worker: Contestant, work: str, count: int) -> str:
    if not shutil.which("perf"):
        return "perf is not installed\n"
    with tempfile.TemporaryDirectory() as folder:
        record = [
            "perf",
            "record",
            "-q",
            "-e",
            "cpu-clock",
            "-F",
            "4000",
            "-o",
            f"{folder}/data",
            "-p",
            str(worker.pid),
        ]
        recorder = subprocess.Popen(record, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(3):
            worker.run(work, count)
        recorder.terminate()
        recorder.wait()
        words = ["perf", "report", "-i", f"{folder}/data", "--stdio", "--no-children", "-g", "none", "-s", "dso,symbol"]
        shown = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    kept = [line.rstrip() for line in shown.splitlines() if line.strip() and not line.startswith("#")]
    # Shared objects by their last name, without the empty columns that follow a symbol.
    return "\n".join(re.sub(r"(\s)/\S*/|[\s-]+$", r"\1", line).rstrip() for line in kept[:35]) + "\n"


def _attached(tracer: subprocess.Popen[str]) -> None:
    # strace says "Process N attached" once it holds the process; a block begun before that would not be counted.
    if tracer.stderr is not None:
        for line in tracer.stderr:
            if "attached" in line:
                return
    raise Unavailable("strace could not attach")
