"""What a working client shows of its password and of the values it carries: nothing (SECURITY.md S-20, S-24)."""

from __future__ import annotations

import contextlib
import pickle
from typing import TYPE_CHECKING, Any, Final

import pytest

import carmine
from carmine.client.dispatch import ERROR
from carmine.errors import CarmineError
from tests.faults.drivers import ONCE
from tests.faults.secrets import CANARY, USERINFO, Eavesdropper, shown
from tests.lab.scripted import HELLO_3, Scripted
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.invariants import MakeClient
    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults


# S-20: the password. -------------------------------------------------------------------------------------------------


class Sulky:
    """A serializer that fails."""

    def dumps(self, value: object) -> bytes:
        raise LookupError("no")

    def loads(self, data: bytes) -> object:
        raise LookupError("no")


def _subscribed(client: Any, hear: Callable[..., None]) -> None:
    with client.pubsub(ping=30) as pubsub:
        hear(pubsub)
        pubsub.subscribe("channel")
        client.publish("channel", "x")
        hear(pubsub, pubsub.next_message(5))
        client.execute("CLIENT", "KILL", "TYPE", "pubsub")
        hear(pubsub, pubsub.next_message(5))
        pubsub.subscribe()


def _listened(client: Any, hear: Callable[..., None]) -> None:
    heard: list[Any] = []

    def handle(message: Any, state: Any) -> None:
        heard.append(message)
        if message.payload == "fail":
            raise LookupError("no")

    listener = client.listener({"channel": handle, ERROR: handle, "*": handle})
    try:
        listener.subscribe("channel")
        client.publish("channel", "fail")
        wait_until(lambda: any(message.channel == ERROR for message in heard), "the report of the handler's failure")
        hear(listener, *heard, *(message.payload for message in heard))
    finally:
        listener.close()
    hear(listener)


def _monitored(client: Any, hear: Callable[..., None]) -> None:
    with client.monitor() as monitor:
        hear(monitor)
        client.ping()
        hear(monitor.next_line(5))


def _scripted(client: Any, hear: Callable[..., None]) -> None:
    script = client.script("return redis.error_reply('OOPS of mine')")
    hear(script)
    script.__call__()


def _out_of_time(client: Any, hear: Callable[..., None]) -> None:
    client.execute("DEBUG", "SLEEP", "0.4")


def _out_of_places(client: Any, hear: Callable[..., None]) -> None:
    with client.connection() as one, client.connection() as other:
        hear(one, other)
        client.transaction("k").__enter__()


def _serialized(client: Any, hear: Callable[..., None]) -> None:
    other = client.with_serializer(Sulky())
    hear(other)
    other.set("k", {"x": 1})


def _thawed(client: Any, hear: Callable[..., None]) -> None:
    client.set("k", b"\0j[")
    client.with_serializer(True).get("k")


def _batched(client: Any, hear: Callable[..., None]) -> None:
    with client.pipeline() as pipe:
        queued = [pipe.lpush("n", 1), pipe.incr("n"), pipe.get("n")]
        hear(pipe, *queued)


def _refused(client: Any, hear: Callable[..., None]) -> None:
    with client.transaction() as tx:
        hear(tx)
        tx.execute("NOSUCHCOMMAND", "x")


def _killed(client: Any, hear: Callable[..., None]) -> None:
    with client.connection() as connection:
        client.execute("CLIENT", "KILL", "ID", connection.client_id())
        hear(connection)
        connection.blpop("none", 5)


DOORS: Final = [
    _subscribed, _listened, _monitored, _scripted, _out_of_time, _out_of_places, _serialized, _thawed, _batched,
    _refused, _killed,
]  # fmt: skip
QUIET: Final = {_listened, _monitored}
"""Those that end without an error."""


@pytest.mark.parametrize("door", DOORS)
def test_s20_whatever_is_done_the_password_is_not_shown(
    server: RedisServer,
    protocol: Any,
    make_client: MakeClient,
    eavesdropper: Eavesdropper,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    door: Any,
) -> None:
    """Objects as debuggers and reporters print them, errors with the locals of their frames, hooks, logs, output."""
    server.call("ACL", "SETUSER", "canary-user", "on", f">{CANARY}", "~*", "&*", "+@all")
    url = server.url.replace("redis://", f"redis://{USERINFO}")
    options: dict[str, Any] = {"pool_size": 2, "pool_timeout": 0.05, "read_timeout": 5}
    if door is _out_of_time:
        options["read_timeout"] = 0.25
    failed = 0
    with make_client(url, protocol=protocol, hooks=eavesdropper, retry=ONCE, **options) as client:
        client.ping()
        try:
            door(client, lambda *things: eavesdropper.texts.extend(map(shown, things)))
        except CarmineError as error:
            failed += 1
            eavesdropper.hear_error(error)
            with contextlib.suppress(TypeError):  # an error keeps no client
                eavesdropper.texts.append(repr(pickle.dumps(error)))
        eavesdropper.texts += [shown(client), shown(client.pool), shown(client.options)]
    printed = capfd.readouterr()
    assert failed == (door not in QUIET)
    assert len(eavesdropper.texts) > 5
    eavesdropper.check(caplog.text, printed.out, printed.err)


def test_s20_deadlines_tell_no_password(
    protocol: Any, world: str, eavesdropper: Eavesdropper, make_client: MakeClient
) -> None:
    """While connecting, and while reading."""
    hello: Any = HELLO_3 if protocol == 3 else b"-ERR unknown command\r\n"
    silent = Scripted(lambda number, block: b"")
    mute = Scripted.replies({b"GET": b""}, hello=hello)
    for server in (silent, mute):
        with server:
            url = server.url.replace("redis://", f"redis://{USERINFO}")
            with make_client(url, protocol=protocol, hooks=eavesdropper, retry=ONCE) as client:
                with pytest.raises(TimeoutError) as caught:
                    _within_a_deadline(client, world)
                eavesdropper.hear_error(caught.value)
                eavesdropper.texts.append(shown(client))
    eavesdropper.check()
    assert len(eavesdropper.texts) > 5


def _within_a_deadline(client: Any, world: str) -> None:
    if world == "sync":
        with carmine.deadline(0.05):
            client.get("k")
        return
    inner, loop = client._shown, client._loop

    async def ask() -> None:
        with carmine.deadline(0.05):
            await inner.get("k")

    loop.run(ask)
