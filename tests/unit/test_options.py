"""Options: names and defaults, what is refused and in which words, URL against keyword, and what they never show."""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import marshal
import pathlib
import pickle
import ssl
import subprocess
import sys
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carmine.errors import HandshakeFailed, UsageError
from carmine.retry import Retry
from carmine.transport import credentials
from carmine.transport.address import Address
from carmine.transport.credentials import Credentials, InsecureConnectionWarning, Secret
from carmine.transport.option_table import _MOMENTS, TABLE, CheckMoment
from carmine.transport.options import OptionArgs, Options
from tests.unit.leaks import CANARY, shown

if TYPE_CHECKING:
    from collections.abc import Callable

CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

DEFAULTS = {
    "username": None,
    "password": None,
    "credentials": None,
    "db": 0,
    "client_name": None,
    "protocol": None,
    "decode": True,
    "serializer": None,
    "tls": None,
    "insecure_skip_verify": False,
    "ca_certs": None,
    "certfile": None,
    "keyfile": None,
    "connect_timeout": 5,
    "read_timeout": 30,
    "keepalive": True,
    "connections": 1,
    "pool_size": 32,
    "pool_timeout": 5,
    "min_idle": 0,
    "max_idle": None,
    "max_idle_time": 300,
    "max_lifetime": None,
    "check": ("idle",),
    "retry": Retry(3),
    "hooks": None,
    "socket_factory": None,
    "on_connect": None,
}


@pytest.fixture(autouse=True)
def nobody_was_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_warned", set())


def build(url: str = "redis://h", **options: Any) -> Options:
    """Give options of any type, as untyped callers do."""
    return Options.build(url, **options)


def values(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in TABLE}


class TestNames:
    def test_and_defaults_are_those_of_the_contract(self) -> None:
        assert values(Options.build()) == DEFAULTS
        assert str(Options.build().address) == "127.0.0.1:6379"

    def test_are_the_same_in_table_type_and_value(self) -> None:
        assert list(TABLE) == list(Options.__slots__)[1:] == list(Options.__annotations__)[1:]
        assert sorted(TABLE) == sorted(OptionArgs.__annotations__)
        assert OptionArgs.__required_keys__ == frozenset()

    def test_are_all_described(self) -> None:
        assert Options.__doc__ is not None
        for name in Options.__slots__:
            assert f"\n    {name}: " in inspect.cleandoc(Options.__doc__)

    def test_of_moments_are_the_same_in_type_and_table(self) -> None:
        assert get_args(CheckMoment) == _MOMENTS

    def test_defaults_pass_their_own_checks(self) -> None:
        for name, option in TABLE.items():
            if option.default is not None:
                assert option.check(name, option.default) == option.default

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("passwd", "did you mean password?"),
            ("pool_sise", "did you mean pool_size?"),
            ("Db", "did you mean db?"),
            ("readtimeout", "did you mean read_timeout?"),
            ("socket_timeout", "did you mean read_timeout?"),
            ("decode_responses", "did you mean decode?"),
            ("max_connections", "did you mean pool_size?"),
            ("ssl_ca_certs", "did you mean ca_certs?"),
            ("host", "host and port stand in the URL"),
            ("ssl_cert_reqs", "certificates are verified unless the keyword insecure_skip_verify says otherwise"),
            ("zzz", "there are username, password"),
        ],
    )
    def test_that_are_unknown_get_a_hint(self, name: str, hint: str) -> None:
        given: dict[str, Any] = {name: 1}
        makers: list[Callable[[], Options]] = [
            lambda: build(**given),
            lambda: build(f"redis://h?{name}=1"),
            lambda: build().with_(**given),
        ]
        for make in makers:
            with pytest.raises(UsageError) as caught:
                make()
            assert str(caught.value).startswith(f"unknown option {name!r}; {hint}")

    def test_of_other_clients_lead_to_options_or_sentences(self) -> None:
        from carmine.transport.option_table import _ELSEWHERE  # noqa: PLC0415 - for this test alone

        assert all(meant in TABLE or " " in meant for meant in _ELSEWHERE.values())
        assert not set(_ELSEWHERE) & set(TABLE)


GOOD = [
    ("db", 15, 15),
    ("client_name", "web-1!~", "web-1!~"),
    ("protocol", 2, 2),
    ("protocol", 3, 3),
    ("protocol", None, None),
    ("decode", False, False),
    ("tls", True, True),
    ("tls", False, None),
    ("tls", CONTEXT, CONTEXT),
    ("connect_timeout", 1, 1.0),
    ("connect_timeout", timedelta(milliseconds=250), 0.25),
    ("read_timeout", 0.001, 0.001),
    ("read_timeout", None, None),
    ("pool_timeout", 0, 0.0),
    ("pool_timeout", None, None),
    ("max_idle_time", None, None),
    ("max_lifetime", timedelta(days=30), 2592000.0),
    ("pool_size", 0, 0),
    ("connections", 4, 4),
    ("max_idle", 0, 0),
    ("check", [], ()),
    ("check", ["return", "idle", "idle"], ("idle", "return")),
    ("check", {"borrow"}, ("borrow",)),
    ("retry", Retry(1), Retry(1)),
    ("keepalive", False, False),
    ("hooks", CONTEXT, CONTEXT),
    ("socket_factory", print, print),
    ("on_connect", print, print),
]

NOT_NUMBERS: list[Any] = [True, "1", 1j, [1], None]
NOT_TEXT: list[Any] = [7, b"x", ["x"], True]


async def awaited(data: bytes) -> bytes:
    return data


class Awaited:
    def dumps(self, value: object) -> bytes:
        return b""

    async def loads(self, data: bytes) -> object:
        return data


BAD: list[tuple[str, Any, str]] = [
    *(("username", value, "username must be a str, not") for value in NOT_TEXT),
    *(("password", value, "password must be a str, not") for value in NOT_TEXT),
    ("password", "\udc80", "password holds a lone surrogate"),
    *(("credentials", value, "credentials must be") for value in [("u", "p"), "u:p", 7, Credentials, True]),
    *(("db", value, "db must") for value in [*NOT_NUMBERS, 1.0, -1]),
    *(("client_name", value, "client_name must") for value in [*NOT_TEXT, "", "a b", "a\n", "é", "\x7f"]),
    *(("protocol", value, "protocol must be") for value in [1, 4, "3", True, 3.0]),
    *(("decode", value, "decode must") for value in [1, "yes", None, "utf-8"]),
    *(
        ("serializer", value, "serializer must be True, or an object or a pair")
        for value in [(str, str), print, 1, "json", (repr,), (repr, repr, repr), (repr, None), Secret, {}]
    ),
    *(
        ("serializer", value, "serializer is not to be pickle or its like")
        for value in [pickle, marshal, (pickle.dumps, pickle.loads), (repr, pickle.loads), (marshal.dumps, repr)]
    ),
    *(
        ("serializer", value, "serializer takes plain functions, not coroutine functions")
        for value in [(repr, awaited), (awaited, repr), Awaited()]
    ),
    *(("tls", value, "tls must be True or an ssl.SSLContext, not") for value in [1, "yes", "required", ssl, {}]),
    *(("insecure_skip_verify", value, "insecure_skip_verify must") for value in [1, "yes", None]),
    *(("ca_certs", value, "ca_certs must be the path of a file") for value in [b"/x", "", "/x\0", 7, True]),
    *(("certfile", value, "certfile must be the path of a file") for value in [b"/x", ""]),
    *(("keyfile", value, "keyfile must be the path of a file") for value in [b"/x", ""]),
    *(
        (name, value, f"{name} must")
        for name in ("connect_timeout", "read_timeout", "pool_timeout", "max_idle_time", "max_lifetime")
        for value in [True, "1", 1j, -1, -0.1, float("nan"), float("inf"), 10**400, timedelta(seconds=-1)]
    ),
    *((name, 0, f"{name} must be between 0.001 and") for name in ("connect_timeout", "read_timeout", "max_idle_time")),
    *((name, 1e-9, f"{name} must be between 0.001 and") for name in ("connect_timeout", "read_timeout")),
    *((name, 2**31, f"{name} must be between") for name in ("connect_timeout", "read_timeout", "pool_timeout")),
    ("connect_timeout", None, "connect_timeout must not be None"),
    *(("keepalive", value, "keepalive must") for value in [1, 60, None]),
    *(
        (name, value, f"{name} must")
        for name in ("pool_size", "min_idle", "connections")
        for value in [*NOT_NUMBERS, -1, 1.5]
    ),
    *(("max_idle", value, "max_idle must") for value in [True, "1", -1, 1.5]),
    ("connections", 0, "connections must be 1 or more"),
    *(("check", value, "check must be a tuple of") for value in ["idle", ("never",), (1,), 7, True, b"idle", (["x"],)]),
    ("check", None, "check must not be None"),
    *(("retry", value, "retry must") for value in [3, None, True, Retry, "3"]),
    *(("hooks", value, "hooks must be one object") for value in [[print], True, 1, "x", {}, CONTEXT.__class__]),
    *(("socket_factory", value, "socket_factory must be a function") for value in [1, "x", []]),
    *(("on_connect", value, "on_connect must be a function") for value in [1, "x", []]),
]


class TestValues:
    @pytest.mark.parametrize(("name", "value", "kept"), GOOD, ids=[f"{row[0]}-{i}" for i, row in enumerate(GOOD)])
    def test_are_kept_in_one_form(self, name: str, value: object, kept: object) -> None:
        given: dict[str, Any] = {name: value}
        found = getattr(build(**given), name)
        assert found == kept
        assert type(found) is type(kept)

    @pytest.mark.parametrize(("name", "value", "reason"), BAD, ids=[f"{row[0]}-{i}" for i, row in enumerate(BAD)])
    def test_are_refused_in_one_sentence(self, name: str, value: object, reason: str) -> None:
        given: dict[str, Any] = {name: value}
        makers: list[Callable[[], Options]] = [lambda: build(**given), lambda: Options(Address("h"), **given)]
        for make in makers:
            with pytest.raises(UsageError) as caught:
                make()
            text = str(caught.value)
            assert reason in text
            assert "\n" not in text
            assert len(text) < 200

    def test_a_path_may_be_a_path(self) -> None:
        options = build("rediss://h", ca_certs=pathlib.Path("/ca.pem"), certfile="c", keyfile="k")
        assert (options.ca_certs, options.certfile, options.keyfile) == ("/ca.pem", "c", "k")

    @pytest.mark.parametrize(
        ("url", "options", "reason"),
        [
            ("redis://h", {"min_idle": 33}, "min_idle must not be above pool_size"),
            ("redis://h", {"min_idle": 1, "pool_size": 0}, "min_idle must not be above pool_size"),
            ("redis://h", {"min_idle": 4, "max_idle": 3}, "max_idle must not be below min_idle"),
            ("redis://h", {"username": "u"}, "a username needs a password"),
            ("redis://u@h", {}, "a username needs a password"),
            ("redis://h", {"credentials": lambda: ("u", "p"), "password": "x"}, "not both"),
            ("redis://h", {"credentials": lambda: ("u", "p"), "username": "x"}, "not both"),
            ("rediss://h", {"keyfile": "k"}, "keyfile needs certfile"),
            ("redis://h", {"ca_certs": "/x"}, "ca_certs is for TLS, which is off"),
            ("redis://h?ca_certs=/x", {}, "ca_certs is for TLS, which is off"),
            ("redis://h", {"certfile": "/x"}, "certfile is for TLS, which is off"),
            ("redis://h", {"insecure_skip_verify": True}, "insecure_skip_verify is for TLS, which is off"),
            ("rediss://h", {"tls": CONTEXT, "ca_certs": "/x"}, "ca_certs does not go together with an SSLContext"),
            ("rediss://h", {"tls": CONTEXT, "insecure_skip_verify": True}, "does not go together with an SSLContext"),
            ("unix:///x", {"tls": True}, "a unix socket takes no TLS"),
            ("unix:///x?tls=true", {}, "a unix socket takes no TLS"),
            ("unix:///x", {"tls": CONTEXT}, "a unix socket takes no TLS"),
        ],
    )
    def test_that_contradict_each_other_are_refused(self, url: str, options: dict[str, Any], reason: str) -> None:
        with pytest.raises(UsageError, match=reason):
            build(url, **options)

    def test_an_empty_password_alone_is_none(self) -> None:
        """What `redis://:${PASSWORD}@host` and os.environ.get("PASSWORD", "") give where there is no password."""
        assert build(password="").password is None
        assert build("redis://:@h").password is None
        assert not build("redis://:@h", username="", password="").has_login
        assert build("redis://u:@localhost").login() == Credentials("u", "")

    @given(st.floats(0.001, 2e6), st.integers(0, 10**9))
    def test_any_number_in_range_is_kept(self, seconds: float, whole: int) -> None:
        options = build(read_timeout=seconds, db=whole)
        assert (options.read_timeout, options.db) == (seconds, whole)


class TestUrl:
    @pytest.mark.parametrize(
        ("query", "name", "kept"),
        [
            ("db=3", "db", 3),
            ("client_name=web%2D1", "client_name", "web-1"),
            ("protocol=2", "protocol", 2),
            ("protocol=none", "protocol", None),
            ("decode=false", "decode", False),
            ("decode=No", "decode", False),
            ("keepalive=0", "keepalive", False),
            ("tls=true", "tls", True),
            ("tls=false", "tls", None),
            ("connect_timeout=2.5", "connect_timeout", 2.5),
            ("read_timeout=none", "read_timeout", None),
            ("read_timeout=7", "read_timeout", 7.0),
            ("pool_timeout=.5", "pool_timeout", 0.5),
            ("max_lifetime=60", "max_lifetime", 60.0),
            ("max_idle=None", "max_idle", None),
            ("max_idle=4", "max_idle", 4),
            ("pool_size=0", "pool_size", 0),
            ("connections=2", "connections", 2),
            ("check=borrow,idle", "check", ("idle", "borrow")),
            ("check=", "check", ()),
        ],
    )
    def test_gives_options(self, query: str, name: str, kept: object) -> None:
        assert getattr(build(f"redis://h?{query}"), name) == kept

    def test_gives_credentials_and_files(self) -> None:
        options = build("rediss://h/2?username=u&password=p%20w&ca_certs=/ca&certfile=/c&keyfile=/k&max_idle_time=9")
        assert options.login() == Credentials("u", "p w")
        assert (options.ca_certs, options.certfile, options.keyfile) == ("/ca", "/c", "/k")
        assert (options.db, options.max_idle_time, options.tls, options.uses_tls) == (2, 9.0, True, True)

    def test_with_every_option_that_a_url_may_carry(self) -> None:
        texts = {bool: "true", int: "2", float: "2.5", tuple: "borrow", type(None): "2"}
        files = {"ca_certs", "certfile", "keyfile"}
        for name, option in TABLE.items():
            if option.read is not None and name not in files | {"username", "password", "tls"}:
                assert getattr(build(f"redis://h?{name}={texts[type(option.default)]}"), name) is not None

    @pytest.mark.parametrize(
        "name", ["insecure_skip_verify", "credentials", "hooks", "socket_factory", "on_connect", "retry", "serializer"]
    )
    def test_carries_no_code_and_weakens_nothing(self, name: str) -> None:
        for url in (f"rediss://h?{name}=true", f"redis://h?{name}="):
            with pytest.raises(UsageError, match=f"{name} cannot stand in a URL: give it as a keyword argument"):
                build(url)

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("rediss://h?tls=false", "the URL contradicts itself"),
            ("valkeys://h?tls=0", "the URL contradicts itself"),
            ("rediss://h?ssl_cert_reqs=none", "unknown option 'ssl_cert_reqs'; certificates are verified"),
            ("rediss://h?insecure-skip-verify=true", "unknown option"),
            ("rediss://h?Insecure_skip_verify=true", "unknown option"),
            ("redis://h/0?db=1", "the URL gives the option 'db' twice"),
            ("redis://:x@h?password=y", "the URL gives the option 'password' twice"),
            ("redis://u:x@h?username=y", "the URL gives the option 'username' twice"),
            ("redis://h?db=one", "db in the URL must be a whole number"),
            ("redis://h?db=-1", "db in the URL must be a whole number"),
            ("redis://h?db=none", "db must not be None"),
            ("redis://h?db=", "db in the URL must be a whole number"),
            ("redis://h?pool_size=1e3", "pool_size in the URL must be a whole number"),
            ("redis://h?pool_size=" + "9" * 5000, "pool_size in the URL must be a whole number"),
            ("redis://h?read_timeout=1e3", "read_timeout in the URL must be a number of seconds"),
            ("redis://h?read_timeout=nan", "read_timeout in the URL must be a number of seconds"),
            ("redis://h?read_timeout=inf", "read_timeout in the URL must be a number of seconds"),
            ("redis://h?read_timeout=1_0", "read_timeout in the URL must be a number of seconds"),
            ("redis://h?read_timeout=.", "read_timeout in the URL must be a number of seconds"),
            ("redis://h?read_timeout=0", "read_timeout must be between 0.001"),
            ("redis://h?connect_timeout=none", "connect_timeout must not be None"),
            ("redis://h?decode=maybe", "decode in the URL must be true or false"),
            ("redis://h?decode=", "decode in the URL must be true or false"),
            ("redis://h?tls=required", "tls in the URL must be true or false"),
            ("redis://h?check=never", "check must be a tuple of"),
            ("redis://h?client_name=", "client_name must consist of printable ASCII"),
            ("redis://h?protocol=4", "protocol must be between 2 and 3"),
            ("rediss://h?ca_certs=", "ca_certs must be the path of a file, not empty"),
        ],
    )
    def test_is_refused(self, url: str, reason: str) -> None:
        with pytest.raises(UsageError, match=reason):
            build(url)


class TestKeywordAndUrl:
    @pytest.mark.parametrize(
        ("url", "options", "name", "kept"),
        [
            ("redis://h/1", {"db": 2}, "db", 2),
            ("redis://h?read_timeout=1", {"read_timeout": 2}, "read_timeout", 2.0),
            ("redis://h?read_timeout=1", {"read_timeout": None}, "read_timeout", None),
            ("redis://h?max_idle=1", {"max_idle": None}, "max_idle", None),
            ("redis://u:p@h", {"username": "v"}, "username", "v"),
            ("redis://u:p@h", {"password": "q"}, "password", Secret("q")),
            ("redis://u:p@h", {"username": None, "password": None}, "password", Secret("p")),
            ("redis://h?client_name=a", {"client_name": None}, "client_name", "a"),
            ("redis://h", {"tls": True}, "tls", True),
            ("redis://h?tls=false", {"tls": True}, "tls", True),
            ("rediss://h", {"tls": CONTEXT}, "tls", CONTEXT),
            ("rediss://h", {"tls": None}, "tls", True),
            ("redis://h?tls=true", {"tls": None}, "tls", True),
        ],
    )
    def test_the_keyword_wins(self, url: str, options: dict[str, Any], name: str, kept: object) -> None:
        assert getattr(build(url, **options), name) == kept

    @pytest.mark.parametrize("url", ["rediss://h", "valkeys://h", "redis://h?tls=true"])
    def test_but_plain_text_never_follows_a_tls_url(self, url: str) -> None:
        with pytest.raises(UsageError, match="tls=False contradicts the URL, which asks for TLS"):
            build(url, tls=False)

    def test_credentials_replace_the_pair_of_the_url(self) -> None:
        options = build("rediss://u:p@h", credentials=Credentials("v", "q"))
        assert options.login() == Credentials("v", "q")
        assert (options.username, options.password) == (None, None)

    def test_a_keyword_of_none_is_checked_like_any_other(self) -> None:
        with pytest.raises(UsageError, match="db must not be None"):
            build("redis://h/1", db=None)


class TestLogin:
    def test_of_nobody(self) -> None:
        assert build().login() is None
        assert asyncio.run(build().login_async()) is None
        assert not build().has_login

    @pytest.mark.parametrize(
        ("options", "pair"),
        [
            ({"password": "p"}, Credentials(None, "p")),
            ({"password": Secret("p")}, Credentials(None, "p")),
            ({"username": "u", "password": "p"}, Credentials("u", "p")),
            ({"credentials": Credentials("u", "p")}, Credentials("u", "p")),
            ({"credentials": lambda: ("u", "p")}, Credentials("u", "p")),
        ],
    )
    def test_of_somebody(self, options: dict[str, Any], pair: Credentials) -> None:
        made = build("redis://127.0.0.1", **options)
        assert made.has_login
        assert made.login() == pair
        assert asyncio.run(made.login_async()) == pair

    def test_asks_the_provider_for_each_connection(self) -> None:
        passwords = iter("abcd")
        options = build("redis://127.0.0.1", credentials=lambda: (None, next(passwords)))
        first, second = options.login(), asyncio.run(options.login_async())
        assert (first, second) == (Credentials(None, "a"), Credentials(None, "b"))

    def test_with_an_async_provider(self) -> None:
        async def provider() -> tuple[str, str]:
            await asyncio.sleep(0)
            return "u", "p"

        options = build("redis://127.0.0.1", credentials=provider)
        assert asyncio.run(options.login_async()) == Credentials("u", "p")
        with pytest.raises(UsageError, match="has to be awaited"):
            options.login()

    def test_names_the_address_when_the_provider_raises(self) -> None:
        options = build("redis://127.0.0.1:7", credentials=lambda: 1 / 0)
        with pytest.raises(HandshakeFailed) as caught:
            options.login()
        assert caught.value.address == "127.0.0.1:7"
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    @pytest.mark.parametrize(
        ("url", "options", "warned"),
        [
            ("redis://:p@far.example", {}, 1),
            ("redis://far.example", {"credentials": lambda: (None, "p")}, 1),
            ("redis://far.example", {}, 0),
            ("rediss://:p@far.example", {}, 0),
            ("redis://:p@far.example", {"tls": CONTEXT}, 0),
            ("redis://:p@127.0.0.1", {}, 0),
            ("unix://:p@/run/x", {}, 0),
            ("redis://:p@far.example", {"socket_factory": print}, 0),
        ],
    )
    def test_warns_once_where_the_password_can_be_read(self, url: str, options: dict[str, Any], warned: int) -> None:
        made = build(url, **options)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made.login()
            made.login()
            asyncio.run(made.login_async())
        assert [warning.category for warning in caught] == [InsecureConnectionWarning] * warned


class TestOptionsAreAValue:
    def test_that_never_changes(self) -> None:
        options = build()
        with pytest.raises(AttributeError, match="Options never changes: 'db' cannot be set"):
            options.db = 1
        with pytest.raises(AttributeError, match="Options never changes: 'db' cannot be deleted"):
            del options.db
        with pytest.raises(AttributeError):
            options.surprise = 1

    def test_that_compares_by_its_parts(self) -> None:
        assert build("redis://u:p@h/1") == build("valkey://h", username="u", password="p", db=1)
        assert hash(build("redis://u:p@h/1")) == hash(build("redis://u:p@h/1"))
        assert build() != build(db=1)
        assert build("redis://h:1") != build("redis://h:2")
        assert build(hooks=CONTEXT) == build(hooks=CONTEXT)
        assert build() != "redis://h"
        assert hash(build(hooks=pytest.approx(1))) == hash(build())

    def test_that_gives_others(self) -> None:
        options = build("redis://u:p@h/1", pool_size=4)
        other = options.with_(Address("node", 7), read_timeout=None, username="v")
        assert str(other.address) == "node:7"
        assert (other.username, other.password, other.db, other.pool_size) == ("v", Secret("p"), 1, 4)
        assert other.read_timeout is None
        assert options.with_() == options
        with pytest.raises(UsageError, match="min_idle must not be above pool_size"):
            options.with_(min_idle=5)

    def test_that_needs_an_address(self) -> None:
        with pytest.raises(UsageError, match="Options need an Address, not str"):
            Options("h:6379")  # type: ignore[arg-type]  # that is the test

    def test_that_shows_what_differs(self) -> None:
        assert repr(build("redis://h:7")) == "Options('h:7')"
        options = build(
            f"rediss://bob:{CANARY}@h/3", tls=CONTEXT, retry=Retry(1), on_connect=print, check=(), read_timeout=None
        )
        assert repr(options) == (
            "Options('h:6379', username='bob', password=***, db=3, tls=<SSLContext>, read_timeout=None, check=(), "
            f"retry={Retry(1)!r}, on_connect=<builtin_function_or_method>)"
        )

    def test_that_is_not_pickled(self) -> None:
        for options in (build(), build(password=CANARY)):
            with pytest.raises(TypeError, match="Options cannot be pickled") as caught:
                pickle.dumps(options)
            assert CANARY not in shown(caught.value)
        assert copy.deepcopy(options) is copy.copy(options) is options


class TestSecretsStayInside:
    def test_of_whole_options(self) -> None:
        for options in (
            build(f"redis://bob:{CANARY}@127.0.0.1"),
            build(f"redis://127.0.0.1?password={CANARY}"),
            build("redis://127.0.0.1", password=CANARY),
            build("redis://127.0.0.1", credentials=Credentials("bob", CANARY)),
        ):
            parts = [getattr(options, name) for name in Options.__slots__]
            text = f"{options!r} {options} {parts!r} {options.login()!r} {options.with_(db=1)!r}"
            assert CANARY not in text
            assert CANARY not in logging.makeLogRecord({"msg": "%s", "args": (options,)}).getMessage()
            with pytest.raises(TypeError):
                vars(options)

    @pytest.mark.parametrize(
        ("url", "options"),
        [
            (f"redis://bob:{CANARY}@h:x", {}),
            (f"redis://bob:{CANARY}@h?surprise=1", {}),
            (f"redis://bob:{CANARY}@h?pool_size={CANARY}", {}),
            (f"redis://bob:{CANARY}@h?read_timeout={CANARY}", {}),
            (f"redis://bob:{CANARY}@h?decode={CANARY}", {}),
            (f"redis://bob:{CANARY}@h?client_name={CANARY}%20", {}),
            (f"redis://bob:{CANARY}@h?check={CANARY}", {}),
            (f"redis://bob:{CANARY}@h?hooks={CANARY}", {}),
            (f"redis://bob:{CANARY}@h?password={CANARY}", {}),
            (f"rediss://bob:{CANARY}@h?tls=false", {}),
            (f"rediss://bob:{CANARY}@h", {"tls": False}),
            (f"redis://bob:{CANARY}@h", {"pool_size": -1}),
            (f"redis://bob:{CANARY}@h", {"ca_certs": "/x"}),
            ("redis://h", {"password": CANARY, "surprise": 1}),
            ("redis://h", {"password": CANARY, "db": CANARY}),
            ("redis://h", {"password": CANARY.encode()}),
            ("redis://h", {"password": [CANARY]}),
            ("redis://h", {"password": CANARY + "\udc80"}),
            ("redis://h", {"credentials": ("bob", CANARY)}),
            ("redis://h", {"credentials": Credentials("bob", CANARY), "password": CANARY}),
            ("redis://h", {"retry": CANARY}),
            ("redis://h", {"socket_factory": CANARY, "password": CANARY}),
        ],
    )
    def test_of_errors_and_all_their_frames(self, url: str, options: dict[str, Any]) -> None:
        with pytest.raises(UsageError) as caught:
            Options.build(url, **options)
        assert CANARY not in shown(caught.value)
        assert caught.value.__context__ is None

    def test_of_errors_of_the_constructor_and_of_with(self) -> None:
        with pytest.raises(UsageError) as caught:
            Options(Address("h"), password=CANARY, db=-1)
        assert CANARY not in shown(caught.value)
        with pytest.raises(UsageError) as caught:
            build().with_(password=CANARY, db=-1)
        assert CANARY not in shown(caught.value)


def test_making_options_loads_neither_ssl_nor_asyncio() -> None:
    code = (
        "import sys; from carmine.transport.options import Options; Options.build('rediss://u:p@h/1', ca_certs='/x');"
        "print([m for m in ('ssl', 'asyncio', 'dataclasses', 'inspect', 'difflib', 'logging', 'urllib.request')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
