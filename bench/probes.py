"""What is not a ratio of times: cost of an import, peak memory of large values, an idle connection, size of a wheel.

Every figure comes from fresh processes, several of them; the middle one is reported with the least and the greatest.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import zipfile
from typing import TYPE_CHECKING, NamedTuple

from bench import data, envs
from bench.contestant import KINDS, Contestant
from bench.rivals.work import Unavailable
from bench.stats import Bound, Interval, Verdict, at_most

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.server import Server

KIB = 1024
MIB = 1024 * 1024

_IMPORT = """
import sys, time
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
memory, clock = resident(), time.perf_counter()
import {module}
clock, memory = time.perf_counter() - clock, resident() - memory
print(clock, memory * 1024)
"""


class Finding(NamedTuple):
    """One figure of one rival."""

    name: str
    title: str
    label: str
    unit: str
    value: Interval | None
    target: Bound | None = None
    missing: str = ""

    @property
    def verdict(self) -> Verdict | None:
        """Judge the middle value: least and greatest are single processes, not an interval of confidence."""
        if self.target is None or self.value is None:
            return None
        return self.target.judge(Interval(self.value.ratio, self.value.ratio, self.value.ratio))


def import_cost(module: str, python: str, times: int) -> tuple[list[float], list[float]]:
    """Import a module in fresh interpreters.

    Args:
        module: Its name.
        python: The interpreter.
        times: How many processes, after one that warms the files' cache and compiles, as an installer does: the
            bytecode is in a folder of its own, so that neither stale files nor PYTHONDONTWRITEBYTECODE play a part.

    Returns:
        The seconds and the bytes of each. The bytes are the growth of the peak resident memory during the import, in
        the same process: what a bare interpreter needs is not in it.
    """
    seconds, grown = [], []
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [python, "-c", _IMPORT.format(module=module)]
    with tempfile.TemporaryDirectory() as folder:
        environment["PYTHONPYCACHEPREFIX"] = folder
        for number in range(times + 1):
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=envs.ROOT, env=environment)
            if done.returncode:
                raise Unavailable((done.stderr.strip() or "no message").splitlines()[-1])
            if number:
                clock, memory = done.stdout.split()
                seconds.append(float(clock))
                grown.append(float(memory))
    return seconds, grown


def imports(times: int) -> list[Finding]:
    """Measure ``import carmine`` and the peers' imports."""
    found: list[Finding] = []
    for label, module, kind in (
        ("carmine", "carmine", "carmine"),
        ("redis-py", "redis", "redis-py"),
        ("glide", "glide_sync", "glide"),
        ("coredis", "coredis", "coredis"),
    ):
        ours = label == "carmine"
        try:
            seconds, grown = import_cost(module, KINDS[kind].python, times)
        except (Unavailable, OSError) as reason:
            found.append(Finding("import/time", f"import {module}", label, "ms", None, None, str(reason)))
            continue
        time = _middle([value * 1000 for value in seconds])
        memory = _middle([value / MIB for value in grown])
        found.append(Finding("import/time", "import, time", label, "ms", time, at_most(40) if ours else None))
        found.append(Finding("import/memory", "import, memory", label, "MiB", memory, at_most(6) if ours else None))
    return found


def peaks(server: Server, times: int) -> list[Finding]:
    """Measure the peak memory of one large GET and one large SET, as multiples of the value."""
    target = at_most(1.1)
    found = []
    for work, title in (("get_big", "peak of GET 10 MiB"), ("set_big", "peak of SET 10 MiB, value included")):
        name = f"memory/{work.replace('_', '-')}"
        for label in ("wire", "carmine", "redis-py", "glide"):
            value, missing = _fresh(server, label, times, "peak", work=work, size=data.BIG)
            found.append(Finding(name, title, label, "x value", value, target if label == "carmine" else None, missing))
    return found


def idle(server: Server, times: int, connections: int = 200) -> list[Finding]:
    """Measure what an idle connection costs its client."""
    found = []
    for label in ("wire", "carmine", "redis-py"):
        value, missing = _fresh(server, label, times, "idle", count=connections)
        value = value and Interval(*(bound / KIB for bound in value))
        target = at_most(24) if label == "carmine" else None
        found.append(Finding("memory/idle", f"idle connection, of {connections}", label, "KiB", value, target, missing))
    return found


def wheel() -> list[Finding]:
    """Weigh the newest wheel of the core that lies in ``dist/``, unpacked."""
    target, title = at_most(1.5), "wheel, unpacked"
    wheels = sorted(envs.ROOT.glob("dist/**/carmine_redis-*.whl"), key=lambda path: path.stat().st_size)
    if not wheels:
        return [Finding("wheel/size", title, "carmine", "MB", None, target, "no wheel in dist/: run `make wheels`")]
    with zipfile.ZipFile(wheels[-1]) as archive:
        size = sum(entry.file_size for entry in archive.infolist()) / 1e6
    return [Finding("wheel/size", title, "carmine", "MB", Interval(size, size, size), target)]


def _fresh(server: Server, kind: str, times: int, do: str, **asked: object) -> tuple[Interval | None, str]:
    values = []
    for _ in range(times):
        try:
            worker = Contestant(KINDS[kind], server.address)
        except Unavailable as reason:
            return None, str(reason)
        try:
            values.append(float(str(worker.order(do, **asked)["figure"])))
        except Unavailable as reason:
            return None, str(reason)
        finally:
            worker.stop()
    return _middle(values), ""


def _middle(values: Sequence[float]) -> Interval:
    return Interval(statistics.median(values), min(values), max(values))
