"""Spec, Command and Reply, the same in both twins: what one refuses the other refuses, with the same words."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import _command

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def twins() -> dict[str, ModuleType]:
    """Return the twins that were built, by name; tests/conftest.py sees to it that none is missing unnoticed."""
    if importlib.util.find_spec("carmine._resp") is None:
        return {"python": _command}
    return {"python": _command, "cython": importlib.import_module("carmine._resp")}


def made(twin: ModuleType, name: str) -> Any:
    spec = twin.Spec("GET")
    return spec if name == "Spec" else getattr(twin, name)(spec, (b"GET", "k"))


REFUSALS = {
    "Spec": "a Spec is neither copied nor pickled: all commands of its name share it",
    "Command": "a Command is neither copied nor pickled: call its function again, with the same arguments",
    "Reply": "a Reply is neither copied nor pickled: take its value, once the pipeline was sent",
}


@pytest.mark.parametrize("twin", twins().values(), ids=list(twins()))
@pytest.mark.parametrize("name", REFUSALS)
class TestCopies:
    """A copied Spec would be another one, and a copied Reply would never be settled."""

    @pytest.mark.parametrize("attempt", [copy.copy, copy.deepcopy, pickle.dumps])
    def test_are_refused(self, twin: ModuleType, name: str, attempt: Callable[[Any], Any]) -> None:
        with pytest.raises(TypeError) as caught:
            attempt(made(twin, name))
        assert str(caught.value) == REFUSALS[name]

    def test_by_every_protocol_of_pickle(self, twin: ModuleType, name: str) -> None:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match=REFUSALS[name]):
                pickle.dumps(made(twin, name), protocol)
