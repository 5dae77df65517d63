"""The store that a command line means: its datastore, its MAC keys, or the user's own function that makes it.

Invariants: no secret is ever part of a message; what a module that is loaded raises is told as its name alone.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import carmine
from carmine.errors import UsageError
from carmine.ext.tundra import MacKey, TundraStore, UnsealedWarning

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

__all__ = ["mac_keys", "opened"]

_VARIABLE = "CARMINE_TUNDRA_MAC_KEYS"


@contextlib.contextmanager
def opened(asked: argparse.Namespace, client: carmine.Client[Any]) -> Iterator[TundraStore]:
    """Give the store, for as long as the command works.

    Raises:
        UsageError: The command line names no store that there is.
    """
    if getattr(asked, "factory", None):
        yield _made(asked.factory, client)
        return
    with contextlib.ExitStack() as stack:
        keys = mac_keys(asked.mac_keys_file) if asked.needs_store else ()
        datastore = _datastore(asked.store, stack) if asked.needs_store else _Nothing()
        asked.store = None  # error reporters print what is at hand
        with warnings.catch_warnings():
            # who has no key has heard of it where the archives are made
            warnings.simplefilter("ignore", UnsealedWarning)
            store = TundraStore(client, datastore, queue=asked.queue, older=[None], mac_keys=keys or None)
        yield store


class _Nothing:
    """The datastore of a command that looks at the server alone."""

    def put(self, key: bytes, blob: bytes) -> None:
        raise NotImplementedError

    def fetch(self, keys: Any) -> Any:
        raise NotImplementedError

    def delete(self, keys: Any) -> None:
        raise NotImplementedError

    def scan(self) -> Any:
        raise NotImplementedError


def mac_keys(path: str | None) -> tuple[MacKey, ...]:
    """Return the MAC keys, the one that seals first.

    Args:
        path: A file with one key a line, in hexadecimal digits; None for the environment's, with commas between.

    Raises:
        UsageError: The file cannot be read, or a key is none.
    """
    try:
        text = os.environ.get(_VARIABLE, "") if path is None else Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeError) as problem:
        raise UsageError(f"the file of MAC keys cannot be read: {type(problem).__name__}") from None
    keys = []
    for number, word in enumerate(text.replace(",", "\n").split(), 1):
        try:
            keys.append(MacKey(bytes.fromhex(word)))
        except (ValueError, UsageError):
            text = word = ""  # error reporters print what is at hand
            raise UsageError(f"MAC key {number} is none: 32 hexadecimal digits or more") from None
    return tuple(keys)


def _datastore(place: str, stack: contextlib.ExitStack) -> Any:
    """Return the datastore at a place; what it needs is closed with the stack."""
    scheme, _, rest = place.partition(":")
    if scheme == "disk" and rest:
        return importlib.import_module("carmine.ext.tundra.disk").DiskDataStore(rest, create=False)
    if scheme in ("redis", "rediss", "valkey", "valkeys", "unix"):
        second: carmine.Client[Any] = stack.enter_context(carmine.connect(place))
        return importlib.import_module("carmine.ext.tundra.redis").RedisDataStore(second)
    parts = urlsplit(place)
    if scheme in ("s3", "dynamodb") and parts.netloc:
        # boto3 is asked for where it is used alone
        module = importlib.import_module(f"carmine.ext.tundra.{scheme}")
        make = module.S3DataStore if scheme == "s3" else module.DynamoDBDataStore
        return make(parts.netloc, *([parts.path[1:]] if len(parts.path) > 1 else []))
    raise UsageError("--store is disk:PATH, redis://..., s3://BUCKET/PREFIX or dynamodb://TABLE/KEY_NS")


def _made(name: str, client: carmine.Client[Any]) -> TundraStore:
    """Return what the user's function makes of a client."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise UsageError("--from is module:function")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        make: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as problem:
        raise UsageError(f"--from cannot be loaded: {problem}") from problem
    store = make(client)
    if not isinstance(store, TundraStore):
        raise UsageError(f"--from gave a {type(store).__name__}, not a TundraStore")
    return store
