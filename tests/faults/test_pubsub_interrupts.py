"""A signal handler that raises at any moment under a subscriber (FAULTS.md C22): blocking calls only, in one world."""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.client.subscriptions import Message
from tests.faults.test_wire_interrupts import Alarm, SoftLimit, alarm
from tests.lab.leaks import assert_no_leaks, snapshot
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

__all__ = ["alarm"]

pytestmark = pytest.mark.faults


def test_c22_a_struck_subscriber_goes_on(
    server: RedisServer, protocol: Any, alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It neither hangs nor goes back in time; what may be missing is marked, or was in the hands of the struck call."""
    monkeypatch.setattr(sys, "unraisablehook", lambda told: None)  # a strike inside a finalizer is lost, not the stream
    before = snapshot(server)
    chance = random.Random(22)
    with carmine.Client(server.url, protocol=protocol, pool_size=1, pool_timeout=2) as client:
        pubsub = client.pubsub()
        pubsub.subscribe("a")
        last, published, struck = -1, 0, 0
        while struck < scaled(8000):
            assert server.call("PUBLISH", "a", str(published)) in (0, 1)
            published += 1
            message = None
            try:
                alarm.set(chance.uniform(2e-5, 4e-4))
                while True:
                    if published % 5 == 0:
                        pubsub.subscribe(f"other-{published % 7}")
                    message = pubsub.next_message(0.0005)
                    if message is not None:
                        break
                alarm.disarm()
            except SoftLimit:
                alarm.is_set = False
                struck += 1
            if isinstance(message, Message):
                assert int(message.payload) > last
                last = int(message.payload)
        deadline = time.monotonic() + 10
        server.call("PUBLISH", "a", "the end")
        while not isinstance(message := pubsub.next_message(0.5), Message) or message.payload != "the end":
            assert time.monotonic() < deadline, "it hears nothing any more"
            if not isinstance(message, Message):  # a struck call may have had the mark in its hands
                server.call("PUBLISH", "a", "the end")
        assert "a" in pubsub.channels
        pubsub.close()
        assert client.echo("canary") == "canary"
        assert client.pool.stats().in_use == 0
    assert_no_leaks(before, server)
