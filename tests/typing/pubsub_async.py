"""What type checkers must say of subscriptions, listeners and monitors.

Checked by mypy --strict and basedpyright, never run. An ignored line must be an error: one that is none is reported.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from typing import Any, assert_type

from carmine import AsyncClient, AsyncListener, AsyncMonitor, AsyncPubSub, Message, MonitorLine, Reconnected


def handler(message: Message[Any]) -> None: ...
async def worker(message: Message[Any], state: Any) -> int:
    return 1


async def text(c: AsyncClient[str], b: AsyncClient[bytes]) -> None:
    async with c.pubsub(ping=5) as pubsub:
        assert_type(pubsub, AsyncPubSub[str])
        await pubsub.subscribe("a", b"b", {"c": handler}, d=handler)
        await pubsub.subscribe({b"a": handler}, decode=False)
        await pubsub.subscribe(1)  # type: ignore[arg-type]
        await pubsub.subscribe(d=worker)  # type: ignore[arg-type]
        assert_type(pubsub.channels, frozenset[str])
        async for event in pubsub:
            if isinstance(event, Reconnected):
                continue
            assert_type(event, Message[str])
            assert_type(event.payload, str)
            assert_type(event.pattern, str | None)
    assert_type(b.pubsub(), AsyncPubSub[bytes])
    assert_type(await b.pubsub().next_message(1), Message[bytes] | Reconnected | None)
    assert_type(c.listener(worker, state=1, ping=2.5), AsyncListener[str])
    assert_type(c.listener({"a": worker, b"b": worker}), AsyncListener[str])
    c.listener(handler)  # type: ignore[arg-type]
    async with b.monitor() as monitor:
        assert_type(monitor, AsyncMonitor[bytes])
        assert_type(await monitor.next_line(), MonitorLine[bytes] | None)
        assert_type([line.words async for line in monitor], list[list[bytes]])
