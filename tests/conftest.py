"""What holds for every test: the twin under test is the one that was asked for.

In a flat layout pytest may import a package that was never built; a pass that believes to test the Cython twin would
then test the pure one in silence. ``CARMINE_EXPECT_IMPL`` says what must have been loaded, ``CARMINE_EXPECT_FROM`` from
which folder (the sanitizers' twin lives in one of its own).
"""

from __future__ import annotations

import faulthandler
import gc
import os

import pytest

import carmine.protocol


def pytest_configure() -> None:
    """Stop at once when the wrong twin was loaded, and show every thread's stack on a fatal signal."""
    faulthandler.enable()
    expected = os.environ.get("CARMINE_EXPECT_IMPL")
    loaded = carmine.protocol.__impl__
    if expected and loaded != expected:
        pytest.exit(f"CARMINE_EXPECT_IMPL is {expected}, but carmine.protocol loaded the {loaded} twin", returncode=3)
    folder = os.environ.get("CARMINE_EXPECT_FROM", "")
    if not carmine.protocol.__file__.startswith(folder):
        pytest.exit(f"carmine was to be loaded from {folder}, but came from {carmine.protocol.__file__}", returncode=3)


def pytest_collection_finish() -> None:
    """Take the tests themselves out of what the garbage collector looks through, thousands of times."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> str:
    """Say which cell of the matrix this run is."""
    server = os.environ.get("CARMINE_TEST_SERVER", "the embedded default")
    scale = os.environ.get("CARMINE_TEST_SCALE", "0.05")
    return f"carmine: {carmine.protocol.__impl__} twin, server {server}, scale {scale}"
