"""W01, Django while the server of the sessions is away: a 503 or nobody, by policy; never a hang, nor a lost logout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings

from carmine.ext.sessions import SessionUnavailable
from carmine.ext.sessions.django import SessionStore
from carmine.ext.sessions.django.config import current
from carmine.retry import Retry
from tests.ext.sessions.django_kit.site import BETWEEN, MIDDLEWARE, Visitor, cookie_of, cookies_of
from tests.ext.sessions.planting import key_in
from tests.lab.clock import within

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin

TIMEOUT = 0.25
"""Seconds that a question may take where nothing will come; elsewhere a busy machine has more."""

CHANGES = ("/write/a/2", "/expire/10")
EAGER = "tests.ext.sessions.django_kit.site.Eager"


def _refuse(proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.kill()


def _swallow(proxy: FaultProxy) -> None:
    proxy.hold()


FAULTS = [_refuse, _swallow]


@pytest.fixture(params=["threads", "loop"])
def visitor(request: pytest.FixtureRequest) -> Visitor:
    return Visitor(request.param)


@pytest.fixture
def say(server: RedisServer, proxy: FaultProxy, stack: contextlib.ExitStack) -> Callable[..., None]:
    """Give a function that changes what the site says of its sessions, which are behind the proxy."""
    usual = {"url": proxy.url(server.url), "options": {"retry": Retry(1)}}

    def change(**words: Any) -> None:
        stack.enter_context(override_settings(CARMINE_SESSIONS={**usual, **words}))

    stack.callback(current)  # lets go of the last client
    stack.callback(BETWEEN.clear)
    change()
    return change


def heal(proxy: FaultProxy) -> None:
    proxy.heal()
    proxy.refuse(False)
    proxy.release()


@pytest.mark.parametrize("fault", FAULTS)
def test_who_cannot_be_read_gets_a_503_in_time(
    server: RedisServer, proxy: FaultProxy, say: Callable[..., None], visitor: Visitor, fault: Any
) -> None:
    id, _ = cookie_of(visitor.ask("/write/a/1"))
    stored = server.text("GET", key_in(server))
    fault(proxy)
    say(timeout=TIMEOUT)
    for where in ("/read", *CHANGES, "/often", "/logout") if fault is _refuse else ("/read", "/logout"):
        with within(2 * TIMEOUT):
            response = visitor.ask(where, id)
        assert response.status_code == 503
        assert cookies_of(response) == []
    assert visitor.ask("/plain", id).status_code == 200
    assert server.text("GET", key_in(server)) == stored
    heal(proxy)
    say()
    assert visitor.ask("/read", id).json() == {"a": "1"}


@pytest.mark.parametrize("where", ["/write/a/2", "/login/ada", "/logout"])
def test_a_save_that_fails_is_a_503(
    server: RedisServer, proxy: FaultProxy, say: Callable[..., None], visitor: Visitor, where: str
) -> None:
    id, _ = cookie_of(visitor.ask("/write/a/1"))
    BETWEEN.append(lambda: _refuse(proxy))  # the session was read
    response = visitor.ask(where, id)
    assert response.status_code == 503
    assert cookies_of(response) == []
    assert server.call("DBSIZE") == 1


def test_a_new_visitor_of_whom_nothing_can_be_saved_is_told(
    proxy: FaultProxy, say: Callable[..., None], visitor: Visitor
) -> None:
    _refuse(proxy)
    assert visitor.ask("/write/a/1").status_code == 503
    assert visitor.ask("/read").status_code == 200  # nothing was to be asked


@pytest.mark.parametrize("policy", ["raise", "anonymous"])
def test_a_middleware_that_wants_the_session(
    proxy: FaultProxy, say: Callable[..., None], visitor: Visitor, policy: str
) -> None:
    """What fails between ours and the view does not reach our hook for errors of views."""
    id, _ = cookie_of(visitor.ask("/write/a/1"))
    _refuse(proxy)
    say(on_error=policy)
    with override_settings(MIDDLEWARE=[MIDDLEWARE, EAGER]):
        response = visitor.ask("/plain", id)
    assert response.status_code == (503 if policy == "raise" else 200)
    assert cookies_of(response) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_by_policy_visitors_are_nobody_and_nothing_is_saved(
    server: RedisServer, proxy: FaultProxy, say: Callable[..., None], visitor: Visitor, fault: Any
) -> None:
    id, _ = cookie_of(visitor.ask("/write/a/1"))
    stored = server.text("GET", key_in(server))
    fault(proxy)
    say(on_error="anonymous", timeout=TIMEOUT)
    for where in ("/read", *CHANGES, "/clear", "/often") if fault is _refuse else ("/read", "/often"):
        with within(2 * TIMEOUT):
            response = visitor.ask(where, id)
        assert response.status_code == 200
        assert cookies_of(response) == []  # neither replaced nor deleted: he is somebody again afterwards
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        assert cookies_of(visitor.ask("/plain", id)) == []
        assert cookies_of(visitor.ask("/write/a/1")) == []
    assert visitor.ask("/read", id).json() == {}
    heal(proxy)
    say()
    assert server.text("GET", key_in(server)) == stored
    assert visitor.ask("/read", id).json() == {"a": "1"}


@pytest.mark.parametrize("when", ["before the view", "behind its read"])
@pytest.mark.parametrize("where", ["/logout", "/goodbye", "/login/bob"])
def test_a_logout_that_fails_is_said_whatever_the_policy(
    server: RedisServer, proxy: FaultProxy, say: Callable[..., None], visitor: Visitor, where: str, when: str
) -> None:
    """Nor is a key that was to be changed kept in silence, or anything stored under it."""
    say(on_error="anonymous")
    id, _ = cookie_of(visitor.ask("/write/a/1"))
    if when == "before the view":
        _refuse(proxy)
    else:
        BETWEEN.append(lambda: _refuse(proxy))
    response = visitor.ask(where, id)
    assert response.status_code == 503
    assert cookies_of(response) == []
    heal(proxy)
    assert visitor.ask("/read", id).json() == {"a": "1"}


def test_a_view_that_breaks_for_another_reason_is_no_503(
    proxy: FaultProxy, say: Callable[..., None], visitor: Visitor
) -> None:
    say(on_error="anonymous")
    id, _ = cookie_of(visitor.ask("/login/ada"))
    _refuse(proxy)
    assert visitor.ask("/crash", id).status_code == 500


def test_in_one_request_the_server_is_asked_once(proxy: FaultProxy, say: Callable[..., None]) -> None:
    """Whoever looks ten times does not wait ten times, in either policy."""
    id, _ = cookie_of(Visitor("threads").ask("/write/a/1"))
    _swallow(proxy)
    say(timeout=TIMEOUT)
    session = SessionStore(id)
    causes = []
    with within(2 * TIMEOUT):
        for _ in range(10):
            with pytest.raises(SessionUnavailable) as caught:
                session.get("a")
            causes.append(caught.value.__cause__)
    assert isinstance(session.outage, TimeoutError)
    assert causes == [session.outage] * 10
