"""Every exception: it survives pickling with its facts, says one clear sentence, shows no secret (SECURITY S-08)."""

from __future__ import annotations

import builtins
import copy
import inspect
import logging
import pickle
import traceback
from typing import Any

import pytest

from carmine import errors
from carmine.errors import (
    AuthError,
    BadRequestError,
    CarmineError,
    ConnectTimeout,
    DecodeError,
    ExecAbortError,
    MaxClientsError,
    MovedError,
    NetworkError,
    Outcome,
    PipelineError,
    PoolClosed,
    PoolError,
    PoolTimeout,
    ProtocolError,
    ReadTimeout,
    RetryRule,
    ServerError,
    UsageError,
    WriteTimeout,
    server_error,
)

CLASSES: list[type[CarmineError]] = [
    value
    for name in errors.__all__
    if inspect.isclass(value := getattr(errors, name)) and issubclass(value, CarmineError)
]
SECRET = "CANARY-9f3"


def make(cls: type[CarmineError]) -> CarmineError:
    """Return an instance with every fact its class can carry."""
    if issubclass(cls, DecodeError):
        return cls(b"\xff\x00" * 9)
    if issubclass(cls, NetworkError):
        return cls("the peer went away", outcome=Outcome.UNKNOWN, address="127.0.0.1:6379")
    if issubclass(cls, ProtocolError):
        return cls("a null is not empty", offset=1 << 40, excerpt=b"_x\r\n", address="127.0.0.1:6379")
    if issubclass(cls, PipelineError):
        return cls("a command failed", index=1, command="INCR", replies=[b"OK", server_error("ERR no")])
    if issubclass(cls, ServerError):
        error = cls("CODE some text", command="CONFIG GET", address="unix:/run/x.sock")
        if isinstance(error, ExecAbortError):
            error.causes = ((2, server_error("WRONGTYPE no")),)
        return error
    return cls("what happened, and what to do")


def facts(error: Any) -> Any:
    """Return all that an error carries, nested errors too."""
    if isinstance(error, BaseException):
        return type(error), str(error), facts(list(error.args)), facts(vars(error))
    if isinstance(error, dict):
        return {key: facts(value) for key, value in error.items()}
    if isinstance(error, (list, tuple)):
        return [facts(value) for value in error]
    return error


def test_all_errors_are_listed() -> None:
    there = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == errors.__name__
    }
    assert there == {cls.__name__ for cls in CLASSES}
    assert len(CLASSES) > 35


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
class TestEveryClass:
    def test_there_is_one_root_and_no_builtin_name(self, cls: type[CarmineError]) -> None:
        assert issubclass(cls, CarmineError)
        assert not hasattr(builtins, cls.__name__)
        assert inspect.getdoc(cls)

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickled_it_keeps_its_facts(self, cls: type[CarmineError], protocol: int) -> None:
        error = make(cls)
        error.add_note("a note")
        back = pickle.loads(pickle.dumps(error, protocol))
        assert facts(back) == facts(error)
        assert facts(copy.copy(error)) == facts(copy.deepcopy(error)) == facts(error)

    def test_it_is_one_printable_sentence(self, cls: type[CarmineError]) -> None:
        text = str(make(cls))
        assert text
        assert text.isprintable()
        assert "object at 0x" not in text

    def test_its_facts_are_declared(self, cls: type[CarmineError]) -> None:
        declared = {name for one in cls.__mro__ for name in vars(one).get("__annotations__", {})}
        assert set(vars(make(cls))) <= declared


def test_timeouts_are_timeouts_and_pool_errors_sent_nothing() -> None:
    for cls in (ConnectTimeout, ReadTimeout, WriteTimeout, PoolTimeout):
        assert issubclass(cls, TimeoutError)
    for pool_error in (PoolError, PoolTimeout, PoolClosed):
        assert not issubclass(pool_error, NetworkError)
    assert issubclass(PoolClosed, UsageError)


def test_network_errors_say_what_is_known() -> None:
    error = ReadTimeout("no complete reply within 5 s", outcome=Outcome.UNKNOWN, address="127.0.0.1:6379")
    assert str(error) == "no complete reply within 5 s [127.0.0.1:6379] (may have been executed)"
    assert str(NetworkError("refused")) == "refused (not sent)"


def test_protocol_errors_quote_little_and_escaped() -> None:
    error = ProtocolError("nonsense", offset=7, excerpt=b"\x1b[2J\r\n" + b"x" * 100, address="h:1")
    assert len(error.excerpt) == 40
    assert str(error) == f"nonsense at byte 7 of the replies from h:1: {error.excerpt!r}"
    assert str(error).isprintable()
    assert str(ProtocolError("cut", offset=7)) == "cut at byte 7 of the replies"


# ---- what the server says

CODES = [
    ("ASK 1 h:1", "AskError", RetryRule.FOLLOW_ASK),
    ("BUSYGROUP x", "BusyGroupError", RetryRule.NO),
    ("CLUSTERDOWN x", "ClusterDownError", RetryRule.REFRESH_TOPOLOGY),
    ("CROSSSLOT x", "CrossSlotError", RetryRule.NO),
    ("ERR x", "ServerError", RetryRule.NO),
    ("EXECABORT x", "ExecAbortError", RetryRule.NO),
    ("LOADING x", "LoadingError", RetryRule.WAIT),
    ("MASTERDOWN x", "MasterDownError", RetryRule.REFRESH_TOPOLOGY),
    ("MOVED 1 h:1", "MovedError", RetryRule.FOLLOW_MOVED),
    ("NOAUTH x", "AuthError", RetryRule.NO),
    ("NOPERM x", "NoPermissionError", RetryRule.NO),
    ("NOSCRIPT x", "NoScriptError", RetryRule.NOW),
    ("OOM x", "OutOfMemoryError", RetryRule.NO),
    ("READONLY x", "ReadOnlyError", RetryRule.REFRESH_TOPOLOGY),
    ("TRYAGAIN x", "TryAgainError", RetryRule.WAIT),
    ("UNBLOCKED x", "UnblockedError", RetryRule.RECONNECT),
    ("WRONGPASS x", "AuthError", RetryRule.NO),
    ("WRONGTYPE x", "WrongTypeError", RetryRule.NO),
    ("wrongtype x", "ServerError", RetryRule.NO),
    ("WRONGTYPES x", "ServerError", RetryRule.NO),
    (" WRONGTYPE x", "ServerError", RetryRule.NO),
    ("", "ServerError", RetryRule.NO),
    ("MYMODULE x", "ServerError", RetryRule.NO),
]


@pytest.mark.parametrize(("message", "name", "retry"), CODES)
def test_codes(message: str, name: str, retry: RetryRule) -> None:
    error = server_error(message)
    assert (type(error).__name__, error.retry, error.message) == (name, retry, message)
    assert error.code == message.split(" ")[0]
    assert isinstance(error, ServerError)


def test_errors_without_a_code_of_their_own() -> None:
    assert type(server_error("ERR max number of clients reached")) is MaxClientsError
    assert type(server_error("ERR max number of clients + cluster connections reached")) is MaxClientsError
    assert type(server_error("ERR Protocol error: invalid bulk length")) is BadRequestError
    assert type(server_error("ERR the max number of clients")) is ServerError
    assert type(server_error("MOVED")) is MovedError
    assert type(server_error("NOAUTH")) is AuthError


def test_a_servers_text_is_told_with_its_place() -> None:
    error = server_error("ERR no")
    error.command, error.address = "CONFIG GET", "127.0.0.1:6379"
    assert str(error) == "ERR no (CONFIG GET) [127.0.0.1:6379]"
    assert repr(error) == "ServerError('ERR no (CONFIG GET) [127.0.0.1:6379]')"


HOSTILE = "ERR \x1b[2J\r\nINFO fake line\x00\x07\u202e%s %d {0} {message.__class__} <script>" + "A" * 100_000


def test_a_servers_text_is_escaped_and_cut() -> None:
    """S-08."""
    for text in (str(server_error(HOSTILE)), repr(server_error(HOSTILE))):
        assert text.isprintable()
        assert len(text) < 1200
        assert "%s %d {0} {message.__class__}" in text
    assert server_error(HOSTILE).message == HOSTILE
    assert server_error("x" * 10_000_000).code == "x" * 10_000_000  # whole, but never shown
    assert len(str(server_error("x" * 10_000_000))) < 1100


def test_a_servers_text_makes_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """S-08: logged in any usual way, it stays one line and formats nothing."""
    logger = logging.getLogger("carmine.test")
    error = server_error(HOSTILE)
    logger.warning("failed: %s", error)
    logger.warning("failed: %r", error)
    for record in caplog.records:
        assert record.getMessage().isprintable()


def test_what_the_server_quotes_of_the_arguments_is_not_shown() -> None:
    """S-20: an unknown or misspelt command is quoted by the server with its arguments, passwords included."""
    for text in (
        f"ERR unknown command 'AUHT', with args beginning with: 'user' '{SECRET}' ",
        f"ERR unknown command `AUHT`, with args beginning with: `user`, `{SECRET}`, ",
        f"ERR unknown command 'X', with args beginning with: 'a', with args beginning with: '{SECRET}'",
    ):
        error = server_error(text)
        error.command, error.address = "AUHT", "h:1"
        try:
            raise error
        except ServerError:
            shown = traceback.format_exc()
        aborted = PipelineError("a command failed", index=0, command="AUHT", replies=[error])
        for where in (
            str(error),
            repr(error),
            shown,
            f"{error}",
            f"{error!r}",
            str([error]),
            str(aborted),
            repr(aborted),
        ):
            assert SECRET not in where
        assert "unknown command" in str(error)
        assert str(error).endswith("(AUHT) [h:1]")
        assert error.message == text  # for those who ask for it


def test_decode_errors_show_no_value() -> None:
    error = DecodeError(SECRET.encode() + b"\xff")
    assert SECRET not in str(error) + repr(error)
    assert "11 bytes" in str(error)
    assert error.data.startswith(SECRET.encode())
