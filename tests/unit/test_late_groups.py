"""Late groups: when they are loaded (ADR 10), and what the other facades make of the sync one's methods (ADR 14)."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from typing import Any

import pytest

from carmine.commands._late import LateGroup
from carmine.commands._shared import SharedMethod, awaited, queued, share_methods
from carmine.errors import UsageError
from tests.unit.test_facades import LATE_METHODS, ROOT, Later

ASKED = """
import sys
from carmine.commands import _sync
from tools.gen_facades import LATE
class Now(_sync.Commands):
    def _execute(self, spec, words):
        return spec, words
loaded = {name for name in LATE if f"carmine.commands.{name}" in sys.modules}
assert loaded <= {"sets", "sorted_sets"}, loaded  # which a client's scan iterators name
assert Now().xlen("s")[1] == (b"XLEN", "s")
assert _sync._streams is sys.modules["carmine.commands.streams"]
assert "carmine.commands.stream_groups" not in sys.modules
assert Now().xadd("s", {"a": 1})[1] == (b"XADD", "s", "*", "a", 1)
"""


def test_a_group_is_loaded_when_a_method_of_it_is_first_called() -> None:
    done = subprocess.run([sys.executable, "-c", ASKED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_late_group_gives_its_place_to_the_module() -> None:
    place: dict[str, Any] = {}
    late = place["_streams"] = LateGroup("streams", place)
    with pytest.raises(AttributeError, match="nonsense"):
        late.nonsense  # noqa: B018  # the question is the test
    assert place == {"_streams": sys.modules["carmine.commands.streams"]}
    assert late.xlen is place["_streams"].xlen


def test_a_late_group_that_cannot_be_loaded_is_asked_again() -> None:
    place: dict[str, Any] = {}
    late = place["_nonsense"] = LateGroup("nonsense", place)
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="nonsense"):
            late.anything  # noqa: B018  # the question is the test
    assert place == {"_nonsense": late}


class Small:
    """What a facade's methods are made of."""

    def greet(self, name: str, *more: int, loud: bool = False) -> int:
        """GREET: say hello."""
        return self._execute("spec", (name, *more, loud))  # type: ignore[attr-defined,no-any-return]  # who takes it has it

    def _hidden(self) -> None: ...


def test_a_shared_method_takes_its_place_when_it_is_first_asked_for() -> None:
    class Other:
        _queue = staticmethod(lambda *asked: asked)

    share_methods(Other, Small, queued)
    assert type(vars(Other)["greet"]) is SharedMethod
    assert "_hidden" not in vars(Other)
    say: Any = Other()
    assert say.greet("x", 1, loud=True) == ("spec", ("x", 1, True))
    made = vars(Other)["greet"]
    assert inspect.isfunction(made)
    assert made is Other.greet  # type: ignore[attr-defined]  # nobody wrote it down
    assert (made.__qualname__, made.__module__) == (f"{Other.__qualname__}.greet".rpartition(".<locals>.")[2], __name__)


def test_a_subclass_asks_for_the_method_of_its_facade() -> None:
    class Other: ...

    class Below(Other):
        async def _execute(self, *asked: Any) -> Any:
            return asked

    share_methods(Other, Small, awaited)
    below: Any = Below()
    assert asyncio.run(below.greet("x")) == ("spec", ("x", False))
    assert "greet" not in vars(Below)
    assert inspect.iscoroutinefunction(vars(Other)["greet"])


def test_what_a_facade_has_written_out_stays() -> None:
    class Other:
        def greet(self) -> str:
            return "mine"

    share_methods(Other, Small, queued)
    assert Other().greet() == "mine"


def test_a_shared_coroutine_refuses_a_wrong_argument_when_it_is_awaited() -> None:
    asked = Later().xadd("s", {})
    with pytest.raises(UsageError):
        asyncio.run(asked)


def test_shared_methods_are_no_methods_until_they_are_asked_for() -> None:
    """What a program never calls costs it one small object, and no function (ADR 14)."""
    ask = (
        "from carmine.commands._pipeline import PipelineCommands as P; from carmine.commands._shared import *; "
        "print(sum(type(each) is SharedMethod for each in vars(P).values()))"
    )
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(LATE_METHODS)
