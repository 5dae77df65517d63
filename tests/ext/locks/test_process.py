"""Locks and their process: fork, a thread that is killed, a pool that is dropped (FAULTS.md L09)."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
import weakref
from typing import Final

import pytest

import carmine
from carmine.ext.locks import Lock
from carmine.ext.locks._sync import locking
from tests.lab import leaks
from tests.lab.servers import RedisServer, wait_until

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

ROOT: Final = __file__.rpartition("/tests/")[0]
ACQUIRED: Final = b"*2\r\n:1\r\n:1795446475549240\r\n"
"""What the acquiring script answers, to count its bytes."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_no_lease(server: RedisServer) -> None:
    """It neither gives back nor renews what is its parent's; it can take part by itself."""
    with carmine.Client(server.url) as client:
        lock = Lock(client, "a", ttl=0.6)
        lease = lock.acquire()
        assert lease is not None
        child = os.fork()
        if child == 0:
            status = 1
            try:
                ended = [lease.lost, lease.release()]
                with Lock(client, "b", ttl=0.5) as own:
                    status = 0 if ended == [True, False] and not own.lost else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 0.8, "a lease's time")
        lease.check()
        assert lease.release()


@pytest.mark.filterwarnings("ignore:Exception in thread carmine-locks:pytest.PytestUnhandledThreadExceptionWarning")
def test_l09_the_thread_that_renews_is_killed(server: RedisServer) -> None:
    """The holder is told at once, long before the lease ends; another lease has a thread again."""
    told = threading.Event()
    with carmine.Client(server.url) as client:
        lease = Lock(client, "a", ttl=20, on_lost=lambda lease: told.set()).acquire()
        assert lease is not None
        thread = locking._stations.of(client.pool).keeper._alarm._thread
        assert thread is not None
        assert ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
        )
        assert told.wait(2)
        assert lease.lost
        assert lease.release(), "the server still had it"
        hold_for_a_renewal(Lock(client, "a", ttl=0.3))


def hold_for_a_renewal(lock: Lock) -> None:
    """Hold a lock until its lease was renewed."""
    with lock as lease:
        term = lease._term
        wait_until(lambda: lease._term is not term or lease.lost, "a renewal")
        assert not lease.lost


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # it is: what is dropped unclosed may say so
def test_a_pool_that_is_dropped_leaves_nothing(server: RedisServer) -> None:
    """Locks remember their pool for no longer than somebody uses it."""
    before = leaks.snapshot(server)
    client = carmine.Client(server.url)
    pool = weakref.ref(client.pool)
    hold_for_a_renewal(Lock(client, "a", ttl=0.3))
    del client
    wait_until(lambda: gc.collect() >= 0 and pool() is None, "the end of the pool", 3)
    leaks.assert_no_leaks(before, server)
