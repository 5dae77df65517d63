"""The retry policy: what may be tried again, and after how long."""

from __future__ import annotations

import pickle
import ssl
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carmine.errors import (
    CarmineError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    DeadlineExceeded,
    DecodeError,
    HandshakeFailed,
    NetworkError,
    Outcome,
    PoolClosed,
    PoolTimeout,
    ProtocolError,
    ReadTimeout,
    RetryRule,
    ServerError,
    UsageError,
    WatchError,
    WriteTimeout,
    server_error,
)
from carmine.retry import Retry

NOT_SENT, UNKNOWN = Outcome.NOT_SENT, Outcome.UNKNOWN
READ: dict[str, Any] = {"readonly": True}
WRITE: dict[str, Any] = {"readonly": False}
ABSOLUTE: dict[str, Any] = {"readonly": False, "absolute_write": True}
READS: dict[str, Any] = {"readonly": True, "compound": True}
WRITES: dict[str, Any] = {"readonly": False, "compound": True}
ABSOLUTES: dict[str, Any] = {"readonly": False, "absolute_write": True, "compound": True}


def because(error: CarmineError, cause: BaseException) -> CarmineError:
    error.__cause__ = cause
    return error


def handshake(cause: BaseException | None = None) -> CarmineError:
    error = HandshakeFailed("x")
    return error if cause is None else because(error, cause)


# error, what was sent, opted in to absolute writes -> tried again?
DECISIONS = [
    # the network, by what is known
    (ConnectFailed("x"), READ, False, True),
    (ConnectFailed("x"), WRITE, False, True),
    (ConnectFailed("x"), WRITES, False, True),
    (ConnectionLost("x", outcome=NOT_SENT), WRITE, False, True),
    (ConnectionLost("x", outcome=NOT_SENT), WRITES, False, True),
    (ConnectionLost("x", outcome=UNKNOWN), READ, False, True),
    (ConnectionLost("x", outcome=UNKNOWN), READS, False, True),
    (ConnectionLost("x", outcome=UNKNOWN), WRITE, False, False),
    (ConnectionLost("x", outcome=UNKNOWN), WRITE, True, False),
    (ConnectionLost("x", outcome=UNKNOWN), WRITES, False, False),
    (ConnectionLost("x", outcome=UNKNOWN), ABSOLUTE, False, False),
    (ConnectionLost("x", outcome=UNKNOWN), ABSOLUTE, True, True),
    (ConnectionLost("x", outcome=UNKNOWN), ABSOLUTES, True, False),
    # the time that was allowed is used up
    (ConnectTimeout("x"), READ, True, False),
    (ReadTimeout("x", outcome=UNKNOWN), READ, True, False),
    (WriteTimeout("x", outcome=NOT_SENT), READ, True, False),
    (PoolTimeout("x"), READ, True, False),
    (DeadlineExceeded("x"), READ, True, False),
    # what was given is wrong and stays wrong
    (because(ConnectFailed("x"), ssl.SSLCertVerificationError(1, "x")), READ, True, False),
    (because(ConnectFailed("x"), UnicodeError("x")), READ, True, False),
    (because(ConnectFailed("x"), ConnectionRefusedError()), WRITE, False, True),
    (because(ConnectionLost("x"), ProtocolError("x", offset=0)), READ, True, False),
    # handshakes: by what the server said
    (handshake(server_error("WRONGPASS invalid username-password pair")), READ, True, False),
    (handshake(server_error("NOAUTH Authentication required.")), READ, True, False),
    (handshake(server_error("NOPERM no")), READ, True, False),
    (handshake(server_error("ERR DB index is out of range")), READ, True, False),
    (handshake(server_error("LOADING Redis is loading the dataset in memory")), WRITE, False, True),
    (handshake(server_error("ERR max number of clients reached")), WRITE, False, True),
    (handshake(RuntimeError("a provider that raises")), READ, True, False),
    (handshake(), READ, True, False),
    # the server's errors
    (server_error("LOADING x"), WRITE, False, True),
    (server_error("LOADING x"), WRITES, False, False),
    (server_error("LOADING x"), READS, False, True),
    (server_error("TRYAGAIN x"), WRITE, False, True),
    (server_error("ERR max number of clients reached"), WRITE, False, True),
    (server_error("WRONGPASS x"), READ, True, False),
    (server_error("NOPERM x"), READ, True, False),
    (server_error("WRONGTYPE x"), READ, True, False),
    (server_error("OOM x"), READ, True, False),
    (server_error("BUSY x"), READ, True, False),
    (server_error("READONLY x"), READ, True, False),
    (server_error("MOVED 1 h:1"), READ, True, False),
    (server_error("ASK 1 h:1"), READ, True, False),
    (server_error("CLUSTERDOWN x"), READ, True, False),
    (server_error("NOSCRIPT x"), READ, True, False),
    (server_error("UNBLOCKED x"), READ, True, False),
    (server_error("ERR x"), READ, True, False),
    # everything else
    (ProtocolError("x", offset=0), READ, True, False),
    (DecodeError(b"\xff"), READ, True, False),
    (UsageError("x"), READ, True, False),
    (PoolClosed("x"), READ, True, False),
    (WatchError("x"), READ, True, False),
    (OSError("x"), READ, True, False),
    (KeyboardInterrupt(), READ, True, False),
]


@pytest.mark.parametrize(
    ("error", "sent", "opted_in", "again"),
    DECISIONS,
    ids=[f"{type(error).__name__}-{i}" for i, (error, *_) in enumerate(DECISIONS)],
)
def test_decides(error: BaseException, sent: dict[str, Any], opted_in: bool, again: bool) -> None:
    retry = Retry(3, absolute_writes=opted_in, base=0.2, cap=9)
    waits = [retry.decide(error, attempt=attempt, chance=0.5, **sent) for attempt in (1, 2, 3, 4)]
    assert waits == ([pytest.approx(0.1), pytest.approx(0.2), None, None] if again else [None] * 4)


@pytest.mark.parametrize("rule", RetryRule)
def test_only_waiting_is_this_policy_s_business(rule: RetryRule) -> None:
    class Answered(ServerError):
        retry = rule

    wait = Retry().decide(Answered("X"), attempt=1, chance=0.0, readonly=True)
    assert (wait is not None) == (rule is RetryRule.WAIT)


def test_one_attempt_is_never_repeated() -> None:
    assert Retry(1).decide(ConnectFailed("x"), attempt=1, chance=0.0, readonly=True) is None


def test_waits_double_up_to_the_cap() -> None:
    retry = Retry(9, base=0.1, cap=0.5, jitter=0)
    assert [retry.delay(n, 0.7) for n in range(1, 6)] == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])


def test_full_jitter_spreads_over_the_whole_wait() -> None:
    retry = Retry(base=1, cap=8)
    assert [retry.delay(3, chance) for chance in (0.0, 0.25, 0.999)] == pytest.approx([0.0, 1.0, 3.996])


def test_a_share_of_jitter_keeps_the_rest() -> None:
    retry = Retry(base=1, cap=8, jitter=0.5)
    assert [retry.delay(2, chance) for chance in (0.0, 0.5)] == pytest.approx([1.0, 1.5])


@given(
    st.integers(1, 10**6),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.floats(0, 1),
)
def test_every_wait_is_bounded(attempt: int, chance: float, base: float, cap: float, jitter: float) -> None:
    assert 0 <= Retry(base=base, cap=cap, jitter=jitter).delay(attempt, chance) <= cap


def make_retry(*args: Any, **kwargs: Any) -> Retry:
    """Give values of any type, as untyped callers do."""
    return Retry(*args, **kwargs)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: make_retry(0), "Retry attempts must be 1 or more"),
        (lambda: make_retry(-1), "Retry attempts must be 1 or more"),
        (lambda: make_retry(True), "Retry attempts must be a whole number, not bool"),
        (lambda: make_retry(2.0), "Retry attempts must be a whole number, not float"),
        (lambda: make_retry("3"), "Retry attempts must be a whole number, not str"),
        (lambda: make_retry(absolute_writes=1), "Retry absolute_writes must be True or False, not int"),
        (lambda: make_retry(base=-0.1), "Retry base must be between 0 and"),
        (lambda: make_retry(base=float("nan")), "Retry base must be between 0 and"),
        (lambda: make_retry(cap=float("inf")), "Retry cap must be between 0 and"),
        (lambda: make_retry(cap="1"), "Retry cap must be a number of seconds or a timedelta, not str"),
        (lambda: make_retry(jitter=1.1), "Retry jitter must be a number between 0 and 1"),
        (lambda: make_retry(jitter=True), "Retry jitter must be a number between 0 and 1"),
        (lambda: make_retry(jitter=float("nan")), "Retry jitter must be a number between 0 and 1"),
    ],
)
def test_is_checked(make: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        make()


def test_is_a_value() -> None:
    retry = Retry(5, absolute_writes=True, base=timedelta(milliseconds=20), cap=3, jitter=0.25)
    assert repr(retry) == "Retry(5, absolute_writes=True, base=0.02, cap=3, jitter=0.25)"
    assert eval(repr(retry)) == pickle.loads(pickle.dumps(retry)) == retry
    assert hash(eval(repr(retry))) == hash(retry)
    assert retry != Retry(5)
    assert retry != 5
    with pytest.raises(AttributeError, match="Retry never changes"):
        retry.attempts = 4


def test_defaults() -> None:
    assert repr(Retry()) == "Retry(3, absolute_writes=False, base=0.05, cap=1, jitter=1)"


def test_network_errors_without_a_cause_are_covered() -> None:
    """Every class of network error has its row above; a new one must get one."""
    classes = {cls for cls in _below(NetworkError) if not cls.__subclasses__()}
    assert classes <= {type(error) for error, *_ in DECISIONS}


def _below(cls: type[NetworkError]) -> list[type[NetworkError]]:
    return [cls, *(lower for direct in cls.__subclasses__() for lower in _below(direct))]
