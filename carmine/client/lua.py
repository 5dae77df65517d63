"""Lua programs: their hash, the commands that run them, and templates whose variables have names.

A pure room: it sends nothing. A program goes out by its hash (EVALSHA), which costs a server that does not know it one
more round trip; where nobody could answer NOSCRIPT, inside a batch, its first call carries the text (EVAL), which
teaches the server the hash for those behind it. Invariants: text is made of a template and names alone, a value goes
out as a word of KEYS or ARGV; what stands in place of a variable is not looked at again; the templates remembered are
bounded in number and length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from carmine.commands.arguments import some_args
from carmine.commands.specs import spec
from carmine.errors import NoScriptError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from hashlib import sha1

    from carmine.commands.command import Reply, Spec, Words
    from carmine.types import Arg, Key
else:
    try:
        from _sha1 import sha1  # what hashlib falls back to; hashlib itself loads OpenSSL, 3.6 MiB for one hash
    except ImportError:
        from hashlib import sha1

__all__ = ["Program", "ScriptQueue", "digest", "fill", "is_unknown", "words_of"]

Q = TypeVar("Q")
R = TypeVar("R")

_NAME: Final = re.compile(r"[A-Za-z][\w?!*-]*")
_VARIABLE: Final = re.compile(r"(?<!\w)_:([A-Za-z][\w?!*-]*)")
"""As long as it can be: `_:key` is never `_:k` and two letters. Behind a letter it is Lua's own `object_:method()`."""

_TEMPLATES: Final = 256
"""How many filled templates are remembered: more than an application writes, and a bound against made-up ones."""

_LONGEST: Final = 64 * 1024
"""Characters. Longer templates are filled anew each time, so that the memory is bounded as well as the number."""

_SHOWN: Final = 40
"""Letters of an unknown variable that an error shows."""

_UNKNOWN: Final = "NOSCRIPT No matching script"
"""How every server says that it does not know a hash. A script may answer NOSCRIPT of its own, when it has run."""


class Program(Generic[R]):
    """A script's text with what follows from it; immutable by convention, to be shared by threads, tasks and clients.

    Attributes:
        text: The Lua text.
        sha: Its SHA1 as 40 hexadecimal digits, by which servers know it.
        readonly: Whether it goes out as EVALSHA_RO and EVAL_RO.

    Args:
        text: The Lua text.
        readonly: Whether it writes nothing.
        decode: Turns what it returns into the result.
        raw: Whether strings it returns are read as bytes, whatever the client reads, and never thawed.
    """

    __slots__ = ("_by_hash", "_by_text", "readonly", "sha", "text")

    def __init__(
        self,
        text: str | bytes,
        *,
        readonly: bool = False,
        decode: Callable[[Any], R] | None = None,
        raw: bool = False,
    ) -> None:
        if not isinstance(text, str | bytes):
            raise UsageError(f"a script is text, as str or bytes, not {type(text).__name__}")
        try:
            data = text.encode() if isinstance(text, str) else text
        except UnicodeEncodeError:
            raise UsageError("the script holds a lone surrogate, which UTF-8 cannot carry") from None
        self.text: str | bytes = text
        self.sha: str = digest(data)
        self.readonly: bool = readonly
        as_stored = False if raw else None
        self._by_hash = spec("EVALSHA_RO" if readonly else "EVALSHA", decode, text=as_stored)
        self._by_text = spec("EVAL_RO" if readonly else "EVAL", decode, text=as_stored)

    def shaped(self, decode: Callable[[Any], Q] | None) -> Program[Q]:
        """Return the same program, whose result another function makes; its hash is not computed again."""
        made: Program[Q] = object.__new__(Program)
        made.text, made.sha, made.readonly = self.text, self.sha, self.readonly
        made._by_hash = spec(self._by_hash.name, decode, text=self._by_hash.text)
        made._by_text = spec(self._by_text.name, decode, text=self._by_text.text)
        return made

    def by_hash(self, keys: Words, args: Words) -> tuple[Spec, Words]:
        """Return the command that runs it on a server that knows it."""
        return self._by_hash, (self._by_hash.name, self.sha, len(keys), *keys, *args)

    def by_text(self, keys: Words, args: Words) -> tuple[Spec, Words]:
        """Return the command that runs it on any server, which knows it from then on."""
        return self._by_text, (self._by_text.name, self.text, len(keys), *keys, *args)


def digest(data: bytes) -> str:
    """Return the SHA-1 of bytes, as servers write it: 40 hexadecimal digits."""
    return sha1(data, usedforsecurity=False).hexdigest()


def is_unknown(error: NoScriptError) -> bool:
    """Tell whether the server did not know the hash, and so has executed nothing."""
    return error.message.startswith(_UNKNOWN)


def words_of(keys: Key | Iterable[Key], args: Arg | Iterable[Arg]) -> tuple[Words, Words]:
    """Return a script's keys and arguments as words; one string stands for itself, not for its letters."""
    if isinstance(keys, dict) or isinstance(args, dict):
        raise UsageError("a script takes keys and args in a row; lua() takes them by name")
    return some_args("a script", keys), _some("a script", args)


def fill(
    template: str,
    keys: Mapping[str, Key] | Key | Iterable[Key],
    args: Mapping[str, Arg] | Arg | Iterable[Arg],
    readonly: bool = False,
) -> tuple[Program[Any], Words, Words]:
    """Return the program of a template, and the words for its KEYS and ARGV.

    Args:
        template: Lua text in which `_:name` stands for a key or an argument; `KEYS[1]` and `ARGV[1]` may be used too.
        keys: The keys by name, or in a row, without names.
        args: The arguments by name, or in a row.
        readonly: Whether the program writes nothing.

    Raises:
        UsageError: A name has another form than a letter followed by letters, digits and `_?!*-`, or is given twice;
            or the text has a variable whose name is not given.
    """
    if not isinstance(template, str):
        raise UsageError(f"a Lua template is a str, not {type(template).__name__}")
    key_names, key_words = _parted(keys, some_args)
    arg_names, arg_words = _parted(args, _some)
    make = _program if len(template) <= _LONGEST else _program.__wrapped__
    return make(template, key_names, arg_names, readonly), key_words, arg_words


def _parted(given: Any, several: Callable[[str, Any], Words]) -> tuple[tuple[Any, ...], Words]:
    """Return names and words; no names for what came in a row, of which `several` makes words."""
    if not isinstance(given, Mapping):
        return (), several("a Lua template", given)
    return tuple(given), tuple(given.values())


def _some(what: str, args: Any) -> Words:
    """Return arguments as words; a single number stands for itself as a string does."""
    return (args,) if isinstance(args, int | float) else some_args(what, args)


@lru_cache(_TEMPLATES)
def _program(template: str, key_names: tuple[Any, ...], arg_names: tuple[Any, ...], readonly: bool) -> Program[Any]:
    places: dict[str, str] = {}
    for table, names in (("KEYS", key_names), ("ARGV", arg_names)):
        for number, name in enumerate(names, 1):
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise UsageError(
                    f"name {number} for {table} of a Lua template is none: a letter, then letters, digits and _?!*-"
                )
            if name in places:
                raise UsageError(f"name {number} for {table} of a Lua template is the name of a key already")
            places[name] = f"{table}[{number}]"

    def place(found: re.Match[str]) -> str:
        where = places.get(found[1])
        if where is None:
            raise UsageError(
                f"the Lua template has `_:{found[1][:_SHOWN]}`, and neither keys nor args has that name "
                "(`-` and `*` belong to a name; write a space before an operator)"
            )
        return where

    return Program(_VARIABLE.sub(place, template), readonly=readonly)


class ScriptQueue:
    """What a pipeline and a transaction have for scripts: each batch carries the text of each program once.

    No other client's SCRIPT FLUSH comes between the commands of a transaction, so that none of its calls can end with
    NOSCRIPT; one that comes into the middle of a pipeline leaves NoScriptError in the calls behind it, which have not
    run. To send those once more would change the order of the pipeline.
    """

    if TYPE_CHECKING:

        def _queue(self, spec: Spec, words: Words) -> Reply[Any]: ...

    _carried: set[str]
    """The hashes whose text is in the queue already; empty when the queue is."""

    def lua(
        self,
        template: str,
        keys: Mapping[str, Key] | Key | Iterable[Key] = (),
        args: Mapping[str, Arg] | Arg | Iterable[Arg] = (),
        *,
        readonly: bool = False,
    ) -> Reply[Any]:
        """Queue a Lua script whose variables have names, as `client.lua` does.

        Args:
            template: Lua text in which `_:name` stands for a key or an argument.
            keys: Every key that it touches, by name or in a row.
            args: What else it needs, by name or in a row.
            readonly: Send it as EVAL_RO (from 7.0).

        Raises:
            UsageError: A name that cannot be one, or a variable whose name is not given; nothing was queued.
        """
        return self._queue_program(*fill(template, keys, args, readonly=readonly))

    def _queue_program(self, program: Program[R], keys: Words, args: Words) -> Reply[R]:
        """Queue a call, with the text where it is the first of its program in this batch."""
        first = program.sha not in self._carried
        reply = self._queue(*(program.by_text if first else program.by_hash)(keys, args))
        self._carried.add(program.sha)
        return reply
