"""Every test of this folder that takes `twin` runs over both; `both` is for those that compare them."""

from __future__ import annotations

import pytest

from tests.protocol.twins import CYTHON, PYTHON, TWINS, Twin


@pytest.fixture(params=TWINS, ids=lambda twin: twin.name)
def twin(request: pytest.FixtureRequest) -> Twin:
    """Give each twin in turn."""
    one: Twin = request.param
    return one


@pytest.fixture
def both() -> tuple[Twin, Twin]:
    """Give the two twins; without the compiled one there is nothing to compare."""
    if CYTHON is None:
        pytest.skip("the Cython twin was not built")
    return CYTHON, PYTHON
