"""What type checkers must say of a client's options: each may be written as one would write it.

Checked by mypy --strict and basedpyright, never run. An ignored line must be an error: one that is none is reported.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from datetime import timedelta
from typing import assert_type

from carmine import AsyncClient, Client
from carmine.retry import Retry


def made(seen: list[object]) -> None:
    assert_type(Client(check=("borrow",)), Client[str])
    assert_type(Client(check=("borrow", "return")), Client[str])
    assert_type(Client(check=["idle"]), Client[str])
    assert_type(Client(check={"idle"}), Client[str])
    assert_type(Client(check=()), Client[str])
    assert_type(AsyncClient(decode=False, check=("idle",)), AsyncClient[bytes])
    assert_type(Client(on_connect=seen.append, retry=Retry(1), max_lifetime=timedelta(hours=1)), Client[str])
    Client(check=("never",))  # type: ignore[arg-type]
