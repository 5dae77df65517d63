"""The S3 datastore: one object per key, in a bucket that is there already.

An object's name is the prefix and the SHA-256 of the key, so that no key's name stands in a URL or a log; the key is in
the object (entry.py). A put is conditional: it says which object it replaces, so that a worker that was paused cannot
put its old archive over a newer one. Invariants: no bucket is ever created; no more is read than the limit; a method
waits no longer than the client's time-outs times its attempts.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
from typing import TYPE_CHECKING, Any, Final

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.tundra import entry
from carmine.ext.tundra.aws import (
    Attempts,
    BotoCoreError,
    ClientError,
    batches,
    code_of,
    in_parallel,
    make_client,
    problem,
)
from carmine.ext.tundra.datastore import LARGEST, blob_of, key_of, keys_of
from carmine.ext.tundra.errors import DataStoreError, NotStored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["S3DataStore"]

_TOKEN: Final = "carmine-put"
"""Metadata that tells one put from another: whether a conditional one that was refused had been ours, and come."""

_NOT_THERE: Final = frozenset({"404", "NoSuchKey"})
_OVERTAKEN: Final = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict", *_NOT_THERE})
_START: Final = 2048
"""Bytes of an object that a scan reads first: keys are seldom longer."""
_PART: Final = 1 << 20
_DELETED_AT_ONCE: Final = 1000


class S3DataStore:
    """Keep archives in a bucket of S3, or of a service that speaks its protocol.

    Args:
        bucket: The bucket, which must be there.
        prefix: What the objects' names begin with; two stores with different prefixes do not know of each other.
        client_options: Arguments for boto3's client: region_name, endpoint_url, credentials, config.
        client: A ready client of boto3 instead.
        parallel: Requests at once.
        attempts: How often an object is fetched whose body came short, late or changed. Refused requests are sent
            again by boto3 itself (5 times in all, where `client_options` have no config of their own).
        sse: Encryption by the service: "AES256" or "aws:kms"; None leaves it to the bucket's own setting.
        sse_key: The id of the KMS key for "aws:kms".
        conditional: False for services that know no conditional PUT; the last to come then wins.
        limit: Bytes of a blob at most, stored and read.

    Raises:
        UsageError: An argument is not what it should be.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "tundra/",
        client_options: Mapping[str, Any] | None = None,
        client: Any = None,
        *,
        parallel: int = 16,
        attempts: int = 3,
        sse: str | None = None,
        sse_key: str | None = None,
        conditional: bool = True,
        limit: int = LARGEST,
    ) -> None:
        self._bucket: Final = bucket
        self._prefix: Final = prefix
        _checks.text("prefix", prefix)
        self._parallel: Final = _checks.whole("parallel", parallel, least=1, most=256)
        self._attempts: Final = Attempts(attempts)
        self._conditional: Final = _checks.flag("conditional", conditional)
        self._limit: Final = _checks.whole("limit", limit, least=1, most=5_000_000_000)
        if not _checks.text("bucket", bucket):
            raise UsageError("bucket must be the name of a bucket")
        if sse_key is not None and sse is None:
            raise UsageError("sse_key is a key for sse='aws:kms'")
        if client is not None and client_options is not None:
            client_options = None  # this frame travels with the error, and reporters print locals
            raise UsageError("give client_options or a client, not both")
        self._options: Final = {
            name: _checks.text(option, value)
            for name, option, value in (("ServerSideEncryption", "sse", sse), ("SSEKMSKeyId", "sse_key", sse_key))
            if value is not None
        }
        if client is None:
            try:
                client = make_client("s3", client_options, parallel)
            except UsageError:
                client_options = None
                raise
        self._client: Final = client

    def __repr__(self) -> str:
        return f"S3DataStore(bucket={self._bucket!r}, prefix={self._prefix!r})"

    def put(self, key: bytes, blob: bytes) -> None:
        """Store bytes under a key; see `DataStore.put`.

        Raises:
            DataStoreError: S3 refused, or somebody else stored under this key meanwhile.
        """
        key, blob = key_of(key), blob_of(blob, self._limit)
        place = self._place(key)
        body = entry.pack(key, blob) + blob
        token = secrets.token_hex(16)
        options: dict[str, Any] = {**self._options, "Metadata": {_TOKEN: token}}
        if self._client.meta.config.request_checksum_calculation == "when_required":
            digest = hashlib.md5(body, usedforsecurity=False).digest()  # the one checksum that every service knows
            options["ContentMD5"] = base64.b64encode(digest).decode()
        try:
            if self._conditional:
                before = self._about(place)
                options.update({"IfNoneMatch": "*"} if before is None else {"IfMatch": before["ETag"]})
            try:
                self._client.put_object(**place, **options, Body=body)
            except ClientError as exc:
                if not self._conditional or code_of(exc) not in _OVERTAKEN:
                    raise
                after = self._about(place)
                if after is None or after.get("Metadata", {}).get(_TOKEN) != token:
                    raise DataStoreError(
                        "somebody else stored under this key meanwhile", key=key, is_transient=True
                    ) from exc
        except (ClientError, BotoCoreError) as exc:
            raise problem("S3 could not store an object", exc, key) from exc

    def fetch(self, keys: Sequence[bytes]) -> list[bytes | DataStoreError]:
        """Return what is stored under each key, by several requests at once; see `DataStore.fetch`."""
        return in_parallel(self._fetched, keys_of(keys), self._parallel)

    def delete(self, keys: Sequence[bytes]) -> None:
        """Delete what is stored under each key; see `DataStore.delete`. A bucket with versions keeps the old ones.

        Raises:
            DataStoreError: Some could not be deleted; the others are.
        """
        wanted = {self._place(key)["Key"]: key for key in keys_of(keys)}
        refused: DataStoreError | None = None
        for names in batches(list(wanted), _DELETED_AT_ONCE):
            try:
                told = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": name} for name in names], "Quiet": True}
                )
            except (ClientError, BotoCoreError) as exc:
                refused = refused or problem("S3 could not delete objects", exc, wanted[names[0]])
                continue
            for failed in told.get("Errors", ()):
                failure = ClientError({"Error": failed}, "DeleteObjects")
                refused = refused or problem("S3 could not delete an object", failure, wanted.get(failed.get("Key")))
        if refused is not None:
            raise refused

    def scan(self) -> Iterator[bytes]:
        """Yield every stored key once; see `DataStore.scan`. The start of every object is read: the keys are there.

        Raises:
            DataStoreError: Objects cannot be listed, or some are not what was stored; all other keys came before it.
        """
        unreadable = 0
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        try:
            for page in pages:
                names = [one["Key"][len(self._prefix) :] for one in page.get("Contents", ())]
                for some in batches([name for name in names if entry.is_name(name)], 4 * self._parallel):
                    for key in in_parallel(self._key_in, some, self._parallel):
                        if key is None:
                            unreadable += 1
                        elif key:
                            yield key
        except (ClientError, BotoCoreError) as exc:
            raise problem("S3 could not list the objects", exc) from exc
        if unreadable:
            raise DataStoreError(f"{unreadable} objects in S3 are not what was stored, or cannot be read")

    # Steps. ----------------------------------------------------------------------------------------------------------

    def _place(self, key: bytes) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + entry.name_of(key)}

    def _about(self, place: dict[str, str]) -> Any:
        """Return what S3 knows about an object; None where there is none."""
        try:
            return self._client.head_object(**place)
        except ClientError as exc:
            if code_of(exc) in _NOT_THERE:
                return None
            raise

    def _fetched(self, key: bytes) -> bytes | DataStoreError:
        attempt = 1
        while True:
            try:
                told = self._client.get_object(**self._place(key))
            except (ClientError, BotoCoreError) as exc:  # boto3 has tried as often as it may
                if code_of(exc) in _NOT_THERE:
                    return NotStored(key=key)
                return problem("S3 could not give an object", exc, key)
            try:
                data = self._read(told)
                if data is None:
                    return DataStoreError(f"the object is longer than {self._limit} bytes; give it a limit=", key=key)
                return entry.unpack(key, data)
            except DataStoreError as exc:
                found = exc
            except (ClientError, BotoCoreError) as exc:
                found = problem("S3 did not give an object whole", exc, key)
            if not self._attempts.pause(attempt):
                return found
            attempt += 1

    def _read(self, told: Any) -> bytes | None:
        """Return the body, if it is within the limit."""
        most = self._limit + entry.MOST
        with contextlib.closing(told["Body"]) as body:
            if (told.get("ContentLength") or 0) > most:
                return None
            parts: list[bytes] = []
            size = 0
            while size <= most and (part := body.read(_PART)):  # to the end: only there is the checksum looked at
                parts.append(part)
                size += len(part)
        return b"".join(parts) if size <= most else None

    def _key_in(self, name: str) -> bytes | None:
        """Return the key inside an object; b"" where it is gone, None where it is not what belongs there."""
        place = {"Bucket": self._bucket, "Key": self._prefix + name}
        try:
            data = self._start(place, _START)
            head = entry.parse_head(data)
            if head is None:
                return None
            end = entry.HEAD + head.key_size
            if end > len(data):
                data = self._start(place, end)
        except (ClientError, BotoCoreError) as exc:
            return b"" if code_of(exc) in _NOT_THERE else None
        key = data[entry.HEAD : end]
        return key if entry.name_of(key) == name else None

    def _start(self, place: dict[str, str], size: int) -> bytes:
        told = self._client.get_object(**place, Range=f"bytes=0-{size - 1}")
        with contextlib.closing(told["Body"]) as body:
            return bytes(body.read(size))
