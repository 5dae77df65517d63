"""The URL grammar and addresses: one table of URLs that mean something, one of URLs that are refused."""

from __future__ import annotations

import copy
import pickle
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carmine.errors import UsageError
from carmine.transport.address import Address
from carmine.transport.url import parse_url
from tests.unit.leaks import CANARY, shown

if TYPE_CHECKING:
    from collections.abc import Mapping


NOTHING: Mapping[str, str] = MappingProxyType({})


class Means(NamedTuple):
    url: str
    address: str
    username: str | None = None
    password: str | None = None
    db: int | None = None
    tls: bool = False
    query: Mapping[str, str] = NOTHING


GOOD = [
    Means("redis://h", "h:6379"),
    Means("redis://h/", "h:6379"),
    Means("redis://h/0", "h:6379", db=0),
    Means("redis://127.0.0.1:6380/15", "127.0.0.1:6380", db=15),
    Means("REDIS://Host:1", "Host:1"),
    Means("valkey://h:65535", "h:65535"),
    Means("rediss://h", "h:6379", tls=True),
    Means("valkeys://h/2", "h:6379", db=2, tls=True),
    Means("redis://my_redis-1.internal.", "my_redis-1.internal.:6379"),
    Means("redis://xn--bcher-kva.example", "xn--bcher-kva.example:6379"),
    Means("redis://[::1]", "[::1]:6379"),
    Means("redis://[2001:db8::7]:7000/1", "[2001:db8::7]:7000", db=1),
    Means("redis://:pw@[::1]:6380", "[::1]:6380", password="pw"),
    Means("redis://[fe80::1%25eth0]:6379", "[fe80::1%eth0]:6379"),
    Means("redis://[::ffff:10.0.0.1]", "[::ffff:10.0.0.1]:6379"),
    Means("redis://u:p@h", "h:6379", "u", "p"),
    Means("redis://u@h", "h:6379", "u"),
    Means("redis://u:@h", "h:6379", "u", ""),
    Means("redis://:p@h", "h:6379", None, "p"),
    Means("redis://:@h", "h:6379"),
    Means("redis://@h", "h:6379"),
    Means("redis://u:a:b:c@h", "h:6379", "u", "a:b:c"),
    Means("redis://u:a@b@h", "h:6379", "u", "a@b"),
    Means("redis://:@:@h:1", "h:1", None, "@:"),
    Means("redis://u%3Av:p@h", "h:6379", "u:v", "p"),
    Means("redis://u:%3A%40%2F%25%23%3F@h", "h:6379", "u", ":@/%#?"),
    Means("redis://u:%2525@h", "h:6379", "u", "%25"),
    Means("redis://u:a+b@h", "h:6379", "u", "a+b"),
    Means("redis://u:a%20b%0A%00@h", "h:6379", "u", "a b\n\0"),
    Means("redis://u:p%C3%A4ss@h", "h:6379", "u", "päss"),
    Means("redis://u:päss@h", "h:6379", "u", "päss"),
    Means("redis://u:[x]&=;\\@h", "h:6379", "u", "[x]&=;\\"),
    Means("unix:///run/redis.sock", "unix:/run/redis.sock"),
    Means("unix:///run/redis.sock?db=1", "unix:/run/redis.sock", query={"db": "1"}),
    Means("unix://u:p@/run/x", "unix:/run/x", "u", "p"),
    Means("unix://:p@/run/x", "unix:/run/x", None, "p"),
    Means("unix:///run/a%20b%25.sock", "unix:/run/a b%.sock"),
    Means("unix:///run/@x", "unix:/run/@x"),
    Means("redis://h?", "h:6379"),
    Means("redis://h?client_name=a+b%26c%3Dd", "h:6379", query={"client_name": "a+b&c=d"}),
    Means("redis://h/1?db=2&check=", "h:6379", db=1, query={"db": "2", "check": ""}),
    Means("redis://h?x=1=2", "h:6379", query={"x": "1=2"}),
]

BAD = [
    ("", "begins with its scheme"),
    ("127.0.0.1:6379", "begins with its scheme"),
    ("redis:127.0.0.1", "begins with its scheme"),
    ("redis:/h", "begins with its scheme"),
    ("://h", "begins with its scheme"),
    ("u:secret@h://x", "begins with its scheme"),
    ("http://h", "'http' is not known"),
    ("reddis://h", "'reddis' is not known"),
    ("redis+sentinel://h1,h2/main/0", "come with a later version; redis, rediss, valkey, valkeys and unix exist"),
    ("rediss+cluster://h1,h2", "come with a later version"),
    ("redis://", "names no host"),
    ("redis:///0", "names no host"),
    ("redis://:6379", "names no host"),
    ("redis://u:p@", "names no host"),
    ("redis://u:p@:6379/0", "names no host"),
    ("redis://h:", "port must be"),
    ("redis://h:/0", "port must be"),
    ("redis://h:0", "port must be"),
    ("redis://h:65536", "port must be"),
    ("redis://h:-1", "port must be"),
    ("redis://h:+1", "port must be"),
    ("redis://h:6_379", "port must be"),
    ("redis://h:six", "port must be"),
    ("redis://h:٦٣٧٩", "port must be"),
    ("redis://h:" + "9" * 5000, "port must be"),
    ("redis://::1", "goes into brackets"),
    ("redis://::1:6379/0", "goes into brackets"),
    ("redis://[::1", "must hold an IPv6 address"),
    ("redis://[127.0.0.1]", "must hold an IPv6 address"),
    ("redis://[::g]", "must hold an IPv6 address"),
    ("redis://[fe80::1%25]", "must hold an IPv6 address"),
    ("redis://[::1]6379", "only :port may follow"),
    ("redis://[::1]:x", "port must be"),
    ("redis://bücher.example", "host may hold"),
    ("redis://127。0。0。1", "host may hold"),
    ("redis://h%2Eexample", "host may hold"),
    ("redis://a..b", "host may hold"),
    ("redis://good\\.example", "host may hold"),
    ("redis://h1,h2", "host may hold"),
    ("redis://" + "a" * 64, "host may hold"),
    ("redis://h/x", "number of a database"),
    ("redis://h/-1", "number of a database"),
    ("redis://h/0/", "number of a database"),
    ("redis://h/1_0", "number of a database"),
    ("redis://h/%30", "number of a database"),
    ("redis://h/" + "1" * 5000, "number of a database"),
    ("redis://u:p%@h", "'%' without two hexadecimal digits"),
    ("redis://u:p%2@h", "'%' without two hexadecimal digits"),
    ("redis://u:p%zz@h", "'%' without two hexadecimal digits"),
    ("redis://u:p%+1@h", "'%' without two hexadecimal digits"),
    ("redis://u%:p@h", "user name holds a '%'"),
    ("redis://u:p%FF@h", "is not UTF-8"),
    ("redis://u:\udc80@h", "lone surrogate"),
    ("redis://u:p#x@h", "'#'"),
    ("redis://h/0#db", "'#'"),
    ("redis://u:p/x@h/0", "'@' behind the host"),
    ("redis://u:12/3@h/0", "'@' behind the host"),
    ("redis://good:6379/@evil", "'@' behind the host"),
    ("redis://u:p?x=1@h/0", "'@' behind the host"),
    ("redis://h?client_name=a@b", "'@' behind the host"),
    ("redis://h ", "space or a control character"),
    (" redis://h", "begins with its scheme"),
    ("redis://h\r\nEVIL", "space or a control character"),
    ("redis://u:p p@h", "space or a control character"),
    ("redis://h\0", "space or a control character"),
    ("redis://h\x7f", "space or a control character"),
    ("redis://h\t:1", "space or a control character"),
    ("redis://h?db", "written name=value"),
    ("redis://h?=1", "written name=value"),
    ("redis://h?db=1&", "written name=value"),
    ("redis://h?d%62=1", "written name=value"),
    ("redis://h?db=1&db=1", "'db' twice"),
    ("redis://h?client_name=%", "value of 'client_name' holds a '%'"),
    ("unix://", "absolute path"),
    ("unix:///", "absolute path"),
    ("unix://run/redis.sock", "three slashes"),
    ("unix://:p/w@/run/x", "holds a password, '@' and an absolute path"),
    ("unix://u:p@host/run/x", "holds a password, '@' and an absolute path"),
    ("unix:///run/%00x", "without NUL"),
    ("unix:///run/x?db=1@2", "'@' behind the host"),
]


@pytest.mark.parametrize("means", GOOD, ids=[means.url for means in GOOD])
def test_a_url_means(means: Means) -> None:
    parsed = parse_url(means.url)
    assert str(parsed.address) == means.address
    assert parsed.username == means.username
    assert (None if parsed.password is None else parsed.password.reveal()) == means.password
    assert (parsed.db, parsed.tls, parsed.query) == (means.db, means.tls, means.query)


@pytest.mark.parametrize(("url", "reason"), BAD, ids=[ascii(url)[:40] for url, _ in BAD])
def test_a_url_is_refused(url: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_url(url)
    assert reason in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("url", [None, b"redis://h", 6379, ["redis://h"]])
def test_a_url_is_text(url: object) -> None:
    with pytest.raises(UsageError, match=f"a URL must be a str, not {type(url).__name__}"):
        parse_url(url)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "template",
    [
        "redis://user:{}%@h",
        "redis://user:{}@h:port",
        "redis://user:{}@",
        "redis://user:{}/0@h/0",
        "redis://user:{}#@h/0",
        "redis://user:{}?a=b@h/0",
        "redis://user:{}:x",
        "redis://user:12/{}",
        "redis://user:12?{}",
        "redis://h?password={}%",
        "redis://h?password={}&password=x",
        "redis://h/{}",
        "unix://:{}@h/run/x",
        "unix://:{}/x@/run/x",
        "{}://h",
        ":{}@h:6379",
        "redis://:{}@h\n",
    ],
)
def test_a_refused_url_shows_nothing_of_itself(template: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_url(template.format(CANARY))
    assert CANARY not in shown(caught.value)
    assert "user:" not in shown(caught.value)


def test_the_parts_of_a_url_do_not_show_its_secrets() -> None:
    parsed = parse_url(f"redis://u:{CANARY}@h?client_name={CANARY}")
    assert CANARY not in repr(parsed)
    assert CANARY not in repr(parsed.password)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT, TEXT.filter(bool))
def test_user_name_and_password_survive_quoting(username: str, password: str) -> None:
    parsed = parse_url(f"redis://{quote(username, safe='')}:{quote(password, safe='')}@h:7/3")
    assert (parsed.username or "") == username
    assert parsed.password is not None
    assert parsed.password.reveal() == password
    assert (str(parsed.address), parsed.db) == ("h:7", 3)


@given(TEXT)
def test_query_values_survive_quoting(value: str) -> None:
    assert parse_url(f"redis://h?client_name={quote(value, safe='')}").query == {"client_name": value}


@given(st.text(st.sampled_from("ab:@/?#[]%20\\;&=.-_\t é"), max_size=30))
def test_no_other_host_than_the_standard_library_finds(rest: str) -> None:
    """A check of the host made with urllib must not be passed by a URL that leads elsewhere."""
    url = f"redis://{rest}"
    try:
        parsed = parse_url(url)
    except UsageError:
        return
    try:
        theirs = urlsplit(url)
    except ValueError:  # brackets in a user name or password: no check made with urllib is passed at all
        return
    assert parsed.address.host is not None
    assert (parsed.address.host.lower(), parsed.address.port) == ((theirs.hostname or ""), theirs.port or 6379)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for url in (text, f"redis://{text}", f"unix://{text}"):
        try:
            parse_url(url)
        except UsageError:
            continue


class TestAddress:
    def test_shows_itself(self) -> None:
        assert str(Address("127.0.0.1")) == "127.0.0.1:6379"
        assert str(Address("::1", 7)) == "[::1]:7"
        assert str(Address(path="/run/x.sock")) == "unix:/run/x.sock"
        assert repr(Address("h", 1)) == "Address('h', 1)"
        assert repr(Address(path="/x")) == "Address(path='/x')"

    @pytest.mark.parametrize("address", [Address("h", 1), Address("::1"), Address(path="/x")])
    def test_is_a_value(self, address: Address) -> None:
        again = eval(repr(address))
        assert again == address
        assert hash(again) == hash(address)
        assert pickle.loads(pickle.dumps(address)) == address
        assert copy.deepcopy(address) is copy.copy(address) is address
        assert address != Address("other", 1)
        assert address != str(address)

    def test_never_changes(self) -> None:
        address = Address("h")
        with pytest.raises(AttributeError, match="never changes: 'port' cannot be set"):
            address.port = 1
        with pytest.raises(AttributeError, match="never changes: 'port' cannot be deleted"):
            del address.port
        assert address.port == 6379

    @pytest.mark.parametrize(
        "parts",
        [
            {},
            {"host": "h", "path": "/x"},
            *({"host": host} for host in ("", ".", ".h", "h h", "[::1]", "h\0", "é", b"h", 7)),
            *({"host": "h", "port": port} for port in (0, -1, 65536, "6379", True, 1.0, None)),
            *({"path": path} for path in ("", "/x\0", b"/x", 7)),
        ],
    )
    def test_is_checked(self, parts: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            Address(**parts)

    @pytest.mark.parametrize(
        ("host", "local"),
        [
            ("localhost", True),
            ("LOCALHOST.", True),
            ("db.localhost", True),
            ("127.0.0.1", True),
            ("127.8.9.1", True),
            ("127.1", True),
            ("::1", True),
            ("0:0:0:0:0:0:0:1", True),
            ("::ffff:127.0.0.1", True),
            ("localhost.example.com", False),
            ("notlocalhost", False),
            ("128.0.0.1", False),
            ("10.0.0.1", False),
            ("::2", False),
            ("fe80::1%eth0", False),
            ("::ffff:10.0.0.1", False),
            ("127.example.com", False),
        ],
    )
    def test_knows_whether_it_is_local(self, host: str, local: bool) -> None:
        assert Address(host).is_local is local

    def test_a_unix_socket_is_local(self) -> None:
        assert Address(path="/x").is_local
        assert Address(path="/x").is_unix
        assert not Address("h").is_unix
