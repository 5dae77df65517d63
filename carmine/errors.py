"""Every exception of carmine, and the registry that turns a server's error code into a class.

This room knows nothing of sockets, clients or commands. Each class carries its facts as attributes
(outcome, retry rule, code, command name, address) so that callers decide by data, not by reading text.
Invariants: one root, every exception can be pickled, no message holds an argument's value or a secret,
and no builtin name is reused.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

__all__ = [
    "AskError",
    "AuthError",
    "BadRequestError",
    "BusyError",
    "BusyGroupError",
    "BusyKeyError",
    "CarmineError",
    "ClusterDownError",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionLost",
    "CrossSlotError",
    "DeadlineExceeded",
    "DecodeError",
    "ExecAbortError",
    "HandshakeFailed",
    "LoadingError",
    "MasterDownError",
    "MaxClientsError",
    "MisconfiguredError",
    "MissingExtra",
    "MovedError",
    "NetworkError",
    "NoPermissionError",
    "NoReplicasError",
    "NoScriptError",
    "NotBusyError",
    "OutOfMemoryError",
    "Outcome",
    "PipelineError",
    "PoolClosed",
    "PoolError",
    "PoolTimeout",
    "ProtocolError",
    "ReadOnlyError",
    "ReadTimeout",
    "RetryRule",
    "ServerError",
    "ThawError",
    "TopologyError",
    "TryAgainError",
    "UnblockedError",
    "UnexpectedReplyError",
    "UnkillableError",
    "UsageError",
    "WatchError",
    "WriteTimeout",
    "WrongTypeError",
    "server_error",
]

_SHOWN: Final = 1024
"""Characters of a server's text that str() shows; the whole text stays in `.message`."""


class Outcome(Enum):
    """What is known about a command whose call failed on the network."""

    NOT_SENT = "not sent"
    """No byte of it reached the wire: sending it again cannot execute it twice."""
    UNKNOWN = "may have been executed"
    """At least one byte was handed to the system: only the server knows whether it ran."""


class RetryRule(Enum):
    """What a server's error asks of the client before the command may be tried again."""

    NO = "no"
    NOW = "now"
    WAIT = "wait"
    REFRESH_TOPOLOGY = "refresh topology"
    FOLLOW_MOVED = "follow moved"
    FOLLOW_ASK = "follow ask"
    RECONNECT = "reconnect"


def printable(text: str, limit: int = _SHOWN) -> str:
    """Return `text` fit for a log line: control characters escaped, cut at `limit` characters."""
    cut = text if len(text) <= limit else text[:limit] + "..."
    return cut if cut.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


def with_last_words(what: str, said: object) -> str:
    """Add to what is said of a lost connection the error that the server sent before it closed, if it did."""
    return f"{what}; it had said: {printable(str(said), 200)}" if isinstance(said, ServerError) else what


def _rebuild(cls: type[CarmineError], args: tuple[Any, ...], state: dict[str, Any]) -> CarmineError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class CarmineError(Exception):
    """The root of every exception that carmine raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by class, arguments and facts: keyword-only constructors would not survive the default."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class UsageError(CarmineError):
    """The caller's mistake: a bad argument, a closed client, a command that has no place here. Nothing was sent."""


class MissingExtra(UsageError):
    """An optional library is not installed; the message names the `pip install` line."""


class DecodeError(CarmineError):
    """A reply is not UTF-8 although text was asked for; the bytes are in `.data`, the connection goes on."""

    data: bytes

    def __init__(self, data: bytes) -> None:
        super().__init__(
            f"a string of {len(data)} bytes in this reply is not UTF-8; read it through client.binary, "
            "or make the client with decode=False"
        )
        self.data = data


class ThawError(CarmineError):
    """Bytes that a frozen value was expected in are none; `.reason` says what is wrong with them.

    Where a client's serializer met them, `.command` names the command whose reply they were in.
    """

    reason: str
    command: str | None

    def __init__(self, reason: str, *, command: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.command = command

    def __str__(self) -> str:
        """Say what was wrong, and in whose reply."""
        where = f"a value in the reply to {self.command}" if self.command else "this value"
        return f"{where} cannot be thawed: {self.reason}"


class NetworkError(CarmineError):
    """The network failed below a command; `.outcome` says whether the command may have been executed."""

    outcome: Outcome
    address: str | None

    def __init__(self, message: str, *, outcome: Outcome = Outcome.NOT_SENT, address: str | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.address = address

    def __str__(self) -> str:
        """Say what happened, where, and what is known about the command."""
        where = f" [{self.address}]" if self.address else ""
        return f"{self.args[0]}{where} ({self.outcome.value})"


class ConnectFailed(NetworkError):
    """No connection could be made: refused, unreachable, unknown host, TLS not agreed."""


class HandshakeFailed(NetworkError):
    """The connection was made, but the server's answers to HELLO, AUTH or SELECT were not usable."""


class ConnectionLost(NetworkError):
    """The peer closed or reset the connection, or it can no longer be trusted."""


class ConnectTimeout(NetworkError, TimeoutError):
    """Name look-up, TCP, TLS and handshake together took longer than `connect_timeout`."""


class ReadTimeout(NetworkError, TimeoutError):
    """The reply was not complete in time."""


class WriteTimeout(NetworkError, TimeoutError):
    """The command could not be handed to the network in time."""


class DeadlineExceeded(NetworkError, TimeoutError):
    """The time of a `carmine.deadline()` was over before the command was sent."""


class PoolError(CarmineError):
    """No connection could be had from the pool; no server was asked."""


class PoolTimeout(PoolError, TimeoutError):
    """Every connection stayed in use for as long as `pool_timeout`."""


class PoolClosed(PoolError, UsageError):
    """The pool, or the client that owns it, is closed."""


class ProtocolError(CarmineError):
    """The peer's bytes are not RESP, or exceed a limit; the connection is closed for good.

    `.offset` is the position in the stream, `.excerpt` at most 40 bytes from there.
    """

    reason: str
    offset: int
    excerpt: bytes
    address: str | None

    def __init__(self, reason: str, *, offset: int, excerpt: bytes = b"", address: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset
        self.excerpt = excerpt[:40]
        self.address = address

    def __str__(self) -> str:
        """Say what was wrong, where in the stream, and quote the bytes escaped."""
        where = f" from {self.address}" if self.address else ""
        seen = f": {self.excerpt!r}" if self.excerpt else ""
        return f"{self.reason} at byte {self.offset} of the replies{where}{seen}"


class ServerError(CarmineError):
    """The server answered a command with an error.

    `.code` is the text before the first space, `.message` the whole text, `.command` the command's name.
    Unknown codes keep this class; known ones have their own, with their retry rule.
    """

    retry: RetryRule = RetryRule.NO
    message: str
    command: str | None
    address: str | None

    def __init__(self, message: str, *, command: str | None = None, address: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.command = command
        self.address = address

    @property
    def code(self) -> str:
        """The error's code: the text before the first space, empty when there is none."""
        return self.message.partition(" ")[0]

    def __str__(self) -> str:
        """Show the server's text without the arguments it quotes, the command's name and the address."""
        told = self._told()
        where = " ".join(
            part for part in (self.command and f"({self.command})", self.address and f"[{self.address}]") if part
        )
        return f"{told} {where}" if where else told

    def _told(self) -> str:
        # "ERR unknown command 'x', with args beginning with: ..." repeats what was sent, passwords included.
        return printable(self.message.partition(", with args beginning with:")[0])

    def __repr__(self) -> str:
        """Show class and text as str() does: the arguments a server quotes stay out of logs."""
        return f"{type(self).__name__}({str(self)!r})"


class WrongTypeError(ServerError):
    """WRONGTYPE: the key holds another kind of value; `.key` names one of a layer, and a note says more."""

    key: str | bytes | None = None


class NoScriptError(ServerError):
    """NOSCRIPT: the server does not know this script's hash."""

    retry = RetryRule.NOW


class BusyGroupError(ServerError):
    """BUSYGROUP: the consumer group exists already."""


class BusyKeyError(ServerError):
    """BUSYKEY: the key to be restored exists already."""


class AuthError(ServerError):
    """NOAUTH or WRONGPASS: the server wants other credentials. Never retried."""

    def _told(self) -> str:
        told = super()._told()
        if self.code != "NOAUTH":
            return told
        return f"{told.rstrip('.')}; give user:password@ in the URL, or password="


class NoPermissionError(ServerError):
    """NOPERM: the user may not run this command or touch this key."""


class OutOfMemoryError(ServerError):
    """OOM: the server is above `maxmemory` and refuses writes."""


class ReadOnlyError(ServerError):
    """READONLY: this server is a replica now."""

    retry = RetryRule.REFRESH_TOPOLOGY


class LoadingError(ServerError):
    """LOADING: the server reads its data set from disk; the command was not executed."""

    retry = RetryRule.WAIT


class TryAgainError(ServerError):
    """TRYAGAIN: the keys of one command are being moved between nodes."""

    retry = RetryRule.WAIT


class BusyError(ServerError):
    """BUSY: a script runs for too long; the command was not executed."""


class NotBusyError(ServerError):
    """NOTBUSY: there is no script to kill."""


class UnkillableError(ServerError):
    """UNKILLABLE: the running script has written and cannot be stopped."""


class MisconfiguredError(ServerError):
    """MISCONF: the server cannot save and refuses writes."""


class NoReplicasError(ServerError):
    """NOREPLICAS: too few replicas for a write."""


class MaxClientsError(ServerError):
    """The server has as many clients as it allows, and closed this connection."""

    retry = RetryRule.WAIT


class BadRequestError(ServerError):
    """ERR Protocol error: the server could not read what was sent, and closes the connection."""

    retry = RetryRule.RECONNECT


class UnblockedError(ServerError):
    """UNBLOCKED: a blocking command was ended from outside; the connection is dropped."""

    retry = RetryRule.RECONNECT


class ClusterDownError(ServerError):
    """CLUSTERDOWN: the cluster, or this slot, is not served."""

    retry = RetryRule.REFRESH_TOPOLOGY


class MasterDownError(ServerError):
    """MASTERDOWN: the replica has lost its primary and may not answer."""

    retry = RetryRule.REFRESH_TOPOLOGY


class CrossSlotError(ServerError):
    """CROSSSLOT: the keys of one command lie in different slots."""


class MovedError(ServerError):
    """MOVED: the slot belongs to another node."""

    retry = RetryRule.FOLLOW_MOVED


class AskError(ServerError):
    """ASK: this key is being moved to another node."""

    retry = RetryRule.FOLLOW_ASK


class ExecAbortError(ServerError):
    """EXECABORT: a command was refused while it was queued, so that the transaction did not run.

    `.causes` holds the refusals as `(index, error)`.
    """

    causes: tuple[tuple[int, ServerError], ...] = ()


class WatchError(CarmineError):
    """A watched key was changed by somebody else: the transaction did not run."""


class PipelineError(CarmineError):
    """At least one command of a pipeline failed; `.index` and `.command` name the first, `.replies` holds all."""

    index: int
    command: str
    replies: list[Any]

    def __init__(self, message: str, *, index: int, command: str, replies: list[Any]) -> None:
        super().__init__(message)
        self.index = index
        self.command = command
        self.replies = replies


class UnexpectedReplyError(CarmineError):
    """A reply is RESP, but not of the shape that its command's documentation gives."""


class TopologyError(CarmineError):
    """The servers' answers about each other cannot be used."""


_BY_CODE: Final[dict[str, type[ServerError]]] = {
    "ASK": AskError,
    "BUSY": BusyError,
    "BUSYGROUP": BusyGroupError,
    "BUSYKEY": BusyKeyError,
    "CLUSTERDOWN": ClusterDownError,
    "CROSSSLOT": CrossSlotError,
    "EXECABORT": ExecAbortError,
    "LOADING": LoadingError,
    "MASTERDOWN": MasterDownError,
    "MISCONF": MisconfiguredError,
    "MOVED": MovedError,
    "NOAUTH": AuthError,
    "NOPERM": NoPermissionError,
    "NOREPLICAS": NoReplicasError,
    "NOSCRIPT": NoScriptError,
    "NOTBUSY": NotBusyError,
    "OOM": OutOfMemoryError,
    "READONLY": ReadOnlyError,
    "TRYAGAIN": TryAgainError,
    "UNBLOCKED": UnblockedError,
    "UNKILLABLE": UnkillableError,
    "WRONGPASS": AuthError,
    "WRONGTYPE": WrongTypeError,
}


def server_error(message: str) -> ServerError:
    """Return the error for a server's text: the class registered for its code, else ServerError."""
    cls = _BY_CODE.get(message.partition(" ")[0], ServerError)
    if cls is ServerError and message.startswith("ERR "):
        if message.startswith("ERR max number of clients"):
            cls = MaxClientsError
        elif message.startswith("ERR Protocol error"):
            cls = BadRequestError
    return cls(message)
