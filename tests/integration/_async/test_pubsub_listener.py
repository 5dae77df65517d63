"""The listener and the monitor on a real server."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from carmine._bridge import aio
from carmine.client.dispatch import ERROR, Trouble
from carmine.client.subscriptions import Message
from carmine.errors import AuthError, ConnectionLost, DecodeError, NoPermissionError, UsageError

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.integration._async.conftest import Open
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio

PATIENCE = 10.0
CLOSED = Message("carmine", None, ERROR, Trouble("conn-closed", None, None))


async def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        await aio.sleep(0.001)


class Seen(list[tuple[str, Message[Any], Any]]):
    """What handlers got, and the state beside it."""

    def by(self, name: str) -> Any:
        """Return a handler that notes its name."""
        return lambda message, state: self.append((name, message, state))


async def test_dispatch_and_confirmations(client: AsyncClient[str]) -> None:
    seen = Seen()
    handlers = {"p*": seen.by("pattern"), "pa": seen.by("channel"), "*": seen.by("rest")}
    async with client.listener(handlers, state="s") as listener:
        assert "running" in repr(listener)
        await listener.psubscribe("p*")
        await listener.subscribe("pa", "other")
        assert await client.publish("pa", "1") == 2
        await client.publish("pz", "2")
        await client.publish("other", "3")
        await until(lambda: len(seen) == 7)
        await listener.unsubscribe("other")
        await until(lambda: len(seen) == 8)
    assert listener.status == "closed"
    assert {state for _, _, state in seen} == {"s"}
    told = [(name, message) for name, message, _ in seen]
    assert told[:3] == [
        ("pattern", Message("psubscribe", "p*", "p*", 1)),
        ("channel", Message("subscribe", None, "pa", 2)),
        ("rest", Message("subscribe", None, "other", 3)),
    ]
    assert sorted(told[3:7]) == [
        ("channel", Message("message", None, "pa", "1")),
        ("pattern", Message("pmessage", "p*", "pa", "1")),
        ("pattern", Message("pmessage", "p*", "pz", "2")),
        ("rest", Message("message", None, "other", "3")),
    ]
    assert told[7:] == [("rest", Message("unsubscribe", None, "other", 2)), ("rest", CLOSED)]


async def test_one_function_for_everything(client: AsyncClient[str]) -> None:
    seen = Seen()
    listener = client.listener(seen.by("all"))
    await listener.subscribe("a")
    await client.publish("a", "x")
    await until(lambda: len(seen) == 2)
    await listener.aclose()
    await listener.aclose()
    assert [message.kind for _, message, _ in seen] == ["subscribe", "message", "carmine"]
    with pytest.raises(UsageError, match="closed"):
        await listener.subscribe("b")
    assert client.pool.stats().in_use == 0


async def test_bytes(client: AsyncClient[str]) -> None:
    seen = Seen()
    async with client.binary.listener({"a": seen.by("text"), b"\xff": seen.by("bytes")}) as listener:
        await listener.subscribe(b"a", b"\xff")
        await client.publish("a", b"\xfe")
        await client.publish(b"\xff", b"\xfe")
        await until(lambda: len(seen) == 4)
    assert [(name, message.payload) for name, message, _ in seen[2:]] == [("text", b"\xfe"), ("bytes", b"\xfe")]


async def test_state_and_handlers_may_be_replaced(client: AsyncClient[str]) -> None:
    seen = Seen()

    async def count(message: Message[Any], state: int) -> None:
        if message.kind == "message":
            listener.state = state + 1

    listener = client.listener(count, state=0)
    await listener.subscribe("a")
    for _ in range(5):
        await client.publish("a", "x")
    await until(lambda: listener.state == 5)
    listener.handlers = seen.by("new")
    await client.publish("a", "y")
    await until(lambda: seen)
    await listener.aclose()
    assert seen[0] == ("new", Message("message", None, "a", "y"), 5)


async def test_a_handler_that_raises_is_told(client: AsyncClient[str]) -> None:
    seen = Seen()

    def fail(message: Message[Any], state: Any) -> None:
        if message.kind == "message":
            raise ZeroDivisionError(message.payload)

    async with client.listener({"a": fail, ERROR: seen.by("error"), "b": seen.by("b")}) as listener:
        await listener.subscribe("a", "b")
        await client.publish("a", "1")
        await client.publish("b", "2")
        await client.publish("a", "3")
        await until(lambda: len(seen) == 4)
        assert listener.status == "running"
    names = [name for name, _, _ in seen]
    assert names == ["b", "error", "b", "error", "error"]
    trouble = seen[1][1].payload
    assert (trouble.error, str(trouble.cause)) == ("handler-ex", "1")
    assert trouble.message == Message("message", None, "a", "1")
    assert seen[2][1].payload == "2", "the others are served, in order"


async def test_errors_that_nobody_handles_do_not_vanish(
    client: AsyncClient[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: told.append(error))

    def fail(message: Message[Any], state: Any) -> None:
        raise ZeroDivisionError(message.kind)

    async with client.listener({"a": fail}) as listener:
        await listener.subscribe("a")
        await until(lambda: len(told) == 1)
    async with client.listener(fail) as listener:  # the handler of errors raises as well
        await listener.subscribe("a")
        await until(lambda: len(told) == 2)
    assert [str(error) for error in told] == ["subscribe", "carmine", "carmine"]


async def test_a_message_that_is_not_text(client: AsyncClient[str]) -> None:
    seen = Seen()
    async with client.listener(seen.by("all")) as listener:
        await listener.subscribe("a")
        await client.publish("a", b"\xff")
        await client.publish("a", "x")
        await until(lambda: len(seen) == 3)
    trouble = seen[1][1].payload
    assert trouble.error == "bad-message"
    assert isinstance(trouble.cause, DecodeError)
    assert seen[2][1].payload == "x"


async def test_a_handler_may_do_anything(client: AsyncClient[str]) -> None:
    """Unsubscribe itself, subscribe, publish, and close its own listener."""
    seen: list[str] = []

    async def handle(message: Message[Any], state: Any) -> None:
        seen.append(f"{message.kind} {message.channel}")
        if message[:4] == ("message", None, "a", "x"):
            await listener.unsubscribe("a")
            await listener.subscribe("b")
            assert await client.publish("b", "y") == 1
        elif message.kind == "message" and message.channel == "b":
            await listener.aclose()

    listener = client.listener(handle)
    await listener.subscribe("a")
    await client.publish("a", "x")
    await until(lambda: listener.status == "closed")
    await listener.aclose()
    assert seen == [
        "subscribe a",
        "message a",
        "unsubscribe a",
        "subscribe b",
        "message b",
        f"carmine {ERROR}",
    ]
    assert client.pool.stats().in_use == 0


async def test_a_handler_that_blocks_delays_and_loses_nothing(client: AsyncClient[str]) -> None:
    seen: list[str] = []
    go_on = aio.Signal()

    async def handle(message: Message[Any], state: Any) -> None:
        if message.kind == "message":
            seen.append(message.payload)
            await go_on.wait(PATIENCE)

    async with client.listener(handle) as listener:
        await listener.subscribe("a")
        for number in range(100):
            await client.publish("a", number)
        await until(lambda: seen)
        assert seen == ["0"]
        go_on.give()
        await until(lambda: len(seen) == 100)
    assert seen == [str(number) for number in range(100)]


async def test_a_listener_without_hope_is_broken(open_client: Open, server: RedisServer) -> None:
    seen = Seen()
    client = open_client(password="wrong", username="nobody")
    listener = client.listener(seen.by("all"))
    await until(lambda: listener.status == "broken")
    with pytest.raises(UsageError, match="broken") as caught:
        await listener.subscribe("a")
    assert isinstance(caught.value.__cause__, AuthError)
    await listener.aclose()
    assert listener.status == "broken"
    assert [message.payload.error for _, message, _ in seen] == ["conn-broken"]
    assert "broken" in repr(listener)


async def test_what_a_server_refuses_a_listener(open_client: Open) -> None:
    admin = open_client()
    await admin.execute("ACL", "SETUSER", "narrow", "on", ">pw", "~*", "+@all", "resetchannels", "&open*")
    async with open_client(username="narrow", password="pw").listener(lambda message, state: None) as listener:
        await listener.subscribe("open")
        with pytest.raises(NoPermissionError):
            await listener.subscribe("closed")
        assert listener.status == "running"


async def test_bad_handlers(client: AsyncClient[str]) -> None:
    with pytest.raises(UsageError, match="handlers are"):
        client.listener({"a": None})  # type: ignore[dict-item]  # it is refused


# MONITOR. ------------------------------------------------------------------------------------------------------------


async def test_monitor(client: AsyncClient[str]) -> None:
    await client.echo("before")
    async with client.monitor() as monitor:
        await client.set("key", b'a "b" \xff\r\n')
        line = await monitor.next_line(PATIENCE)
        while line is not None and line.words[0] != "SET":
            line = await monitor.next_line(PATIENCE)
        assert line is not None
        assert line.words == ["SET", "key", 'a "b" \\xff\r\n']
        assert line.db == 0
        assert line.address.startswith("127.0.0.1:")
        assert line.time > 1.6e9
        assert await monitor.next_line(0) is None
    assert client.pool.stats().in_use == 0
    with pytest.raises(UsageError, match="lives in its block"):
        await monitor.next_line()
    with pytest.raises(UsageError, match="used already"):
        await monitor.__aenter__()


async def test_monitor_under_traffic(client: AsyncClient[str]) -> None:
    """Its confirmation comes together with the first lines."""
    is_over = False

    async def work() -> None:
        while not is_over:
            await client.echo("x")

    job = aio.spawn(work)
    for _ in range(20):
        async with client.binary.monitor() as monitor:
            for _ in range(20):
                line = await monitor.next_line(PATIENCE)
                assert line is not None
                assert line.words[0] in (b"ECHO", b"CLIENT", b"HELLO")
    is_over = True
    await job.join(PATIENCE)


async def test_monitor_ends_with_its_block_and_with_its_connection(
    client: AsyncClient[str], server: RedisServer
) -> None:
    async with client.monitor() as monitor:

        async def read() -> list[Any]:
            return [line async for line in monitor]

        job = aio.spawn(read)
        await client.echo("x")
        await aio.sleep(0)
        await monitor.aclose()
        await job.join(PATIENCE)
    async with client.monitor() as monitor:
        server.call("CLIENT", "KILL", "TYPE", "normal")
        with pytest.raises(ConnectionLost):
            async for _ in monitor:
                pass
    assert client.pool.stats().in_use == 0


async def test_monitor_refused(open_client: Open) -> None:
    admin = open_client()
    await admin.execute("ACL", "SETUSER", "narrow", "on", ">pw", "~*", "&*", "+@all", "-monitor")
    client = open_client(username="narrow", password="pw")
    with pytest.raises(NoPermissionError) as caught:
        async with client.monitor():
            pytest.fail("it was allowed")
    assert caught.value.command == "MONITOR"
    assert client.pool.stats().in_use == 0
