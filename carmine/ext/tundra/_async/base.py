"""What every part of a store stands on: its options, its marks, its scripts, its envelopes.

Invariants: a script is run on the keys it declares and on no others, all of them in one slot; no clock of a client
counts; nothing that was not unsealed, and is not of a version the server reads, is ever sent to RESTORE.
"""

from __future__ import annotations

import contextlib
import warnings
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from carmine import _checks
from carmine.client._async.script import AsyncScript
from carmine.errors import NoPermissionError
from carmine.ext.mq._async.queue import AsyncQueue
from carmine.ext.tundra._worlds import aio
from carmine.ext.tundra.core.values import checked_ttl, server_name
from carmine.ext.tundra.envelope import seal, unseal
from carmine.ext.tundra.errors import UnsealedWarning
from carmine.ext.tundra.freezers import freezer_name
from carmine.ext.tundra.keys import checked_queue, marks_of, probe_of
from carmine.ext.tundra.mac import mac_keys_of
from carmine.ext.tundra.programs import program
from carmine.protocol import key_slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from carmine.client._async.client import AsyncClient
    from carmine.client.lua import ScriptQueue
    from carmine.commands.command import Reply
    from carmine.ext.tundra.envelope import Sealed
    from carmine.ext.tundra.freezers import Freezer
    from carmine.ext.tundra.keys import Marks
    from carmine.ext.tundra.mac import MacKey

__all__ = ["BATCH", "AsyncTundraBase", "Server"]

CHUNK: Final = 1_000
"""Keys that one call of a script looks at: a few ms of the server's time."""

BATCH: Final = 64
"""Keys that are fetched, and brought back, together."""

AT_ONCE: Final = 4
"""Batches that are fetched at the same time."""

_KNOWN_FOR: Final = 60.0
"""Seconds for which a server counts as the one that it was."""


class Server(NamedTuple):
    """What there is to know of the server."""

    name: str
    rdb_version: int
    until: float


class AsyncTundraBase:
    """The foundations of AsyncTundraStore; see there."""

    def __init__(
        self,
        client: AsyncClient[Any],
        datastore: Any,
        queue: str,
        freezer: Freezer | None,
        older: Sequence[Freezer | None],
        mac_keys: MacKey | bytes | Sequence[MacKey | bytes] | None,
        allow_unsealed: bool,
        redis_ttl: Any,
        allow_short_ttl: bool,
    ) -> None:
        self._name = checked_queue(queue)
        self._shelf = aio.Shelf(datastore)
        for each in (freezer, *older):
            freezer_name(each)
        self._freezer = freezer
        self._older = tuple(older)
        self._mac_keys = mac_keys_of(mac_keys)
        if not self._mac_keys:
            told = "archives have a checksum and no MAC: whoever can write to the datastore can forge what is restored"
            warnings.warn(f"{told}; give mac_keys=secrets.token_bytes(32)", UnsealedWarning, stacklevel=4)
        self._allow_unsealed = _checks.flag("allow_unsealed", allow_unsealed)
        self._ttl = checked_ttl(redis_ttl, allow_short_ttl)
        self.client = client
        self._client = client.binary
        self._is_cluster = bool(getattr(client, "is_cluster", False))
        self._queue = AsyncQueue(client, f"tundra:{self._name}")
        self._marks = marks_of(self._name)
        self._server: Server | None = None

    # Scripts. --------------------------------------------------------------------------------------------------------

    def _marks_of(self, key: bytes) -> Marks:
        return marks_of(self._name, key_slot(key)) if self._is_cluster else self._marks

    def _grouped(self, keys: Sequence[bytes]) -> list[tuple[Marks, list[bytes]]]:
        """Return keys in chunks, each with its marks."""
        groups: dict[Marks, list[bytes]] = {}
        if self._is_cluster:
            for key in keys:
                groups.setdefault(self._marks_of(key), []).append(key)
        else:
            groups[self._marks] = list(keys)
        return [
            (marks, some[start : start + CHUNK])
            for marks, some in groups.items()
            for start in range(0, len(some), CHUNK)
        ]

    async def _run(self, name: str, key: bytes, args: Sequence[Any] = ()) -> Any:
        """Run a script about one key."""
        return await AsyncScript(self._client, program(name))((*self._marks_of(key), key), args)

    def _queue_script(self, on: ScriptQueue, name: str, key: bytes, args: Sequence[Any] = ()) -> Reply[Any]:
        """Put a script about one key into a batch."""
        return AsyncScript(self._client, program(name)).queue(on, (*self._marks_of(key), key), args)

    async def _run_all(
        self, name: str, keys: Sequence[bytes], args: Sequence[Any] = ()
    ) -> list[tuple[list[bytes], Any]]:
        """Run a script about many keys in one round trip; return the keys and the reply of each call."""
        groups = self._grouped(keys)
        script = AsyncScript(self._client, program(name))
        if len(groups) == 1:
            marks, some = groups[0]
            return [(some, await script((*marks, *some), args))]
        async with self._client.pipeline() as pipe:
            replies = [script.queue(pipe, (*marks, *some), args) for marks, some in groups]
        return [(some, reply.value) for (_, some), reply in zip(groups, replies, strict=True)]

    async def _sweep(self, marks: Marks, words: tuple[int, int]) -> tuple[list[bytes], list[bytes]]:
        """Return the keys of these marks whose own time is over, and those that were overlooked."""
        over, overlooked = await AsyncScript(self._client, program("sweep"))(marks, words)
        return over, overlooked

    async def _run_each(self, name: str, keys: Sequence[bytes], args: Sequence[Any] = ()) -> dict[bytes, Any]:
        """Run a script that says one thing of each key."""
        told: dict[bytes, Any] = {}
        for some, replies in await self._run_all(name, keys, args):
            told.update(zip(some, replies, strict=True))
        return told

    async def _all_marks(self) -> list[Marks]:
        """Return the marks that there are: on a cluster those of every slot that has any."""
        if not self._is_cluster:
            return [self._marks]
        slots = {key_slot(name) async for name in self._client.scan_iter(b"carmine:tundra:{????}:*", 1_000)}
        return [marks_of(self._name, slot) for slot in sorted(slots)]

    # Envelopes. ------------------------------------------------------------------------------------------------------

    async def _know(self) -> Server:
        """Return what there is to know of the server."""
        if self._server is None or self._server.until < monotonic():
            slot = key_slot(b"{tundra}") if self._is_cluster else None
            keys = (*marks_of(self._name, slot), probe_of(self._name, slot))
            version = await AsyncScript(self._client, program("probe"))(keys)
            name = "unknown"
            with contextlib.suppress(NoPermissionError):  # it is for error messages
                name = server_name(await self._client.info("server"))
            self._server = Server(name, int(version), monotonic() + _KNOWN_FOR)
        return self._server

    async def _sealed(self, key: bytes, dump: bytes, own_end: int, generation: int) -> bytes:
        """Return the envelope of a DUMP."""
        server = (await self._know()).name
        return await aio.aside(len(dump), self._seal, key, dump, own_end, generation, server)

    def _seal(self, key: bytes, dump: bytes, own_end: int, generation: int, server: str) -> bytes:
        return seal(
            key,
            dump,
            generation=generation,
            server=server,
            freezer=self._freezer,
            mac_key=self._mac_keys[0] if self._mac_keys else None,
            expires_at_ms=own_end if own_end >= 0 else None,
        )

    async def _unsealed(self, key: bytes, blob: bytes) -> Sealed:
        """Return what is in a key's envelope; raise an EnvelopeError where it cannot be trusted."""
        return await aio.aside(len(blob), self._unseal, key, blob)

    def _unseal(self, key: bytes, blob: bytes) -> Sealed:
        return unseal(
            key,
            blob,
            freezer=self._freezer,
            mac_keys=self._mac_keys,
            older=self._older,
            allow_unsealed=self._allow_unsealed,
        )

    def __repr__(self) -> str:
        """Show the queue and where it is."""
        return f"<{type(self).__name__} {self._name!r} on {self._client!r}>"
