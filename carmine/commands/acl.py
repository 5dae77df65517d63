"""Commands of the group "server" on users and what they may do: ACL.

What a server says of its users comes as str, on Client[bytes] too. Rules may hold passwords: ACL SETUSER is never shown
to hooks, and its errors do not repeat them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from carmine.commands import decoders
from carmine.commands.command import Command
from carmine.commands.specs import spec
from carmine.errors import UsageError

if TYPE_CHECKING:
    from carmine.types import Arg


def _user(raw: Any) -> dict[str, Any] | None:
    """The map of ACL GETUSER -> dict; patterns as lists, which servers before 7.0 give without their first letter."""
    if raw is None:
        return None
    told = _patterns(raw)
    told["flags"] = decoders.members(told["flags"])
    told["selectors"] = [_patterns(each) for each in told.get("selectors", ())]
    return told


def _patterns(raw: Any) -> dict[str, Any]:
    told: dict[str, Any] = decoders.mapping(raw)
    for name, sign in (("keys", "~"), ("channels", "&")):
        given = told[name]
        told[name] = given.split() if isinstance(given, str) else [sign + pattern for pattern in given]
    return told


def _log(raw: Any) -> list[dict[str, Any]]:
    entries = [decoders.mapping(each) for each in raw]
    for told in entries:
        told["age-seconds"] = float(told["age-seconds"])
    return entries


def _dryrun(raw: Any) -> str | None:
    return None if raw == "OK" else raw


_ACL_CAT = spec("ACL CAT", text=True)
_ACL_DELUSER = spec("ACL DELUSER")
_ACL_DRYRUN = spec("ACL DRYRUN", _dryrun, text=True)
_ACL_GENPASS = spec("ACL GENPASS", text=True)
_ACL_GETUSER = spec("ACL GETUSER", _user, text=True)
_ACL_LIST = spec("ACL LIST", text=True)
_ACL_LOAD = spec("ACL LOAD", decoders.ok)
_ACL_LOG = spec("ACL LOG", _log, text=True)
_ACL_LOG_RESET = spec("ACL LOG", decoders.ok)
_ACL_SAVE = spec("ACL SAVE", decoders.ok)
_ACL_SETUSER = spec("ACL SETUSER", decoders.ok)
_ACL_USERS = spec("ACL USERS", text=True)
_ACL_WHOAMI = spec("ACL WHOAMI", text=True)


def acl_cat(category: str | None = None) -> Command[list[str]]:
    """ACL CAT: list the categories of commands, or the commands of one.

    Since: 6.0.0. Cost: O(commands). Source: redis.io/commands/acl-cat
    """
    return Command(_ACL_CAT, (b"ACL", b"CAT") if category is None else (b"ACL", b"CAT", category))


def acl_deluser(*usernames: str) -> Command[int]:
    """ACL DELUSER: remove users, and close their connections.

    Returns:
        How many there were.

    Since: 6.0.0. Cost: O(connections). Source: redis.io/commands/acl-deluser
    """
    return Command(_ACL_DELUSER, (b"ACL", b"DELUSER", *usernames))


def acl_dryrun(username: str, *words: Arg) -> Command[str | None]:
    """ACL DRYRUN: ask whether a user might run a command, without running it.

    Args:
        username: The user.
        *words: The command, name and arguments.

    Returns:
        None where the user may; otherwise the server's reason.

    Raises:
        ServerError: There is no such user or command.

    Since: 7.0.0. Cost: O(1). Source: redis.io/commands/acl-dryrun
    """
    return Command(_ACL_DRYRUN, (b"ACL", b"DRYRUN", username, *words))


def acl_genpass(bits: int | None = None) -> Command[str]:
    """ACL GENPASS: have the server make a password out of chance.

    Args:
        bits: How strong; 256 when not given. Four of them make one hexadecimal digit.

    Since: 6.0.0. Cost: O(1). Source: redis.io/commands/acl-genpass
    """
    return Command(_ACL_GENPASS, (b"ACL", b"GENPASS") if bits is None else (b"ACL", b"GENPASS", bits))


def acl_getuser(username: str) -> Command[dict[str, Any] | None]:
    """ACL GETUSER: read the rules of a user.

    Returns:
        `flags` as a set, `passwords` (their hashes), `keys` and `channels` as lists (`["~app:*"]`), `commands`
        as text, `selectors` as a list of such dicts, and what newer servers tell more; None where there is none.

    Wire: Maps and a set on RESP3, flat lists on RESP2; patterns in one text from 7.0, a list before.

    Since: 6.0.0. Cost: O(rules). Source: redis.io/commands/acl-getuser
    """
    return Command(_ACL_GETUSER, (b"ACL", b"GETUSER", username))


def acl_list() -> Command[list[str]]:
    """ACL LIST: read all users with their rules, one text each, as a file of them holds it.

    Since: 6.0.0. Cost: O(users). Source: redis.io/commands/acl-list
    """
    return Command(_ACL_LIST, (b"ACL", b"LIST"))


def acl_load() -> Command[bool]:
    """ACL LOAD: read the file of users anew; all of it, or nothing where it has a mistake.

    Raises:
        ServerError: The server has no such file, or it has a mistake.

    Since: 6.0.0. Cost: O(users). Source: redis.io/commands/acl-load
    """
    return Command(_ACL_LOAD, (b"ACL", b"LOAD"))


@overload
def acl_log(count: int | None = None, *, reset: Literal[False] = False) -> Command[list[dict[str, Any]]]: ...
@overload
def acl_log(count: None = None, *, reset: Literal[True]) -> Command[bool]: ...
@overload
def acl_log(count: int | None = None, *, reset: bool = False) -> Command[list[dict[str, Any]] | bool]: ...
def acl_log(count: int | None = None, *, reset: bool = False) -> Command[Any]:
    """ACL LOG: read what was refused for want of rights, the newest first, or forget it.

    Args:
        count: How many entries at most; 10 when not given.
        reset: Forget all instead.

    Returns:
        Entries by the server's names, such as "reason", "object", "username" and "age-seconds"; True for `reset`.

    Raises:
        UsageError: Both a count and `reset`.

    Wire: Maps with doubles on RESP3, flat lists with their texts on RESP2.

    Since: 6.0.0. Cost: O(entries). Source: redis.io/commands/acl-log
    """
    if reset:
        if count is not None:
            raise UsageError("ACL LOG takes only one of count, reset")
        return Command(_ACL_LOG_RESET, (b"ACL", b"LOG", b"RESET"))
    return Command(_ACL_LOG, (b"ACL", b"LOG") if count is None else (b"ACL", b"LOG", count))


def acl_save() -> Command[bool]:
    """ACL SAVE: write all users to the file of them.

    Raises:
        ServerError: The server has no such file, or cannot write it.

    Since: 6.0.0. Cost: O(users). Source: redis.io/commands/acl-save
    """
    return Command(_ACL_SAVE, (b"ACL", b"SAVE"))


def acl_setuser(username: str, *rules: str) -> Command[bool]:
    """ACL SETUSER: make a user, or change one; rules add up, `reset` takes all away.

    Args:
        username: The user.
        *rules: In the server's words: `"on"`, `">password"`, `"~app:*"`, `"+@read"`, `"(+set ~x)"` (from 7.0).

    Returns:
        True.

    Raises:
        ServerError: A rule is none.

    Since: 6.0.0. Cost: O(rules). Source: redis.io/commands/acl-setuser
    """
    return Command(_ACL_SETUSER, (b"ACL", b"SETUSER", username, *rules))


def acl_users() -> Command[list[str]]:
    """ACL USERS: list the names of all users.

    Since: 6.0.0. Cost: O(users). Source: redis.io/commands/acl-users
    """
    return Command(_ACL_USERS, (b"ACL", b"USERS"))


def acl_whoami() -> Command[str]:
    """ACL WHOAMI: read whose connection this is.

    Since: 6.0.0. Cost: O(1). Source: redis.io/commands/acl-whoami
    """
    return Command(_ACL_WHOAMI, (b"ACL", b"WHOAMI"))
