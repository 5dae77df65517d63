"""The mark for tests that no twin has a part in: they run with the compiled one, or with the only one there is."""

from __future__ import annotations

import importlib.util

import pytest

import carmine.protocol

__all__ = ["once"]

once = pytest.mark.skipif(
    carmine.protocol.__impl__ == "python" and importlib.util.find_spec("carmine._resp") is not None,
    reason="no server speaks RESP here: it runs with the other twin",
)
