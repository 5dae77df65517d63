"""What the S3 and the DynamoDB datastore share: a client of boto3, and what its errors mean.

An adapter: with s3.py and dynamodb.py the only rooms that know boto3. Invariants: no error and no repr holds a
credential or a key's name; a client is made with explicit limits on time, connections and attempts, so that no call
takes for ever; what AWS refuses for a moment is transient, what it refuses for good is not.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from carmine import _checks
from carmine.errors import MissingExtra, UsageError
from carmine.ext.tundra.errors import DataStoreError

try:
    from boto3.session import Session  # type: ignore[import-untyped]  # it has no types of its own
    from botocore.config import Config  # type: ignore[import-untyped]
    from botocore.exceptions import (  # type: ignore[import-untyped]
        BotoCoreError,
        ClientError,
        ConnectionError,
        FlexibleChecksumError,
        HTTPClientError,
        IncompleteReadError,
        SSLError,
    )
except ModuleNotFoundError as _exc:
    raise MissingExtra(
        "S3 and DynamoDB need boto3: pip install 'carmine-redis[s3]' or 'carmine-redis[dynamodb]'"
    ) from _exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "Attempts",
    "BotoCoreError",
    "ClientError",
    "batches",
    "code_of",
    "in_parallel",
    "is_transient",
    "make_client",
    "problem",
]

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0

T = TypeVar("T")
R = TypeVar("R")

_TRANSIENT: Final = frozenset(
    (
        *("500", "502", "503", "504", "429", "408", "InternalError", "InternalServerError", "InternalFailure"),
        *("ServiceUnavailable", "Unavailable", "SlowDown", "Throttling", "ThrottlingException", "RequestThrottled"),
        *("ProvisionedThroughputExceededException", "RequestLimitExceeded", "TooManyRequestsException"),
        *("RequestTimeout", "RequestTimeoutException", "TransactionInProgressException", "LimitExceededException"),
        *("TransactionConflictException", "OperationAborted", "ConditionalRequestConflict", "BadDigest"),
        *("XAmzContentChecksumMismatch", "RequestTimeTooSkewed", "PriorRequestNotComplete"),
    )
)
"""Codes and statuses that another attempt may do without."""

_ON_THE_WAY: Final = (ConnectionError, HTTPClientError, IncompleteReadError, FlexibleChecksumError)
"""What boto3 raises when the network failed, or a body came short or changed."""


def make_client(service: str, options: Mapping[str, Any] | None, connections: int) -> Any:
    """Return a client of boto3, with limits where `options` name no others.

    Args:
        service: "s3" or "dynamodb".
        options: Arguments of boto3's `client`: region_name, endpoint_url, credentials; a `config` is merged into ours.
        connections: How many requests go at once.

    Raises:
        UsageError: boto3 refuses the options; the message names the kind of error, for its text could hold a secret.
    """
    refusal = None
    try:
        given = dict(options or {})
        config = _config(connections, has_endpoint=bool(given.get("endpoint_url")))
        if given.get("config") is not None:
            config = config.merge(given["config"])
        return Session().client(service, **{**given, "config": config})
    except Exception as exc:  # noqa: BLE001 - whatever it is, its text may quote what it was given
        refusal = type(exc).__name__
    options, given = None, {}  # this frame travels with the error, and reporters print locals
    raise UsageError(f"boto3 could not make a client of these client_options: {refusal}")


def _config(connections: int, *, has_endpoint: bool) -> Any:
    # Other services than Amazon's do not know its newer checksums, and refuse requests that have them.
    checksums: dict[str, str] = (
        {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
        if has_endpoint
        else {}
    )
    return Config(
        connect_timeout=5,
        read_timeout=30,
        max_pool_connections=connections,
        retries={"mode": "standard", "total_max_attempts": 5},
        tcp_keepalive=True,
        user_agent_extra="carmine",
        **checksums,
    )


def code_of(exc: BaseException) -> str:
    """Return the code of what AWS answered, such as "NoSuchKey", or the HTTP status where there is none; else ""."""
    if not isinstance(exc, ClientError):
        return ""
    return str(exc.response.get("Error", {}).get("Code") or _status(exc))


def _status(exc: Any) -> str:
    return str(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))


def is_transient(exc: BaseException) -> bool:
    """Tell whether another attempt may succeed."""
    if isinstance(exc, ClientError):
        return code_of(exc) in _TRANSIENT or _status(exc) in _TRANSIENT
    return isinstance(exc, _ON_THE_WAY) and not isinstance(exc, SSLError)


def problem(what: str, exc: BaseException, key: bytes | None = None) -> DataStoreError:
    """Return the error for what boto3 raised. Its own text is left out: it may quote names and requests."""
    code = code_of(exc)
    told = f"the service answered {code}" if code else f"{type(exc).__name__}"
    return DataStoreError(f"{what}: {told}", key=key, is_transient=is_transient(exc))


class Attempts:
    """How often to ask again, and after what pause: by chance between nothing and a bound that doubles each time.

    Args:
        most: Attempts in all.
    """

    __slots__ = ("most",)

    def __init__(self, most: int) -> None:
        self.most: Final = _checks.whole("attempts", most, least=1, most=100)

    def pause(self, attempt: int) -> bool:
        """Wait after the failed attempt of this number, from 1 on; False where it was the last."""
        if attempt >= self.most:
            return False
        time.sleep(random.random() * min(_FIRST_PAUSE * 2.0 ** (attempt - 1), _LONGEST_PAUSE))
        return True


def batches(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Return the items in lists of at most this size."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def in_parallel(call: Callable[[T], R], items: Iterable[T], most: int) -> list[R]:
    """Return what `call` gives for each item, in their order, several at once."""
    todo = list(items)
    if len(todo) < 2:
        return [call(item) for item in todo]
    with ThreadPoolExecutor(min(most, len(todo)), "carmine-tundra") as pool:
        return list(pool.map(call, todo))
