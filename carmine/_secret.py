"""The secret: a text that is sent and never shown.

A pure room, below all others, so that the encoders know it as a word of a command. Invariants: it shows itself as `***`
however it is printed, formatted or inspected, cannot be pickled, and leaves only through `reveal()`.
"""

from __future__ import annotations

from _operator import _compare_digest  # what hmac.compare_digest is; hmac itself would load OpenSSL (5 MiB)
from typing import TYPE_CHECKING, NoReturn

from carmine import _checks
from carmine._frozen import Frozen
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Secret"]


class Secret(Frozen):
    """A text that is not shown: `repr()`, `str()` and formatting give `***`; as a word of a command it is sent.

    The text lives in a closure and not in an attribute, so that neither `vars()` nor a tool that walks over slots and
    prints what it finds (an error reporter, a debugger's view) meets it.
    """

    __slots__ = ("_reveal",)

    _reveal: Callable[[], str]

    def __init__(self, value: str) -> None:
        """Wrap a text.

        Raises:
            UsageError: It is not a str, or UTF-8 cannot carry it.
        """
        refusal = None
        try:
            _checks.text("a secret", value)
        except UsageError as exc:
            refusal = str(exc)
        if refusal is not None:
            value = ""  # this frame travels with the error, and reporters print locals
            raise UsageError(refusal)
        self._put(_reveal=lambda: value)

    def reveal(self) -> str:
        """Return the text; for the moment of sending only."""
        return self._reveal()

    def __repr__(self) -> str:
        """Show nothing of the text, not even its length."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Compare two secrets in a time that does not depend on where they differ."""
        if not isinstance(other, Secret):
            return NotImplemented
        return _compare_digest(self._reveal().encode(), other._reveal().encode())

    def __hash__(self) -> int:
        """Hash by the text, with Python's per-process key."""
        return hash((Secret, self._reveal()))

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a pickle ends on disks and in queues."""
        raise TypeError("a Secret cannot be pickled: pass the password itself to the other process on a safe way")
