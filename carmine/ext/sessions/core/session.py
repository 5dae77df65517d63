"""What a request sees of its session: a dict that is read when it is first touched, and knows at the end what to do.

Pure: it neither sends nor waits; whoever makes it brings the function that reads. Invariants: what was not touched is
neither read nor written; a new session that stays empty is never stored; a change is told by comparing the frozen
contents, so that one inside a nested value counts as well; once sealed, it cannot be changed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Self

from carmine.errors import CarmineError
from carmine.ext.sessions.errors import SessionSealed, SessionUnavailable, UnreadableSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from carmine.ext.sessions.core.contents import Contents

__all__ = ["Act", "Plan", "Session"]

_log = logging.getLogger("carmine.sessions")


class Act(Enum):
    """What is to be done about a session at the end of a request."""

    NOTHING = "nothing"
    CREATE = "create"
    """There is none yet: store it under a new id."""
    UPDATE = "update"
    """Write it, if it is still there."""
    MOVE = "move"
    """Give it a new id, if it is still there."""
    DELETE = "delete"
    REPLACE = "replace"
    """Delete it, and begin another one."""


class Plan(NamedTuple):
    """What is to be done, and with what."""

    act: Act
    id: str | None = None
    """Under which it is stored; None where it is not."""
    frozen: bytes | None = None
    """The contents to write; None for those that are stored."""
    begins_anew: bool = False
    """Whether its absolute lifetime starts again (MOVE)."""

    @property
    def is_ending(self) -> bool:
        """Whether an id is to be no session any more: to pass over a failure would leave a visitor logged in."""
        return self.act in {Act.DELETE, Act.REPLACE, Act.MOVE}

    def __repr__(self) -> str:
        """Show what is to be done; neither id nor contents."""
        return f"<Plan {self.act.value}>"


_NOTHING: Final = Plan(Act.NOTHING)


class Session(MutableMapping[str, Any]):
    """A visitor's session, as a dict of what `carmine.freeze` takes (or the store's serializer).

    To log in: `session.regenerate()`, then write who it is. To log out: `session.invalidate()`.

    Args:
        contents: How its contents are frozen.
        id: The id that came with the request, of the right form; None for none.
        load: Reads the frozen contents under that id, None where there are none; called once, at the first touch.
    """

    __slots__ = (
        *("_contents", "_id", "_load", "_data", "_stored"),
        *("_accessed", "_moves", "_anew", "_ended", "_detached", "_sealed"),
    )

    def __init__(
        self, contents: Contents, id: str | None = None, load: Callable[[], bytes | None] | None = None
    ) -> None:
        self._contents = contents
        self._id = id
        self._load = load
        self._data: dict[str, Any] | None = None if id is not None and load is not None else {}
        self._stored: bytes | None = None  # frozen, as it was read
        self._accessed = self._moves = self._anew = self._ended = self._detached = self._sealed = False

    # What it is. -----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:
        """The id under which it is stored; None for a new session, which has one when it was saved."""
        self._opened()
        return self._id

    @property
    def is_new(self) -> bool:
        """Whether nothing is stored yet."""
        return self.id is None

    @property
    def accessed(self) -> bool:
        """Whether anybody looked into it: then the response depends on the cookie."""
        return self._accessed

    @property
    def modified(self) -> bool:
        """Whether something is to be saved; looks at all of the contents.

        Raises:
            UsageError: The contents hold what cannot be frozen.
            SessionTooLarge: They have grown too large.
        """
        return self.plan().act is not Act.NOTHING

    # The dict. -------------------------------------------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        return self._opened()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._changing()[key] = value

    def __delitem__(self, key: str) -> None:
        del self._changing()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened())

    def __len__(self) -> int:
        return len(self._opened())

    def __ior__(self, other: Mapping[str, Any]) -> Self:
        self._changing().update(other)
        return self

    def clear(self) -> None:
        """Forget all contents; a session that is left without any is deleted.

        Raises:
            SessionSealed: It was saved already.
            SessionUnavailable: It could not be read, and so what is stored cannot be forgotten.
        """
        self._changing().clear()
        self._refuse_if_out_of_reach()

    # Its life. -------------------------------------------------------------------------------------------------------

    def regenerate(self, *, begin_anew: bool = False) -> None:
        """Give it a new id when it is saved, and let the old one be no session any more: at every change of rights.

        Args:
            begin_anew: Whether its absolute lifetime (`absolute_ttl`) starts again; otherwise it keeps its end.

        Raises:
            SessionSealed: It was saved already.
            SessionUnavailable: It could not be read, and so its id stays.
        """
        self._changing()
        self._refuse_if_out_of_reach()
        self._moves = True
        self._anew = self._anew or begin_anew

    def invalidate(self) -> None:
        """End it: contents and id are deleted; what is written afterwards begins a new session.

        Raises:
            SessionSealed: It was saved already.
            SessionUnavailable: It could not be read before, and is not ended.
        """
        self._refuse_if_sealed()
        self._refuse_if_out_of_reach()
        self._accessed = True
        self._data = {}  # without reading what is to be deleted
        self._ended = True

    # For who saves it. -----------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Return what is to be done, as things stand.

        Raises:
            UsageError: The contents hold what cannot be frozen.
            SessionTooLarge: They take more than `max_size` bytes.
        """
        if self._data is None or not self._accessed or self._detached:
            return _NOTHING
        if not self._data:
            if self._id is None:
                return _NOTHING
            if self._ended or self._stored != self._contents.write(self._data):
                return Plan(Act.DELETE, self._id)
        frozen = self._contents.write(self._data)
        if self._id is None:
            return Plan(Act.CREATE, None, frozen)
        if self._ended:
            return Plan(Act.REPLACE, self._id, frozen)
        if self._moves:
            return Plan(Act.MOVE, self._id, None if frozen == self._stored else frozen, self._anew)
        return _NOTHING if frozen == self._stored else Plan(Act.UPDATE, self._id, frozen)

    def settle(self, plan: Plan, id: str | None) -> None:
        """Take note that a plan was carried out, and of the id under which the session is stored now."""
        self._id = id
        self._stored = None if id is None else plan.frozen or self._stored
        self._moves = self._anew = self._ended = False

    def detach(self) -> None:
        """Let it be a dict for this request and nothing more: nobody knows what is stored."""
        self._detached = True

    def seal(self) -> None:
        """Let it be read and not be changed any more: the headers are on their way."""
        self._sealed = True

    @property
    def is_sealed(self) -> bool:
        """Whether it can be changed no more."""
        return self._sealed

    def was_changed_late(self) -> bool:
        """Tell whether something inside it was changed after it had been sealed; the change is lost."""
        try:
            return self.modified
        except Exception:  # noqa: BLE001 - what cannot be frozen now could be then
            return True

    # Within. ---------------------------------------------------------------------------------------------------------

    def _opened(self) -> dict[str, Any]:
        """Return the contents, read where they were not."""
        self._accessed = True
        if self._data is None:
            assert self._load is not None
            try:
                frozen = self._load()
            except CarmineError as problem:
                self._load = partial(_fail, problem)  # nobody is asked twice in one request
                raise
            if frozen is not None:
                try:
                    self._data, self._stored = self._contents.read(frozen), frozen
                except UnreadableSession as problem:
                    _log.warning("%s; the visitor goes on without a session", problem)
                    frozen = None
            if frozen is None:
                self._id, self._data = None, {}  # what is not there is not adopted
            self._load = None
        return self._data  # type: ignore[return-value]  # read above

    def _changing(self) -> dict[str, Any]:
        self._refuse_if_sealed()
        return self._opened()

    def _refuse_if_out_of_reach(self) -> None:
        """Let nobody believe that he has ended what is stored."""
        if self._detached:
            raise SessionUnavailable(
                "the session was not ended: the server that holds it could not be asked when this request began"
            )

    def _refuse_if_sealed(self) -> None:
        if self._sealed:
            raise SessionSealed(
                "the session was saved when the response's headers went out and cannot be changed any more: "
                "change it before the response begins"
            )

    def __repr__(self) -> str:
        """Show its state; neither id nor contents."""
        if self._data is None:
            return "<Session, not read yet>"
        return f"<Session, {'new' if self._id is None else 'stored'}, of {len(self._data)} entries>"


def _fail(problem: CarmineError) -> NoReturn:
    raise problem
