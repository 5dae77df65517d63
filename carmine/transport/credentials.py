"""Who the client says it is: secrets, the pair of user name and password, and providers of it.

This room sends nothing. Invariants: a secret shows itself as `***` however it is printed, formatted or inspected,
cannot be pickled, and leaves only through `reveal()`; no error raised here holds one, nor do the locals of the frames
it passes; a provider is asked anew for each new connection, so that a rotated password needs no restart.
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from carmine import _checks
from carmine._frozen import Frozen
from carmine._secret import Secret
from carmine.errors import HandshakeFailed, Outcome, UsageError

if TYPE_CHECKING:
    from carmine.transport.address import Address

__all__ = [
    "AsyncCredentialsProvider",
    "Credentials",
    "CredentialsProvider",
    "InsecureConnectionWarning",
    "Secret",
    "ask",
    "ask_async",
    "warn_if_cleartext",
    "warn_once",
]


class InsecureConnectionWarning(UserWarning):
    """A password crosses a network in the clear, or a server's certificate is not verified."""


class Credentials(Frozen):
    """A user name (None: the server's default user) and a password, as AUTH takes them."""

    __slots__ = ("password", "username")

    username: str | None
    password: Secret

    def __init__(self, username: str | None, password: str | Secret) -> None:
        """Check and keep the pair; the password is wrapped.

        Raises:
            UsageError: A part is not text. An empty password goes with a user name only (a `nopass` user).
        """
        refusal = None
        secret = None
        try:
            username = None if username is None else _checks.text("username", username) or None
            secret = password if isinstance(password, Secret) else Secret(_checks.text("password", password))
        except UsageError as exc:
            refusal = str(exc)
        if secret is not None and username is None and not secret.reveal():
            refusal = "the password is empty and there is no user name: leave credentials out where none are needed"
        if secret is None or refusal is not None:
            password = ""  # this frame travels with the error, and reporters print locals
            raise UsageError(refusal or "password must be a str")
        self._put(username=username, password=secret)

    def _show(self) -> str:
        """Show the user name, never the password."""
        return f"Credentials({self.username!r}, {self.password!r})"


Answer: TypeAlias = Credentials | tuple[str | None, str | Secret]
"""What a provider gives: `(username, password)`, the user name None for the default user."""

CredentialsProvider: TypeAlias = Callable[[], Answer]
AsyncCredentialsProvider: TypeAlias = Callable[[], Awaitable[Answer]]

AnyProvider: TypeAlias = CredentialsProvider | AsyncCredentialsProvider


def ask(provider: AnyProvider, address: Address) -> Credentials:
    """Ask a provider for the credentials of one new connection.

    Raises:
        HandshakeFailed: The provider raised; its exception is the cause. Nothing was sent.
        UsageError: It gave something else than a pair, or has to be awaited.
    """
    try:
        answer = provider()
    except Exception as exc:  # whatever it is becomes the cause of ours
        raise _provider_failed(address) from exc
    if isinstance(answer, Awaitable):
        close = getattr(answer, "close", None)
        if close is not None:
            close()  # a coroutine that nobody awaits would warn when it is collected
        raise UsageError("the credentials provider has to be awaited: give it to an AsyncClient, or a plain function")
    accepted = _accept(answer)
    del answer  # this frame travels with an error, and reporters print locals
    return _given(accepted)


async def ask_async(provider: AnyProvider, address: Address) -> Credentials:
    """Ask a provider, plain or to be awaited, for the credentials of one new connection.

    Raises:
        HandshakeFailed: The provider raised; its exception is the cause. Nothing was sent.
        UsageError: It gave something else than a pair.
    """
    try:
        answer = provider()
        if isinstance(answer, Awaitable):
            answer = await answer
    except Exception as exc:  # whatever it is becomes the cause of ours
        raise _provider_failed(address) from exc
    accepted = _accept(answer)
    del answer  # this frame travels with an error, and reporters print locals
    return _given(accepted)


def _provider_failed(address: Address) -> HandshakeFailed:
    return HandshakeFailed(
        "the credentials provider raised; its exception is the cause of this one",
        outcome=Outcome.NOT_SENT,
        address=str(address),
    )


def _accept(answer: object) -> Credentials | str:
    """Return the provider's answer as Credentials, or the sentence that says what is wrong with it."""
    if isinstance(answer, Credentials):
        return answer
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return f"a credentials provider must give (username or None, password), not {type(answer).__name__}"
    try:
        return Credentials(*answer)
    except UsageError as exc:
        return f"the credentials provider's answer cannot be used: {exc}"


def _given(accepted: Credentials | str) -> Credentials:
    if isinstance(accepted, str):
        raise UsageError(accepted)
    return accepted


_WARNED_AT_MOST: Final = 1024
_warned: set[tuple[str, str]] = set()


def warn_once(what: str, address: Address) -> None:
    """Warn that a connection is not protected, once per address for as long as the process lives.

    Args:
        what: One sentence without the address and without any value.
        address: Where the connection goes.
    """
    mark = (what, str(address))
    if mark in _warned or len(_warned) >= _WARNED_AT_MOST:  # bounded: addresses may come from a topology
        return
    warnings.warn(f"{what} [{address}]", InsecureConnectionWarning, stacklevel=2)
    _warned.add(mark)  # not reached where a filter makes the warning an error: then it stays one


def warn_if_cleartext(address: Address, *, tls: bool) -> None:
    """Warn once per address that a password is about to cross a network in the clear.

    Call it when a connection that has credentials was opened and nothing was sent yet.
    """
    if not tls and not address.is_local:
        warn_once(
            "The password crosses the network unencrypted, readable for anybody on the way: use rediss:// or tls=True",
            address,
        )
