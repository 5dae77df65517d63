"""What type checkers must say of subscriptions, listeners and monitors.

Checked by mypy --strict and basedpyright, never run. An ignored line must be an error: one that is none is reported.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from typing import Any, assert_type

from carmine import Client, Listener, Message, Monitor, MonitorLine, PubSub, Reconnected


def handler(message: Message[Any]) -> None: ...
def worker(message: Message[Any], state: Any) -> int:
    return 1


def text(c: Client[str], b: Client[bytes]) -> None:
    with c.pubsub(ping=5) as pubsub:
        assert_type(pubsub, PubSub[str])
        pubsub.subscribe("a", b"b", {"c": handler}, d=handler)
        pubsub.subscribe({b"a": handler}, decode=False)
        pubsub.subscribe(1)  # type: ignore[arg-type]
        pubsub.subscribe(d=worker)  # type: ignore[arg-type]
        assert_type(pubsub.channels, frozenset[str])
        for event in pubsub:
            if isinstance(event, Reconnected):
                continue
            assert_type(event, Message[str])
            assert_type(event.payload, str)
            assert_type(event.pattern, str | None)
    assert_type(b.pubsub(), PubSub[bytes])
    assert_type(b.pubsub().next_message(1), Message[bytes] | Reconnected | None)
    assert_type(c.listener(worker, state=1, ping=2.5), Listener[str])
    assert_type(c.listener({"a": worker, b"b": worker}), Listener[str])
    c.listener(handler)  # type: ignore[arg-type]
    with b.monitor() as monitor:
        assert_type(monitor, Monitor[bytes])
        assert_type(monitor.next_line(), MonitorLine[bytes] | None)
        assert_type([line.words for line in monitor], list[list[bytes]])
