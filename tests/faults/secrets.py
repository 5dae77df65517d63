"""A password that can be recognised, and an eavesdropper who hears all that people and reporters print (SECURITY S-20).

Knows the errors of carmine and nothing else of it. What scenarios themselves wrote into their frames is theirs: frames
of the scenario's own file are left out at the outer end of a traceback.
"""

from __future__ import annotations

import logging
import pickle
import traceback
from typing import Any, Final

import pytest

from carmine.errors import CarmineError
from tests.lab.scripted import Scripted

__all__ = ["CANARY", "USERINFO", "Eavesdropper", "eavesdropper", "failing_handshakes", "shown"]

CANARY: Final = "CANARY-9f3b17"
USERINFO: Final = f"canary-user:{CANARY}@"


class Eavesdropper:
    """Hooks, logs, warnings and errors of a scenario, all as text.

    Args:
        scenario: The file of the scenario.
    """

    def __init__(self, scenario: str) -> None:
        self.texts: list[str] = []
        self._scenario = scenario

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
        while outer is not None and outer.tb_frame.f_code.co_filename == self._scenario:
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


def shown(thing: Any) -> str:
    """Return what people print of an object to find a mistake."""
    thing = getattr(thing, "__dict__", {}).get("_shown", thing)  # what tests.lab.blocking shows
    inside = {name: getattr(thing, name, None) for name in dir(thing) if not name.startswith("__")}
    return f"{thing!r} {thing!s} {inside!r} {vars(thing) if hasattr(thing, '__dict__') else ''!r}"


def failing_handshakes() -> dict[str, tuple[Any, dict[str, Any]]]:
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
def eavesdropper(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Eavesdropper:
    """Give an eavesdropper on the scenario."""
    caplog.set_level(logging.DEBUG)
    return Eavesdropper(str(request.path))
