"""The code of docs/datastores.md does what it says, and its tables are true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from carmine.ext.tundra import entry, envelope
from tests.ext.tundra.cloud import make_bucket, options, quick
from tests.ext.tundra.disks import place
from tests.integration.test_readme import blocks, play

__all__ = ["place"]

pytestmark = pytest.mark.one_twin

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "datastores.md").read_text(encoding="utf-8")


def test_the_code_of_the_page(place: Path) -> None:
    make_bucket(quick("s3"), "archive")
    names: dict[str, Any] = {
        "path": place / "store",
        "s3_options": options(),
        # moto keeps the tables of a region apart, and other tests have an archive of their own
        "dynamodb_options": {**options(), "region_name": "eu-west-1"},
        "__name__": "datastores",
    }
    compared = sum(play(code, names) for code in blocks("python", PAGE))
    assert compared == PAGE.count("  # -> ") > 10


def test_the_layouts_of_the_page() -> None:
    magics = [bytes.fromhex(found) for found in re.findall(r"`((?:[0-9a-f]{2} ){7}[0-9a-f]{2})`", PAGE)]
    assert magics == [envelope.MAGIC, entry.MAGIC]
    table = PAGE.partition("## Envelopes")[2].partition("Numbers are")[0]
    fixed = [int(size) for row in re.findall(r"^\| ([0-9, ]+) \|", table, re.MULTILINE) for size in row.split(",")]
    assert sum(fixed) == envelope._FIXED.size + 32
    assert "8 bytes of magic" in PAGE
    assert entry.HEAD == 8 + 1 + 4 + 8 + 4
