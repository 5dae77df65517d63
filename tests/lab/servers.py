"""Real servers for tests: an `EmbeddedRedis` of one leg of the matrix, and what tests do to a server.

Everything said to the server goes over its unix socket by the laboratory's own `RawClient`: no proxy, no TLS and no
client under test is in between.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final, cast

from carmine.embedded import EmbeddedRedis
from tests.lab.matrix import Leg, current_leg, find_leg
from tests.lab.wire import RawClient, ReplyError, Value

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from carmine.embedded import ConfigValue, TLSFiles

__all__ = ["RedisServer", "wait_until"]

_SLOTS: Final = 16_384
_SETTINGS: Final = ("CONFIG", "GET", "*")


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
    """Wait until a condition holds that nobody announces; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout} s")
        time.sleep(0.002)


class RedisServer(EmbeddedRedis):
    """A server of one leg, with DEBUG allowed.

    Args:
        leg: which one; None takes the one this run is for.
        unix: as in EmbeddedRedis.
        port: as in EmbeddedRedis.
        config: as in EmbeddedRedis.
        args: as in EmbeddedRedis.
        dir: as in EmbeddedRedis.
        password: as in EmbeddedRedis.
        tls: the TCP port speaks TLS; the leg must be able to.
        users: ACL users, name -> rules ("on >secret ~* +@all").
        replica_of: the server whose replica this one is from the start.
        cluster: a cluster of one node that owns all slots.
        start_timeout: as in EmbeddedRedis.
    """

    def __init__(
        self,
        leg: Leg | None = None,
        *,
        unix: bool = False,
        port: int | None = None,
        config: Mapping[str, ConfigValue] | None = None,
        args: Sequence[str] = (),
        dir: str | os.PathLike[str] | None = None,
        password: str | None = None,
        tls: TLSFiles | None = None,
        users: Mapping[str, str] | None = None,
        replica_of: RedisServer | None = None,
        cluster: bool = False,
        start_timeout: float = 30.0,
    ) -> None:
        self.leg = leg or current_leg()
        full: dict[str, ConfigValue] = {"repl-diskless-sync-delay": 0}
        if self.leg.at_least_7:
            full["enable-debug-command"] = "local"
        if users:
            full["user"] = [f"{name} {rules}" for name, rules in users.items()]
        if cluster:
            full |= {"cluster-enabled": True, "cluster-require-full-coverage": False}
        if replica_of is not None:
            full["replicaof"] = f"127.0.0.1 {replica_of.port}"
        super().__init__(
            find_leg(self.leg),
            unix=unix,
            port=port,
            config={**full, **(config or {})},
            args=args,
            dir=dir,
            password=password,
            tls=tls,
            start_timeout=start_timeout,
        )
        self._admin_password = password
        self._admin: RawClient | None = None
        self._cluster = cluster
        self._is_replica = replica_of is not None
        self._users = {b"default", *(name.encode() for name in users or ())}
        self._baseline: dict[bytes, Value] = {}
        self._baseline_text = b""

    @property
    def unix_url(self) -> str:
        """The URL of the unix socket, which is there beside the TCP port (the password is not in it)."""
        return f"unix://{self.unix_path}"

    def start(self) -> None:
        """Start the server; wait until a replica has its data, and a cluster node its slots (which takes it 2 s)."""
        super().start()
        if self._is_replica:
            wait_until(lambda: self.info("replication")["master_link_status"] == "up", "the link to the primary")
        if self._cluster:
            if b"cluster_state:ok" not in self.text("CLUSTER", "INFO"):
                with contextlib.suppress(ReplyError):  # after a restart they are its own already
                    self.call("CLUSTER", "ADDSLOTS", *range(_SLOTS))
            wait_until(lambda: b"cluster_state:ok" in self.text("CLUSTER", "INFO"), "the cluster's state ok")
        with self._ask() as admin:
            self._baseline_text = admin.call_unparsed(*_SETTINGS)
        self._baseline = self._settings()

    def call(self, *words: bytes | str | float) -> Value:
        """Ask the server itself, over the unix socket; an error reply raises ReplyError."""
        with self._ask() as admin:
            return admin.call(*words)

    def text(self, *words: bytes | str | float) -> bytes:
        """Ask for a reply that is a string."""
        reply = self.call(*words)
        assert isinstance(reply, bytes), reply
        return reply

    def info(self, section: str = "everything") -> dict[str, str]:
        """Return INFO's fields."""
        lines = self.text("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def clients(self) -> list[dict[str, str]]:
        """Return CLIENT LIST without the laboratory's own connection."""
        own = self.call("CLIENT", "ID")
        lines = self.text("CLIENT", "LIST").decode().splitlines()
        found = [dict(field.split("=", 1) for field in line.split()) for line in lines]
        return [client for client in found if client["id"] != str(own)]

    def wait_clients(self, count: int, timeout: float = 10.0) -> None:
        """Wait until exactly so many clients are connected."""
        wait_until(lambda: len(self.clients()) == count, f"{count} connected clients", timeout)

    def reset(self) -> None:
        """Make the server as it was after its start: alive, empty, its settings those of the beginning.

        Connections stay open; scripts and functions go with the data.
        """
        if not self.is_running:
            self.start()
        self.resume()
        with self._ask() as admin:
            role, users = cast("list[list[bytes]]", admin.call_all(("ROLE",), ("ACL", "USERS")))
            if not self._is_replica and role[0] != b"master":
                admin.call("REPLICAOF", "NO", "ONE")
            if admin.call_unparsed(*_SETTINGS) != self._baseline_text:  # hundreds, and hardly ever another than before
                for name, value in self._settings().items():
                    if value != self._baseline.get(name):
                        admin.call("CONFIG", "SET", name, cast("bytes", self._baseline[name]))
            for user in users:
                if user not in self._users:
                    admin.call("ACL", "DELUSER", user)
            functions = [("FUNCTION", "FLUSH")] if self.leg.at_least_7 else []
            flushes = (("FLUSHALL",), ("SCRIPT", "FLUSH"), *functions)
            admin.call_all(("CLIENT", "UNPAUSE"), *flushes, ("CONFIG", "RESETSTAT"))

    def stop(self) -> None:
        """Stop the server."""
        self._hang_up()
        super().stop()

    def kill(self) -> None:
        """Kill the server by SIGKILL."""
        self._hang_up()
        super().kill()

    def restart(self) -> None:
        """Stop the server by SIGTERM and start it again with the same port and data."""
        self._hang_up()
        super().restart()

    @contextlib.contextmanager
    def _ask(self) -> Iterator[RawClient]:
        """Give the laboratory's own connection, a new one where the last has ended."""
        if self._admin is not None and not self._admin.is_open:
            self._hang_up()  # CLIENT KILL, or a restart behind our back
        if self._admin is None:
            self._admin = RawClient(self.unix_path, 30.0)
            if self._admin_password is not None:
                self._admin.call("AUTH", self._admin_password)
        try:
            yield self._admin
        except (OSError, EOFError):
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _settings(self) -> dict[bytes, Value]:
        reply = cast("list[bytes]", self.call(*_SETTINGS))
        return dict(zip(reply[::2], reply[1::2], strict=True))
