"""The group "connection": what goes out, and what is refused before anything does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from carmine._secret import Secret
from carmine.commands import connection, tracking
from carmine.errors import UsageError
from tests.unit.command_tables import check_goes_out, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

GOES_OUT: list[tuple[Any, ...]] = [
    (connection.auth("p"), (b"AUTH", Secret("p")), []),
    (connection.auth("p", "u"), (b"AUTH", "u", Secret("p")), []),
    (tracking.client_caching(True), (b"CLIENT", b"CACHING", b"YES"), []),
    (tracking.client_caching(False), (b"CLIENT", b"CACHING", b"NO"), []),
    (connection.client_capa("redirect"), (b"CLIENT", b"CAPA", "redirect"), []),
    (connection.client_getname(), (b"CLIENT", b"GETNAME"), []),
    (tracking.client_getredir(), (b"CLIENT", b"GETREDIR"), []),
    (connection.client_help(), (b"CLIENT", b"HELP"), []),
    (connection.client_id(), (b"CLIENT", b"ID"), []),
    (connection.client_import_source(True), (b"CLIENT", b"IMPORT-SOURCE", b"ON"), []),
    (connection.client_info(), (b"CLIENT", b"INFO"), []),
    (connection.client_kill(client_id=7), (b"CLIENT", b"KILL", b"ID", 7), []),
    (
        connection.client_kill(type="normal", user="u", addr="h:1", laddr="h:2", skipme=False, maxage=5),
        (
            b"CLIENT",
            b"KILL",
            b"TYPE",
            "normal",
            b"USER",
            "u",
            b"ADDR",
            "h:1",
            b"LADDR",
            "h:2",
            b"MAXAGE",
            5,
            b"SKIPME",
            b"NO",
        ),
        [],
    ),
    (
        connection.client_list("normal", filters={"DB": 0, "NOT-ID": [7, "8"], "NOT-NAME": "me"}),
        (b"CLIENT", b"LIST", b"TYPE", "normal", "DB", 0, "NOT-ID", 7, "8", "NOT-NAME", "me"),
        [],
    ),
    (
        connection.client_kill(filters={"NOT-USER": "u"}, skipme=False),
        (b"CLIENT", b"KILL", "NOT-USER", "u", b"SKIPME", b"NO"),
        [],
    ),
    (connection.client_list(), (b"CLIENT", b"LIST"), []),
    (connection.client_list("replica"), (b"CLIENT", b"LIST", b"TYPE", "replica"), []),
    (connection.client_list(client_ids=[1, 2]), (b"CLIENT", b"LIST", b"ID", 1, 2), []),
    (connection.client_no_evict(True), (b"CLIENT", b"NO-EVICT", b"ON"), []),
    (connection.client_no_touch(False), (b"CLIENT", b"NO-TOUCH", b"OFF"), []),
    (connection.client_pause(1.5), (b"CLIENT", b"PAUSE", 1500), []),
    (connection.client_pause(1, "WRITE"), (b"CLIENT", b"PAUSE", 1000, "WRITE"), []),
    (connection.client_setinfo("LIB-NAME", "carmine"), (b"CLIENT", b"SETINFO", "LIB-NAME", "carmine"), []),
    (connection.client_setname("me"), (b"CLIENT", b"SETNAME", "me"), []),
    (tracking.client_tracking(True), (b"CLIENT", b"TRACKING", b"ON"), []),
    (
        tracking.client_tracking(True, redirect=7, prefixes=["a", "b"], bcast=True, noloop=True),
        (b"CLIENT", b"TRACKING", b"ON", b"REDIRECT", 7, b"PREFIX", "a", b"PREFIX", "b", b"BCAST", b"NOLOOP"),
        [],
    ),
    (tracking.client_tracking(False, optin=True), (b"CLIENT", b"TRACKING", b"OFF", b"OPTIN"), []),
    (tracking.client_tracking(True, optout=True), (b"CLIENT", b"TRACKING", b"ON", b"OPTOUT"), []),
    (tracking.client_trackinginfo(), (b"CLIENT", b"TRACKINGINFO"), []),
    (connection.client_unblock(7), (b"CLIENT", b"UNBLOCK", 7, b"TIMEOUT"), []),
    (connection.client_unblock(7, error=True), (b"CLIENT", b"UNBLOCK", 7, b"ERROR"), []),
    (connection.client_unpause(), (b"CLIENT", b"UNPAUSE"), []),
    (connection.echo("x"), (b"ECHO", "x"), []),
    (connection.hello(), (b"HELLO",), []),
    (connection.hello(3), (b"HELLO", 3), []),
    (
        connection.hello(2, password="p", setname="me"),
        (b"HELLO", 2, b"AUTH", "default", Secret("p"), b"SETNAME", "me"),
        [],
    ),
    (connection.hello(3, username="u", password="p"), (b"HELLO", 3, b"AUTH", "u", Secret("p")), []),
    (connection.ping(), (b"PING",), []),
    (connection.ping("x"), (b"PING", "x"), []),
    (connection.reset(), (b"RESET",), []),
    (connection.select(3), (b"SELECT", 3), []),
]

wrong: Any = connection
wrong_tracking: Any = tracking
"""The same modules, without the types that would keep a checked caller from these mistakes."""


@pytest.mark.parametrize("row", GOES_OUT, ids=lambda row: repr(row[1]))
def test_goes_out(row: tuple[Any, ...]) -> None:
    check_goes_out(*row)


def test_every_function_has_a_case() -> None:
    told = {name.replace("-", "_") for name in named(command for command, *_ in GOES_OUT)}
    assert told == public_functions(connection, tracking)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: wrong.client_kill(), "CLIENT KILL needs at least one condition"),
        (lambda: wrong.client_kill(filters={}), "CLIENT KILL needs at least one condition"),
        (lambda: wrong.client_list(filters={"NAME": None}), "as a list or a tuple, not as NoneType"),
        (lambda: wrong.client_kill(skipme=True), "CLIENT KILL needs at least one condition"),
        (lambda: wrong.client_list("normal", [1]), "CLIENT LIST takes only one of type, client_ids"),
        (lambda: wrong.client_list(client_ids=[]), "CLIENT LIST needs at least one of client_ids"),
        (
            lambda: wrong_tracking.client_tracking(True, optin=True, optout=True),
            "CLIENT TRACKING takes only one of optin, optout",
        ),
        (lambda: wrong.client_pause(-1), "timeout must not be negative"),
        (lambda: wrong.hello(password="CANARY"), "HELLO takes password and setname only with protover"),
        (lambda: wrong.hello(setname="CANARY"), "HELLO takes password and setname only with protover"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_before_anything_goes_out(call: Callable[[], Command[Any]], sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)) as caught:
        call()
    assert "CANARY" not in str(caught.value)
