"""Amazon's services for tests: moto's HTTP server in a process of its own, clients for it, and faults between the two.

One server for all tests of a run; it ends when its standard input does, so also when pytest is killed.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from boto3.session import Session  # type: ignore[import-untyped]  # it has no types of its own
from botocore.awsrequest import AWSResponse  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

from carmine.ext.tundra.aws import _config
from tests.lab.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["HASTY", "Answers", "Naps", "Sent", "make_bucket", "moto_port", "naps", "options", "quick", "wire"]

_SERVER = """
import os, sys, threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

class Quick(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, *args):
        pass

server = make_server(
    "127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True, request_handler=Quick
)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
"""


@cache
def moto_port() -> int:
    """Return the port of the server, started at the first call."""
    child = subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdin is not None
    assert child.stdout is not None

    def end() -> None:
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        child.wait()

    atexit.register(end)
    return int(child.stdout.readline())


def options(port: int | None = None, **more: Any) -> dict[str, Any]:
    """Return client_options for the server, or for a proxy in front of it."""
    return {
        "endpoint_url": f"http://127.0.0.1:{port or moto_port()}",
        "region_name": "eu-central-1",
        "aws_access_key_id": "nobody",
        "aws_secret_access_key": "nothing",
        **more,
    }


def make_bucket(client: Any, name: str) -> None:
    """Make a bucket, unless another test has."""
    if name not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})


class Naps(list[float]):
    """The pauses that were asked for; nobody waits, but something may happen meanwhile."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def sleep(self, seconds: float) -> None:
        """Note a pause."""
        self.append(seconds)
        self.meanwhile()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> Naps:
    """Note the pauses of datastores, and those of boto3 not at all."""
    made = Naps()
    monkeypatch.setattr("carmine.ext.tundra.aws.time", made)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    return made


@pytest.fixture
def wire() -> Iterator[FaultProxy]:
    """Give a proxy in front of the server."""
    with FaultProxy("127.0.0.1", moto_port()) as proxy:
        yield proxy


class Sent(list[Any]):
    """Every request of a client, as it goes out."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        client.meta.events.register("before-send", self._note)

    def _note(self, request: Any, **_: Any) -> None:
        self.append(request)

    def count(self, operation: Any) -> int:
        """Return how many requests were of one operation of DynamoDB, or of one HTTP method."""
        return sum(
            operation in (one.method, _text(one.headers.get("X-Amz-Target", "")).rpartition(".")[2]) for one in self
        )


class Answers:
    """Answers in the server's place.

    Args:
        client: Whose requests are answered.
        event: Which of them, as boto3 names it: "s3.PutObject".
        status: The HTTP status.
        code: The service's error code.
        times: How many requests; None for all.
        body: The body, where the code alone is not enough.
    """

    def __init__(
        self, client: Any, event: str, status: int, code: str, times: int | None = None, body: bytes | None = None
    ) -> None:
        self.given = 0
        self._status, self._times = status, times
        told: dict[str, str] = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "CANARY"}
        self._body = body or (
            json.dumps(told).encode()
            if event.startswith("dynamodb")
            else f"<Error><Code>{code}</Code><Message>CANARY</Message></Error>".encode()
        )
        client.meta.events.register(f"before-send.{event}", self._answer)

    def _answer(self, request: Any, **_: Any) -> Any:
        if self._times is not None and self.given >= self._times:
            return None
        self.given += 1
        return AWSResponse(request.url, self._status, {}, _Raw(b"" if request.method == "HEAD" else self._body))


class _Raw:
    """A body as boto3 reads one."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._body

    def read(self, *_: Any, **__: Any) -> bytes:
        body, self._body = self._body, b""
        return body


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@cache
def _session() -> Any:
    """Return boto3's session, which has read its large tables once for all clients."""
    return Session()


HASTY: dict[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 2},
    "read_timeout": 0.5,
    "connect_timeout": 2,
}
"""Settings of a client that gives up soon."""


def quick(service: str, port: int | None = None, **config: Any) -> Any:
    """Return a client of a test's own, which may be hurt, and gives up as soon as `config` says."""
    given = _config(8, has_endpoint=True).merge(Config(**config))
    return _session().client(service, **options(port, config=given))
