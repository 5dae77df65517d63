"""What a project says about its sessions in `CARMINE_SESSIONS`, checked; the stores made of it.

| key | meaning | default |
|---|---|---|
| `url` | where the server is, as for `carmine.Client` | redis://127.0.0.1:6379/0 |
| `options` | more arguments of `carmine.Client` and `carmine.AsyncClient` | {} |
| `client` | in place of the two: a `carmine.Client`, a function that returns one, or the dotted path of either | |
| `async_client` | beside `client`: the same, for the AsyncClient of the loop that is running | |
| `prefix` | what all keys begin with | carmine:session |
| `absolute_ttl` | seconds or timedelta that a session lasts at most, however much it is used | None, no limit |
| `max_size` | bytes that a session's stored contents take at most | 65536 |
| `timeout` | seconds that one question to the server takes at most, with all its retries | 5 |
| `on_error` | what happens while the server cannot be asked: "raise" or "anonymous" | "raise" |

How long sessions live idle is Django's own `SESSION_COOKIE_AGE` and `set_expiry()`. Invariant: what is wrong here is
said in one sentence when the first session is made, and names no value.
"""

from __future__ import annotations

import threading
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from carmine import AsyncClient, Client, _checks
from carmine.errors import UsageError
from carmine.ext.sessions import AsyncSessionStore
from carmine.ext.sessions import SessionStore as BlockingStore
from carmine.ext.sessions.django.clients import Clients

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KEYS", "Config", "current"]

KEYS: Final = ("absolute_ttl", "async_client", "client", "max_size", "on_error", "options", "prefix", "timeout", "url")
_OF_THE_STORE: Final = ("prefix", "absolute_ttl", "max_size", "timeout")
_POLICIES: Final = ("raise", "anonymous")
_NOTHING: Final[dict[str, Any]] = {}


class Config:
    """One checked value of `CARMINE_SESSIONS`.

    Attributes:
        source: The setting that it was made of.
        clients: Who asks the server.
        is_lenient: Whether requests go on without a session while the server cannot be asked.

    Raises:
        ImproperlyConfigured: A key is unknown, or its value cannot be used.
    """

    __slots__ = ("_options", "clients", "is_lenient", "source")

    def __init__(self, source: Mapping[str, Any]) -> None:
        self.source: Mapping[str, Any] = source
        try:
            _check_keys(source)
            policy = source.get("on_error", "raise")
            if policy not in _POLICIES:
                raise UsageError('on_error must be "raise" or "anonymous"')
            self.is_lenient: bool = policy == "anonymous"
            self._options = {name: source[name] for name in _OF_THE_STORE if name in source}
            self.clients: Clients = _clients(source)
            self.store(None)  # what is wrong shows now; nothing is sent
        except UsageError as problem:
            raise ImproperlyConfigured(f"CARMINE_SESSIONS: {problem}") from problem

    def store(self, serializer: Any) -> BlockingStore:
        """Return a store over the client of the threads."""
        return BlockingStore(self.clients.of_threads(), ttl=None, serializer=serializer, **self._options)

    async def astore(self, serializer: Any) -> AsyncSessionStore:
        """Return a store over the client of the running loop."""
        client = await self.clients.of_this_loop()
        return AsyncSessionStore(client, ttl=None, serializer=serializer, **self._options)


def current() -> Config:
    """Return what the settings say now; made once, and again when the setting is another object."""
    global _current  # one per process, as Django's settings are
    source: Mapping[str, Any] = getattr(settings, "CARMINE_SESSIONS", _NOTHING)
    found = _current
    if found is not None and found.source is source:
        return found
    with _lock:  # those who come at once share what the first has made
        if _current is None or _current.source is not source:
            if _current is not None:
                _current.clients.close()
            _current = Config(source)
        return _current


_current: Config | None = None
_lock: Final = threading.Lock()


def _check_keys(source: object) -> None:
    if not isinstance(source, dict):
        raise UsageError(f"it must be a dict, not {_checks.kind(source)}")
    for name in source:
        if name not in KEYS:
            near = get_close_matches(str(name), KEYS, 1)
            hint = f", perhaps {near[0]}" if near else f"; there are {', '.join(KEYS)}"
            raise UsageError(f"it has a key that nothing knows{hint}")
    if "client" in source and ("url" in source or "options" in source):
        raise UsageError("a client of your own has its url and options already: leave these two away")
    if "async_client" in source and "client" not in source:
        raise UsageError("async_client stands beside client; with url both clients are made")
    if not isinstance(source.get("options", {}), dict):
        raise UsageError(f"options must be a dict, not {_checks.kind(source['options'])}")


def _clients(source: Mapping[str, Any]) -> Clients:
    if "client" not in source:
        words = {**({"url": source["url"]} if "url" in source else {}), **source.get("options", {})}
        return Clients(lambda: Client(**words), lambda: AsyncClient(**words), is_ours=True)
    return Clients(
        lambda: _given(source, "client", Client), lambda: _given(source, "async_client", AsyncClient), is_ours=False
    )


def _given(source: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    """Return a client that the project made: itself, what a function returns, or what a path leads to."""
    found = source.get(name)
    if isinstance(found, str):
        found = import_string(found)
    if callable(found) and not isinstance(found, kind):
        found = found()
    if not isinstance(found, kind):
        raise ImproperlyConfigured(
            f"CARMINE_SESSIONS: {name} must be a carmine.{kind.__name__}, a function that returns one, "
            f"or the dotted path of either, not {_checks.kind(found)}"
        )
    return found
