"""What the methods on users and their rights must give."""

from __future__ import annotations

from typing import Any

from carmine.errors import AuthError, ServerError, UsageError
from tests.integration.reply_cases import Fails, Such, call, case, since, steps

__all__ = ["USERS"]

SINCE_70 = since("7.0")
U = "ACL SETUSER u resetchannels on >pw ~a* ~b* &ch +get"
HASH = "30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4"
"""SHA-256 of the password "pw"."""


def is_u(told: dict[str, Any]) -> bool:
    """Whether it tells of the user above, in one shape whatever the version."""
    return (
        type(told["flags"]) is set
        and "on" in told["flags"]
        and (told["passwords"], told["commands"]) == ([HASH], "-@all +get")
        and (told["keys"], told["channels"]) == (["~a*", "~b*"], ["&ch"])
        and told["selectors"] == []
    )


def is_refused(found: list[dict[str, Any]]) -> bool:
    """Whether it tells of one wrong password for u."""
    (told,) = found
    return (
        (told["count"], told["reason"], told["object"], told["username"]) == (1, "auth", "AUTH", "u")
        and type(told["age-seconds"]) is float
        and type(told["client-info"]) is str
    )


USERS = [
    case(call("acl_cat"), Such(list, lambda found: {"read", "write", "stream"} <= set(found))),
    case(call("acl_cat", "stream"), Such(list, lambda found: {"xadd", "xread"} <= set(found))),
    case(call("acl_cat", "nonsense"), Fails(ServerError)),
    case(call("acl_deluser", "u", "nobody"), 1, U),
    case(call("acl_dryrun", "u", "GET", "a1"), None, U, since=SINCE_70),
    case(call("acl_dryrun", "u", "GET", "z"), Such(str, lambda why: "no permissions" in why), U, since=SINCE_70),
    case(call("acl_dryrun", "nobody", "GET", "z"), Fails(ServerError), since=SINCE_70),
    case(call("acl_genpass"), Such(str, lambda text: len(text) == 64 and int(text, 16) >= 0)),
    case(call("acl_genpass", 16), Such(str, lambda text: len(text) == 4)),
    case(call("acl_getuser", "u"), Such(dict, is_u), U),
    case(
        call("acl_getuser", "default"),
        Such(dict, lambda told: (told["keys"], told["channels"]) == (["~*"], ["&*"]) and "nopass" in told["flags"]),
    ),
    case(call("acl_getuser", "nobody"), None),
    case(call("acl_list"), Such(list, lambda found: len(found) == 2 and found[1].startswith("user u on")), U),
    case(call("acl_load"), Fails(ServerError)),
    steps(
        (call("acl_log", reset=True), True),
        (call("acl_log"), []),
        (call("auth", "wrong", "u"), Fails(AuthError)),
        (call("acl_log"), Such(list, is_refused)),
        (call("acl_log", 5), Such(list, is_refused)),
        (call("acl_log", reset=True), True),
        (call("acl_log", 5), []),
        setup=(U,),
        pinned=True,
    ),
    case(call("acl_log", 1, reset=True), Fails(UsageError)),
    case(call("acl_save"), Fails(ServerError)),
    case(call("acl_setuser", "u", "on", ">pw", "~a:*", "+@read"), True),
    case(call("acl_setuser", "u", "nonsense"), Fails(ServerError)),
    case(call("acl_setuser", "u", "on", "(+set ~x)"), True, since=SINCE_70),
    case(call("acl_users"), ["default", "u"], U),
    case(call("acl_whoami"), "default"),
]
