"""The S3 datastore over HTTP: conditional writes, bodies that come short, late or changed, and what it must never do.

FAULTS D05, D06, D10; SECURITY S-20, S-66.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError  # type: ignore[import-untyped]  # it has no types of its own

from carmine.errors import UsageError
from carmine.ext.tundra import entry
from carmine.ext.tundra.aws import make_client
from carmine.ext.tundra.conformance import DataStoreSuite
from carmine.ext.tundra.errors import DataStoreError, NotStored
from carmine.ext.tundra.s3 import S3DataStore
from tests.ext.tundra.cloud import HASTY, Answers, Naps, Sent, make_bucket, naps, options, quick, wire
from tests.ext.tundra.test_freezers import shown

if TYPE_CHECKING:
    from carmine.ext.tundra.datastore import DataStore
    from tests.lab.proxy import FaultProxy

__all__ = ["naps", "wire"]

pytestmark = pytest.mark.one_twin

BUCKET = "archive"
LARGE = bytes(range(256)) * 800
PREFIXES = count()


@pytest.fixture(scope="module")
def shared() -> Any:
    """Give a client for all tests that do not hurt theirs; the bucket is there."""
    client = make_client("s3", options(), 16)
    make_bucket(client, BUCKET)
    return client


@pytest.fixture
def prefix(shared: Any) -> str:
    return f"test{next(PREFIXES)}/"


@pytest.fixture
def client(shared: Any) -> Any:
    """Give a client of a test's own, which may be hurt."""
    return quick("s3")


def error(found: bytes | DataStoreError, words: str, *, is_transient: bool) -> None:
    """Assert that a fetch gave this error for key k."""
    assert isinstance(found, DataStoreError)
    assert not isinstance(found, NotStored)
    assert words in str(found)
    assert "CANARY" not in str(found)
    assert found.is_transient is is_transient
    assert found.key == b"k"


class TestConformance(DataStoreSuite):
    @pytest.fixture(autouse=True)
    def _place(self, shared: Any, prefix: str) -> None:
        self.client, self.prefix = shared, prefix

    def make_store(self) -> DataStore:
        return S3DataStore(BUCKET, self.prefix, client=self.client)


class TestPut:
    def test_who_was_overtaken_does_not_write(self, client: Any, shared: Any, prefix: str) -> None:
        """D06: a worker that was paused before its PUT does not put its old archive over a newer one."""
        slow, quick_one = S3DataStore(BUCKET, prefix, client=client), S3DataStore(BUCKET, prefix, client=shared)
        for newer in (b"newer", b"newest"):
            is_paused = True

            def pause(**_: Any) -> None:
                nonlocal is_paused
                if is_paused:
                    is_paused = False
                    quick_one.put(b"k", newer)  # noqa: B023 - called in this turn

            client.meta.events.register("before-send.s3.PutObject", pause)
            with pytest.raises(DataStoreError, match="meanwhile") as caught:
                slow.put(b"k", b"older")
            client.meta.events.unregister("before-send.s3.PutObject", pause)
            assert (caught.value.is_transient, caught.value.key) == (True, b"k")
            assert slow.fetch([b"k"]) == [newer]

    def test_an_object_that_was_deleted_meanwhile(self, client: Any, shared: Any, prefix: str) -> None:
        store, other = S3DataStore(BUCKET, prefix, client=client), S3DataStore(BUCKET, prefix, client=shared)
        store.put(b"k", b"1")
        client.meta.events.register("before-send.s3.PutObject", lambda **_: other.delete([b"k"]))
        with pytest.raises(DataStoreError, match="meanwhile"):
            store.put(b"k", b"2")
        assert isinstance(other.fetch([b"k"])[0], NotStored)

    def test_a_put_whose_answer_was_lost_is_known_again(
        self, wire: FaultProxy, shared: Any, prefix: str, naps: Naps
    ) -> None:
        """D10: it came, the answer did not; boto3 sends it again and S3 refuses the second for the first."""
        client = quick("s3", wire.port, **HASTY)
        store, other = S3DataStore(BUCKET, prefix, client=client), S3DataStore(BUCKET, prefix, client=shared)
        store.put(b"k", b"before")
        sent, is_first = Sent(client), iter([True])

        def silence(**_: Any) -> None:
            if next(is_first, False):
                wire.mark()
                wire.truncate["s2c"] = 0

        def hear(**_: Any) -> None:
            until = time.monotonic() + 30
            while other.fetch([b"k"]) != [LARGE]:  # moto may be slow; what is asked here is what follows
                assert time.monotonic() < until
            wire.heal()

        client.meta.events.register("before-send.s3.PutObject", silence)
        client.meta.events.register_first("needs-retry.s3.PutObject", hear)
        store.put(b"k", LARGE)
        assert [one.method for one in sent] == ["HEAD", "PUT", "PUT", "HEAD"]
        assert store.fetch([b"k"]) == [LARGE]

    def test_without_conditions(self, client: Any, prefix: str) -> None:
        sent = Sent(client)
        store = S3DataStore(BUCKET, prefix, client=client, conditional=False)
        store.put(b"k", b"1")
        store.put(b"k", b"2")
        assert [one.method for one in sent] == ["PUT", "PUT"]
        assert not [name for one in sent for name in one.headers if name.lower().startswith("if-")]
        assert store.fetch([b"k"]) == [b"2"]

    def test_what_is_sent_is_checked_by_the_service(self, client: Any, prefix: str) -> None:
        """D10: the digest goes along; a PUT that was changed on the way is refused, and may be tried again."""
        sent = Sent(client)
        store = S3DataStore(BUCKET, prefix, client=client)
        store.put(b"k", b"before")
        body = entry.pack(b"k", b"before") + b"before"
        digest = base64.b64encode(hashlib.md5(body).digest())
        assert [one.headers["Content-MD5"] for one in sent if one.method == "PUT"] == [digest]
        refused = Answers(client, "s3.PutObject", 400, "BadDigest", times=1)
        with pytest.raises(DataStoreError, match="BadDigest") as caught:
            store.put(b"k", b"after")
        assert caught.value.is_transient
        assert refused.given == 1
        assert store.fetch([b"k"]) == [b"before"]

    def test_encryption_is_asked_for(self, client: Any, prefix: str) -> None:
        """S-66."""
        sent = Sent(client)
        S3DataStore(BUCKET, prefix, client=client, sse="aws:kms", sse_key="alias/archive").put(b"k", b"1")
        S3DataStore(BUCKET, prefix, client=client).put(b"k", b"2")
        asked = [{name.lower(): value for name, value in one.headers.items()} for one in sent if one.method == "PUT"]
        assert asked[0]["x-amz-server-side-encryption"] in ("aws:kms", b"aws:kms")
        assert asked[0]["x-amz-server-side-encryption-aws-kms-key-id"] in ("alias/archive", b"alias/archive")
        assert "x-amz-server-side-encryption" not in asked[1]


class TestFetch:
    def test_a_body_that_comes_short_is_fetched_again(self, wire: FaultProxy, prefix: str, naps: Naps) -> None:
        """D10: and is an error when it always does."""
        store = S3DataStore(BUCKET, prefix, client=quick("s3", wire.port, **HASTY), parallel=1)
        store.put(b"k", LARGE)
        wire.mark()
        wire.cut_after["s2c"] = 60_000
        error(store.fetch([b"k"])[0], "did not give an object whole", is_transient=True)
        assert len(naps) == 2
        assert all(0 <= nap <= 0.2 for nap in naps)
        naps.clear()
        naps.meanwhile = wire.heal
        assert store.fetch([b"k"]) == [LARGE]
        assert len(naps) == 1

    @pytest.mark.parametrize("checksums", ["when_required", "when_supported"])
    def test_a_body_that_was_changed_is_fetched_again(
        self, wire: FaultProxy, prefix: str, naps: Naps, checksums: str
    ) -> None:
        """D10: also where the service sends no checksum; the entry has one."""
        checks = {"request_checksum_calculation": checksums, "response_checksum_validation": checksums}
        store = S3DataStore(BUCKET, prefix, client=quick("s3", wire.port, **HASTY, **checks), parallel=1)
        store.put(b"k", LARGE)
        wire.mark()
        wire.corrupt["s2c"] = {60_000: 0x01}
        naps.meanwhile = wire.heal
        assert store.fetch([b"k"]) == [LARGE]
        assert len(naps) == 1

    def test_silence_is_an_error_and_no_hang(self, wire: FaultProxy, prefix: str, naps: Naps) -> None:
        """D10: a service that never answers."""
        store = S3DataStore(BUCKET, prefix, client=quick("s3", wire.port, **{**HASTY, "read_timeout": 0.1}), parallel=1)
        wire.blackhole = True
        error(store.fetch([b"k"])[0], "ReadTimeoutError", is_transient=True)
        with pytest.raises(DataStoreError, match="ReadTimeoutError"):
            store.put(b"k", b"1")
        with pytest.raises(DataStoreError, match="ReadTimeoutError"):
            store.delete([b"k"])

    def test_no_more_is_read_than_the_limit(self, shared: Any, prefix: str) -> None:
        """S-66."""
        S3DataStore(BUCKET, prefix, client=shared).put(b"k", bytes(2_000_000))
        small = S3DataStore(BUCKET, prefix, client=shared, limit=1000)
        error(small.fetch([b"k"])[0], "longer than 1000 bytes", is_transient=False)
        with pytest.raises(UsageError, match="limit="):
            small.put(b"k", bytes(1001))

    def test_a_body_beyond_the_limit_is_not_even_begun(self, client: Any) -> None:
        """S-66: its length is told before it comes."""

        class Unread:
            is_closed = False

            def read(self, size: int) -> bytes:
                raise AssertionError("it was read")

            def close(self) -> None:
                self.is_closed = True

        class Told:
            meta, body = client.meta, Unread()

            def get_object(self, **_: Any) -> dict[str, Any]:
                return {"ContentLength": 1 << 40, "Body": self.body}

        error(S3DataStore(BUCKET, client=Told(), limit=10).fetch([b"k"])[0], "longer than 10 bytes", is_transient=False)
        assert Told.body.is_closed

    def test_exchanged_objects_are_noticed(self, shared: Any, prefix: str, naps: Naps) -> None:
        """D05."""
        store = S3DataStore(BUCKET, prefix, client=shared)
        store.put(b"other", b"1")
        shared.copy_object(
            Bucket=BUCKET,
            Key=prefix + entry.name_of(b"k"),
            CopySource={"Bucket": BUCKET, "Key": prefix + entry.name_of(b"other")},
        )
        error(store.fetch([b"k"])[0], "another key's", is_transient=False)
        met = []
        with pytest.raises(DataStoreError, match="1 objects"):  # noqa: PT012
            for key in store.scan():
                met.append(key)  # noqa: PERF402 - the list is wanted when the loop ends in an error
        assert met == [b"other"]

    def test_one_failure_is_one_keys(self, client: Any, prefix: str) -> None:
        """D10: the others of a fetch are given."""
        store = S3DataStore(BUCKET, prefix, client=client)
        for key in (b"a", b"k", b"z"):
            store.put(key, key)

        def refuse(request: Any, **_: Any) -> None:
            if entry.name_of(b"k") in request.url:
                raise EndpointConnectionError(endpoint_url="CANARY")

        client.meta.events.register("before-send.s3.GetObject", refuse)
        first, found, last = store.fetch([b"a", b"k", b"z"])
        assert (first, last) == (b"a", b"z")
        assert isinstance(found, DataStoreError)
        assert found.is_transient

    def test_requests_go_at_once(self, client: Any, prefix: str) -> None:
        store = S3DataStore(BUCKET, prefix, client=client, parallel=4)
        meeting = threading.Barrier(4, timeout=30)

        def meet(**_: Any) -> None:
            meeting.wait()

        client.meta.events.register("before-send.s3.GetObject", meet)
        assert all(isinstance(one, NotStored) for one in store.fetch([b"%d" % n for n in range(4)]))


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "code", "is_transient", "requests"),
        [
            (503, "SlowDown", True, 5),
            (500, "InternalError", True, 5),
            (403, "AccessDenied", False, 1),
            (400, "InvalidArgument", False, 1),
            (404, "NoSuchBucket", False, 1),
        ],
    )
    def test_what_the_service_refuses(
        self, client: Any, prefix: str, naps: Naps, status: int, code: str, is_transient: bool, requests: int
    ) -> None:
        """D10: what passes is tried five times, what does not once; errors say which, and quote nothing."""
        refused = Answers(client, "s3", status, code)
        store = S3DataStore(BUCKET, prefix, client=client)
        error(store.fetch([b"k"])[0], code, is_transient=is_transient)
        assert refused.given == requests
        for call in (
            lambda: S3DataStore(BUCKET, prefix, client=client, conditional=False).put(b"k", b"1"),
            lambda: store.delete([b"k"]),
            lambda: list(store.scan()),
        ):
            with pytest.raises(DataStoreError, match=code) as caught:
                call()
            assert caught.value.is_transient is is_transient
            assert "CANARY" not in str(caught.value)

    def test_a_refusal_that_passes_is_not_noticed(self, client: Any, prefix: str, naps: Naps) -> None:
        """D10."""
        store = S3DataStore(BUCKET, prefix, client=client)
        for event, status, code in (("HeadObject", 503, "SlowDown"), ("PutObject", 500, "InternalError")):
            Answers(client, f"s3.{event}", status, code, times=3)
        store.put(b"k", b"1")
        Answers(client, "s3.GetObject", 503, "SlowDown", times=4)
        assert store.fetch([b"k"]) == [b"1"]

    def test_some_that_cannot_be_deleted(self, client: Any, prefix: str) -> None:
        name = prefix + entry.name_of(b"k")
        body = f"<DeleteResult><Error><Key>{name}</Key><Code>AccessDenied</Code></Error></DeleteResult>"
        Answers(client, "s3.DeleteObjects", 200, "", body=body.encode())
        with pytest.raises(DataStoreError, match="AccessDenied") as caught:
            S3DataStore(BUCKET, prefix, client=client).delete([b"a", b"k"])
        assert caught.value.key == b"k"
        assert not caught.value.is_transient

    def test_no_bucket_is_ever_created(self, shared: Any) -> None:
        """S-66."""
        store = S3DataStore("no-such-bucket", client=shared)
        error(store.fetch([b"k"])[0], "NoSuchBucket", is_transient=False)
        for call in (lambda: store.put(b"k", b"1"), lambda: store.delete([b"k"]), lambda: list(store.scan())):
            with pytest.raises(DataStoreError, match="NoSuchBucket"):
                call()
        assert "no-such-bucket" not in [one["Name"] for one in shared.list_buckets()["Buckets"]]


class TestPrivacy:
    def test_keys_stay_out_of_urls_and_headers(self, client: Any, prefix: str) -> None:
        """S-66: they are in the objects, which may be encrypted, and in no log."""
        sent = Sent(client)
        store = S3DataStore(BUCKET, prefix, client=client)
        store.put(b"CANARY/../..", b"1")
        assert store.fetch([b"CANARY/../.."]) == [b"1"]
        assert list(store.scan()) == [b"CANARY/../.."]
        store.delete([b"CANARY/../.."])
        assert len(sent) > 4
        for one in sent:
            assert "CANARY" not in one.url
            assert "CANARY" not in str(dict(one.headers.items()))

    def test_other_objects_are_left_alone(self, shared: Any, prefix: str) -> None:
        for name in ("README", "0" * 63, entry.name_of(b"k").upper(), f"{entry.name_of(b'k')}.bak"):
            shared.put_object(Bucket=BUCKET, Key=prefix + name, Body=b"another program's")
        store = S3DataStore(BUCKET, prefix, client=shared)
        store.put(b"k", b"1")
        assert list(store.scan()) == [b"k"]
        store.delete(list(store.scan()))
        assert shared.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["KeyCount"] == 4

    def test_credentials_are_shown_nowhere(self) -> None:
        """S-20, S-66: neither by the store nor by an error about its options."""
        secret = {**options(), "aws_secret_access_key": "CANARY-9f3b", "aws_session_token": "CANARY-9f3c"}
        store = S3DataStore(BUCKET, "p/", secret)
        assert repr(store) == "S3DataStore(bucket='archive', prefix='p/')"
        assert "CANARY" not in str({name: repr(value) for name, value in vars(store).items()})
        for wrong in ({"no_such_option": 1}, {"endpoint_url": "CANARY not a URL"}, {"config": "text"}):
            with pytest.raises(UsageError, match="client_options") as caught:
                S3DataStore(BUCKET, "p/", {**secret, **wrong})
            assert "CANARY" not in shown(caught.value, below="test_credentials_are_shown_nowhere")
        with pytest.raises(UsageError, match="not both") as both:
            S3DataStore(BUCKET, "p/", secret, object())
        assert "CANARY" not in shown(both.value, below="test_credentials_are_shown_nowhere")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"bucket": ""}, "bucket"),
        ({"bucket": b"b"}, "bucket"),
        ({"prefix": None}, "prefix"),
        ({"parallel": 0}, "parallel"),
        ({"attempts": 0}, "attempts"),
        ({"conditional": 1}, "conditional"),
        ({"limit": 0}, "limit"),
        ({"sse_key": "k"}, "sse"),
        ({"sse": b"AES256"}, "sse"),
    ],
)
def test_wrong_options(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        S3DataStore(**{"bucket": BUCKET, "client": object(), **given})
    assert "S3DataStore(" in shown(caught.value, below="test_wrong_options")


def test_limits_of_a_client() -> None:
    """Times, attempts and connections are bounded; old checksums only where a service may know no others."""
    config = make_client("s3", options(), 7).meta.config
    assert (config.connect_timeout, config.read_timeout, config.max_pool_connections) == (5, 30, 7)
    assert config.retries == {"mode": "standard", "total_max_attempts": 5}
    assert config.request_checksum_calculation == config.response_checksum_validation == "when_required"
    amazon = {name: value for name, value in options().items() if name != "endpoint_url"}
    assert make_client("s3", amazon, 7).meta.config.request_checksum_calculation == "when_supported"
