"""The store: sessions on a server, each under the hash of an id that only the server's side ever made.

Invariants: a text that is no id reaches no command; what is written is created only if absent and updated only if
present, each in one step, so that nothing comes back to life; every call ends within the store's time.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from carmine import _checks
from carmine.client.timing import deadline
from carmine.ext.sessions import programs
from carmine.ext.sessions.core.contents import Contents, behind_header
from carmine.ext.sessions.core.lifetimes import DAYS_30, UNSET, Lifetimes, idle_word
from carmine.ext.sessions.core.session import Act, Plan, Session
from carmine.ext.sessions.errors import SessionError, SessionGone, UnreadableSession
from carmine.ext.sessions.keys import PREFIX, Keys, is_id
from carmine.transport.option_table import checked_serializer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from carmine.client._async.client import AsyncClient
    from carmine.ext.sessions.core.lifetimes import IdleArg
    from carmine.types import Seconds, SerializerArg

__all__ = ["AsyncSessionStore"]

_log = logging.getLogger("carmine.sessions")

_ATTEMPTS: Final = 3
"""How many ids are tried when one is taken; that of 2^256 two are the same says that chance is broken."""

_GONE: Final = "the session is not there any more: it was deleted, has another id now, or was idle for too long"


class AsyncSessionStore:
    """Sessions of web visitors, to be shared by all threads and tasks.

    Args:
        client: Whose server and pool are used.
        prefix: What every key begins with, before `:` and the hash of the id.
        ttl: How long a session may be idle, as seconds or a timedelta; None for ever. Every write starts it again.
        rolling: Whether a read starts it again as well, in the same round trip.
        absolute_ttl: How long a session lasts at most, however much it is used; None without limit.
        serializer: None for carmine's own format, else an object or a pair of `dumps` and `loads`; never pickle.
        max_size: How many bytes of contents are stored at most, 64 KiB.
        timeout: Seconds that one call may take with all its attempts; None leaves it to the client's own limits.

    Raises:
        UsageError: An argument is none. Nothing is sent before the first call.
    """

    def __init__(
        self,
        client: AsyncClient[Any],
        prefix: str = PREFIX,
        ttl: Seconds | None = DAYS_30,
        *,
        rolling: bool = False,
        absolute_ttl: Seconds | None = None,
        serializer: SerializerArg | None = None,
        max_size: int = 64 * 1024,
        timeout: Seconds | None = 5.0,
    ) -> None:
        self._keys = Keys(prefix, is_split=getattr(client, "is_cluster", False))
        self._client = client.binary
        self._life = Lifetimes.of(ttl, absolute_ttl)
        self._timeout = None if timeout is None else _checks.seconds("timeout", timeout, least=0.001)
        self.rolling: bool = _checks.flag("rolling", rolling)
        """Whether a read lets a session live on."""
        self.contents: Contents = Contents(checked_serializer(serializer), _checks.whole("max_size", max_size, least=1))
        """How contents are frozen."""

    @property
    def cookie_age(self) -> int:
        """Seconds that a browser is to keep a session's cookie."""
        return self._life.cookie_age

    # Reading. --------------------------------------------------------------------------------------------------------

    async def read(self, id: str | None) -> dict[str, Any] | None:
        """Return the contents of a session; None where there is none, and where they cannot be read.

        One round trip, with `rolling` too; none at all where the text is no id.
        """
        frozen = await self.fetch(id)
        if frozen is None:
            return None
        try:
            return self.contents.read(frozen)
        except UnreadableSession as problem:
            _log.warning("%s; the visitor goes on without a session", problem)
            return None

    async def fetch(self, id: str | None) -> bytes | None:
        """Return the contents of a session, frozen, as `Session` takes them; otherwise as `read`."""
        if not is_id(id):
            return None
        key = self._keys.key_of(id)
        with self._limit():
            if self.rolling:
                stored = await self._client._run(programs.EXTEND, (key,), (*self._life, 1))
            else:
                stored = await self._client.get(key)
        if stored is None:
            return None
        try:
            return behind_header(stored)
        except UnreadableSession as problem:
            _log.warning("%s; the visitor goes on without a session", problem)
            return None

    async def exists(self, id: str | None) -> bool:
        """Tell whether there is a session of this id, without letting it live on."""
        if not is_id(id):
            return False
        with self._limit():
            return await self._client.exists(self._keys.key_of(id)) == 1

    # Writing. --------------------------------------------------------------------------------------------------------

    async def write(self, id: str | None, data: Mapping[str, Any]) -> str:
        """Write contents, and return the id under which they are stored.

        Args:
            id: That of a session that was read; None, or a text that is no id, for a new session with a new id.
            data: All contents; whoever writes last has written.

        Raises:
            SessionGone: There is no session of this id, or no more: nothing was stored, and the id was not adopted.
            SessionTooLarge: The contents take more than `max_size` bytes; nothing was sent.
            UsageError: The contents are no dict, or hold what cannot be frozen.
        """
        if not is_id(id):
            return await self.create(data)
        if not await self.update(id, data):
            raise SessionGone(_GONE)
        return id

    async def create(self, data: Mapping[str, Any], *, ttl: IdleArg = UNSET) -> str:
        """Begin a session, and return its id: 256 random bits that the store makes.

        Args:
            data: Its contents.
            ttl: How long it may be idle, where that is not the store's; None for ever.

        Raises:
            SessionTooLarge: The contents take more than `max_size` bytes; nothing was sent.
            UsageError: The contents are no dict, or hold what cannot be frozen.
        """
        return await self._create(self.contents.write(data), idle_word(ttl, "-"))

    async def update(self, id: str | None, data: Mapping[str, Any], *, ttl: IdleArg = UNSET) -> bool:
        """Write new contents into a session that is there, and tell whether it was.

        Args:
            id: That of a session.
            data: All its contents.
            ttl: How long it may be idle from now on; not given, as long as it was.

        Raises:
            SessionTooLarge: The contents take more than `max_size` bytes; nothing was sent.
            UsageError: The contents are no dict, or hold what cannot be frozen.
        """
        frozen = self.contents.write(data)
        return is_id(id) and await self._update(id, frozen, idle_word(ttl, ""))

    async def touch(self, id: str | None) -> bool:
        """Let a session live on from now, within its absolute lifetime, and tell whether it is there."""
        if not is_id(id):
            return False
        with self._limit():
            return bool(await self._client._run(programs.EXTEND, (self._keys.key_of(id),), (*self._life, 0)))

    async def delete(self, id: str | None) -> bool:
        """End a session, and tell whether it was there."""
        if not is_id(id):
            return False
        with self._limit():
            return await self._client.delete(self._keys.key_of(id)) == 1

    async def regenerate(
        self, old: str | None, data: Mapping[str, Any] | None = None, *, begin_anew: bool = False
    ) -> str:
        """Give a session a new id, and return it; in the same step the old one is no session any more.

        Args:
            old: The id that it has.
            data: New contents; None keeps what is stored.
            begin_anew: Whether its absolute lifetime starts again, as after a login; otherwise it keeps its end.

        Raises:
            SessionGone: There is no session of the old id; nothing was stored.
            SessionTooLarge: The contents take more than `max_size` bytes; nothing was sent.
            UsageError: The contents are no dict, or hold what cannot be frozen.
        """
        frozen = None if data is None else self.contents.write(data)
        if not is_id(old):
            raise SessionGone(_GONE)
        return await self._move(old, frozen, _checks.flag("begin_anew", begin_anew))

    async def save(self, session: Session) -> Plan:
        """Do what a request's session asks for, and return what that was; one round trip, none where nothing changed.

        Raises:
            SessionGone: It was deleted meanwhile, or has another id now: nothing was stored.
            SessionTooLarge: The contents take more than `max_size` bytes; nothing was sent.
            UsageError: The contents hold what cannot be frozen.
        """
        plan = session.plan()
        if plan.act is Act.NOTHING:
            return plan
        session.settle(plan, await self._carry_out(plan))
        return plan

    # Within. ---------------------------------------------------------------------------------------------------------

    async def _carry_out(self, plan: Plan) -> str | None:
        """Carry a plan out, and return the id under which the session is stored then."""
        if plan.id is None:
            assert plan.frozen is not None
            return await self._create(plan.frozen, "-")
        if plan.act is Act.MOVE:
            return await self._move(plan.id, plan.frozen, plan.begins_anew)
        if plan.act is Act.UPDATE:
            assert plan.frozen is not None
            if not await self._update(plan.id, plan.frozen, ""):
                raise SessionGone(_GONE)
            return plan.id
        await self.delete(plan.id)  # first, so that whatever comes next the old one has ended
        if plan.act is Act.DELETE:
            return None
        assert plan.frozen is not None
        return await self._create(plan.frozen, "-")

    async def _create(self, frozen: bytes, idle: str) -> str:
        for _ in range(_ATTEMPTS):
            id = self._make_id()
            with self._limit():
                made = await self._client._run(programs.CREATE, (self._keys.key_of(id),), (*self._life, frozen, idle))
            if made:
                return id
        raise SessionError(f"{_ATTEMPTS} new ids in a row were taken: this machine's random numbers are broken")

    async def _update(self, id: str, frozen: bytes, idle: str) -> bool:
        with self._limit():
            return await self._client._run(programs.UPDATE, (self._keys.key_of(id),), (*self._life, frozen, idle))

    async def _move(self, old: str, frozen: bytes | None, begin_anew: bool) -> str:
        words = (*self._life, frozen or b"", int(frozen is not None), int(begin_anew))
        for _ in range(_ATTEMPTS):
            id = self._keys.successor(old, self._make_id())
            keys = (self._keys.key_of(id), self._keys.key_of(old))
            with self._limit():
                moved = await self._client._run(programs.REGENERATE, keys, words)
            if moved == 1:
                return id
            if moved == 0:
                raise SessionGone(_GONE)
        raise SessionError(f"{_ATTEMPTS} new ids in a row were taken: this machine's random numbers are broken")

    def _make_id(self) -> str:
        return secrets.token_urlsafe(32)

    def _limit(self) -> AbstractContextManager[object]:
        return nullcontext() if self._timeout is None else deadline(self._timeout)

    def __repr__(self) -> str:
        """Show the prefix and where it is."""
        return f"<{type(self).__name__} {self._keys.prefix!r} on {self._client!r}>"
