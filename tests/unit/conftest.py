"""Fixtures of the unit tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.wires import TWINS, Pair

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=TWINS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Give a pair that is not open yet, of each twin in turn."""
    made = Pair(request.param)
    yield made
    made.finish()
