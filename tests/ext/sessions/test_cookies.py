"""Cookies: what is set, what is found, what cannot be smuggled in (S-17, S-46, W07)."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from carmine.errors import UsageError
from carmine.ext.sessions import CookieSettings
from carmine.ext.sessions.keys import Keys, is_id
from tests.ext.sessions.planting import HOSTILE
from tests.lab.matrix import scaled

pytestmark = pytest.mark.one_twin

ID = "Abc-_9" + "i" * 37
OTHER = "o" * 43

SET: list[tuple[dict[str, Any], str]] = [
    ({}, f"session={ID}; Path=/; Secure; HttpOnly; SameSite=Lax"),
    ({"secure": False}, f"session={ID}; Path=/; HttpOnly; SameSite=Lax"),
    ({"samesite": None, "httponly": False}, f"session={ID}; Path=/; Secure"),
    ({"samesite": "sTRICT"}, f"session={ID}; Path=/; Secure; HttpOnly; SameSite=Strict"),
    ({"host_prefix": True}, f"__Host-session={ID}; Path=/; Secure; HttpOnly; SameSite=Lax"),
    ({"name": "__Secure-id"}, f"__Secure-id={ID}; Path=/; Secure; HttpOnly; SameSite=Lax"),
    (
        {"name": "sid", "path": "/shop", "domain": "example.org", "samesite": "none", "partitioned": True},
        f"sid={ID}; Path=/shop; Domain=example.org; Secure; HttpOnly; SameSite=None; Partitioned",
    ),
]


@pytest.mark.parametrize(("words", "header"), SET, ids=lambda value: str(value)[:40])
def test_s46_a_cookie_is_set_and_deleted_with_the_same_attributes(words: dict[str, Any], header: str) -> None:
    cookie = CookieSettings(**words)
    assert cookie.set_header(ID) == header
    name, _, attributes = header.partition(f"={ID}")
    assert cookie.set_header(ID, 60) == f"{name}={ID}; Max-Age=60{attributes}"
    assert cookie.delete_header() == f"{name}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{attributes}"
    assert cookie.read(f"a=b; {name}={ID}") == ID
    parsed = SimpleCookie(cookie.set_header(ID, 60).replace("; Partitioned", ""))  # which 3.11 does not know
    assert parsed[name].value == ID
    assert parsed[name]["path"] == cookie.path


@pytest.mark.parametrize(
    "words",
    [
        *({"name": name} for name in ("", "a b", "a;b", "a=b", "a\r\n", "é", 'a"', "a,b", b"a", "a\0", None)),
        *({"path": path} for path in ("", "shop", "/a b", "/a;b", "/\r\n", "/é", None, b"/")),
        *({"domain": host} for host in ("", "a;b", "a b", "a\r\n", "é.org", ".", "-a", "a/b", 7, "a" * 300)),
        {"samesite": "loose"}, {"samesite": True}, {"secure": 1}, {"httponly": None}, {"partitioned": "yes"},
        {"host_prefix": True, "path": "/shop"}, {"host_prefix": True, "domain": "example.org"},
        {"host_prefix": True, "secure": False}, {"samesite": "none", "secure": False},
        {"name": "__Host-a", "path": "/a"},
        {"partitioned": True, "secure": False}, {"name": "__Secure-a", "secure": False},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_attribute_is_refused(words: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        CookieSettings(**words)


@pytest.mark.parametrize("hostile", [*HOSTILE, f"{ID};", f"{ID}\r\nX: y"], ids=lambda text: ascii(text)[:30])
def test_only_an_id_goes_into_a_header(hostile: str) -> None:
    with pytest.raises(UsageError, match="holds an id") as caught:
        CookieSettings().set_header(hostile)
    assert not hostile or hostile not in str(caught.value)


def test_a_max_age_is_a_whole_number() -> None:
    for age in (-1, 1.5, "60", True):
        with pytest.raises(UsageError, match="max_age"):
            CookieSettings().set_header(ID, age)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, None),
        ("", None),
        (f"session={ID}", ID),
        (f'session="{ID}"', ID),
        (f"  session = {ID} ;", ID),
        (f"a=1;session={ID};b=2", ID),
        (f"session=; session={ID}", ID),
        (f"session=planted; session={ID}", ID),
        (f"session={OTHER}; session={ID}", OTHER),
        (f"Session={ID}", None),
        (f"xsession={ID}", None),
        (f"session={ID}=", None),
        (f"session=={ID}", None),
        (f"session={ID},", None),
        (f"session={ID[:-1]}", None),
        (f"session={ID}x", None),
        (f'session="{ID}', None),
        ("session", None),
        (ID, None),
        (";;;=;=;session", None),
        ("session=" + "x" * 1_000_000, None),
        (";" * 100_000 + f"session={ID}", ID),
    ],
    ids=lambda value: str(value)[:30],
)
def test_which_cookie_counts(header: str | None, found: str | None) -> None:
    assert CookieSettings().read(header) == found


def test_a_cookie_of_the_host_is_no_cookie_without_its_prefix() -> None:
    cookie = CookieSettings(host_prefix=True)
    assert cookie.read(f"session={ID}") is None
    assert cookie.read(f"__Host-session={ID}") == ID


@settings(max_examples=scaled(1000))
@given(st.text())
@example("session=" + "\ud800" * 43)
def test_w07_whatever_comes_is_an_id_or_nothing(header: str) -> None:
    for hostile in (header, f"session={header}"):
        found = CookieSettings().read(hostile)
        assert found is None or is_id(found)


@settings(max_examples=scaled(1000))
@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]{43}\n?", fullmatch=True))
def test_the_form_of_an_id(value: str) -> None:
    alphabet = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert is_id(value) is (len(value) == 43 and set(value) <= alphabet)


IDS = st.text("aB-_1", min_size=43, max_size=43)
PREFIXES = st.text("a:{}", min_size=1, max_size=6).filter(lambda prefix: "{}" not in prefix)  # refused on a cluster


@settings(max_examples=scaled(1000))
@given(st.tuples(PREFIXES, IDS), st.tuples(PREFIXES, IDS))
def test_s17_two_sessions_never_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    for is_split in (False, True):
        keys = {Keys(prefix, is_split=is_split).key_of(id) for prefix, id in (one, other)}
        assert len(keys) == len({one, other})
        assert not any(id in key for key in keys for _, id in (one, other))
