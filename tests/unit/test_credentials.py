"""Secrets that stay secret, pairs of user name and password, providers, and the warning about cleartext.

It proves SECURITY S-20 and S-23.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import pprint
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carmine.errors import HandshakeFailed, Outcome, UsageError
from carmine.transport import credentials
from carmine.transport.address import Address
from carmine.transport.credentials import (
    Credentials,
    InsecureConnectionWarning,
    Secret,
    ask,
    ask_async,
    warn_if_cleartext,
    warn_once,
)
from tests.unit.leaks import CANARY, shown

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Address("10.1.2.3", 7)


@pytest.fixture(autouse=True)
def nobody_was_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_warned", set())


class TestSecret:
    @pytest.mark.parametrize(
        "show",
        [
            repr,
            str,
            ascii,
            "{}".format,
            "{!r}".format,
            lambda secret: f"{secret}",
            lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - the form under test
            lambda secret: repr([secret]) + repr({"password": secret}),
            lambda secret: pprint.pformat({"password": secret}),
            lambda secret: repr([getattr(secret, name) for name in type(secret).__slots__]),
            lambda secret: repr([getattr(secret, name, None) for name in dir(secret)]),
            lambda secret: logging.makeLogRecord({"msg": "%s", "args": (secret,)}).getMessage(),
            lambda secret: shown(ValueError(secret)),
        ],
    )
    def test_is_not_shown(self, show: Callable[[Secret], str]) -> None:
        text = show(Secret(CANARY))
        assert CANARY not in text
        assert "***" in text or "lambda" in text

    def test_has_no_dict(self) -> None:
        with pytest.raises(TypeError):
            vars(Secret(CANARY))

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_is_revealed(self, text: str) -> None:
        assert Secret(text).reveal() == text
        assert Secret(text) == Secret(text)
        assert hash(Secret(text)) == hash(Secret(text))
        assert Secret(text) != Secret(text + "x")

    def test_is_not_its_text(self) -> None:
        assert Secret("x") != "x"

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_is_not_pickled(self, protocol: int) -> None:
        for holder in (Secret(CANARY), Credentials("u", CANARY)):
            with pytest.raises(TypeError, match="cannot be pickled") as caught:
                pickle.dumps(holder, protocol)
            assert CANARY not in shown(caught.value)

    def test_copies_are_itself(self) -> None:
        secret = Secret(CANARY)
        assert copy.copy(secret) is copy.deepcopy(secret) is secret

    def test_never_changes(self) -> None:
        secret = Secret("x")
        with pytest.raises(AttributeError, match="never changes"):
            secret._reveal = lambda: "y"
        assert secret.reveal() == "x"

    @pytest.mark.parametrize("value", [None, b"CANARY-9f3", 9, "CANARY-9f3\udc80"])
    def test_wraps_text_alone(self, value: Any) -> None:
        with pytest.raises(UsageError, match="a secret") as caught:
            Secret(value)
        assert CANARY not in shown(caught.value)


class TestCredentials:
    def test_keep_the_pair(self) -> None:
        pair = Credentials("bob", CANARY)
        assert (pair.username, pair.password.reveal()) == ("bob", CANARY)
        assert repr(pair) == "Credentials('bob', ***)"
        assert pair == Credentials("bob", Secret(CANARY))
        assert pair != Credentials("eve", CANARY)
        assert pair != Credentials("bob", "x")

    def test_an_empty_user_name_is_the_default_user(self) -> None:
        assert Credentials("", "x") == Credentials(None, "x")

    def test_a_user_may_have_an_empty_password(self) -> None:
        assert Credentials("nopass", "").password.reveal() == ""

    @pytest.mark.parametrize(
        ("username", "password", "reason"),
        [
            (None, "", "the password is empty"),
            ("", Secret(""), "the password is empty"),
            (7, CANARY, "username must be a str, not int"),
            ("u\udc80", CANARY, "username holds a lone surrogate"),
            ("u", None, "password must be a str, not NoneType"),
            ("u", CANARY.encode(), "password must be a str, not bytes"),
            ("u", [CANARY], "password must be a str, not list"),
        ],
    )
    def test_are_checked(self, username: Any, password: Any, reason: str) -> None:
        with pytest.raises(UsageError, match=reason) as caught:
            Credentials(username, password)
        assert CANARY not in shown(caught.value)


class Later:
    """An awaitable that is no coroutine."""

    def __await__(self) -> Any:
        yield from ()
        return ("u", "p")


async def coroutine() -> tuple[str, str]:
    return ("u", "p")


class TestProviders:
    @pytest.mark.parametrize(
        "answer",
        [("u", "p"), ("u", Secret("p")), ["u", "p"], Credentials("u", "p")],
        ids=["tuple", "secret", "list", "credentials"],
    )
    def test_give_a_pair(self, answer: Any) -> None:
        assert ask(lambda: answer, HERE) == Credentials("u", "p")
        assert asyncio.run(ask_async(lambda: answer, HERE)) == Credentials("u", "p")

    def test_are_asked_each_time(self) -> None:
        passwords = iter(["first", "second"])
        answers = [ask(lambda: (None, next(passwords)), HERE).password.reveal() for _ in range(2)]
        assert answers == ["first", "second"]

    @pytest.mark.parametrize("provider", [coroutine, Later])
    def test_may_be_awaited_in_the_async_world_only(self, provider: Any) -> None:
        assert asyncio.run(ask_async(provider, HERE)) == Credentials("u", "p")
        with pytest.raises(UsageError, match="has to be awaited"):
            ask(provider, HERE)

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (None, "must give \\(username or None, password\\), not NoneType"),
            (CANARY, "must give .* not str"),
            ((CANARY,), "must give .* not tuple"),
            (("u", CANARY, 3), "must give .* not tuple"),
            ({"u": CANARY}, "must give .* not dict"),
            (("u", CANARY.encode()), "cannot be used: password must be a str, not bytes"),
            ((7, CANARY), "cannot be used: username must be a str, not int"),
            ((None, ""), "cannot be used: the password is empty"),
        ],
    )
    def test_are_checked(self, answer: Any, reason: str) -> None:
        with pytest.raises(UsageError, match=reason) as caught:
            ask(lambda: answer, HERE)
        assert CANARY not in shown(caught.value)
        with pytest.raises(UsageError, match=reason) as caught:
            asyncio.run(ask_async(lambda: answer, HERE))
        # asyncio.run's own frames hold the task and no locals of ours
        assert CANARY not in shown(caught.value)

    def test_that_raise_fail_the_handshake(self) -> None:
        def broken() -> tuple[None, str]:
            raise OSError("vault is sealed")

        async def broken_later() -> tuple[None, str]:
            raise OSError("vault is sealed")

        with pytest.raises(HandshakeFailed, match="credentials provider raised") as caught:
            ask(broken, HERE)
        with pytest.raises(HandshakeFailed, match="credentials provider raised") as caught_later:
            asyncio.run(ask_async(broken_later, HERE))
        for error in (caught.value, caught_later.value):
            assert (error.outcome, error.address) == (Outcome.NOT_SENT, "10.1.2.3:7")
            assert isinstance(error.__cause__, OSError)

    @pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
    def test_that_are_interrupted_are_not_translated(self, stop: type[BaseException]) -> None:
        def interrupted() -> tuple[None, str]:
            raise stop

        with pytest.raises(stop):
            ask(interrupted, HERE)


class TestCleartext:
    def test_warns_once_per_address(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for address in (HERE, Address("10.1.2.3", 7), Address("10.1.2.4", 7), HERE):
                warn_if_cleartext(address, tls=False)
        assert {warning.category for warning in caught} == {InsecureConnectionWarning}
        texts = [str(warning.message) for warning in caught]
        assert len(texts) == 2
        assert texts[0].endswith("use rediss:// or tls=True [10.1.2.3:7]")
        assert texts[1].endswith("[10.1.2.4:7]")

    @pytest.mark.parametrize(
        ("address", "tls"),
        [
            (HERE, True),
            (Address("127.0.0.1"), False),
            (Address("::1"), False),
            (Address("localhost"), False),
            (Address(path="/run/x"), False),
        ],
    )
    def test_is_silent_where_nobody_listens(self, address: Address, tls: bool) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_if_cleartext(address, tls=tls)

    def test_stays_an_error_where_warnings_are_errors(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(2):
                with pytest.raises(InsecureConnectionWarning):
                    warn_if_cleartext(HERE, tls=False)

    def test_reaches_logging(self, caplog: pytest.LogCaptureFixture) -> None:
        logging.captureWarnings(True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                logging.captureWarnings(False)
                logging.captureWarnings(True)
                warn_if_cleartext(HERE, tls=False)
        finally:
            logging.captureWarnings(False)
        assert "crosses the network unencrypted" in caplog.text

    def test_remembers_a_bounded_number_of_addresses(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for port in range(1, 2000):
                warn_once("x", Address("h", port))
        assert len(caught) == len(credentials._warned) == credentials._WARNED_AT_MOST


def test_comparing_secrets_does_not_load_openssl() -> None:
    code = (
        "import sys; from carmine.transport.credentials import Secret; assert Secret('a') == Secret('a');"
        "print([m for m in ('_hashlib', 'ssl', 'hmac', 'asyncio', 'logging') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
