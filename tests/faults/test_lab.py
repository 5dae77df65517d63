"""Certificates, reader, servers, matrix and leak hunter do what they say, before any client is judged by them."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab import leaks, matrix
from tests.lab.matrix import LEGS, scaled
from tests.lab.scripted import Scripted
from tests.lab.servers import RedisServer
from tests.lab.wire import RawClient, ReplyError, WireError, encode_command, parse_commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.embedded import TLSFiles
    from tests.lab.certs import Certificates

pytestmark = pytest.mark.faults


class TestCertificates:
    def handshake(self, certs: Certificates, files: TLSFiles, *, client: TLSFiles | None = None) -> bytes:
        """Connect with full verification; return what an echo gives back."""
        context = certs.server_context(files, client_required=client is not None)
        with (
            Scripted(lambda number, block: block, tls=context) as server,
            socket.create_connection(("127.0.0.1", server.port), 10) as plain,
            certs.client_context(client).wrap_socket(plain, server_hostname="127.0.0.1") as tls,
        ):
            tls.sendall(b"x")
            return tls.recv(1)

    @pytest.mark.tls
    def test_good(self, certs: Certificates) -> None:
        assert self.handshake(certs, certs.good) == b"x"
        assert self.handshake(certs, certs.good, client=certs.client) == b"x"

    @pytest.mark.tls
    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("wronghost", "IP address mismatch"),
            ("expired", "certificate has expired"),
            ("selfsigned", "self-signed certificate"),
            ("stranger", "unable to get local issuer certificate"),
        ],
    )
    def test_each_bad_one_fails_for_its_own_reason(self, certs: Certificates, kind: str, reason: str) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match=reason):
            self.handshake(certs, getattr(certs, kind))

    @pytest.mark.tls
    def test_a_client_of_a_stranger_is_refused(self, certs: Certificates) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            self.handshake(certs, certs.good, client=certs.strange_client)


class TestWire:
    @given(st.lists(st.lists(st.binary(max_size=30), min_size=1, max_size=5), max_size=5), st.data())
    def test_commands_come_back_word_for_word(self, commands: list[list[bytes]], data: st.DataObject) -> None:
        wire = b"".join(encode_command(*words) for words in commands)
        assert parse_commands(wire) == (commands, len(wire))
        cut = data.draw(st.integers(0, len(wire)))
        first, done = parse_commands(wire[:cut])
        rest, end = parse_commands(wire, done)
        assert first + rest == commands
        assert end == len(wire)

    @pytest.mark.parametrize(
        "wire",
        [
            b"PING\r\n",
            b"*0\r\n",
            b"*-1\r\n",
            b"*1\r\n+PING\r\n",
            b"*1\r\n$4\r\nPINGX\r\n",
            b"*1\r\n$5\r\nPING\r\n*1\r\n",
            b"*01\r\n$4\r\nPING\r\n",
            b"*1\r\n$-1\r\n",
            b"* 1\r\n$4\r\nPING\r\n",
            b"*1\n$4\nPING\n" + b"x" * 30,
            b"*1\r\n$4\r\nPING\r\n\r\n",
        ],
    )
    def test_what_is_no_command_is_refused(self, wire: bytes) -> None:
        with pytest.raises(WireError):
            parse_commands(wire)

    @pytest.mark.parametrize("version", ["2", "3"])
    def test_the_raw_client_reads_both_protocols(self, server: RedisServer, version: str) -> None:
        assert server.port is not None
        with RawClient(("127.0.0.1", server.port)) as client:
            client.call("HELLO", version)
            client.call("HSET", "h", "f", "v")
            assert client.call("HGETALL", "h") == ({b"f": b"v"} if version == "3" else [b"f", b"v"])
            assert client.call("GET", "none") is None
            assert client.call("ZADD", "z", 1.5, "m") == 1
            assert client.call("ZSCORE", "z", "m") == (1.5 if version == "3" else b"1.5")
            assert client.is_open
            server.call("CLIENT", "KILL", "TYPE", "normal")
            assert not client.is_open


class TestServers:
    def test_reset_gives_the_first_state_back(self, server: RedisServer) -> None:
        server.call("SET", "k", "v")
        server.call("CONFIG", "SET", "maxmemory", "7777777")
        server.call("CONFIG", "SET", "requirepass", "secret")
        server.call("ACL", "SETUSER", "eve", "on", "nopass", "~*", "+@all")
        server.call("SCRIPT", "LOAD", "return 1")
        server.call("REPLICAOF", "127.0.0.1", "1")
        server.pause()
        server.reset()
        assert server.call("DBSIZE") == 0
        assert server.call("CONFIG", "GET", "maxmemory") == [b"maxmemory", b"0"]
        assert server.call("CONFIG", "GET", "requirepass") == [b"requirepass", b""]
        assert server.call("ACL", "USERS") == [b"default"]
        assert server.info("replication")["role"] == "master"
        server.kill()
        server.reset()
        assert server.call("PING") == b"PONG"

    def test_debug_is_allowed(self, server: RedisServer) -> None:
        assert server.call("DEBUG", "SLEEP", "0") == b"OK"

    def test_users(self) -> None:
        with RedisServer(users={"reader": "on >s3cret ~* +@read"}) as server, RawClient(server.unix_path) as client:
            assert client.call("AUTH", "reader", "s3cret") == b"OK"
            with pytest.raises(ReplyError, match="NOPERM"):
                client.call("SET", "k", "v")
            server.reset()
            assert server.call("ACL", "USERS") == [b"default", b"reader"]

    def test_replica(self) -> None:
        with RedisServer() as primary, RedisServer(replica_of=primary) as replica:
            primary.call("SET", "k", "v")
            assert primary.call("WAIT", 1, 10_000) == 1
            assert replica.call("GET", "k") == b"v"
            with pytest.raises(ReplyError, match="READONLY"):
                replica.call("SET", "k", "w")

    @pytest.mark.cluster
    def test_cluster_of_one_owns_all_slots(self) -> None:
        with RedisServer(cluster=True) as server:
            assert server.call("SET", "k", "v") == b"OK"
            with pytest.raises(ReplyError, match="CROSSSLOT"):
                server.call("MGET", "a", "b")

    def test_clients_leaves_out_its_own(self, server: RedisServer) -> None:
        server.wait_clients(0)
        with RawClient(server.unix_path) as client:
            client.call("CLIENT", "SETNAME", "me")
            assert [c["name"] for c in server.clients()] == ["me"]
        server.wait_clients(0)

    def test_make_server(self, make_server: Callable[..., RedisServer]) -> None:
        assert make_server(unix=True).call("PING") == b"PONG"

    def test_the_leg_is_the_one_asked_for(self, server: RedisServer) -> None:
        assert server.version.startswith(matrix.current_leg().version)


class TestMatrix:
    def test_an_unknown_leg_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CARMINE_TEST_SERVER", "redis99")
        with pytest.raises(pytest.UsageError, match="redis99"):
            matrix.current_leg()

    @pytest.mark.parametrize("name", ["CI", "CARMINE_TEST_REQUIRE"])
    def test_a_missing_server_skips_here_and_fails_there(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        gone = LEGS["redis62"]._replace(places=("/no/such/server",))
        monkeypatch.delenv("CI", raising=False)
        monkeypatch.delenv("CARMINE_TEST_REQUIRE", raising=False)
        with pytest.raises(pytest.skip.Exception, match="no server for the leg redis62"):
            matrix.find_leg(gone)
        monkeypatch.setenv(name, "true" if name == "CI" else "1")
        with pytest.raises(pytest.fail.Exception, match="every leg must run"):
            matrix.find_leg(gone)

    def test_scaled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CARMINE_TEST_SCALE", raising=False)
        assert [scaled(n) for n in (1, 20, 4000)] == [1, 1, 200]
        monkeypatch.setenv("CARMINE_TEST_SCALE", "1")
        assert scaled(4000) == 4000


class TestLeaks:
    def test_a_file_a_thread_and_a_client_are_named(self, server: RedisServer) -> None:
        before = leaks.snapshot(server)
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait, name="lingering")
        thread.start()
        client = RawClient(server.unix_path)
        client.call("PING")
        with pytest.raises(AssertionError, match=r"file \d+.*thread lingering.*1 clients at the server"):
            leaks.assert_no_leaks(before, server, within=0.05)
        client.close()
        stop.set()
        thread.join()
        leaks.assert_no_leaks(before, server)

    def test_it_waits_for_what_is_about_to_end(self) -> None:
        before = leaks.snapshot()
        thread = threading.Timer(0.05, lambda: None)
        thread.start()
        leaks.assert_no_leaks(before)
        assert not thread.is_alive()

    @pytest.mark.asyncio
    async def test_a_task_is_named(self) -> None:
        before = leaks.snapshot()
        task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")
        with pytest.raises(AssertionError, match="task forgotten"):
            await leaks.assert_no_leaks_async(before, within=0.05)
        task.cancel()
        await leaks.assert_no_leaks_async(before)

    @pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="Linux tells the peak of memory")
    def test_peak_memory(self) -> None:
        leaks.reset_peak_memory()
        before = leaks.peak_memory()
        big = bytearray(64 << 20)
        big[::4096] = b"x" * len(big[::4096])
        del big
        assert leaks.peak_memory() - before >= 60 << 20
        leaks.reset_peak_memory()
        assert leaks.peak_memory() - before < 32 << 20
