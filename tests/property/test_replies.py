"""Properties of the parsers: what was sent is what comes out, however it is cut; nonsense never does harm."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carmine.protocol import NEED_DATA, Limits
from tests.property.replies import Wire, cuts, wires
from tests.protocol.streams import Mode, observe, told
from tests.protocol.twins import TWINS, Twin

TWIN = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
common = settings(deadline=None, max_examples=300)

modes = st.builds(
    Mode,
    protocol=st.sampled_from([2, 3]),
    decode=st.booleans(),
    push_decode=st.booleans(),
    each=st.booleans(),
    attributes=st.booleans(),
    limits=st.one_of(st.just(Limits()), st.builds(Limits, *[st.integers(0, 6)] * 4)),
    by_buffer=st.booleans(),
)
noise = st.lists(
    st.one_of(
        st.sampled_from(list(b"+-:$*_#,(=!%~|>;.")).map(lambda byte: bytes([byte])),
        st.sampled_from(
            [b"\r\n", b"\r", b"\n", b"-1", b"?", b"0", b"1", b"2", b"10", b"inf", b"t", b"txt:", b"OK", b"\xff"]
        ),
        st.binary(max_size=4),
    ),
    max_size=40,
).map(b"".join)


@TWIN
@common
@given(data=st.data(), sent=wires)
def test_what_was_sent_comes_out(twin: Twin, data: st.DataObject, sent: list[Wire]) -> None:
    parser = twin.parser(3, attributes=True)
    seen: list[Any] = []
    for piece in data.draw(cuts(b"".join(wire.data for wire in sent))):
        parser.feed(piece)
        while (value := parser.next_reply()) is not NEED_DATA:
            seen.append(value)
    assert parser.is_idle
    assert [told(value) for value in seen] == [told(wire.value) for wire in sent]


@TWIN
@common
@given(data=st.data(), stream=noise, mode=modes)
def test_nonsense_is_seen_alike_however_it_is_cut(twin: Twin, data: st.DataObject, stream: bytes, mode: Mode) -> None:
    whole = observe(twin.parser, [stream], mode, exact=False)
    assert observe(twin.parser, data.draw(cuts(stream)), mode, exact=False) == whole


@pytest.mark.skipif(len(TWINS) < 2, reason="the Cython twin was not built")
@common
@given(
    data=st.data(), stream=st.one_of(noise, wires.map(lambda sent: b"".join(wire.data for wire in sent))), mode=modes
)
def test_the_twins_agree(data: st.DataObject, stream: bytes, mode: Mode) -> None:
    pieces = data.draw(cuts(stream))
    first, second = (observe(twin.parser, pieces, mode) for twin in TWINS)
    assert first == second
