"""Secrets stay out of messages, reprs, logs, hooks, pickles and frames (SECURITY.md S-20)."""

from __future__ import annotations

import pickle
import signal
import warnings
from typing import TYPE_CHECKING, Any, Final

import pytest

import carmine
from carmine.errors import CarmineError, UsageError
from carmine.retry import Retry
from tests.faults.secrets import CANARY, USERINFO, Eavesdropper, failing_handshakes, shown
from tests.lab.scripted import HELLO_3, Scripted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.invariants import MakeClient
    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults


@pytest.mark.parametrize("name", failing_handshakes())
def test_s20_failing_handshakes_tell_no_password(
    name: str,
    eavesdropper: Eavesdropper,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    make_client: MakeClient,
) -> None:
    make, options = failing_handshakes()[name]
    with make() as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        url = server.url.replace("redis://", f"redis://{USERINFO}").removesuffix("/0")
        client = make_client(url, hooks=eavesdropper, retry=Retry(2, base=0.001), **options)
        with client:
            calls: list[Callable[[Any], object]] = [
                lambda client: client.ping(), _pinned, _in_a_batch, _watching, _subscribing, _monitoring, _scripting,
                _listening,
            ]  # fmt: skip
            for call in calls:
                try:
                    call(client)
                except CarmineError as error:
                    eavesdropper.hear_error(error)
        eavesdropper.texts += [shown(client), shown(client.pool), shown(client.options)]
    printed = capfd.readouterr()
    assert len(eavesdropper.texts) > 5
    eavesdropper.check(caplog.text, printed.out, printed.err, *(str(each.message) for each in warned))


def _pinned(client: Any) -> None:
    with client.connection() as connection:
        connection.ping()


def _in_a_batch(client: Any) -> None:
    with client.pipeline() as pipe:
        pipe.ping()


def _watching(client: Any) -> None:
    with client.transaction("k") as tx:
        tx.ping()


def _subscribing(client: Any) -> None:
    with client.pubsub() as pubsub:
        pubsub.subscribe("channel")


def _monitoring(client: Any) -> None:
    with client.monitor() as monitor:
        monitor.next_line(0)


def _scripting(client: Any) -> None:
    client.lua("return _:word", args={"word": "x"})


def _listening(client: Any) -> None:
    listener = client.listener(lambda message, state: None)
    try:
        listener.subscribe("channel")
    finally:
        listener.close()


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
            eavesdropper.texts += [shown(client.options), shown(client.pool)]
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
        eavesdropper.texts += map(shown, things)
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
