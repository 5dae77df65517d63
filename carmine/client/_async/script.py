"""Scripts: Lua that the server runs, sent by its hash and, where the server does not know that, by its text.

The text follows only an answer that proves that nothing was executed; a network error is the business of the retry
rules, which take a script for a write unless it is read-only. Nothing is remembered about servers: a script works
after SCRIPT FLUSH, a restart and a failover as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from carmine.client.lua import Program, fill, is_unknown, words_of
from carmine.errors import NoScriptError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from carmine.client.lua import ScriptQueue
    from carmine.commands.command import Reply, Spec, Words
    from carmine.types import Arg, Key

__all__ = ["AsyncScript", "AsyncScripting"]

R = TypeVar("R")


class AsyncScripting:
    """What a client, a pinned connection and `now` of a transaction have for scripts."""

    __slots__ = ()

    if TYPE_CHECKING:

        def _execute(self, spec: Spec, words: Words) -> Awaitable[Any]: ...

    @overload
    def script(self, text: str | bytes, *, readonly: bool = False) -> AsyncScript[Any]: ...
    @overload
    def script(self, text: str | bytes, *, readonly: bool = False, decode: Callable[[Any], R]) -> AsyncScript[R]: ...
    def script(
        self, text: str | bytes, *, readonly: bool = False, decode: Callable[[Any], Any] | None = None
    ) -> AsyncScript[Any]:
        """Return a Lua script to be called, many times and from anywhere; nothing is sent yet.

        Args:
            text: The Lua text, which finds its keys in KEYS and its arguments in ARGV.
            readonly: Send it as EVALSHA_RO (from 7.0): it may not write, may run on a replica, and is tried again
                after a lost connection as a read is.
            decode: Turns what the script returned into the result; without it the reply comes as the protocol gave it.
        """
        return AsyncScript(self, Program(text, readonly=readonly, decode=decode))

    async def lua(
        self,
        template: str,
        keys: Mapping[str, Key] | Key | Iterable[Key] = (),
        args: Mapping[str, Arg] | Arg | Iterable[Arg] = (),
        *,
        readonly: bool = False,
    ) -> Any:
        """Run a Lua script whose variables have names.

        `_:name` in the text becomes `KEYS[i]` or `ARGV[i]`: values never become part of the text. A name is a letter,
        then letters, digits and `_?!*-`; it ends where none of these follows. Given names may go unused.

        Args:
            template: The Lua text.
            keys: Every key that it touches, by name, or in a row for KEYS[1] and so on.
            args: What else it needs, by name, or in a row for ARGV[1] and so on.
            readonly: Send it as EVALSHA_RO (from 7.0).

        Returns:
            What the script returned, as the protocol gave it.

        Raises:
            UsageError: A name that cannot be one, or a variable whose name is not given; nothing was sent.
            ServerError: The script failed.
        """
        return await self._run(*fill(template, keys, args, readonly=readonly))

    async def _run(self, program: Program[R], keys: Words, args: Words) -> R:
        if self._must_carry_text():
            return await self._execute(*program.by_text(keys, args))  # type: ignore[no-any-return]  # as decode says
        try:
            return await self._execute(*program.by_hash(keys, args))  # type: ignore[no-any-return]
        except NoScriptError as error:
            if not is_unknown(error):
                raise
        return await self._execute(*program.by_text(keys, args))  # type: ignore[no-any-return]

    def _must_carry_text(self) -> bool:
        """Tell whether NOSCRIPT would come too late: commands are being queued by the server."""
        return False


class AsyncScript(Generic[R]):
    """A Lua script, called with keys and arguments; to be shared by threads, tasks and clients.

    Attributes:
        text: The Lua text.
        sha: Its SHA1, by which servers know it.
    """

    __slots__ = ("_client", "_program")

    def __init__(self, client: AsyncScripting, program: Program[R]) -> None:
        self._client = client
        self._program = program

    @property
    def text(self) -> str | bytes:
        """The Lua text."""
        return self._program.text

    @property
    def sha(self) -> str:
        """Its SHA1 as 40 hexadecimal digits, by which servers know it."""
        return self._program.sha

    async def __call__(
        self, keys: Key | Iterable[Key] = (), args: Arg | Iterable[Arg] = (), *, on: AsyncScripting | None = None
    ) -> R:
        """Run it.

        Args:
            keys: Every key that it touches, KEYS in the script; their number is counted here.
            args: What else it needs, ARGV in the script.
            on: Where to run it instead of the client that made it: another client, a pinned connection, `tx.now`.

        Raises:
            ServerError: The script failed.
            NetworkError: The connection was lost; the outcome says whether the script may have run.
        """
        return await (self._client if on is None else on)._run(self._program, *words_of(keys, args))

    def queue(self, batch: ScriptQueue, keys: Key | Iterable[Key] = (), args: Arg | Iterable[Arg] = ()) -> Reply[R]:
        """Put a call into a pipeline or a transaction, and return the Reply it will have.

        Args:
            batch: The pipeline or the transaction.
            keys: Every key that it touches, KEYS in the script.
            args: What else it needs, ARGV in the script.
        """
        return batch._queue_program(self._program, *words_of(keys, args))

    def __repr__(self) -> str:
        """Show the hash."""
        return f"<{type(self).__name__} {self.sha}>"
