"""The session engine: Django's session, kept in the store of carmine.

What is stored is what Django's own engines store: the dict written by `SESSION_SERIALIZER` and signed with
`SECRET_KEY`, so that who can write to Redis can still make no session. Keys are ids of the store (keys.py); a key that
came in a cookie and has not their form asks nobody. Invariants: a key from outside is never adopted, not by
`save(must_create=True)` either; what was deleted is not stored again; a key changes in one step; while the server
cannot be asked nothing is overwritten, and no deletion is reported that did not happen.

Every method that waits stands here twice, as in Django's own engines: by a Client, and by the AsyncClient of the
running loop.
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from carmine._checks import LONGEST
from carmine.errors import CarmineError
from carmine.ext.sessions.django.config import current
from carmine.ext.sessions.errors import SessionGone, SessionUnavailable, is_outage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from carmine.ext.sessions import AsyncSessionStore
    from carmine.ext.sessions import SessionStore as BlockingStore

__all__ = ["INTERRUPTED", "SessionStore"]

R = TypeVar("R")

_log = logging.getLogger("carmine.sessions")

INTERRUPTED: Final = "this session was ended before the request was: the visitor may have logged out meanwhile"
"""What an answer of status 400 says to the log."""


class SessionStore(SessionBase):
    """A visitor's session, under the name that Django looks for.

    Args:
        session_key: What the cookie holds; None for a new session.

    Raises:
        ImproperlyConfigured: `CARMINE_SESSIONS` cannot be used.
    """

    if TYPE_CHECKING:  # parts of Django's class that its stubs leave out

        @property
        def _session(self) -> dict[str, Any]: ...
        def _get_session(self, no_load: bool = False) -> dict[str, Any]: ...
        async def _aget_session(self, no_load: bool = False) -> dict[str, Any]: ...

    def __init__(self, session_key: str | None = None) -> None:
        self._config = current()
        self._outage: CarmineError | None = None
        self._has_refused = False
        super().__init__(session_key)

    @property
    def outage(self) -> CarmineError | None:
        """What the server failed with in this request; None as long as it answers. It is not asked a second time."""
        return self._outage

    @property
    def has_refused(self) -> bool:
        """Whether that was said by SessionUnavailable; by policy a request may also go on without the session."""
        return self._has_refused

    def is_empty(self) -> bool:
        """Tell whether there is neither a key nor anything stored; a key that could not be asked about is kept."""
        return self.session_key is None if self._outage is not None else super().is_empty()

    # In threads. -----------------------------------------------------------------------------------------------------

    def load(self) -> dict[str, Any]:
        """Return the stored contents; a key without any is forgotten, and the next save makes another."""
        key = self.session_key
        return self._loaded(self._ask(lambda store: store.read(key), None))

    def exists(self, session_key: str | None) -> bool:
        """Tell whether a session of this key is stored."""
        return self._insist(lambda store: store.exists(session_key))

    def create(self) -> None:
        """Store the contents under a new key, made by the store."""
        data, age = self._get_session(no_load=True), self.get_expiry_age()
        self._created(self._ask(lambda store: store.create(data, ttl=_ttl(age)), None) if age > 0 else _unstored())

    def save(self, must_create: bool = False) -> None:
        """Store the contents: under their key if they are there still, under a new one if they have none.

        Args:
            must_create: Make a new session whatever the key is; the key that it has is not adopted.

        Raises:
            CreateError: `must_create`, and a session of this key is there.
            UpdateError: The session is not there any more: nothing was stored.
            SessionUnavailable: The server cannot be asked.
        """
        key = self.session_key
        if must_create and key is not None and self.exists(key):
            raise CreateError
        data = self._get_session(no_load=must_create)
        key = self.session_key  # gone where nothing was found under it
        if must_create or key is None:
            self.create()
        elif (age := self.get_expiry_age()) <= 0:
            self.delete(key)
        elif not self._ask(lambda store: store.update(key, data, ttl=_ttl(age)), True):
            raise UpdateError

    def delete(self, session_key: str | None = None) -> None:
        """End the session of a key, its own if none is given; never passed over in silence."""
        key = self.session_key if session_key is None else session_key
        if key is not None:
            self._insist(lambda store: store.delete(key))

    def cycle_key(self) -> None:
        """Give the session a new key and begin its absolute lifetime anew; in the same step the old key has ended.

        Never passed over in silence: a key that was to end would live on.

        Raises:
            SessionInterrupted: The session was ended meanwhile; Django answers with 400.
            SessionUnavailable: The server cannot be asked.
        """
        data, key = self._session, self.session_key
        if key is None:
            self.create()
            return
        try:
            self._refuse_if_out_of_reach()
            self._created(self._insist(lambda store: store.regenerate(key, data, begin_anew=True)))
        except SessionGone as gone:
            raise SessionInterrupted(INTERRUPTED) from gone

    @classmethod
    def clear_expired(cls) -> None:
        """Say that there is nothing to clear: the server lets go of each session at its time."""
        _log.info("clearsessions: nothing to do, the server drops each session when its time is over")

    # In an event loop. -----------------------------------------------------------------------------------------------

    async def aload(self) -> dict[str, Any]:
        """As `load`."""
        key = self.session_key
        return self._loaded(await self._aask(lambda store: store.read(key), None))

    async def aexists(self, session_key: str | None) -> bool:
        """As `exists`."""
        return await self._ainsist(lambda store: store.exists(session_key))

    async def acreate(self) -> None:
        """As `create`."""
        data, age = await self._aget_session(no_load=True), await self.aget_expiry_age()
        if age > 0:
            self._created(await self._aask(lambda store: store.create(data, ttl=_ttl(age)), None))
        else:
            self._created(_unstored())

    async def asave(self, must_create: bool = False) -> None:
        """As `save`."""
        key = self.session_key
        if must_create and key is not None and await self.aexists(key):
            raise CreateError
        data = await self._aget_session(no_load=must_create)
        key = self.session_key
        if must_create or key is None:
            await self.acreate()
        elif (age := await self.aget_expiry_age()) <= 0:
            await self.adelete(key)
        elif not await self._aask(lambda store: store.update(key, data, ttl=_ttl(age)), True):
            raise UpdateError

    async def adelete(self, session_key: str | None = None) -> None:
        """As `delete`."""
        key = self.session_key if session_key is None else session_key
        if key is not None:
            await self._ainsist(lambda store: store.delete(key))

    async def acycle_key(self) -> None:
        """As `cycle_key`."""
        data, key = await self._aget_session(), self.session_key
        if key is None:
            await self.acreate()
            return
        try:
            self._refuse_if_out_of_reach()
            self._created(await self._ainsist(lambda store: store.regenerate(key, data, begin_anew=True)))
        except SessionGone as gone:
            raise SessionInterrupted(INTERRUPTED) from gone

    @classmethod
    async def aclear_expired(cls) -> None:
        """As `clear_expired`."""
        cls.clear_expired()

    # Within. ---------------------------------------------------------------------------------------------------------

    def _loaded(self, data: dict[str, Any] | None) -> dict[str, Any]:
        if data is not None:
            return data
        if self._outage is None:
            self._session_key = None
        return {}

    def _created(self, key: str | None) -> None:
        """Take a new key; None where the server could not be asked and the request goes on without."""
        self._session_key = key
        self.modified = True

    def _ask(self, call: Callable[[BlockingStore], R], instead: R) -> R:
        """Ask the store, or return `instead` where the server cannot be asked and the project wants to go on."""
        if self._outage is None:
            try:
                return call(self._config.store(self._serializer))
            except CarmineError as problem:
                self._note(problem)
        return self._without(instead)

    async def _aask(self, call: Callable[[AsyncSessionStore], Awaitable[R]], instead: R) -> R:
        if self._outage is None:
            try:
                return await call(await self._config.astore(self._serializer))
            except CarmineError as problem:
                self._note(problem)
        return self._without(instead)

    def _insist(self, call: Callable[[BlockingStore], R]) -> R:
        """Ask the store; where it cannot be asked that is an error, whatever the project wants otherwise."""
        try:
            return call(self._config.store(self._serializer))
        except CarmineError as problem:
            self._note(problem)
            self._refuse()

    async def _ainsist(self, call: Callable[[AsyncSessionStore], Awaitable[R]]) -> R:
        try:
            return await call(await self._config.astore(self._serializer))
        except CarmineError as problem:
            self._note(problem)
            self._refuse()

    def _note(self, problem: CarmineError) -> None:
        if not is_outage(problem):
            raise problem
        self._outage = problem
        _log.error("the server of the sessions cannot be asked: %s", problem)

    def _without(self, instead: R) -> R:
        if not self._config.is_lenient:
            self._refuse()
        return instead

    def _refuse_if_out_of_reach(self) -> None:
        """Let nothing be done with contents that could not be read."""
        if self._outage is not None:
            self._refuse()

    def _refuse(self) -> NoReturn:
        self._has_refused = True
        raise SessionUnavailable("the server that holds the sessions cannot be asked") from self._outage

    @property
    def _serializer(self) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
        """What turns the contents into what Django's engines store, and back."""
        return self._dumped, self._restored

    def _dumped(self, data: dict[str, Any]) -> bytes:
        return self.encode(data).encode()

    def _restored(self, stored: bytes) -> dict[str, Any]:
        return self.decode(stored.decode())


def _ttl(age: float) -> float:
    return min(float(age), LONGEST)


def _unstored() -> str:
    """Return a key of a session that is over before it begins: one that was never stored."""
    return secrets.token_urlsafe(32)
