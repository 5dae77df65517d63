"""What locks decide without a server: keys, tokens, times (SECURITY S-17, S-25)."""

from __future__ import annotations

import dis
import hmac
import pickle
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carmine.errors import ConnectionLost, Outcome, PoolTimeout, ReadTimeout, ServerError, UsageError
from carmine.ext.locks import LeaseLost, LockNotAcquired, core
from carmine.ext.locks.keys import names_of
from carmine.protocol import key_slot

ROOT = Path(__file__).resolve().parents[3]
NAMES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text("ab{}:*?", min_size=1), st.binary(min_size=1)
)


def raw(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode()


def test_the_keys_are_the_ancestors() -> None:
    assert names_of("report") == (b"carmine:lock:report", b"carmine:lock-fence:report", b"carmine:lock-signal:report")
    assert names_of("report", braced=True).lock == b"carmine:lock:{report}"
    assert names_of("{a}b", braced=True) == names_of("{a}b")


@given(NAMES, NAMES)
def test_different_names_have_different_keys(one: str | bytes, other: str | bytes) -> None:
    """S-17: no key of one lock is any key of another."""
    mine, theirs = set(names_of(one)), set(names_of(other))
    assert len(mine) == 3
    assert (mine & theirs == set()) == (raw(one) != raw(other))
    assert (mine == theirs) == (raw(one) == raw(other))


@given(NAMES)
def test_on_a_cluster_all_three_share_a_slot(name: str | bytes) -> None:
    """S-17: and the slot is the name's, so that locks spread over the nodes."""
    if raw(name).startswith(b"}") and b"{" not in raw(name):
        with pytest.raises(UsageError, match="cannot begin with }"):
            names_of(name, braced=True)
        return
    try:
        names = names_of(name, braced=True)
    except UsageError:
        assert raw(name).startswith(b"}")
        return
    assert len({key_slot(each) for each in names}) == 1


@given(NAMES, NAMES)
def test_on_a_cluster_only_a_tag_and_its_content_meet(one: str | bytes, other: str | bytes) -> None:
    try:
        mine, theirs = names_of(one, braced=True), names_of(other, braced=True)
    except UsageError:
        return
    alike = raw(one) == raw(other) or raw(one) == b"{%b}" % raw(other) or raw(other) == b"{%b}" % raw(one)
    assert (mine == theirs) <= alike


def test_locks_spread_over_the_slots() -> None:
    slots = {key_slot(names_of(f"name-{index}", braced=True).lock) for index in range(1000)}
    assert len(slots) > 900


def test_a_token_is_compared_in_constant_time() -> None:
    """S-25: by hmac.compare_digest, and by nothing else."""
    assert core.is_mine(b"abc", "abc")
    assert not core.is_mine(b"abx", "abc")
    assert not core.is_mine(b"", "abc")
    assert not core.is_mine(None, "abc")
    assert vars(core)["compare_digest"] is hmac.compare_digest
    operations = list(dis.get_instructions(core.is_mine))
    assert [one.argval for one in operations if one.opname == "COMPARE_OP"] == []
    assert any(one.argval == "compare_digest" for one in operations)


@given(st.floats(0, 1, exclude_max=True), st.booleans(), st.none() | st.floats(0, 1e6))
def test_a_pause_is_bounded(chance: float, is_heard: bool, left: float | None) -> None:
    """A waiter that hears asks every 1.5 to 2.5 seconds at most often, unless the holder's time is over before."""
    pause = core.pause(left, is_heard, chance)
    poll = core.POLL if is_heard else core.DEAF_POLL
    assert pause <= 1.25 * poll
    assert pause >= min(0.75 * poll, float("inf") if left is None else left + 0.001)


def test_terms() -> None:
    term = core.Term(100.0, 30.0)
    assert (term.until, term.renew_at) == (130.0, 110.0)
    assert core.lasting("t", 0.0015) == ("t", 2, core.FENCE_MS)
    assert core.lasting("t", 20 * 86_400.0)[2] == 20 * 86_400_000, "a fence outlives its lease"


@pytest.mark.parametrize(
    ("problem", "answer"),
    [
        (ConnectionLost("x", outcome=Outcome.NOT_SENT), False),
        (ConnectionLost("x", outcome=Outcome.UNKNOWN), True),
        (ReadTimeout("x", outcome=Outcome.UNKNOWN), True),
        (PoolTimeout("x"), False),
        (UsageError("x"), False),
        (ServerError("ERR x"), False),
        (KeyboardInterrupt(), True),
    ],
)
def test_what_may_have_run(problem: BaseException, answer: bool) -> None:
    assert core.may_have_run(problem) is answer


@pytest.mark.parametrize("kind", [LeaseLost, LockNotAcquired])
def test_errors_can_be_pickled(kind: type[LeaseLost]) -> None:
    again = pickle.loads(pickle.dumps(kind("text", name=b"\xff")))
    assert (type(again), str(again), again.name) == (kind, "text", b"\xff")


def test_who_locks_in_threads_loads_no_asyncio() -> None:
    code = (
        "import sys, carmine.ext.locks as l; assert 'asyncio' not in sys.modules; "
        "l.AsyncLock, l.AsyncLease, l.with_lock_async; assert 'asyncio' in sys.modules; "
        "assert set(l.__all__) <= set(dir(l)); assert not hasattr(l, 'Lokc')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_scripts_are_part_of_the_package() -> None:
    """What a wheel takes along, besides modules, is named in pyproject.toml, below each package's folder."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "package-data"
    ]["*"]
    taken = {path for init in ROOT.glob("carmine/**/__init__.py") for one in patterns for path in init.parent.glob(one)}
    scripts = set(ROOT.glob("carmine/ext/**/*.lua"))
    assert len(scripts) >= 3
    assert scripts - taken == set()
