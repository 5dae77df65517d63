"""The table of options: each one once, with its default, what None means for it, its check and how a URL writes it.

A check turns a value into the form that is kept, or raises a UsageError that names the option and the type it got; a
reader turns a URL's text into what the check takes. What options mean together stands in options.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from typing import Any, Final, Literal, NamedTuple

from carmine import _checks
from carmine._checks import LONGEST_WAIT, SHORTEST_WAIT, kind
from carmine._loading import loading
from carmine.errors import UsageError
from carmine.retry import Retry
from carmine.transport.credentials import Credentials, Secret

__all__ = ["TABLE", "CheckMoment", "Option", "checked_serializer", "unknown"]

CheckMoment = Literal["idle", "borrow", "return"]
"""When a pooled connection is tested: after it lay idle, whenever it is borrowed, whenever it comes back."""

_MOMENTS: Final[tuple[CheckMoment, ...]] = ("idle", "borrow", "return")


# Checks: (name, value) -> the value as it is kept. -------------------------------------------------------------------


def _check_password(name: str, value: object) -> Secret:
    return value if isinstance(value, Secret) else Secret(_checks.text(name, value))


def _check_credentials(name: str, value: object) -> object:
    if isinstance(value, Credentials) or (callable(value) and not isinstance(value, type)):
        return value
    raise UsageError(
        f"{name} must be carmine.Credentials or a function that gives (username or None, password), not {kind(value)}"
    )


def _check_client_name(name: str, value: object) -> str:
    text = _checks.text(name, value)
    if not text or not all("!" <= letter <= "~" for letter in text):  # the server's own rule; it would refuse HELLO
        raise UsageError(f"{name} must consist of printable ASCII characters without spaces")
    return text


def _check_protocol(name: str, value: object) -> int:
    return _checks.whole(name, value, least=2, most=3)


_RUN_CODE: Final = frozenset({"pickle", "_pickle", "marshal", "dill", "cloudpickle"})

_COROUTINE: Final = 0x80
"""inspect.CO_COROUTINE, without the 1.5 MiB of that module."""


def _check_serializer(name: str, value: object) -> object:
    """Return True, an object with dumps and loads, or a pair of functions; None for False."""
    if isinstance(value, bool):
        return value or None
    pair = value if isinstance(value, tuple) else (getattr(value, "dumps", None), getattr(value, "loads", None))
    if len(pair) != 2 or not all(callable(each) and not isinstance(each, type) for each in pair):
        raise UsageError(
            f"{name} must be True, or an object or a pair of dumps(value) -> bytes and loads(bytes) -> value, "
            f"not {kind(value)}"
        )
    if any(getattr(getattr(each, "__code__", None), "co_flags", 0) & _COROUTINE for each in pair):
        raise UsageError(f"{name} takes plain functions, not coroutine functions: a value is read between two awaits")
    if any(str(getattr(each, "__module__", "")).partition(".")[0] in _RUN_CODE for each in pair):
        raise UsageError(
            f"{name} is not to be pickle or its like: whoever can write a value would run code in every reader; "
            "True takes plain values, and carmine.freezable adds classes"
        )
    return value


def checked_serializer(value: object) -> object:
    """Return a serializer in the form that is kept; None for none."""
    return None if value is None else _check_serializer("serializer", value)


def _check_tls(name: str, value: object) -> object:
    ssl = sys.modules.get("ssl")  # who holds an SSLContext has imported ssl; nobody else needs to
    if isinstance(value, bool):
        return value or None
    if ssl is not None and isinstance(value, ssl.SSLContext):
        return value
    raise UsageError(f"{name} must be True or an ssl.SSLContext, not {kind(value)}")


def _check_path(name: str, value: object) -> str:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path or "\0" in path:
        raise UsageError(f"{name} must be the path of a file, not {kind(value) if path else 'empty'}")
    return path


def _check_wait(name: str, value: object) -> float:
    return _checks.seconds(name, value, least=SHORTEST_WAIT, most=LONGEST_WAIT)


def _check_patience(name: str, value: object) -> float:
    return _checks.seconds(name, value, most=LONGEST_WAIT)


def _check_age(name: str, value: object) -> float:
    return _checks.seconds(name, value, least=SHORTEST_WAIT)


def _check_whole(name: str, value: object) -> int:
    return _checks.whole(name, value)


def _check_connections(name: str, value: object) -> int:
    return _checks.whole(name, value, least=1)


def _check_moments(name: str, value: object) -> tuple[CheckMoment, ...]:
    if isinstance(value, str) or not isinstance(value, Collection) or not all(m in _MOMENTS for m in value):
        raise UsageError(f'{name} must be a tuple of "idle", "borrow" and "return", as in check=("idle",)')
    return tuple(moment for moment in _MOMENTS if moment in value)


def _check_retry(name: str, value: object) -> Retry:
    if not isinstance(value, Retry):
        raise UsageError(f"{name} must be a carmine.Retry, not {kind(value)}; Retry(1) never tries again")
    return value


def _check_hooks(name: str, value: object) -> object:
    if isinstance(value, type | bool | int | float | str | bytes | list | tuple | dict | set):
        raise UsageError(f"{name} must be one object with hook methods, not {kind(value)}")
    return value


def _check_function(name: str, value: object) -> object:
    if not callable(value):
        raise UsageError(f"{name} must be a function, not {kind(value)}")
    return value


# Readers: (name, text of a URL's query) -> what the check gets. ------------------------------------------------------


def _read_text(name: str, text: str) -> str:
    return text


def _read_flag(name: str, text: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text.lower())
    if known is None:
        raise UsageError(f"{name} in the URL must be true or false")
    return known


def _read_whole(name: str, text: str) -> int | None:
    if text.lower() == "none":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise UsageError(f"{name} in the URL must be a whole number of 0 or more")
    return int(text)


def _read_seconds(name: str, text: str) -> float | None:
    if text.lower() == "none":
        return None
    if not (text.isascii() and text.replace(".", "", 1).isdecimal() and len(text) <= 20):
        raise UsageError(f"{name} in the URL must be a number of seconds, as in {name}=2.5")
    return float(text)


def _read_moments(name: str, text: str) -> list[str]:
    return text.split(",") if text else []


# The table. ----------------------------------------------------------------------------------------------------------


class Option(NamedTuple):
    """What is known about one option."""

    default: Any
    none: Literal["unset", "no limit", "refused"]
    """What None means. "unset" as a keyword leaves what the URL says; "no limit" overrides it."""
    check: Callable[[str, object], Any]
    read: Callable[[str, str], Any] | None
    """None: never from a URL. A URL is data, often from elsewhere: it carries no code and weakens no check."""


TABLE: Final[dict[str, Option]] = {
    "username": Option(None, "unset", _checks.text, _read_text),
    "password": Option(None, "unset", _check_password, _read_text),
    "credentials": Option(None, "unset", _check_credentials, None),
    "db": Option(0, "refused", _check_whole, _read_whole),
    "client_name": Option(None, "unset", _check_client_name, _read_text),
    "protocol": Option(None, "unset", _check_protocol, _read_whole),
    "decode": Option(True, "refused", _checks.flag, _read_flag),
    "serializer": Option(None, "unset", _check_serializer, None),
    "tls": Option(None, "unset", _check_tls, _read_flag),
    "insecure_skip_verify": Option(False, "refused", _checks.flag, None),
    "ca_certs": Option(None, "unset", _check_path, _read_text),
    "certfile": Option(None, "unset", _check_path, _read_text),
    "keyfile": Option(None, "unset", _check_path, _read_text),
    "connect_timeout": Option(5.0, "refused", _check_wait, _read_seconds),
    "read_timeout": Option(30.0, "no limit", _check_wait, _read_seconds),
    "keepalive": Option(True, "refused", _checks.flag, _read_flag),
    "connections": Option(1, "refused", _check_connections, _read_whole),
    "pool_size": Option(32, "refused", _check_whole, _read_whole),
    "pool_timeout": Option(5.0, "no limit", _check_patience, _read_seconds),
    "min_idle": Option(0, "refused", _check_whole, _read_whole),
    "max_idle": Option(None, "no limit", _check_whole, _read_whole),
    "max_idle_time": Option(300.0, "no limit", _check_age, _read_seconds),
    "max_lifetime": Option(None, "no limit", _check_age, _read_seconds),
    "check": Option(("idle",), "refused", _check_moments, _read_moments),
    "retry": Option(Retry(), "refused", _check_retry, None),
    "hooks": Option(None, "unset", _check_hooks, None),
    "socket_factory": Option(None, "unset", _check_function, None),
    "on_connect": Option(None, "unset", _check_function, None),
}

_ELSEWHERE: Final = {
    "auth": "password", "decode_responses": "decode", "health_check_interval": "check",
    "host": "host and port stand in the URL", "max_connections": "pool_size", "name": "client_name",
    "port": "host and port stand in the URL", "retry_on_error": "retry", "retry_on_timeout": "retry",
    "socket_connect_timeout": "connect_timeout", "socket_keepalive": "keepalive", "socket_timeout": "read_timeout",
    "ssl": "tls", "ssl_ca_certs": "ca_certs", "ssl_ca_path": "ca_certs", "ssl_certfile": "certfile",
    "ssl_cert_reqs": "certificates are verified unless the keyword insecure_skip_verify says otherwise",
    "ssl_check_hostname": "certificates are verified unless the keyword insecure_skip_verify says otherwise",
    "ssl_context": "tls", "ssl_keyfile": "keyfile", "timeout": "read_timeout",
    "unix_socket_path": "the path stands in the URL, as in unix:///run/redis.sock", "user": "username",
}  # fmt: skip
"""What other clients call it: nearer to what was meant than the name spelt most alike.
A sentence where no option answers."""


def unknown(name: str) -> UsageError:
    """Return the error for an option that does not exist, with the name that was probably meant."""
    with loading("difflib"):
        import difflib  # noqa: PLC0415 - on this error's path only: nobody else should pay for it at import

    nearest = _ELSEWHERE.get(name) or next(iter(difflib.get_close_matches(name.lower(), TABLE, 1)), None)
    if nearest is None:
        hint = f"there are {', '.join(TABLE)}"
    else:
        hint = f"did you mean {nearest}?" if nearest in TABLE else nearest
    return UsageError(f"unknown option {name!r}; {hint}")
