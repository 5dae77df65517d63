"""The process and what is around it: clocks, signals, callbacks that raise, memory, greenlets, locale (FAULTS.md G)."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import carmine
from carmine.errors import CarmineError, ConnectTimeout, PoolTimeout, ReadTimeout
from tests.faults.drivers import ONCE, PASSWORD
from tests.faults.scripts import run_script, script_words
from tests.lab.matrix import missing, scaled
from tests.lab.scripted import Scripted
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

ONE_POOL: Final = pytest.mark.parametrize("pool_size", [4], ids=["pool4"], indirect=True)
"""For what starts a Python for each run: the pool's size changes nothing there."""


# G01: clocks. --------------------------------------------------------------------------------------------------------


def test_g01_the_clock_jumps(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour forward and back at every look at time.time(): every deadline, wait and age is measured otherwise."""
    real, jumps = time.time, itertools.cycle((0, 3600, -3600, 7200, -7200))
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    driver = lab.client(read_timeout=0.1, pool_timeout=0.1, max_idle_time=60, max_lifetime=3000, connect_timeout=0.2)
    opened = driver.stats().opened
    lab.canaries(driver, 40)
    assert driver.stats().opened == opened  # nobody aged
    lab.proxy.hold("s2c")
    lab.fails(ReadTimeout, driver.call, "ECHO", "x", within=0.1)
    lab.proxy.release()
    with driver.holding(lab.pool_size):
        for call in driver.waiting_calls():
            lab.fails(PoolTimeout, call, within=0.1)
    with Scripted(lambda number, block: b"") as silent:
        stranger = lab.client(silent.url, warm=False, connect_timeout=0.1, retry=ONCE)
        lab.fails(ConnectTimeout, stranger.call, "ECHO", "x", within=0.1)
        lab.forget(stranger)
    lab.server.call("CONFIG", "SET", "hz", 500)  # else it looks at such timeouts ten times a second
    with lab.within(0.2):
        assert driver.client.blpop("nothing", timeout=0.2) is None


def test_g01_no_room_reads_the_wall_clock() -> None:
    """Monotonic time only; what a command sends as a time is the caller's."""
    package = Path(carmine.__file__).parent
    wall = re.compile(r"\btime\.time\(|\btime\.time\b(?!\w)|datetime\.now|utcnow|CLOCK_REALTIME|gettimeofday")
    found = [
        f"{path.name}: {line.strip()}"
        for path in [*package.rglob("*.py"), *package.glob("*.pyx"), *package.glob("*.pxi")]
        # the command line says for how long a certificate is good; parts in DynamoDB have an age in hours, compared by
        # machines that share no other clock, and it decides about leftovers alone
        if path.parent.name != "cli" and path.name != "dynamodb.py"
        for line in path.read_text().splitlines()
        if wall.search(line)
    ]
    assert not found


# G02: signals. -------------------------------------------------------------------------------------------------------

ACTIVITIES: Final = {
    "commands": "c = client(); canary(c); ready()\nwhile True: canary(c, 1)",
    "pipelines": "c = client(); canary(c); ready()\nwhile True: canaries(c, 1, 'x')",
    "a blocking pop": "c = client(); canary(c); ready(); c.blpop('nothing', timeout=0)",
    "a reply that does not come": "c = client(); c.client_pause(60, 'WRITE'); ready(); c.set('k', 'v')",
    "a wait for a connection": "c = client(pool_size=1, pool_timeout=60)\nwith c.connection(): ready(); canary(c)",
    "a handshake": "url = silent; c = client(connect_timeout=60); ready(); canary(c)",
    "a TLS handshake": "url = silent.replace('redis:', 'rediss:'); c = client(connect_timeout=60); ready(); canary(c)",
    "a wait before a retry": """
url = 'redis://127.0.0.1:1/0'
c = client(retry=carmine.Retry(1000, base=30, cap=30, jitter=0)); ready(); canary(c)
""",
    "a name look-up": """
import socket
socket.getaddrinfo = lambda *a, **k: time.sleep(60)
url = 'redis://redis.test:1/0'
c = client(connect_timeout=60, username=None, password=None); ready(); canary(c)
""",
    "a monitor of threads": """
c = client(pool_size=4); canary(c)
def forever():
    while True: canary(c, 1)
for _ in range(4): threading.Thread(target=forever, daemon=True).start()
ready()
while True: canary(c, 1)
""",
}

SIGNALS: Final = {"SIGINT": (signal.SIGINT, -signal.SIGINT), "SIGTERM": (signal.SIGTERM, 7)}
"""The signal, and the status of a process that lets KeyboardInterrupt through or turns it into SystemExit(7)."""


@ONE_POOL
@pytest.mark.parametrize("protocol", [3], indirect=True)
@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("activity", ACTIVITIES)
def test_g02_a_signal_ends_every_activity(lab: Lab, activity: str, name: str) -> None:
    """The process is gone at once, with the status that it should have, and has nothing to complain about."""
    number, expected = SIGNALS[name]
    body = """
silent = sys.argv[3]
def ready():
    print("ready", flush=True)
def stop(*_):
    raise SystemExit(7)
signal.signal(signal.SIGTERM, stop)
"""
    with Scripted(lambda n, block: b"") as silent:
        words = [*script_words(lab, body + ACTIVITIES[activity]), silent.url]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                wait_until(lambda: _is_busy(process.pid), "the activity")
                began = time.monotonic()
                process.send_signal(number)
                _, stderr = process.communicate(timeout=10)
                assert time.monotonic() - began < 1.5
            finally:
                process.kill()
    assert process.returncode == expected, stderr
    assert "Exception ignored" not in stderr, stderr
    assert PASSWORD not in stderr
    lab.counts["signals"] += 1
    lab.server.call("CLIENT", "UNPAUSE")
    lab.server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _is_busy(pid: int) -> bool:
    """Whether a process has gone on after its last word: it waits in the kernel, or has used the CPU."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0] == "S" or int(fields[11]) + int(fields[12]) > 0


# G03: callbacks that raise. ------------------------------------------------------------------------------------------


class Raising(carmine.Hooks):
    """Every hook raises."""

    def __init__(self) -> None:
        self.heard: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return object.__getattribute__(self, name)

        def raising(*facts: object) -> None:
            self.heard.add(name)
            raise RuntimeError("a broken hook")

        return raising


def test_g03_hooks_that_raise_change_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls, errors, retries and closes go their way; each failure is told to sys.excepthook, and no more."""
    told: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: told.append(kind))
    hooks = Raising()
    driver = lab.client(hooks=hooks, read_timeout=0.1, pool_timeout=0.1)
    lab.canaries(driver, 8)
    public = {name for name in vars(carmine.Hooks) if name.startswith("on_")}
    if lab.world == "async" and lab.protocol == 3:
        lab.proxy.inject_now("s2c", b">2\r\n$10\r\ninvalidate\r\n*0\r\n")
        wait_until(lambda: "on_push" in hooks.heard, "the push to be heard")
        lab.canaries(driver, 4)
    else:
        public.discard("on_push")  # heard where calls share a connection
    lab.proxy.hold("s2c")
    lab.fails(ReadTimeout, driver.call, "ECHO", "x", within=0.1)
    lab.proxy.release()
    with driver.holding(lab.pool_size):
        for call in driver.waiting_calls():
            lab.fails(PoolTimeout, call, within=0.1)
    lab.proxy.faults.cut_after["s2c"] = 0
    lab.fails(CarmineError, driver.call, "ECHO", "x")
    lab.proxy.heal()
    lab.canaries(driver, 8)
    lab.forget(driver)
    assert hooks.heard == public
    assert len(told) >= len(public)
    assert set(told) == {RuntimeError}


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("where", ["on_connect", "credentials", "socket_factory"])
def test_g03_callbacks_that_raise_leave_nothing_behind(lab: Lab, where: str, kind: type[BaseException]) -> None:
    """What the caller's own functions raise reaches the caller or is told as a failed connect; no place is lost."""
    raising = threading.Event()
    raising.set()

    def callback(*_: object, **__: object) -> Any:
        if raising.is_set():
            raise kind("raised by the caller's function")
        return None

    options: dict[str, Any] = {where: callback}
    if where == "credentials":
        options |= {"username": None, "password": None}
    driver = lab.client(warm=False, pool_timeout=0.5, retry=ONCE, **options)
    for _ in range(lab.pool_size + 2):
        with pytest.raises((kind, CarmineError)):
            driver.call("ECHO", "x")
        assert (driver.stats().open, driver.stats().in_use) == (0, 0)
        lab.counts["errors"] += 1
    if where == "on_connect":
        raising.clear()
        lab.canaries(driver)
    lab.forget(driver)


# G04: memory. --------------------------------------------------------------------------------------------------------


@ONE_POOL
def test_g04_no_memory(lab: Lab) -> None:
    """A reply or a request that does not fit is a MemoryError; the connection dies, and nobody gets what was left."""
    lab.server.call("SETRANGE", "big", (200 << 20) - 1, "x")
    lab.server.call("SETRANGE", "fits", 1000, "x")
    told, stderr, status = run_script(
        lab,
        """
c = client()
canary(c)
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + (120 << 20), resource.RLIM_INFINITY))
count = {"MemoryError": 0, "other": []}
def attempt(function):
    try:
        function()
    except MemoryError:
        count["MemoryError"] += 1
    except Exception as error:
        count["other"].append(repr(error))
    canary(c, 4)
half = "x" * (50 << 20)
def many():
    with c.pipeline() as p:
        p.get("fits"); p.get("big"); p.get("fits")
for _ in range(3):
    attempt(lambda: c.get("big"))
    attempt(many)
    attempt(lambda: c.set("k", half + half[:1000]))
count["in_use"] = c.pool.stats().in_use
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
canary(c)
c.close()
print(json.dumps(count))
""",
        url=lab.server.url,
    )
    assert status == 0, stderr
    assert "Exception ignored" not in stderr
    assert told["in_use"] == 0
    assert told["MemoryError"] >= 6, told
    assert not told["other"], told
    lab.counts["memory errors"] += told["MemoryError"]
    lab.server.call("FLUSHALL")


# G05: greenlets. -----------------------------------------------------------------------------------------------------

GEVENT: Final = "import gevent.monkey\ngevent.monkey.patch_all()\n"
GEVENT_BODY: Final = """
import gevent
spawn, pause, Timeout, limit = gevent.spawn, gevent.sleep, gevent.Timeout, gevent.Timeout.start_new
def wait(greenlets):
    gevent.joinall(greenlets, raise_error=True)
    return [g.value for g in greenlets]
"""
EVENTLET: Final = "import eventlet\neventlet.monkey_patch()\n"
EVENTLET_BODY: Final = """
import eventlet
spawn, pause, Timeout, limit = eventlet.spawn, eventlet.sleep, eventlet.Timeout, eventlet.Timeout
def wait(greenlets):
    return [g.wait() for g in greenlets]
"""
GREEN: Final = """
c = client(pool_timeout=30)
ticks, stop = [0], []
def tick():
    while not stop:
        ticks[0] += 1
        pause(0.001)
ticker = spawn(tick)
wait([spawn(canaries, c, 10, f"green-{n}") for n in range(30)])
assert c.pool.stats().open <= options["pool_size"]

popper = spawn(lambda: c.blpop("queue", timeout=20))   # one waits, the others go on
pause(0.001)
before = ticks[0]
if options["pool_size"] > 1:
    canaries(c, 5, "meanwhile")
until = time.monotonic() + 10
while ticks[0] <= before + 3 and time.monotonic() < until:
    pause(0.001)
assert ticks[0] > before + 3
pusher = client(pool_size=1)
pusher.rpush("queue", "value")
assert tuple(wait([popper])[0]) == ("queue", "value")

struck = 0                                             # C22, as these libraries interrupt
chance = random.Random(5)
for n in range(int(sys.argv[3])):
    timer = limit(chance.uniform(0, 0.004))
    try:
        while True:
            canaries(c, 1, f"struck-{n}")
    except Timeout as told:
        assert told is timer
        struck += 1
    canaries(c, 1, f"after-{n}")
stop.append(1)
wait([ticker])
stats = c.pool.stats()
assert (stats.in_use, stats.waiting) == (0, 0), stats
c.close(); pusher.close()
print(json.dumps({"struck": struck, "ticks": ticks[0]}))
"""


@pytest.mark.parametrize("protocol", [3], ids=["resp3"], indirect=True)
@pytest.mark.parametrize("order", ["patched first", "patched last"])
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_g05_greenlets(lab: Lab, library: str, order: str) -> None:
    """The same canaries under both libraries, patched before or after carmine is imported; others run meanwhile."""
    if importlib.util.find_spec(library) is None:
        missing(f"{library} is not installed: pip install {library}")
    patch, body = (GEVENT, GEVENT_BODY) if library == "gevent" else (EVENTLET, EVENTLET_BODY)
    last = order == "patched last"
    words = script_words(
        lab,
        ("import carmine.transport.pool, carmine.transport.connection\n" + patch if last else "") + body + GREEN,
        before="" if last else patch,
        python=("-W", "ignore"),  # eventlet says of itself that it is old
    )
    done = subprocess.run(
        [*words, str(scaled(1000))], capture_output=True, text=True, timeout=100, check=False, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    lab.counts["greenlets"] += 30
    lab.counts["strikes"] += scaled(1000)


# G06: locale. --------------------------------------------------------------------------------------------------------

NUMBERS: Final = """
import locale
if sys.argv[3]:
    locale.setlocale(locale.LC_ALL, sys.argv[3])
    assert locale.localeconv()["decimal_point"] == ",", locale.localeconv()
c = client()
assert c.set("f", 1.5) and c.get("f") == "1.5"
assert c.incrbyfloat("f", 0.25) == 1.75
c.execute("ZADD", "z", 2.5, "m")
assert c.zscore("z", "m") == 2.5
assert float(c.execute("ZSCORE", "z", "m")) == 2.5
text = "\\u00fc\\u20ac\\U0001f600 \\u0131 I i"
assert c.set("t" + text, text) and c.get("t" + text) == text
with c.pipeline() as p:
    a, b = p.get("t" + text), p.zscore("z", "m")
assert (a.value, b.value) == (text, 2.5)
try:
    c.execute("NOSUCH", text)
except carmine.ServerError as error:
    print(str(error), repr(error), repr(c))
c.execute("GET", "t" + text)
c.close()
print(json.dumps({"ok": True}))
"""

ENVIRONMENTS: Final[dict[str, dict[str, str]]] = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:backslashreplace"},
    "POSIX, latin-1": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1:backslashreplace"},
    "UTF-8 mode": {"PYTHONUTF8": "1"},
    "no environment": {"LC_ALL": "", "LANG": ""},
}


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path | None]:
    """Give a function that makes a locale and returns the folder it is in, or None where that cannot be done."""
    folder = tmp_path_factory.mktemp("locales")
    maker = shutil.which("localedef")

    def make(name: str) -> Path | None:
        place = folder / f"{name}.UTF-8"
        if maker is not None and not place.is_dir():
            subprocess.run([maker, "-i", name, "-f", "UTF-8", str(place)], capture_output=True, check=False)
        return folder if place.is_dir() else None

    return make


@ONE_POOL
@pytest.mark.parametrize("name", [*ENVIRONMENTS, "de_DE", "tr_TR"])
def test_g06_locale(lab: Lab, name: str, locales: Callable[[str], Path | None]) -> None:
    """Doubles are written and read with a point, names and values are UTF-8, whatever the locale says."""
    env = dict(ENVIRONMENTS.get(name, {}))
    locale = ""
    if name not in ENVIRONMENTS:
        locale = f"{name}.UTF-8"
        folder = locales(name)
        if folder is None:
            missing(f"the locale {name} cannot be made here: apt-get install locales")
        env |= {"LOCPATH": str(folder), "LC_ALL": locale}
    words = [*script_words(lab, NUMBERS), locale]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert PASSWORD.encode() not in done.stdout + done.stderr
    lab.counts["locales"] += 1
