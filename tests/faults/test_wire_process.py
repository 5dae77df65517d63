"""What happens to a process and its connections: fork, no descriptors left, the end of the interpreter (C21, C23, C24).

What must not hurt the process of the tests runs in a Python of its own, which prints one JSON line at its end.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from carmine.errors import UsageError
from tests.faults.drivers import PASSWORD, SHAPES, USER, canaries, child_canaries
from tests.faults.scripts import run_script
from tests.lab.matrix import scaled
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.drivers import Driver
    from tests.faults.invariants import Lab
    from tests.lab.certs import Certificates

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

EACH: Final = 1000
"""Canaries on each side of a fork, at full scale."""


def fork(child: Callable[[], object]) -> int:
    """Fork; the child runs a function and ends without a trace of pytest, with status 0 if nothing was raised."""
    pid = _fork()
    if pid:
        return pid
    _be_child(child)


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: this process has threads, of the laboratory
        return os.fork()


def _be_child(child: Callable[[], object]) -> NoReturn:
    status = 1
    try:
        child()
        status = 0
    except BaseException as problem:  # noqa: BLE001 - a forked child may never return into pytest
        os.write(2, f"in the child: {problem!r}\n".encode())
    finally:
        os._exit(status)


def wait_child(pid: int, within: float = 60.0) -> None:
    """Wait until a child has ended well."""
    deadline = time.monotonic() + within
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        assert time.monotonic() < deadline, "the child does not end"
        time.sleep(0.005)


def _work(driver: Driver, count: int, *held: Any) -> None:
    """Be the child: what the parent holds is refused, everything else works."""
    for holder in held:
        with pytest.raises(UsageError):
            holder.execute("ECHO", "from the child")
    canaries(driver, count, "child")
    driver.close()


# C21: fork. ----------------------------------------------------------------------------------------------------------


def test_c21_fork_with_a_warm_pool(lab: Lab) -> None:
    """Both sides run canaries at once; the child opens connections of its own and writes nothing on inherited ones."""
    count = scaled(EACH)
    driver = lab.client()
    inherited = lab.proxy.numbers
    opened = driver.stats().opened
    pid = fork(lambda: _work(driver, count))
    lab.canaries(driver, count, "parent")
    wait_child(pid)
    assert driver.stats().opened == opened  # the parent was not disturbed
    for number in inherited:
        assert not any(word.startswith(b"canary-child") for command in lab.proxy.commands(number) for word in command)
    assert any(b"canary-child-0" in command for command in lab.proxy.commands())
    lab.counts["canaries"] += count
    lab.counts["forks"] += 1


def test_c21_fork_while_another_thread_has_a_pipeline_in_flight(lab: Lab) -> None:
    """The thread's replies come to the parent; the child is born with a usable pool, whatever lock was held."""
    driver = lab.client()
    tokens = [f"in-flight-{number}" for number in range(200)]
    for _ in range(5):
        got: list[Any] = []
        lab.proxy.mark()
        lab.proxy.hold("s2c")

        def fly(got: list[Any] = got) -> None:
            got.extend(driver.pipeline([("ECHO", token) for token in tokens]))

        flyer = threading.Thread(target=fly)
        flyer.start()
        lab.proxy.wait_passed("c2s", 1)
        pid = fork(lambda: _work(driver, 20))
        lab.proxy.release()
        flyer.join(10)
        assert got == tokens
        wait_child(pid)
        lab.canaries(driver, 8)
        lab.counts["forks"] += 1


def test_c21_fork_under_fire(lab: Lab) -> None:
    """Threads call all the time while the main thread forks: every child works, no lock is left held."""
    driver = lab.client()
    stop = threading.Event()
    problems: list[BaseException] = []

    def call(name: int) -> None:
        try:
            while not stop.is_set():
                canaries(driver, 4, f"thread-{name}")
        except BaseException as problem:  # noqa: BLE001 - judged by the main thread
            problems.append(problem)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(scaled(200)):
            wait_child(fork(lambda: _work(driver, 8)))
            lab.counts["forks"] += 1
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not problems


def test_c21_fork_inside_a_pipeline_and_a_pinned_block(lab: Lab) -> None:
    """A queue is data: both sides send it. A connection is not: the child is told that this one is not its own."""
    driver = lab.client(pool_size=2)
    with driver.client.pipeline() as pipe:
        reply = pipe.incr("count")
        pid = _fork()
        if pid == 0:
            _be_child(lambda: _finish_pipeline(pipe, reply))
    wait_child(pid)
    assert lab.server.call("GET", "count") == b"2"
    inherited = lab.proxy.numbers
    with driver.holding(1) as [pinned]:
        pid = fork(lambda: _work(driver, 8, pinned))
        assert pinned.execute("ECHO", "parent") == "parent"
        wait_child(pid)
        assert pinned.execute("ECHO", "parent") == "parent"
    with driver.client.transaction("watched") as tx:
        tx.now.get("watched")
        tx.set("watched", "parent")
        pid = fork(lambda: _work(driver, 8, tx.now))
        wait_child(pid)
    assert lab.server.call("GET", "watched") == b"parent"
    for number in inherited:
        assert not any(b"from the child" in command for command in lab.proxy.commands(number))
    lab.counts["forks"] += 3


def _finish_pipeline(pipe: Any, reply: Any) -> None:
    pipe.__exit__(None, None, None)
    assert reply.value in (1, 2)


@pytest.mark.tls
def test_c21_fork_with_tls(lab: Lab, certs: Certificates, tls_server: Scripted) -> None:
    """The child neither writes nor shuts down inherited TLS connections: the parent's go on, whatever the child did."""
    driver = lab.client(tls_server.url, warm=False, ca_certs=certs.ca, username=None, password=None)
    for shape in ("command", "pipeline"):
        SHAPES[shape](driver, "before")
    inherited = {number: len(block) for number, block in tls_server.received.items()}

    def child() -> None:
        SHAPES["command"](driver, "child")
        driver.close()

    wait_child(fork(child))
    assert {number: len(tls_server.received[number]) for number in inherited} == inherited
    opened = driver.stats().opened
    for shape in ("command", "pipeline"):
        SHAPES[shape](driver, "after")
    assert driver.stats().opened == opened
    lab.counts["forks"] += 1
    lab.forget(driver)


@pytest.fixture
def tls_server(certs: Certificates) -> Iterator[Scripted]:
    """Give a TLS server that echoes."""

    def echo(words: list[bytes]) -> bytes:
        return b"$%d\r\n%b\r\n" % (len(words[1]), words[1])

    with Scripted.replies({b"ECHO": echo}, tls=certs.server_context(certs.good)) as server:
        yield server


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_c21_multiprocessing(lab: Lab, method: str) -> None:
    """Every way in which the standard library makes processes."""
    driver = lab.client()
    options = {"username": USER, "password": PASSWORD, "protocol": lab.protocol, "pool_size": lab.pool_size}
    context = multiprocessing.get_context(method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        children = [
            context.Process(  # type: ignore[attr-defined]  # every context has it
                target=child_canaries,
                args=(lab.proxy.url(lab.server.url), options, scaled(EACH), driver if method == "fork" else None),
            )
            for _ in range(2 if method == "fork" else 1)
        ]
        for child in children:
            child.start()
    lab.canaries(driver, scaled(EACH), "parent")
    for child in children:
        child.join(60)
        assert child.exitcode == 0
        child.close()
    if method == "forkserver":
        from multiprocessing.forkserver import _forkserver  # noqa: PLC0415 - it outlives its children

        _forkserver._stop()  # type: ignore[attr-defined]
    if method != "fork":
        from multiprocessing.resource_tracker import _resource_tracker  # noqa: PLC0415 - it outlives them as well

        _resource_tracker._stop()  # type: ignore[attr-defined]
    lab.counts["processes"] += len(children)
    lab.counts["canaries"] += len(children) * scaled(EACH)


# Scripts in a Python of their own. -----------------------------------------------------------------------------------


def test_c23_no_descriptors_left(lab: Lab) -> None:
    """Twenty connects at once with three descriptors free: clean errors, nothing lost, all well when there are more."""
    told, stderr, status = run_script(
        lab,
        """
c = client(pool_size=20, retry=carmine.Retry(1))
canary(c)
c.close()
c = client(pool_size=20, retry=carmine.Retry(1))
def fds():
    return len(os.listdir("/proc/self/fd"))
before = fds()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (before + 2, hard))  # listdir's own was counted too
kinds, gate = [], threading.Barrier(20)
def work():
    gate.wait()
    try:
        with c.connection() as held:
            held.execute("ECHO", "x")
            gate.wait(10)  # nobody gives back before all have asked
    except carmine.CarmineError as error:
        kinds.append((type(error).__name__, str(error)))
        gate.wait(10)
threads = [threading.Thread(target=work) for _ in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]
in_use = c.pool.stats().in_use
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
canary(c)
c.close()
print(json.dumps({"kinds": kinds, "in_use": in_use, "grown": fds() - before}))
""",
    )
    assert status == 0, stderr
    assert {kind for kind, _ in told["kinds"]} == {"ConnectFailed"}
    assert 15 <= len(told["kinds"]) <= 18
    assert all("open files" in text for _, text in told["kinds"])
    assert (told["in_use"], told["grown"]) == (0, 0)
    lab.counts["errors"] += len(told["kinds"])


ENDINGS: Final = {
    "left open": "c = client(); canary(c)",
    "in a function": "def f():\n    c = client(); canary(c)\nf()",
    "closed": "c = client(); canary(c); c.close()",
    "in a cycle": "c = client(); canary(c); c.me = [c]; del c",
    "collected": "c = client(); canary(c); c.me = [c]; del c; gc.collect()",
    "used by a daemon thread": """
c = client()
def forever():
    while True:
        canary(c, 1)
threading.Thread(target=forever, daemon=True).start()
canary(c)
""",
    "blocked in a daemon thread": """
c = client()
threading.Thread(target=lambda: c.blpop("nothing", timeout=0), daemon=True).start()
canary(client())
""",
    "in a pinned block": "c = client(); b = c.connection(); b.__enter__(); b.execute('SELECT', 5)",
    "in a transaction": "c = client(); t = c.transaction('k'); t.__enter__(); t.now.get('k'); t.set('k', 'v')",
    "in a pipeline": "c = client(); p = c.pipeline(); p.__enter__(); p.set('k', 'v')",
    "sys.exit inside a pipeline": "c = client()\nwith c.pipeline() as p:\n    p.set('k', 'v'); sys.exit(0)",
    "used by atexit": "import atexit\nc = client(); atexit.register(lambda: canary(c))",
    "used by a finalizer": """
class Last:
    def __del__(self):
        canary(self.c, 1)
last = Last(); last.c = client(); canary(last.c)
del last
""",
    "hooks and a shared pool": "c = client(hooks=carmine.Hooks()); d = carmine.Client(pool=c.pool); canary(d); del c",
    "an error kept": """
c = client(retry=carmine.Retry(1))
try:
    c.execute("GET")
except carmine.CarmineError as error:
    kept = error
canary(c)
""",
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("pool_size", [4], ids=["pool4"], indirect=True)
def test_c24_the_end_of_the_interpreter(lab: Lab, ending: str) -> None:
    """Status 0, nothing ignored, no hang; at most a ResourceWarning, although every warning is shown."""
    _, stderr, status = run_script(lab, ENDINGS[ending], python=("-X", "dev"))
    assert status == 0, stderr
    noise = [line for line in stderr.splitlines() if line and "ResourceWarning" not in line]
    assert not noise, stderr
    lab.counts["endings"] += 1
    assert lab.server.call("EXISTS", "k") == 0
