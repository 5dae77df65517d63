"""The client: every command as a method, and the doors to pipelines, transactions and pinned connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, Unpack, overload

from carmine import _checks
from carmine._loading import loading
from carmine.client._async.pinned import AsyncPinnedConnection
from carmine.client._async.pipeline import AsyncPipeline
from carmine.client._async.scan import AsyncScanning
from carmine.client._async.swapping import AsyncSwapping
from carmine.client._async.transaction import AsyncTransaction
from carmine.client.async_engine import AsyncEngine, make_pool
from carmine.client.queue import Atomic
from carmine.commands._async import AsyncCommands
from carmine.commands.specs import lookup
from carmine.errors import UsageError, WatchError
from carmine.transport.option_table import checked_serializer
from carmine.transport.options import DEFAULT_URL, Options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from carmine.client._async.listener import AsyncListener
    from carmine.client._async.monitor import AsyncMonitor
    from carmine.client._async.pubsub import AsyncPubSub
    from carmine.client.dispatch import Handlers
    from carmine.transport.async_pool import AsyncPool
    from carmine.transport.options import ClientArgs
    from carmine.types import Arg, Key, SerializerArg

__all__ = ["AsyncClient", "connect_async"]

T = TypeVar("T", bound=str | bytes)
F = TypeVar("F")


class AsyncClient(AsyncEngine, AsyncSwapping[T], AsyncScanning[T], AsyncCommands[T], Generic[T]):
    """A client of one Redis or Valkey server.

    Args:
        url: Where the server listens: redis, rediss, valkey, valkeys or unix.
        pool: The pool of another client, to be shared; then the URL and the options are those of that client.
        decode: Whether replies are str (True) or bytes.
        serializer: True, or an object or pair of `dumps` and `loads`: then any plain value may stand as an argument
            that is no key, and comes back as it was; see `carmine.Options`. It is this client's own, not the pool's.
        **options: See `carmine.Options`; each can stand in the URL's query as well, unless it weakens security.

    Raises:
        UsageError: The URL or an option cannot be used. No connection is opened before the first command.
    """

    @overload
    def __init__(
        self: AsyncClient[str],
        url: str = DEFAULT_URL,
        *,
        pool: AsyncPool | None = None,
        decode: Literal[True] = True,
        serializer: Literal[False] | None = None,
        **options: Unpack[ClientArgs],
    ) -> None: ...
    @overload
    def __init__(
        self: AsyncClient[bytes],
        url: str = DEFAULT_URL,
        *,
        pool: AsyncPool | None = None,
        decode: Literal[False],
        serializer: Literal[False] | None = None,
        **options: Unpack[ClientArgs],
    ) -> None: ...
    @overload
    def __init__(
        self: AsyncClient[Any],
        url: str = DEFAULT_URL,
        *,
        pool: AsyncPool | None = None,
        decode: bool = ...,
        serializer: SerializerArg | None = None,
        **options: Unpack[ClientArgs],
    ) -> None: ...
    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        pool: AsyncPool | None = None,
        decode: bool | None = None,
        serializer: SerializerArg | None = None,
        **options: Unpack[ClientArgs],
    ) -> None:
        """Check the options; connect with the first command."""
        if pool is not None:
            if url != DEFAULT_URL or options:
                raise UsageError(
                    "a client that shares a pool takes its URL and options from there; "
                    "only decode and serializer are its own"
                )
            text = pool.options.decode if decode is None else decode
            self._attach(pool, text, owns_pool=False, serializer=checked_serializer(serializer))
            return
        given: dict[str, Any] = {**options, "serializer": serializer}
        if decode is not None:
            given["decode"] = decode
        try:
            made = Options.build(url, **given)
        except UsageError:
            url, options, given = "", {}, {}  # reporters print the locals of this frame
            raise
        self._attach(make_pool(made), made.decode, owns_pool=True, serializer=made.serializer)

    @property
    def options(self) -> Options:
        """What this client was made with; secrets show as `***`."""
        return self._pool.options

    @property
    def pool(self) -> AsyncPool:
        """The pool, to be shared with other clients or asked for its statistics."""
        return self._pool

    @property
    def binary(self) -> AsyncClient[bytes]:
        """A view of this client whose replies are bytes, as they are stored: it has no serializer."""
        return AsyncClient[bytes](pool=self._pool, decode=False)

    @overload
    def with_serializer(self, serializer: Literal[False] | None) -> AsyncClient[T]: ...
    @overload
    def with_serializer(self, serializer: SerializerArg) -> AsyncClient[Any]: ...
    def with_serializer(self, serializer: SerializerArg | None) -> AsyncClient[Any]:
        """Return a view of this client with a serializer, or without one: None or False.

        Args:
            serializer: As the option of that name.
        """
        return AsyncClient[Any](pool=self._pool, decode=self._text, serializer=serializer)

    async def execute(self, *words: Arg | T) -> Any:
        """Send any command and return its reply as the protocol gave it, strings as this client reads them.

        Args:
            *words: The name, in one word or two, and the arguments.

        Raises:
            UsageError: The command has no place on a client, or a word cannot be sent.
            ServerError: The server answered with an error.
        """
        return await self._execute(lookup(words), words)

    def connection(self) -> AsyncPinnedConnection[T]:
        """Return a context manager that holds one connection, for commands that change its state."""
        return AsyncPinnedConnection(self, self._text)

    def pipeline(self, *, raise_errors: bool = True) -> AsyncPipeline[T]:
        """Return a context manager that queues commands and sends them together at its end.

        Args:
            raise_errors: Whether an error reply raises PipelineError at the end; False leaves it to `Reply.value`.
        """
        return AsyncPipeline(self, raise_errors=raise_errors)

    def transaction(self, *watch: Key, raise_errors: bool = True) -> AsyncTransaction[T]:
        """Return a context manager for one attempt at MULTI ... EXEC.

        Args:
            *watch: Keys that nobody else may change meanwhile.
            raise_errors: Whether an error reply raises PipelineError at the end; False leaves it to `Reply.value`.
        """
        return AsyncTransaction(self, self._text, watch, raise_errors=raise_errors)

    @overload
    async def atomic(
        self, fn: Callable[[AsyncTransaction[T]], Awaitable[object]], *watch: Key, attempts: int = 16
    ) -> Atomic: ...
    @overload
    async def atomic(
        self,
        fn: Callable[[AsyncTransaction[T]], Awaitable[object]],
        *watch: Key,
        attempts: int = 16,
        on_failure: Callable[[], Awaitable[F]],
    ) -> Atomic | F: ...
    async def atomic(
        self,
        fn: Callable[[AsyncTransaction[T]], Awaitable[object]],
        *watch: Key,
        attempts: int = 16,
        on_failure: Callable[[], Awaitable[Any]] | None = None,
    ) -> Any:
        """Run a transaction, again from the start whenever a watched key was changed by somebody else.

        Args:
            fn: Called with the transaction; reads by `tx.now`, queues by `tx`. Nothing is executed when it raises.
            *watch: Keys that nobody else may change meanwhile.
            attempts: How often at most.
            on_failure: Called when the attempts have run out; what it returns is returned instead of an error.

        Returns:
            `(prelude, replies)`: what the commands of `tx.now` gave, and the replies of EXEC.

        Raises:
            WatchError: A watched key was changed during every attempt, and there is no `on_failure`.
        """
        attempts = _checks.whole("attempts", attempts, least=1)
        problem: WatchError | None = None
        for _ in range(attempts):
            transaction = self.transaction(*watch)
            try:
                async with transaction:
                    await fn(transaction)
                return Atomic(transaction.prelude, transaction.replies)
            except WatchError as error:
                problem = error
        if on_failure is not None:
            return await on_failure()
        raise WatchError(f"a watched key was changed during each of {attempts} attempts") from problem

    def pubsub(self, *, ping: float | None = None) -> AsyncPubSub[T]:
        """Return a context manager and iterator of messages, with a connection of its own.

        Args:
            ping: Seconds of silence after which a reader asks whether the server is there; as many for the answer, and
                then the connection is made anew. None leaves it to TCP's keepalive, which takes two minutes.
        """
        with loading("carmine.client._async.pubsub"):
            from carmine.client._async.pubsub import AsyncPubSub  # noqa: PLC0415 - 0.2 MiB that a plain client does without

        return AsyncPubSub(self, self._text, ping=ping)

    def listener(self, handlers: Handlers, state: Any = None, ping: float | None = None) -> AsyncListener[T]:
        """Start a worker that hands messages to handlers; close it when it is not needed any more.

        Args:
            handlers: A function `(message, state)`, or a mapping to such functions by pattern, by channel, and "*".
            state: What the handlers get beside the message.
            ping: As for `pubsub`.
        """
        with loading("carmine.client._async.listener"):
            from carmine.client._async.listener import AsyncListener  # noqa: PLC0415 - as for pubsub

        return AsyncListener(self, self._text, handlers, state, ping)

    def monitor(self) -> AsyncMonitor[T]:
        """Return a context manager and iterator of every command that the server executes (MONITOR)."""
        with loading("carmine.client._async.monitor"):
            from carmine.client._async.monitor import AsyncMonitor  # noqa: PLC0415 - as for pubsub

        return AsyncMonitor(self, self._text)

    async def aclose(self) -> None:
        """Close every connection, unless the pool is another client's; harmless the second time."""
        await self._detach()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        await self.aclose()

    def __repr__(self) -> str:
        """Show where it leads and how its pool stands."""
        if not hasattr(self, "_pool"):  # the constructor raised, and a reporter prints the locals of its frame
            return f"<{type(self).__name__}, not made>"
        kind = "str" if self._text else "bytes"
        return f"<{type(self).__name__} of {self._pool.options.address}, {kind}, {self._pool!r}>"


@overload
def connect_async(
    url: str = ...,
    *,
    decode: Literal[True] = True,
    serializer: Literal[False] | None = None,
    **options: Unpack[ClientArgs],
) -> AsyncClient[str]: ...
@overload
def connect_async(
    url: str = ...,
    *,
    decode: Literal[False],
    serializer: Literal[False] | None = None,
    **options: Unpack[ClientArgs],
) -> AsyncClient[bytes]: ...
@overload
def connect_async(
    url: str = ..., *, decode: bool = ..., serializer: SerializerArg | None = None, **options: Unpack[ClientArgs]
) -> AsyncClient[Any]: ...
def connect_async(
    url: str = DEFAULT_URL,
    *,
    decode: bool | None = None,
    serializer: SerializerArg | None = None,
    **options: Unpack[ClientArgs],
) -> AsyncClient[Any]:
    """Return the client that a URL asks for.

    Args:
        url: redis, rediss, valkey, valkeys or unix; schemes for clusters and sentinels come later.
        decode: Whether replies are str (True) or bytes.
        serializer: See the client.
        **options: See `carmine.Options`.
    """
    given: dict[str, Any] = {**options, "serializer": serializer}
    if decode is not None:
        given["decode"] = decode
    try:
        return AsyncClient(url, **given)
    except UsageError:
        url, options, given = "", {}, {}  # reporters print the locals of this frame
        raise
