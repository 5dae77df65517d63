"""A client's serializer: any plain value as an argument that is no key, and back out of replies.

Pure: a command goes in and comes out as another, whose values are frozen and whose decoder thaws; engine, pipeline and
transaction do with it what they do with any command. The reply is read as bytes and shaped by its own decoder first,
so that no stored value can be taken for a part of the reply's shape; then every string that begins with a marker is
thawed, unless it is a key or another name, and the others become what the client reads. A script's decoder is the
caller's, and comes last. Invariants: keys and the command's own words go out, and come back, as they were; what cannot
be thawed is an error of that reply alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from carmine.commands.command import Spec
from carmine.commands.flags import UNKNOWN
from carmine.commands.values import KEYED, NAMES, PARTS, VALUES, value_places
from carmine.errors import DecodeError, ThawError, UsageError
from carmine.freezing import MARKS, USER, Raw, freeze, thaw
from carmine.freezing.limits import is_spread
from carmine.protocol.values import Attributed, Members, Pairs, Verbatim
from carmine.stream_types import RepeatedFields
from carmine.transport.credentials import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Reply, Words

__all__ = ["Serializing"]

_CAS: Final = Spec("compare and set")

_CACHED: Final = 4096
"""Specs remembered: more than there are; those of the raw door are made anew for each way of spelling a name."""

_SMALLEST: Final = -(1 << 63)
_LARGEST: Final = (1 << 64) - 1

_VALUES: Final = (bool, list, tuple, dict, set, frozenset)
"""What a caller may have meant as a value where a command takes none; all else the encoder judges."""


class Serializing:
    """Turns commands into those of a client with a serializer.

    Args:
        serializer: True for carmine's own format, or an object with `dumps` and `loads`, or the two as a pair.
        text: Whether strings without a marker are read as str.
    """

    def __init__(self, serializer: Any, text: bool) -> None:
        self._text = text
        self._specs: dict[Spec, Spec] = {}
        self._dumps, self._loads = _functions(serializer)

    def __call__(self, spec: Spec, words: Words) -> tuple[Spec, Words]:
        """Return the command with its values frozen, and the Spec whose decoder thaws its reply."""
        return self._spec(spec), self.outgoing(spec, words)

    def queue(self, add: Callable[[Spec, Words], Reply[Any]]) -> Callable[[Spec, Words], Reply[Any]]:
        """Return a function that queues commands by `add`, with their values frozen."""
        return lambda spec, words: add(*self(spec, words))

    def stored(self, value: Any) -> Any:
        """Return a value as it is stored, by a name that no serializer touches again.

        Raises:
            UsageError: It cannot be frozen.
        """
        return self._frozen(_CAS, value)

    @staticmethod
    def untouched(data: bytes) -> Raw:
        """Return stored bytes as an argument that stays as it is."""
        return Raw(data)

    def read(self, data: bytes) -> Any:
        """Return the value of a string as it is stored.

        Raises:
            ThawError, DecodeError: As for a reply.
        """
        return self.incoming("GET", data)

    # Out. ------------------------------------------------------------------------------------------------------------

    def outgoing(self, spec: Spec, words: Words) -> Words:
        """Return the words with their values frozen.

        Raises:
            UsageError: A value that cannot be frozen, or one where a command takes none.
        """
        places = value_places(spec.name, words) if spec.name in VALUES else ()
        made: list[Any] | None = None
        for at in places:
            word: Any = words[at]
            if type(word) is str:  # by far the most frequent
                if word[:1] == "\0":
                    raise _nul(spec)
                continue
            frozen = self._frozen(spec, word)
            if frozen is not word:
                made = made or list(words)
                made[at] = frozen
        part = words[PARTS[spec.name] :][:1] if spec.name in PARTS else ()
        if any(isinstance(word, str) and word[:1] == "\0" for word in part):
            raise _nul(spec)
        result: Words = words if made is None else tuple(made)
        for word in result:
            if word is None or isinstance(word, _VALUES):
                raise UsageError(
                    f"{spec.name} has no place for a {type(word).__name__} there: only values are frozen, "
                    "not keys, numbers and options; carmine.freeze() makes bytes of anything"
                )
        return result

    def _frozen(self, spec: Spec, value: Any) -> Any:
        kind = type(value)
        if kind is Raw or kind is Secret:
            return value
        if kind is int and _SMALLEST <= value <= _LARGEST:
            return value
        if kind is float and value == value:
            return value
        if kind is bytearray or kind is memoryview:
            value, kind = bytes(value), bytes
        if value is None or kind is bytes or self._dumps is None:
            return freeze(value)
        return self._dumped(spec, value)

    def _dumped(self, spec: Spec, value: Any) -> Any:
        """Return what the user's own serializer makes of a value."""
        try:
            data = self._dumps(value)
        except Exception as problem:
            raise UsageError(
                f"the serializer could not write the {type(value).__name__} given to {spec.name}: "
                f"it raised {type(problem).__name__}"
            ) from problem
        if not isinstance(data, bytes | bytearray | memoryview):
            raise UsageError(f"dumps() of a serializer must return bytes, not {type(data).__name__}")
        return Raw(USER + data)

    # In. -------------------------------------------------------------------------------------------------------------

    def _spec(self, spec: Spec) -> Spec:
        if spec.text is not None or spec.name in NAMES:
            return spec  # its strings are the server's own, or names, or a payload that nobody looks into
        known = self._specs.get(spec)
        if known is None:
            known = self._made(spec)
            if not spec.flags & UNKNOWN:
                if len(self._specs) >= _CACHED:
                    self._specs.clear()
                self._specs[spec] = known
        return known

    def _made(self, spec: Spec) -> Spec:
        name, shape = spec.name, spec.decode
        read = self.each if name == "EXEC" else self.incoming
        is_callers = name.startswith("EVAL")  # it is to see values, and nothing is to be done to what it makes of them

        def decode(raw: Any) -> Any:
            if shape is None:
                return read(name, raw)
            return shape(read(name, raw)) if is_callers else read(name, shape(raw))

        return Spec(name, spec.flags, decode=decode, text=False, block=spec.block, keys=spec.keys)

    def incoming(self, name: str, reply: Any) -> Any:
        """Return a shaped reply, read as bytes, with its values thawed and its other strings as the client reads them.

        Raises:
            ThawError: A string begins with a marker and cannot be thawed; `.command` is `name`.
            DecodeError: A string without a marker is not UTF-8, and the client reads text.
        """
        try:
            return self._keyed(reply) if name in KEYED else self._read(reply)
        except ThawError as error:
            error.command = name
            raise
        except RecursionError:
            pass
        raise ThawError("the reply is nested deeper than the calling thread's stack allows", command=name)

    def each(self, name: str, replies: Any) -> Any:
        """Return the replies of EXEC, each for itself: what cannot be read is an error in its place."""
        if type(replies) is not list:
            return self.incoming(name, replies)
        made: list[Any] = []
        for reply in replies:
            try:
                made.append(self.incoming(name, reply))
            except (ThawError, DecodeError) as error:
                made.append(error)
        return made

    def _keyed(self, reply: Any) -> Any:
        """Return a reply whose strings in the first place are keys, which were never frozen."""
        if isinstance(reply, dict):
            return {self._plain(key): self._read(value) for key, value in reply.items()}
        if type(reply) is list and reply and type(reply[0]) is list:  # of XREAD, unshaped, on RESP2
            return [self._keyed(pair) for pair in reply]
        if isinstance(reply, list | tuple) and reply:
            made = (self._plain(reply[0]), *map(self._read, reply[1:]))
            return tuple.__new__(type(reply), made) if isinstance(reply, tuple) else list(made)
        return self._read(reply)

    def _read(self, value: Any) -> Any:
        kind = type(value)
        if kind is bytes:
            return self._string(value)
        if kind is list:
            return [self._read(item) for item in value]
        if value is None or kind is int or kind is float or kind is bool or kind is str:
            return value
        if isinstance(value, tuple):
            return tuple.__new__(kind, map(self._read, value))
        if isinstance(value, list):  # Pairs, Members, Push
            return kind(map(self._read, value))
        if isinstance(value, dict):
            return self._map(value)
        if isinstance(value, set):
            return _set([self._read(item) for item in value])
        if kind is Verbatim:
            return Verbatim(value.format, self._plain(value.data))
        if kind is Attributed:
            return Attributed(self._read(value.value), self._read(value.attributes))
        return value

    def _string(self, data: bytes) -> Any:
        if data[:1] == b"\0" and data[:2] in MARKS:
            if self._loads is not None and data[:2] == USER:
                return self._loaded(data[2:])
            return thaw(data)
        return self._plain(data)

    def _plain(self, data: Any) -> Any:
        if not self._text or type(data) is not bytes:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
        raise DecodeError(data)

    def _loaded(self, data: bytes) -> Any:
        try:
            return self._loads(data)
        except Exception as problem:
            raise ThawError(f"the serializer could not read it: it raised {type(problem).__name__}") from problem

    def _map(self, told: dict[Any, Any]) -> Any:
        pairs = [(self._read(key), self._read(item)) for key, item in told.items()]
        made = _dict(pairs)
        if type(told) is RepeatedFields and type(made) is dict:
            made = RepeatedFields(made)
            made.pairs = [(self._read(key), self._read(item)) for key, item in told.pairs]
        return made


def _dict(pairs: list[tuple[Any, Any]]) -> Any:
    """Return a dict, or Pairs where a thawed key has no hash, is equal to another, or may collide on purpose."""
    try:
        if is_spread([key for key, _ in pairs]):
            made = dict(pairs)
            if len(made) == len(pairs):
                return made
    except TypeError:
        pass
    return Pairs(pairs)


def _set(items: list[Any]) -> Any:
    """Return a set, or Members by the rule of `_dict`."""
    try:
        if is_spread(items):
            made = set(items)
            if len(made) == len(items):
                return made
    except TypeError:
        pass
    return Members(items)


def _functions(serializer: Any) -> tuple[Any, Any]:
    """Return `dumps` and `loads`, both None for carmine's own format."""
    if serializer is True:
        return None, None
    return serializer if isinstance(serializer, tuple) else (serializer.dumps, serializer.loads)


def _nul(spec: Spec) -> UsageError:
    return UsageError(
        f"a str given to {spec.name} begins with NUL, and could be taken for a frozen value when it is read; "
        "carmine.freeze() keeps it as it is, carmine.raw() sends it anyway"
    )
