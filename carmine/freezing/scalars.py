"""The values that JSON lacks and that hold no others: each with its tag, what is written, and the way back.

Reading takes exactly what writing writes, and nothing that Python's constructors would take beyond it ("1_0",
"20240101", " 1"): what is read is written again and compared. A reader raises ValueError, TypeError, ArithmeticError,
LookupError or OSError for anything else; carmine.freezing.reader makes ThawError of them.
"""

from __future__ import annotations

import math
import re
import sys
from binascii import a2b_base64, b2a_base64
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from carmine._checks import is_encodable
from carmine._loading import loading

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["READERS", "WRITERS", "hexadecimal", "surrogates"]

_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]{1,64}(/[A-Za-z0-9_+-]{1,64}){0,3}")
"""Names of the zone database. What else a name could hold would be a path."""

_MICROSECOND: Final = timedelta(microseconds=1)


class Unwritable(ValueError):
    """A value has parts that cannot be written; the text says which, never what they hold."""


def _same(read: object, written: object) -> None:
    if read != written:
        raise ValueError("not what would be written")


def _text(told: Any) -> str:
    if type(told) is not str:
        raise TypeError("a text was expected")
    return told


def _whole(told: Any) -> int:
    if type(told) is not int:
        raise TypeError("a whole number was expected")
    return told


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _read_bytes(told: Any) -> bytes:
    data = a2b_base64(_text(told).encode(), strict_mode=True)
    _same(told, _base64(data))
    return data


def surrogates(value: str) -> str:
    """Return a text with lone surrogates in a form that every encoder carries.

    JSON's own escapes would not do: two lone surrogates beside each other come back as one letter.
    """
    return _base64(value.encode("utf-8", "surrogatepass"))


def _read_str(told: Any) -> str:
    return _read_bytes(told).decode("utf-8", "surrogatepass")


def hexadecimal(value: int) -> str:
    """Return an int of any size; unlike decimal digits in time that is linear, and without Python's own limit."""
    return f"{value:x}"


def _read_int(told: Any) -> int:
    value = int(_text(told), 16)
    _same(told, hexadecimal(value))
    return value


def _write_float(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _read_float(told: Any) -> float:
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[_text(told)] * 1.0  # each nan an object of its own


def _write_complex(value: complex) -> list[Any]:
    return [part if math.isfinite(part) else _write_float(part) for part in (value.real, value.imag)]


def _read_complex(told: Any) -> complex:
    real, imag = (part if type(part) is float else _read_float(part) for part in told)
    return complex(real, imag)


def _write_decimal(value: Decimal) -> str:
    return str(value).replace("e", "E")  # which letter, the context decides


def _read_decimal(told: Any) -> Decimal:
    value = Decimal(_text(told))
    _same(told, _write_decimal(value))
    return value


def _read_uuid(told: Any) -> UUID:
    value = UUID(_text(told))
    _same(told, str(value))
    return value


def _read_date(told: Any) -> date:
    value = date.fromisoformat(_text(told))
    _same(told, value.isoformat())
    return value


def _write_timedelta(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _read_timedelta(told: Any) -> timedelta:
    days, seconds, microseconds = told
    value = timedelta(_whole(days), _whole(seconds), _whole(microseconds))
    _same(told, _write_timedelta(value))
    return value


def _write_zone(zone: tzinfo | None) -> list[Any] | None:
    if zone is None:
        return None
    if type(zone) is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]  # the one way to tell a name of its own
        if name and not is_encodable(name[0]):
            raise Unwritable("a timezone whose name holds a lone surrogate")
        return ["offset", offset // _MICROSECOND, *name]
    zoneinfo = sys.modules.get("zoneinfo")  # who holds a ZoneInfo has imported it
    named: object = zone.key if zoneinfo and type(zone) is zoneinfo.ZoneInfo else None  # type: ignore[attr-defined]
    if isinstance(named, str) and _ZONE.fullmatch(named):
        return ["zone", named]
    raise Unwritable(f"the tzinfo {type(zone).__name__}; timezone and ZoneInfo with a name can be frozen")


def _read_zone(told: Any) -> tzinfo | None:
    if told is None:
        return None
    if type(told) is not list:
        raise TypeError("a zone was expected")
    kind, *rest = told
    if kind == "zone":
        (name,) = rest
        if not _ZONE.fullmatch(_text(name)):
            raise ValueError("no name of a zone")
        return _zone(name)
    if kind != "offset":
        raise ValueError("no kind of zone")
    offset, *names = rest
    zone = timezone(timedelta(microseconds=_whole(offset)), *map(_text, names))
    _same(told, _write_zone(zone))
    return zone


def _zone(name: str) -> tzinfo:
    with loading("zoneinfo"):
        import zoneinfo  # noqa: PLC0415 - it loads the interpreter's build configuration; few values have such a zone

    try:
        return zoneinfo.ZoneInfo(name)
    except Exception as problem:  # noqa: BLE001 - whatever a file of that name may hold
        kind = type(problem).__name__
    raise LookupError(f"no such zone here ({kind})")


def _write_moment(value: Any) -> list[Any]:
    return [value.replace(tzinfo=None).isoformat(), value.fold, _write_zone(value.tzinfo)]


def _moment_reader(kind: type[datetime | time]) -> Callable[[Any], Any]:
    def read(told: Any) -> Any:
        text, fold, zone = told
        value = kind.fromisoformat(_text(text)).replace(fold=_whole(fold))
        _same((text, None), (value.isoformat(), value.tzinfo))
        return value.replace(tzinfo=_read_zone(zone))

    return read


WRITERS: Final[dict[type, tuple[str, Callable[[Any], Any]]]] = {
    bytes: ("!bytes", _base64),
    complex: ("!complex", _write_complex),
    date: ("!date", date.isoformat),
    datetime: ("!datetime", _write_moment),
    Decimal: ("!decimal", _write_decimal),
    float: ("!float", _write_float),
    int: ("!int", hexadecimal),
    time: ("!time", _write_moment),
    timedelta: ("!timedelta", _write_timedelta),
    UUID: ("!uuid", str),
}
"""Type -> tag and what is written under it. Of float and int only what JSON's own numbers cannot hold comes here."""

READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "!bytes": _read_bytes,
    "!complex": _read_complex,
    "!date": _read_date,
    "!datetime": _moment_reader(datetime),
    "!decimal": _read_decimal,
    "!float": _read_float,
    "!int": _read_int,
    "!str": _read_str,
    "!time": _moment_reader(time),
    "!timedelta": _read_timedelta,
    "!uuid": _read_uuid,
}
