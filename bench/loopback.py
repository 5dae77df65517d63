"""A loopback of the benchmark's own, where the kernel lets us have one.

Why: with BBR as congestion control, every loopback connection is paced by what BBR came to believe of it, and one 10
MiB reply takes 1.6 ms on one connection and 3.4 on the next, for as long as they live. The setting is the machine's,
and not ours to change; inside a network namespace of our own it is. There the connections are alike, and nobody
else's traffic.

Knows Linux; elsewhere, and without the right to it, the machine's loopback is used and the result says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import socket
import struct
import sys
from pathlib import Path

_NEW_NETWORK = 0x40000000
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1
_CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")


def describe() -> str:
    """Return how TCP is steered here."""
    return _CONGESTION.read_text().strip() if _CONGESTION.exists() else "unknown congestion control"


def enter() -> str:
    """Move this process, and all that it starts from now on, to a loopback of its own.

    Returns:
        What came of it, for the result file.
    """
    if not sys.platform.startswith("linux"):
        return "the machine's loopback"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK) != 0:
        return f"the machine's loopback, {describe()} (a namespace of our own was refused)"
    _raise_loopback()
    # The plainest control is allowed in every namespace; where even this is refused, what is reported tells.
    with contextlib.suppress(OSError):
        _CONGESTION.write_text("reno\n")
    return f"a loopback of its own, {describe()}"


def _raise_loopback() -> None:
    with socket.socket() as sock:
        name = struct.pack("16sh", b"lo", 0)
        _, flags = struct.unpack("16sh", fcntl.ioctl(sock, _GET_FLAGS, name))
        fcntl.ioctl(sock, _SET_FLAGS, struct.pack("16sh", b"lo", flags | _UP))
