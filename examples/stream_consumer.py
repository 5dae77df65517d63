"""A stream read by a group of consumers: each entry to one of them, again if he dies before he is done.

python examples/stream_consumer.py redis://127.0.0.1:6379
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import carmine

if TYPE_CHECKING:
    from collections.abc import Callable


class Consumer:
    """One of a group.

    Args:
        client: Any client.
        stream: The key of the stream.
        group: The name of the group; made if it is not there, to begin with the first entry.
        name: The consumer's own, which nobody else in the group may have at the same time.
        takeover: Seconds after which an entry that a consumer took and never finished is given to another.
    """

    def __init__(self, client: carmine.Client[str], stream: str, group: str, name: str, takeover: float = 60.0) -> None:
        self._client, self._stream, self._group, self._name = client, stream, group, name
        self._takeover_ms = int(takeover * 1000)
        with contextlib.suppress(carmine.BusyGroupError):  # another consumer was first
            client.xgroup_create(stream, group, "0", mkstream=True)

    def run_once(self, handle: Callable[[str, dict[str, str]], None], wait: float = 1.0) -> int:
        """Handle what others left behind and what is new; return how many entries that were.

        Args:
            handle: Called with the id and the fields. An entry at which it raises stays with the group, for later.
            wait: Seconds to wait for a new entry when there is none.
        """
        left = self._client.xautoclaim(self._stream, self._group, self._name, self._takeover_ms, "0", count=10)
        entries = left.items
        if not entries:
            read = self._client.xreadgroup(self._group, self._name, {self._stream: ">"}, count=10, block=wait)
            entries = read.get(self._stream, []) if read else []
        for entry in entries:
            handle(entry.id, entry.fields)
            self._client.xack(self._stream, self._group, entry.id)
        return len(entries)


def main(url: str) -> None:
    """Write three entries, and read them by two consumers, of which one dies in the middle."""
    with carmine.connect(url) as client:
        client.delete("orders")
        for number in range(1, 4):
            client.xadd("orders", {"number": number, "item": "tea"})

        def dies(entry: str, fields: dict[str, str]) -> None:
            raise RuntimeError(f"dead at order {fields['number']}")

        try:
            Consumer(client, "orders", "packers", "one").run_once(dies)
        except RuntimeError as problem:
            print(f"one: {problem}")
        other = Consumer(client, "orders", "packers", "two", takeover=0)
        done = other.run_once(lambda entry, fields: print(f"two: packed order {fields['number']}"), wait=0.01)
        print(f"two: {done} orders, {client.xpending('orders', 'packers').pending} pending")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379")
