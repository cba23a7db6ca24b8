"""The depth shown: ordered, a few hundred shares a level, inside the circuit, repeatable."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.paper.depth import LEVELS, SHARES_MIN, shown_around, with_orders

KEY = st.tuples(*[st.integers(0, 2**62)] * 3)


@settings(max_examples=100)
@given(st.integers(50, 200_000), st.booleans(), KEY)
def test_levels_are_ordered_around_the_last_price(last: int, rising: bool, key: tuple) -> None:
    shown = shown_around(last, rising, band=(1, 10**7), traded=5, key=key)
    bids, asks = [p for p, _ in shown.bids], [p for p, _ in shown.asks]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert len(bids) == len(asks) == LEVELS
    assert bids[0] < asks[0]
    assert last in (bids[0], asks[0])
    assert min(shares for _, shares in (*shown.bids, *shown.asks)) >= SHARES_MIN
    assert shown == shown_around(last, rising, band=(1, 10**7), traded=5, key=key)


@settings(max_examples=60)
@given(st.integers(0, 100), st.booleans(), KEY)
def test_nothing_is_shown_outside_the_circuit(above: int, rising: bool, key: tuple) -> None:
    band = (1000, 1100)
    shown = shown_around(1000 + above, rising, band=band, traded=0, key=key)
    for price, _ in (*shown.bids, *shown.asks):
        assert band[0] <= price <= band[1]
    assert (shown.asks == ()) or above < 100
    assert (shown.bids == ()) or above > 0


def test_two_instants_do_not_show_the_same_quantities() -> None:
    band = (1, 10**6)
    seen = {shown_around(1000, True, band=band, traded=0, key=(1, 2, n)).bids for n in range(50)}
    assert len(seen) == 50
    assert with_orders(((10, 300),), 5) == ((50, 300, 3),)
