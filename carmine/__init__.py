"""carmine: a Redis and Valkey client with a hand-written codec and its own socket pool.

Public names only. The Async names load asyncio when they are first touched, those of freezing load json and decimal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine._loading import load
from carmine._version import __version__
from carmine.client._sync.client import Client, connect
from carmine.client._sync.pinned import PinnedConnection
from carmine.client._sync.pipeline import Pipeline
from carmine.client._sync.script import Script
from carmine.client._sync.transaction import Transaction
from carmine.client.queue import Atomic
from carmine.client.timing import deadline
from carmine.commands.command import Command, Reply
from carmine.errors import (
    AskError,
    AuthError,
    BadRequestError,
    BusyError,
    BusyGroupError,
    BusyKeyError,
    CarmineError,
    ClusterDownError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    CrossSlotError,
    DeadlineExceeded,
    DecodeError,
    ExecAbortError,
    HandshakeFailed,
    LoadingError,
    MasterDownError,
    MaxClientsError,
    MisconfiguredError,
    MissingExtra,
    MovedError,
    NetworkError,
    NoPermissionError,
    NoReplicasError,
    NoScriptError,
    NotBusyError,
    Outcome,
    OutOfMemoryError,
    PipelineError,
    PoolClosed,
    PoolError,
    PoolTimeout,
    ProtocolError,
    ReadOnlyError,
    ReadTimeout,
    RetryRule,
    ServerError,
    ThawError,
    TopologyError,
    TryAgainError,
    UnblockedError,
    UnexpectedReplyError,
    UnkillableError,
    UsageError,
    WatchError,
    WriteTimeout,
    WrongTypeError,
)
from carmine.retry import Retry
from carmine.transport.address import Address
from carmine.transport.bookkeeping import PoolStats
from carmine.transport.credentials import Credentials, InsecureConnectionWarning, Secret
from carmine.transport.hooks import Hooks
from carmine.transport.options import OptionArgs, Options
from carmine.transport.pool import Pool
from carmine.types import Arg, Key, ScanPage, ScoredMember, Seconds

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient, connect_async
    from carmine.client._async.listener import AsyncListener
    from carmine.client._async.monitor import AsyncMonitor
    from carmine.client._async.pinned import AsyncPinnedConnection
    from carmine.client._async.pipeline import AsyncPipeline
    from carmine.client._async.pubsub import AsyncPubSub
    from carmine.client._async.script import AsyncScript
    from carmine.client._async.transaction import AsyncTransaction
    from carmine.client._async.wcar import AsyncWcar
    from carmine.client._sync.listener import Listener
    from carmine.client._sync.monitor import Monitor
    from carmine.client._sync.pubsub import PubSub
    from carmine.client._sync.wcar import Wcar
    from carmine.client.cas import ABORT, DELETE, MISSING, swapped
    from carmine.client.dispatch import Trouble
    from carmine.client.folding import reduced
    from carmine.client.glob import glob_escape
    from carmine.client.monitor_lines import MonitorLine
    from carmine.client.parsers import ParserError, as_bool, as_float, as_int, as_map, compose
    from carmine.client.subscriptions import Message, Reconnected
    from carmine.client.wcar import wcar
    from carmine.freezing import freezable, freeze, raw, thaw
    from carmine.keys import key
    from carmine.transport.async_pool import AsyncPool

__all__ = [
    "ABORT",
    "Address",
    "Arg",
    "AskError",
    "AsyncClient",
    "AsyncListener",
    "AsyncMonitor",
    "AsyncPinnedConnection",
    "AsyncPipeline",
    "AsyncPool",
    "AsyncPubSub",
    "AsyncScript",
    "AsyncTransaction",
    "AsyncWcar",
    "Atomic",
    "AuthError",
    "BadRequestError",
    "BusyError",
    "BusyGroupError",
    "BusyKeyError",
    "CarmineError",
    "Client",
    "ClusterDownError",
    "Command",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionLost",
    "Credentials",
    "CrossSlotError",
    "DELETE",
    "DeadlineExceeded",
    "DecodeError",
    "ExecAbortError",
    "HandshakeFailed",
    "Hooks",
    "InsecureConnectionWarning",
    "Key",
    "Listener",
    "LoadingError",
    "MISSING",
    "MasterDownError",
    "MaxClientsError",
    "Message",
    "MisconfiguredError",
    "MissingExtra",
    "Monitor",
    "MonitorLine",
    "MovedError",
    "NetworkError",
    "NoPermissionError",
    "NoReplicasError",
    "NoScriptError",
    "NotBusyError",
    "OptionArgs",
    "Options",
    "OutOfMemoryError",
    "Outcome",
    "ParserError",
    "PinnedConnection",
    "Pipeline",
    "PipelineError",
    "Pool",
    "PoolClosed",
    "PoolError",
    "PoolStats",
    "PoolTimeout",
    "ProtocolError",
    "PubSub",
    "ReadOnlyError",
    "ReadTimeout",
    "Reconnected",
    "Reply",
    "Retry",
    "RetryRule",
    "ScanPage",
    "ScoredMember",
    "Script",
    "Seconds",
    "Secret",
    "ServerError",
    "ThawError",
    "TopologyError",
    "Transaction",
    "Trouble",
    "TryAgainError",
    "UnblockedError",
    "UnexpectedReplyError",
    "UnkillableError",
    "UsageError",
    "WatchError",
    "Wcar",
    "WriteTimeout",
    "WrongTypeError",
    "__version__",
    "as_bool",
    "as_float",
    "as_int",
    "as_map",
    "compose",
    "connect",
    "connect_async",
    "deadline",
    "freezable",
    "freeze",
    "glob_escape",
    "key",
    "raw",
    "reduced",
    "swapped",
    "thaw",
    "wcar",
]

_LATER = {
    "ABORT": "carmine.client.cas",
    "AsyncClient": "carmine.client._async.client",
    "AsyncListener": "carmine.client._async.listener",
    "AsyncMonitor": "carmine.client._async.monitor",
    "AsyncPinnedConnection": "carmine.client._async.pinned",
    "AsyncPipeline": "carmine.client._async.pipeline",
    "AsyncPool": "carmine.transport.async_pool",
    "AsyncPubSub": "carmine.client._async.pubsub",
    "AsyncScript": "carmine.client._async.script",
    "AsyncTransaction": "carmine.client._async.transaction",
    "AsyncWcar": "carmine.client._async.wcar",
    "DELETE": "carmine.client.cas",
    "Listener": "carmine.client._sync.listener",
    "MISSING": "carmine.client.cas",
    "Message": "carmine.client.subscriptions",
    "Monitor": "carmine.client._sync.monitor",
    "MonitorLine": "carmine.client.monitor_lines",
    "ParserError": "carmine.client.parsers",
    "PubSub": "carmine.client._sync.pubsub",
    "Reconnected": "carmine.client.subscriptions",
    "Trouble": "carmine.client.dispatch",
    "Wcar": "carmine.client._sync.wcar",
    "as_bool": "carmine.client.parsers",
    "as_float": "carmine.client.parsers",
    "as_int": "carmine.client.parsers",
    "as_map": "carmine.client.parsers",
    "compose": "carmine.client.parsers",
    "connect_async": "carmine.client._async.client",
    "freezable": "carmine.freezing",
    "freeze": "carmine.freezing",
    "glob_escape": "carmine.client.glob",
    "key": "carmine.keys",
    "raw": "carmine.freezing",
    "reduced": "carmine.client.folding",
    "swapped": "carmine.client.cas",
    "thaw": "carmine.freezing",
    "wcar": "carmine.client.wcar",
}


if not TYPE_CHECKING:  # a checker must see that a misspelt name does not exist

    def __getattr__(name: str) -> Any:
        """Load a name of another room at its first touch: asyncio costs more than all the rest (PEP 562)."""
        module = _LATER.get(name)
        if module is None:
            raise AttributeError(f"module 'carmine' has no attribute {name!r}")
        value = getattr(load(module), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
