from collections.abc import Iterable, Sequence
from typing import Any, final

from carmine.commands._command import Command as Command
from carmine.commands._command import Reply as Reply
from carmine.commands._command import ReplyQueue as ReplyQueue
from carmine.commands._command import Spec as Spec
from carmine.commands._command import flags_of as flags_of
from carmine.commands._command import modes_of as modes_of
from carmine.commands._command import rows_of as rows_of
from carmine.commands._command import settle_each as settle_each
from carmine.commands._command import words_of as words_of
from carmine.protocol.limits import Limits
from carmine.types import Arg, Key

__all__ = [
    "Command",
    "Parser",
    "Reply",
    "ReplyQueue",
    "Spec",
    "encode",
    "encode_many",
    "flags_of",
    "key_slot",
    "modes_of",
    "rows_of",
    "settle_each",
    "words_of",
]

@final
class Packer: ...

def encode(*words: Arg) -> bytes: ...
def encode_many(commands: Iterable[Sequence[Arg]]) -> bytes: ...
def key_slot(key: Key) -> int: ...

@final
class Parser:
    decode: bool
    push_decode: bool
    each: bool
    attributes: bool
    def __init__(
        self, protocol: int = 3, decode: bool = False, limits: Limits = ..., attributes: bool = False
    ) -> None: ...
    @property
    def protocol(self) -> int: ...
    @protocol.setter
    def protocol(self, version: int) -> None: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def is_idle(self) -> bool: ...
    @property
    def is_in_push(self) -> bool: ...
    def feed(self, data: bytes | bytearray | memoryview) -> None: ...
    def get_buffer(self, hint: int) -> memoryview: ...
    def received(self, count: int) -> None: ...
    def feed_eof(self) -> None: ...
    def next_reply(self) -> Any: ...
