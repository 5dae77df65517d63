"""Run the passes of the test suite: which tests, under which Python, with which twin, against which server.

The suites read their matrix from the environment: ``CARMINE_IMPL`` and ``CARMINE_EXPECT_IMPL`` (the twin),
``CARMINE_TEST_SERVER`` (valkey91, redis82, redis70, redis62) and ``CARMINE_TEST_SCALE`` (a factor on the counts of the
long tests). Both protocols are parameters inside the suites. Passes wait as much as they compute: four run side by
side on two processors. Those with the fault tests, which hold calls to their deadlines and wait the most, run after the
others, beside nothing but each other.

A folder that does not exist yet is reported and passed over; one that exists and holds no test fails, for pytest then
ends with status 5. So does a pass that takes longer than its group's limit, which grows with a scale set by hand.
What the fault tests have counted is printed in one block, of the passes that succeeded; the others print all they said.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MAIN = ".venv"
CPUS = os.cpu_count() or 1
OLD_AND_OTHER = ("redis62", "redis70", "redis82")
SCALE = 0.05
FULL = {"matrix": 1.0}
"""The scale of the groups whose long tests run at another length than ``SCALE``."""
LIMIT = 600.0
LONG = {"matrix": 3 * 3600.0}
"""Seconds a pass may take, at its group's own scale, where that is not ``LIMIT``."""
STUCK = 120.0
"""Seconds after which one test is taken for stuck, at ``SCALE``: every thread's stack is shown, and the pass ends."""


class Pass(NamedTuple):
    """One run of pytest."""

    name: str
    folders: tuple[str, ...]
    env: str = MAIN
    impl: str = ""  # "" lets carmine choose, and expects the best twin there is
    server: str = ""
    marks: str = ""
    group: str = ""


class Result(NamedTuple):
    """How a pass ended."""

    name: str
    ok: bool
    seconds: float
    closing: str
    output: str

    def skipped(self) -> list[str]:
        """Return pytest's lines on what was skipped and why."""
        return [line for line in self.output.splitlines() if line.startswith("SKIPPED")]

    def counts(self) -> list[str]:
        """Return the lines on what the fault tests have counted."""
        return [line for line in self.output.splitlines() if line.startswith("COUNT ")]


def python_of(env: str) -> Path:
    """Return the Python of an environment."""
    scripts, name = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
    return ROOT / env / scripts / name


def twins(env: str) -> tuple[str, ...]:
    """Return the twins an environment has, the best first; say so where the compiled one is missing."""
    ask = "import importlib.util as u; print(u.find_spec('carmine._resp') is not None)"
    done = subprocess.run([python_of(env), "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    if done.stdout.split() == ["True"]:
        return ("cython", "python")
    sys.stdout.write(f"tests: {env} has no Cython twin (see carmine/_build_info.json): only the pure twin is tested\n")
    return ("python",)


def passes(group: str, impls: tuple[str, ...]) -> list[Pass]:
    """Return the passes of one group."""
    match group:
        case "unit":
            unit = [Pass(f"unit {impl}", ("tests/unit",), impl=impl) for impl in impls]
            return [unit[0], *(one._replace(marks="not build") for one in unit[1:])]
        case "protocol":
            shared = Pass("protocol, both twins", ("tests/protocol", "tests/property"))
            return [shared, Pass("protocol python", ("tests/protocol",), impl="python")]
        case "faults":  # they wait more than they compute: in halves, twice as many run side by side
            return [
                Pass(f"faults {half + 1} valkey91 {impl}", tuple(files[half::2]), impl=impl, server="valkey91")
                for files in [
                    sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/faults").rglob("test_*.py"))
                ]
                for impl in impls
                for half in (0, 1)
            ]
        case "integration":
            return [Pass(f"integration valkey91 {i}", ("tests/integration",), impl=i, server="valkey91") for i in impls]
        case "ext":
            ext = [Pass(f"ext valkey91 {impl}", ("tests/ext",), impl=impl, server="valkey91") for impl in impls]
            return [ext[0], *(one._replace(marks="not one_twin") for one in ext[1:])]
        case "servers":
            folder, marks = ("tests/integration",), "not one_server"
            return [Pass(f"integration {s}", folder, impl=impls[0], server=s, marks=marks) for s in OLD_AND_OTHER]
        case "pythons":
            some = ("tests/unit", "tests/protocol", "tests/smoke")
            others = sorted(path.name for path in ROOT.glob(f"{MAIN}-3.*") if python_of(path.name).exists())
            return [
                Pass(f"unit protocol smoke {env[6:]}", some, env=env, marks="not slow and not build") for env in others
            ]
        case "smoke":
            return [Pass("smoke", ("tests/smoke",))]
        case "test":
            names = ("unit", "protocol", "smoke", "integration", "faults", "ext", "servers", "pythons")
            return [one for name in names for one in passes(name, impls)]
        case _:
            folders = ("tests/integration", "tests/faults", "tests/ext")
            servers = ("valkey91", *OLD_AND_OTHER)
            cells = [Pass(f"{s} {impl}", folders, impl=impl, server=s) for s in servers for impl in impls]
            return [*passes("unit", impls), *passes("protocol", impls), *cells, *passes("pythons", impls)]


def scale_of(group: str) -> float:
    """Return the share of the long tests that a group runs; one set by hand wins."""
    return float(os.environ.get("CARMINE_TEST_SCALE") or FULL.get(group, SCALE))


def limit_of(group: str) -> float:
    """Return the seconds that a pass of a group may take; longer than its own scale is allowed longer."""
    return LONG.get(group, LIMIT) * max(1.0, scale_of(group) / FULL.get(group, SCALE))


def is_faults(one: Pass) -> bool:
    """Whether a pass holds calls to their deadlines."""
    return any(folder.startswith("tests/faults") for folder in one.folders)


def environment(one: Pass, expected: str) -> dict[str, str]:
    """Return the environment of a pass."""
    made = {**os.environ, "CARMINE_TEST_SCALE": f"{scale_of(one.group):g}", "CARMINE_EXPECT_IMPL": expected}
    made.pop("CARMINE_IMPL", None)
    if one.impl:
        made["CARMINE_IMPL"] = one.impl
    if one.server:
        made["CARMINE_TEST_SERVER"] = one.server
    return made


def run(one: Pass, expected: str, words: list[str]) -> Result:
    """Run one pass to its end, or kill it and all it started when its time is over."""
    folders = [folder for folder in one.folders if (ROOT / folder).exists()]
    if not folders:
        return Result(one.name, True, 0.0, f"not there yet: {', '.join(one.folders)}", "")
    marks = ["-m", one.marks] if one.marks else []
    stuck = f"faulthandler_timeout={STUCK * max(1.0, scale_of(one.group) / SCALE):g}"
    options = ["-p", "no:cacheprovider", "-q", "-o", stuck]
    command = [str(python_of(one.env)), "-m", "pytest", *options, *marks, *words, *folders]
    start = time.monotonic()
    limit = limit_of(one.group)
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(one, expected),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            output, _ = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output = child.communicate()[0] + f"\nkilled: the pass took longer than {limit:.0f} s\n"
    lines = output.strip().splitlines() or ["no output"]
    return Result(one.name, child.returncode == 0, time.monotonic() - start, lines[-1], output)


def tell(result: Result) -> None:
    """Print that a pass has ended; all it said, where it failed."""
    if not result.ok:
        sys.stdout.write(f"\n======== {result.name}\n{result.output}\n")
    sys.stdout.write(f"tests: {'passed' if result.ok else 'FAILED'} {result.name} in {result.seconds:.1f} s\n")
    sys.stdout.flush()


def report(results: list[Result]) -> None:
    """Print what was skipped and why, what was counted, and the closing line of each."""
    for line in dict.fromkeys(f"{line}" for result in results if result.ok for line in result.skipped()):
        sys.stdout.write(f"{line}\n")
    for result in results:
        if result.ok and result.counts():
            sys.stdout.write(f"\n-------- counts of {result.name}\n" + "".join(f"{one}\n" for one in result.counts()))
    width = max(len(result.name) for result in results)
    for result in results:
        sys.stdout.write(f"{'ok  ' if result.ok else 'FAIL'} {result.name:{width}}  {result.closing.strip('= ')}\n")


def main() -> int:
    """Run groups of passes; words after ``--`` go to pytest."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    known = ("unit", "protocol", "smoke", "integration", "faults", "ext", "servers", "pythons", "test", "matrix")
    parser.add_argument("groups", nargs="+", choices=known)
    parser.add_argument("--jobs", type=int, default=2 * CPUS)
    parser.add_argument("--only", default="", help="a regular expression: the passes whose name has a match")
    parser.add_argument("--pytest", default="", help="more words for pytest, in one string")
    args = parser.parse_args()
    start = time.monotonic()
    # a shell's background job ignores SIGINT, and so would every process that a test wants to interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)
    impls = twins(MAIN)
    todo = [one._replace(group=group) for group in args.groups for one in passes(group, impls)]
    todo = [one for one in todo if re.search(args.only, one.name)]
    best = {env: (impls if env == MAIN else twins(env))[0] for env in dict.fromkeys(one.env for one in todo)}
    words = args.pytest.split()

    def go(one: Pass) -> Result:
        result = run(one, one.impl or best[one.env], words)
        tell(result)
        return result

    results: list[Result] = []
    for with_faults in (False, True):  # what is measured in fractions of a second must not wait for a processor
        with ThreadPoolExecutor(args.jobs) as pool:
            results += pool.map(go, [one for one in todo if is_faults(one) is with_faults])
    report(results)
    failed = sum(not result.ok for result in results)
    what = f"{failed} of {len(results)} passes FAILED" if failed else f"all {len(results)} passes passed"
    sys.stdout.write(f"tests: {what} in {time.monotonic() - start:.0f} s\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
