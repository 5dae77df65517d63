"""Secrets stay out of messages, reprs, logs, hooks, pickles and frames (SECURITY.md S-20)."""

from __future__ import annotations

import logging
import pickle
import signal
import traceback
import warnings
from typing import TYPE_CHECKING, Any, Final

import pytest

import carmine
from carmine.errors import CarmineError, UsageError
from carmine.retry import Retry
from tests.lab.scripted import HELLO_3, Scripted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.invariants import MakeClient
    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults


# S-20: secrets. ------------------------------------------------------------------------------------------------------

CANARY: Final = "CANARY-9f3b17"
USERINFO: Final = f"canary-user:{CANARY}@"


class Eavesdropper:
    """Hooks, logs, warnings and errors of a scenario, all as text."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *facts: self.hear(name, *facts)

    def hear(self, *things: object) -> None:
        for thing in things:
            if isinstance(thing, BaseException):
                self.hear_error(thing)
            else:
                self.texts.append(f"{thing!r} {thing!s}")

    def hear_error(self, error: BaseException) -> None:
        """Note what a reporter would show: messages, notes and the locals of every frame but the scenario's own."""
        outer = error.__traceback__
        while outer is not None and outer.tb_frame.f_code.co_filename == __file__:
            outer = outer.tb_next
        report = traceback.TracebackException(type(error), error, outer, capture_locals=True)
        self.texts.append("".join(report.format()))
        link: BaseException | None = error
        while link is not None:
            self.texts.append(f"{link!r} {link!s} {link.args!r} {vars(link)!r}")
            if isinstance(link, CarmineError):
                self.texts.append(repr(pickle.dumps(link)))
            link = link.__cause__ or link.__context__

    def check(self, *more: str) -> None:
        for text in (*self.texts, *more):
            at = text.find(CANARY)
            assert at < 0, f"the password in: {text[max(0, at - 800) : at + 200]}"


def _shown(thing: Any) -> str:
    """Return what people print of an object to find a mistake."""
    inside = {name: getattr(thing, name, None) for name in dir(thing) if not name.startswith("__")}
    return f"{thing!r} {thing!s} {inside!r} {vars(thing) if hasattr(thing, '__dict__') else ''!r}"


def _failing_handshakes() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return servers that end a handshake, each in its own way: name -> (how to make it, options)."""
    hello = (
        f"-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `canary-user`, `{CANARY}`, \r\n".encode()
    )
    auth = f"-ERR unknown command `AUTH`, with args beginning with: `canary-user`, `{CANARY}`, \r\n".encode()
    wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    return {
        "wrong password": (lambda: Scripted.replies({b"AUTH": wrong}, hello=wrong), {}),
        "wrong password, RESP2": (lambda: Scripted.replies({b"AUTH": wrong}), {"protocol": 2}),
        "HELLO unknown, told with its arguments": (lambda: Scripted.replies({}, hello=hello), {"protocol": 3}),
        "AUTH unknown, told with its arguments": (lambda: Scripted.replies({b"AUTH": auth}, hello=hello), {}),
        "HELLO refused, told with its arguments": (
            lambda: Scripted.replies({}, hello=hello.replace(b"unknown command", b"bad command")), {}),
        "silence": (lambda: Scripted(lambda number, block: b""), {"connect_timeout": 0.1}),
        "hanging up": (lambda: Scripted(lambda number, block: None), {}),
        "a web server": (lambda: Scripted(lambda number, block: b"HTTP/1.1 400 Bad Request\r\n\r\n"), {}),
        "half a reply": (lambda: Scripted(lambda number, block: [b"%7\r\n$6\r\nser", None]), {}),
        "SELECT refused": (lambda: Scripted.replies({b"SELECT": b"-ERR DB index is out of range\r\n"}), {"db": 9}),
    }  # fmt: skip


@pytest.fixture
def eavesdropper(caplog: pytest.LogCaptureFixture) -> Eavesdropper:
    caplog.set_level(logging.DEBUG)
    return Eavesdropper()


@pytest.mark.parametrize("name", _failing_handshakes())
def test_s20_failing_handshakes_tell_no_password(
    name: str, eavesdropper: Eavesdropper, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    make, options = _failing_handshakes()[name]
    with make() as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        url = server.url.replace("redis://", f"redis://{USERINFO}").removesuffix("/0")
        client = carmine.Client(url, hooks=eavesdropper, retry=Retry(2, base=0.001), **options)
        with client:
            for call in (client.ping, client.pipeline().flush, lambda: _pinned(client), lambda: _in_a_batch(client)):
                try:
                    call()
                except CarmineError as error:
                    eavesdropper.hear_error(error)
        eavesdropper.texts += [_shown(client), _shown(client.pool), _shown(client.options)]
    printed = capfd.readouterr()
    assert len(eavesdropper.texts) > 5
    eavesdropper.check(caplog.text, printed.out, printed.err, *(str(each.message) for each in warned))


def _pinned(client: carmine.Client[str]) -> None:
    with client.connection() as connection:
        connection.ping()


def _in_a_batch(client: carmine.Client[str]) -> None:
    with client.pipeline() as pipe:
        pipe.ping()


class Struck(BaseException):
    """What a signal handler raises."""


def test_s20_an_interrupted_handshake_tells_no_password(eavesdropper: Eavesdropper) -> None:
    def strike(*_: object) -> None:
        raise Struck

    before = signal.signal(signal.SIGALRM, strike)
    try:
        with Scripted(lambda number, block: b"") as server:
            protocol: Any
            for protocol in (2, 3):
                url = server.url.replace("redis://", f"redis://{USERINFO}")
                client = carmine.Client(url, protocol=protocol)
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                try:
                    client.ping()
                except Struck as error:
                    eavesdropper.hear_error(error)
                client.close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(eavesdropper.texts) >= 4
    eavesdropper.check()


def test_s20_a_provider_and_its_failures_tell_no_password(eavesdropper: Eavesdropper, url: str) -> None:
    answers: list[Any] = [
        ("user", CANARY, "too many"), CANARY, (None, CANARY.encode()), (None, CANARY + "\ud800"), [CANARY],
        {"p": CANARY},
        ("canary-user", CANARY), carmine.Credentials("canary-user", CANARY),
    ]  # fmt: skip
    for answer in answers:
        with carmine.Client(url, credentials=lambda answer=answer: answer, hooks=eavesdropper) as client:
            try:
                client.ping()
            except CarmineError as error:
                eavesdropper.hear_error(error)
            eavesdropper.texts += [_shown(client.options), _shown(client.pool)]
    eavesdropper.check()


BAD_OPTIONS: Final[list[tuple[str, dict[str, Any]]]] = [
    (f"redis://{USERINFO}h:0", {}),
    (f"redis://{USERINFO}h:70000/0", {}),
    (f"redis://{USERINFO}h/zero", {}),
    (f"redis://{USERINFO}h/0?pol_size=3", {}),
    (f"redis://{USERINFO}", {}),
    (f"http://{USERINFO}h", {}),
    (f"redis://u:{CANARY}/slash@h", {}),
    (f"redis://u:{CANARY}#hash@h", {}),
    (f"redis://u:{CANARY}?query@h", {}),
    (f"redis://u:{CANARY}%zz@h", {}),
    (f"redis://h/0?password={CANARY}&password={CANARY}", {}),
    (f"redis://h/0?passwort={CANARY}", {}),
    (f"{CANARY}", {}),
    (f":{CANARY}@h:6379", {}),
    (f"unix://:{CANARY}@run/x", {}),
    ("redis://h", {"password": CANARY.encode()}),
    ("redis://h", {"password": [CANARY]}),
    ("redis://h", {"password": CANARY + "\ud800"}),
    ("redis://h", {"passwort": CANARY}),
    ("redis://h", {"password": CANARY, "pool_size": "many"}),
    ("redis://h", {"password": CANARY, "credentials": carmine.Credentials(None, CANARY)}),
    ("redis://h", {"credentials": (None, CANARY)}),
    ("redis://h", {"username": 5, "password": CANARY}),
    (f"redis://{USERINFO}h", {"tls": "yes"}),
]


@pytest.mark.parametrize("make", [carmine.Client, carmine.connect, carmine.Options.build])
def test_s20_wrong_options_tell_no_password(make: Callable[..., object], eavesdropper: Eavesdropper) -> None:
    """Not even in the locals of the frames they pass, which error reporters print."""
    for url, options in BAD_OPTIONS:
        try:
            make(url, **options)
        except UsageError as error:
            eavesdropper.hear_error(error)
            del error
        else:
            raise AssertionError(f"accepted: {url.replace(CANARY, '...')}")
    assert len(eavesdropper.texts) == 3 * len(BAD_OPTIONS)
    eavesdropper.check()


def test_s20_a_working_client_tells_no_password(
    server: RedisServer, protocol: Any, eavesdropper: Eavesdropper, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever may be printed of it, and of every error it meets, with its connection and replies at hand."""
    server.call("ACL", "SETUSER", "canary-user", "on", f">{CANARY}", "~*", "&*", "+@all")
    server.call("SET", "text", b"\xff")
    url = server.url.replace("redis://", f"redis://{USERINFO}")
    with (
        carmine.Client(url, protocol=protocol, hooks=eavesdropper, pool_timeout=0.05, pool_size=1) as client,
        client.connection() as connection,
    ):
        held = connection._held()
        things: list[Any] = [client, client.pool, client.options, connection, held, held._io, client.binary]
        eavesdropper.texts += map(_shown, things)
        for thing in (*things[:5], client.options.password):
            with pytest.raises((TypeError, AttributeError, pickle.PicklingError)) as refused:
                pickle.dumps(thing)
            eavesdropper.texts.append(str(refused.value))
        calls: list[Callable[[], object]] = [
            client.ping,  # PoolTimeout
            lambda: connection.get("text"),
            lambda: connection.lpush("text", "x"),
            lambda: connection.execute("NOSUCHCOMMAND", "x"),
            lambda: connection.execute("SET", "k", None),  # type: ignore[arg-type]
            lambda: client.execute("SELECT", 1),
            connection.reset,
            lambda: connection.get("text"),  # NOAUTH or not: RESET took the user away
        ]
        for call in calls:
            try:
                call()
            except CarmineError as error:
                eavesdropper.hear_error(error)
    eavesdropper.check(caplog.text)
    assert len(eavesdropper.texts) > 20


@pytest.mark.parametrize("answer", [b"-WRONGPASS invalid username-password pair\r\n", None, b"", b"garbage\r\n"])
@pytest.mark.parametrize("user", [None, "ann"])
def test_s20_a_secret_is_a_word_that_no_frame_shows(
    answer: bytes | None, user: str | None, eavesdropper: Eavesdropper, make_client: MakeClient
) -> None:
    """AUTH on a pinned connection, however it ends: our frames hold `***`, and the server the password."""
    secret = carmine.Secret(CANARY)
    words = ("AUTH", secret) if user is None else ("AUTH", user, secret)
    calls: list[Callable[[Any], object]] = [
        lambda connection: connection.auth(secret, user),
        lambda connection: connection.execute(*words),
        lambda connection: connection.hello(3, username=user or "default", password=secret),
    ]
    for call in calls:
        with Scripted.replies({b"AUTH": answer}, hello=lambda words: answer if b"AUTH" in words else HELLO_3) as server:
            client = make_client(server.url, hooks=eavesdropper, read_timeout=0.05)
            with client, client.connection() as connection:
                with pytest.raises(UsageError) as refused:
                    call(client.pipeline())
                eavesdropper.hear_error(refused.value)
                for _ in range(2):  # the second time the connection may be gone
                    try:
                        call(connection)
                    except CarmineError as error:
                        eavesdropper.hear_error(error)
                    else:
                        raise AssertionError("accepted")
            assert any(CANARY.encode() in sent for _, sent in server.commands)
    assert len(eavesdropper.texts) >= 12
    eavesdropper.check()


SECRET_COMMANDS: Final[list[tuple[str, bytes]]] = [
    ("AUTH", b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
    ("AUTH", f"-ERR unknown command 'AUTH', with args beginning with: '{CANARY}' \r\n".encode()),
    ("ACL", f"-ERR Error in ACL SETUSER modifier '{CANARY}': Syntax error\r\n".encode()),
    ("MIGRATE", f"-ERR Target instance replied with error: bad password '{CANARY}'\r\n".encode()),
]


@pytest.mark.parametrize(("name", "reply"), SECRET_COMMANDS)
def test_s20_commands_that_carry_secrets_tell_none(name: str, reply: bytes, eavesdropper: Eavesdropper) -> None:
    """What a server repeats of their arguments stays out of the error, its attributes and its pickle, and of hooks.

    The frames of the call hold what the caller wrote there: they are the caller's, and not looked at here.
    """
    words: dict[str, tuple[str, ...]] = {
        "AUTH": ("AUTH", CANARY),
        "ACL": ("ACL", "SETUSER", "bob", CANARY),
        "MIGRATE": ("MIGRATE", "127.0.0.1", "1", "k", "0", "10", "AUTH", CANARY),
    }
    heard: list[str] = []

    def note(error: BaseException) -> None:
        heard.append(f"{error} {error!r} {error.args} {vars(error)} {pickle.dumps(error)!r}")

    class Hooks:
        def on_command_end(self, *facts: Any) -> None:
            heard.append(repr(facts))
            if facts[-1] is not None:
                note(facts[-1])

    with (
        Scripted.replies({name.encode(): reply}) as server,
        carmine.Client(server.url, hooks=Hooks()) as client,
        client.connection() as connection,
    ):
        with pytest.raises(carmine.ServerError) as caught:
            connection.execute(*words[name])
        note(caught.value)
        with client.pipeline(raise_errors=False) as pipe:
            queued = pipe.execute("MIGRATE", "h", "1", "k", "0", "10", "AUTH", CANARY)
        heard.append(repr(queued))
        if queued.error is not None:
            note(queued.error)
    assert len(heard) >= 4
    eavesdropper.check(*heard)
