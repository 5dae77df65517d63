"""The commands on users: what goes out, what is refused, and the shape of what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import acl
from carmine.commands.flags import READONLY, SECRET
from carmine.errors import UsageError
from tests.unit.command_tables import check_goes_out, check_shape, named, public_functions

if TYPE_CHECKING:
    from carmine.commands.command import Command

GOES_OUT: list[tuple[Command[Any], tuple[Any, ...]]] = [
    (acl.acl_cat(), (b"ACL", b"CAT")),
    (acl.acl_cat("read"), (b"ACL", b"CAT", "read")),
    (acl.acl_deluser("a", "b"), (b"ACL", b"DELUSER", "a", "b")),
    (acl.acl_dryrun("u", "SET", "k", 1), (b"ACL", b"DRYRUN", "u", "SET", "k", 1)),
    (acl.acl_genpass(), (b"ACL", b"GENPASS")),
    (acl.acl_genpass(8), (b"ACL", b"GENPASS", 8)),
    (acl.acl_getuser("u"), (b"ACL", b"GETUSER", "u")),
    (acl.acl_list(), (b"ACL", b"LIST")),
    (acl.acl_load(), (b"ACL", b"LOAD")),
    (acl.acl_log(), (b"ACL", b"LOG")),
    (acl.acl_log(0), (b"ACL", b"LOG", 0)),
    (acl.acl_log(reset=True), (b"ACL", b"LOG", b"RESET")),
    (acl.acl_save(), (b"ACL", b"SAVE")),
    (acl.acl_setuser("u", "on", ">pw"), (b"ACL", b"SETUSER", "u", "on", ">pw")),
    (acl.acl_users(), (b"ACL", b"USERS")),
    (acl.acl_whoami(), (b"ACL", b"WHOAMI")),
]


@pytest.mark.parametrize(("command", "words"), GOES_OUT, ids=lambda value: repr(getattr(value, "words", "")))
def test_goes_out(command: Command[Any], words: tuple[Any, ...]) -> None:
    check_goes_out(command, words, [])


def test_every_function_has_a_case() -> None:
    assert named(command for command, _ in GOES_OUT) == public_functions(acl)


def test_a_log_is_read_or_reset() -> None:
    count: Any = 5
    with pytest.raises(UsageError, match="ACL LOG takes only one of count, reset"):
        acl.acl_log(count, reset=True)


def test_what_holds_passwords_is_secret_and_what_changes_is_not_repeated() -> None:
    assert acl.acl_setuser("u").spec.flags & SECRET
    for command in (acl.acl_setuser("u"), acl.acl_deluser("u"), acl.acl_log(reset=True), acl.acl_log(), acl.acl_load()):
        assert not command.spec.flags & READONLY


USER_2 = ["flags", ["on"], "passwords", ["f0"], "commands", "+get", "keys", "~a* %R~b*", "channels", "", "selectors"]
INNER_2 = ["commands", "+set", "keys", "~c", "channels", "&x"]
USER_3 = {"flags": {"on"}, "passwords": ["f0"], "commands": "+get", "keys": "~a* %R~b*", "channels": ""}
INNER_3 = {"commands": "+set", "keys": "~c", "channels": "&x"}
USER = {
    "flags": {"on"},
    "passwords": ["f0"],
    "commands": "+get",
    "keys": ["~a*", "%R~b*"],
    "channels": [],
    "selectors": [{"commands": "+set", "keys": ["~c"], "channels": ["&x"]}],
}
OLD_2 = ["flags", ["on"], "passwords", [], "commands", "+@all", "keys", ["*"], "channels", ["a", "b"]]
OLD_3 = {"flags": {"on"}, "passwords": [], "commands": "+@all", "keys": ["*"], "channels": ["a", "b"]}
OLD = {**OLD_3, "keys": ["~*"], "channels": ["&a", "&b"], "selectors": []}


@pytest.mark.parametrize(
    ("command", "resp2", "resp3", "result"),
    [
        (acl.acl_getuser("u"), [*USER_2, [INNER_2]], {**USER_3, "selectors": [INNER_3]}, USER),
        (acl.acl_getuser("u"), OLD_2, OLD_3, OLD),
        (acl.acl_getuser("u"), None, None, None),
        (acl.acl_dryrun("u", "GET", "k"), "OK", "OK", None),
        (acl.acl_dryrun("u", "GET", "k"), "may not", "may not", "may not"),
        (
            acl.acl_log(),
            [["count", 1, "age-seconds", "0.5"]],
            [{"count": 1, "age-seconds": 0.5}],
            [{"count": 1, "age-seconds": 0.5}],
        ),
        (acl.acl_log(reset=True), "OK", "OK", True),
    ],
)
def test_shape(command: Command[Any], resp2: Any, resp3: Any, result: Any) -> None:
    check_shape(command, resp2, resp3, result)
