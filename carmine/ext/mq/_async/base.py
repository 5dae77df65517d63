"""What every part of a queue stands on: its arguments, its keys, and the way a script is run.

Invariants: a script is run on the keys it declares and on no others; no clock of a client counts.
"""

from __future__ import annotations

import contextlib
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from carmine import _checks
from carmine.client._async.script import AsyncScript
from carmine.errors import NoPermissionError, OutOfMemoryError, ServerError, WrongTypeError
from carmine.ext.mq.core.contents import Contents
from carmine.ext.mq.errors import LayoutError
from carmine.ext.mq.keys import KINDS, REGISTRY, checked_name, key_of, tagged
from carmine.ext.mq.programs import program, source
from carmine.transport.option_table import checked_serializer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from carmine.client._async.client import AsyncClient
    from carmine.client.lua import ScriptQueue
    from carmine.commands.command import Reply
    from carmine.types import SerializerArg

__all__ = ["AsyncQueueBase"]

_REGISTERED_FOR: Final = 3600.0
"""Seconds after which a queue writes its name into the registry once more."""


class AsyncQueueBase:
    """A queue's name, keys and scripts; see AsyncQueue."""

    def __init__(
        self,
        client: AsyncClient[Any],
        name: str,
        *,
        serializer: SerializerArg | None = None,
        thaw_foreign: Callable[[bytes], Any] | None = None,
        max_size: int | None = None,
        max_dead: int = 100_000,
    ) -> None:
        self.name: str = checked_name(name)
        self._key_name = tagged(name) if getattr(client, "is_cluster", False) else self.name
        self._client = client.binary
        self._contents = Contents(checked_serializer(serializer), thaw_foreign)
        self._max_size = 0 if max_size is None else _checks.whole("max_size", max_size, least=1)
        self._max_dead = _checks.whole("max_dead", max_dead)
        self._keys: dict[str, tuple[str, ...]] = {}
        self._registered_until = 0.0
        self._has_warned = False
        self._now: int | str = ""  # tests set it, in ms; the scripts ask the server

    def _key(self, suffix: str) -> str:
        return key_of(self._key_name, suffix)

    def _keys_of(self, name: str) -> tuple[str, ...]:
        keys = self._keys.get(name)
        if keys is None:
            keys = self._keys[name] = source(name).keys(self._key_name)
        return keys

    async def _run(self, name: str, args: Iterable[Any]) -> Any:
        """Run one script."""
        try:
            return await AsyncScript(self._client, program(name))(self._keys_of(name), args)
        except ServerError as error:
            if "WRONGTYPE" in error.message:  # Redis 6.2 wraps what a script met
                await self._name_key(error, self._keys_of(name))
            if error.code != "MQLAYOUT":
                raise
            raise LayoutError(f"{error.message.partition(' ')[2]}; upgrade carmine here") from error

    async def _name_key(self, error: ServerError, keys: tuple[str, ...]) -> None:
        """Say in an error which of the queue's keys another program has written."""
        async with self._client.pipeline(raise_errors=False) as pipeline:
            found = [pipeline.type(key) for key in keys]
        for key, kind in zip(keys, found, strict=True):
            wanted = KINDS.get(key.rpartition(":")[2])
            if kind.error is None and kind.value not in ("none", wanted) and wanted is not None:
                if isinstance(error, WrongTypeError):
                    error.key = key
                error.add_note(f"{key} holds a {kind.value}, and the queue keeps a {wanted} there: who else writes it?")
                return

    def _queue(
        self, on: ScriptQueue, name: str, args: Iterable[Any], decode: Callable[[Any], Any] | None
    ) -> Reply[Any]:
        """Put one script into a batch."""
        return AsyncScript(self._client, program(name).shaped(decode)).queue(on, self._keys_of(name), args)

    async def _register(self) -> None:
        """Note the queue's name where `queue_names` looks."""
        # the user's rules may leave him the keys of this queue alone; and without memory a queue is to be drained
        with contextlib.suppress(NoPermissionError, OutOfMemoryError):
            await self._client.sadd(REGISTRY, self.name)
        self._registered_until = monotonic() + _REGISTERED_FOR

    def __repr__(self) -> str:
        """Show the name and where it is."""
        return f"<{type(self).__name__} {self.name!r} on {self._client!r}>"
