"""The cookie that carries an id: its attributes, the headers that set and delete it, and how it is found. Pure.

Invariants: every part of a header was checked when the settings were made, so that none can be injected; a cookie is
deleted with the attributes it was set with; a value that is no id is no cookie.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.sessions.keys import is_id

__all__ = ["CookieSettings", "SameSite"]

SameSite = Literal["Lax", "Strict", "None"]

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110."""
_PATH: Final = re.compile(r"/[!-:<-~]*")
"""Printable ASCII without blanks and semicolons."""
_DOMAIN: Final = re.compile(r"\.?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_SITES: Final[dict[str, SameSite]] = {"lax": "Lax", "strict": "Strict", "none": "None"}

_LONG_AGO: Final = "Thu, 01 Jan 1970 00:00:00 GMT"


@dataclass(frozen=True, slots=True)
class CookieSettings:
    """How the session's cookie looks.

    Attributes:
        name: Its name, without the prefix that `host_prefix` adds.
        path: For which paths of the site it is sent.
        domain: None for the host that set it alone, which is the safest; else that domain and all below it.
        secure: Whether it goes over TLS alone; turn it off for development only.
        httponly: Whether scripts of the page cannot read it.
        samesite: "Lax", "Strict" or "None" (which needs `secure`), in any case; None leaves the attribute out.
        host_prefix: Whether the name begins with `__Host-`: then browsers take it from this host alone, over TLS, so
            that no neighbour below the same domain can plant one. Needs `secure`, the path `/` and no domain.
        partitioned: Whether it is kept apart for each site that embeds this one (CHIPS); needs `secure`.

    Raises:
        UsageError: An attribute has not the form of one, or contradicts another.
    """

    name: str = "session"
    path: str = "/"
    domain: str | None = None
    secure: bool = True
    httponly: bool = True
    samesite: str | None = "Lax"
    host_prefix: bool = False
    partitioned: bool = False

    def __post_init__(self) -> None:
        """Check every attribute."""
        if not _NAME.fullmatch(_checks.text("the name of a cookie", self.name)):
            raise UsageError("the name of a cookie is made of letters, digits and !#$%&'*+-.^_`|~")
        if not _PATH.fullmatch(_checks.text("the path of a cookie", self.path)):
            raise UsageError("the path of a cookie begins with / and holds no blank, semicolon or non-ASCII letter")
        if self.domain is not None and not _DOMAIN.fullmatch(_checks.text("the domain of a cookie", self.domain)):
            raise UsageError("the domain of a cookie is the name of a host")
        for name in ("secure", "httponly", "host_prefix", "partitioned"):
            _checks.flag(name, getattr(self, name))
        if self.samesite is not None:
            site = _SITES.get(_checks.text("samesite", self.samesite).lower())
            if site is None:
                raise UsageError('samesite is "Lax", "Strict", "None" or None')
            object.__setattr__(self, "samesite", site)
        if not self.secure and (self.samesite == "None" or self.partitioned or self.full_name.startswith("__")):
            raise UsageError('browsers take samesite "None", partitioned and the prefixes __Host- and __Secure- only '
                             "with secure=True")  # fmt: skip
        if self.full_name.lower().startswith("__host-") and (self.path != "/" or self.domain is not None):
            raise UsageError("a cookie with the prefix __Host- has the path / and no domain")

    @property
    def full_name(self) -> str:
        """The name as the browser knows it."""
        return f"__Host-{self.name}" if self.host_prefix else self.name

    def set_header(self, id: str, max_age: int | None = None) -> str:
        """Return the value of the Set-Cookie header that gives an id to the browser.

        Args:
            id: That of a session.
            max_age: Seconds that the browser keeps it; None until it is closed.

        Raises:
            UsageError: The id has not the form of one.
        """
        if not is_id(id):
            raise UsageError("a session's cookie holds an id that the store has made, and nothing else")
        age = "" if max_age is None else f"; Max-Age={_checks.whole('max_age', max_age)}"
        return f"{self.full_name}={id}{age}{self._attributes()}"

    def delete_header(self) -> str:
        """Return the value of the Set-Cookie header that takes it away."""
        return f"{self.full_name}=; Max-Age=0; Expires={_LONG_AGO}{self._attributes()}"

    def read(self, cookie_header: str | None) -> str | None:
        """Return the id in a Cookie header; None where there is none, or something that is no id.

        Of several cookies of the name the first that holds an id counts: browsers send the longest path first.
        """
        for part in (cookie_header or "").split(";"):
            name, _, value = part.partition("=")
            if name.strip(" \t") == self.full_name:
                bare = value.strip(" \t")
                if len(bare) > 1 and bare[0] == bare[-1] == '"':
                    bare = bare[1:-1]
                if is_id(bare):
                    return bare
        return None

    def _attributes(self) -> str:
        parts = [f"Path={self.path}"]
        if self.domain is not None:
            parts.append(f"Domain={self.domain}")
        if self.secure:
            parts.append("Secure")
        if self.httponly:
            parts.append("HttpOnly")
        if self.samesite is not None:
            parts.append(f"SameSite={self.samesite}")
        if self.partitioned:
            parts.append("Partitioned")
        return "".join(f"; {part}" for part in parts)
