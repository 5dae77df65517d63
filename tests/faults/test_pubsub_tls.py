"""Subscriptions over TLS: reading and writing at once, which TLS allows one thread at a time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from carmine.client.subscriptions import Message
from tests.faults.test_tls import connect, tls_port
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.certs import Certificates

__all__ = ["connect", "tls_port"]

pytest_plugins = ["tests.faults.invariants"]
pytestmark = [pytest.mark.faults, pytest.mark.tls]


def test_subscriptions_change_while_messages_come(
    tls_port: Callable[..., int], connect: Callable[..., Any], certs: Certificates
) -> None:
    """Large messages and small ones come while others subscribe: every byte is in its place."""
    port = tls_port(certs.good)
    publisher, client = connect(port), connect(port)
    count = scaled(2_000)
    over = threading.Event()

    def payload(index: int) -> str:
        return f"{index:06}" + "x" * (index * 7919 % 60_000 if index % 3 else 0)

    def publish() -> None:
        for index in range(count):
            publisher.publish("steady", payload(index))

    def change(name: str) -> None:
        while not over.is_set():
            pubsub.subscribe(name, *(f"{name}-{index}" for index in range(50)))
            pubsub.unsubscribe(name, *(f"{name}-{index}" for index in range(50)))

    with client.pubsub() as pubsub:
        pubsub.subscribe("steady")
        threads = [threading.Thread(target=publish), *(threading.Thread(target=change, args=(n,)) for n in "ab")]
        for thread in threads:
            thread.start()
        try:
            for index in range(count):
                assert pubsub.next_message(10) == Message("message", None, "steady", payload(index))
        finally:
            over.set()
            while any(thread.is_alive() for thread in threads):
                pubsub.next_message(0.01)
        assert pubsub.channels == {"steady"}
        assert pubsub.next_message(0) is None
    assert client.pool.stats().in_use == 0
