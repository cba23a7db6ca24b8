"""Whipsaw control: shallow breaches wait, deep ones do not; outliers need a second trade.

Entry 10, stop 9, tick 0.05; trades as price@seconds, with ~ for a packet that is no new trade.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from agent.trailing.ratchet import open_position, settle_by_quote, step
from agent.trailing.screen import usable
from tests.agent.trailing.paths import LONG, SHORT, plan

P = 'mode = "percent"\nstop = "1"\nshare = 0\n'
TWO = P + '[whipsaw]\nsoft_band = "0.2"\nconfirm_trades = 2\n'
HALF = P + '[whipsaw]\nsoft_band = "0.2"\nconfirm_ms = 500\n'
BOTH = P + '[whipsaw]\nsoft_band = "0.2"\nconfirm_ms = 500\nconfirm_trades = 3\n'
OUT = P + '[whipsaw]\noutlier = "0.6"\n'

#  id, policy, trades, what each did: . held, x exit, ? suspect, ~ repeated
TABLE = [
    ("second trade in a row", TWO, "8.9@0 8.9@1", ".x"),
    ("exactly the band is shallow", TWO, "8.8@0 8.8@1", ".x"),
    ("deeper exits at once", TWO, "8.75@0", "x"),
    ("deeper after shallow", TWO, "8.9@0 8.7@1", ".x"),
    ("inside resets", TWO, "8.9@0 9.05@1 8.9@2 8.9@3", "...x"),
    ("a packet is no trade", TWO, "8.9@0 8.9@0~ 8.9@0~ 8.9@1", ".~~x"),
    ("the time alone", HALF, "8.9@0 8.9@0.4 8.9@0.5", "..x"),
    ("time starts with the row", HALF, "8.9@0 9.1@0.4 8.9@0.6 8.9@1.0 8.9@1.1", "....x"),
    ("trades and time", BOTH, "8.9@0 8.9@1 8.9@2", "..x"),
    ("trades before the time", BOTH, "8.9@0 8.9@0.1 8.9@0.2 8.9@0.6", "...x"),
    ("a suspect runs no step", OUT, "8.9@0", "?"),
    ("exactly outlier is believed", OUT, "9.4@0 8.8@1", ".x"),
    ("the next trade agrees", OUT, "8.8@0 8.85@1", "?x"),
    ("a quarter of the jump", OUT, "8.8@0 8.5@1", "?x"),
    ("more than a quarter", OUT, "8.8@0 8.45@1 8.4@2", "??x"),
    ("it does not agree: forgotten", OUT, "8.8@0 9.9@1 9.6@2", "?.."),
    ("3,000 ms later anything is believed", OUT, "8.8@0 8@3", "?x"),
    ("2,999 ms are not enough", OUT, "8.8@0 8@2.999", "??"),
    ("back is believed after 3,000 ms", OUT, "8.8@0 9.9@3 9.95@4", "?.."),
    ("its repeated packet settles nothing", OUT, "8.8@0 8.8@0~ 8.8@1", "?~x"),
]  # fmt: skip
MARK = {"held": ".", "exit": "x", "trail": "t"}


@pytest.mark.parametrize("side", [LONG, SHORT])
@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_breaches_and_outliers(row: tuple, side) -> None:
    _, text, trades, wanted = row
    made = plan(text, side)
    state, did, volume = open_position(made), "", 0
    for trade in trades.split():
        price, _, at = trade.rstrip("~").partition("@")
        volume += 0 if trade.endswith("~") else 10
        value = Decimal(price) if side is LONG else 20 - Decimal(price)
        state, result = step(
            made, state, made.ticks(value), ts_ms=int(Decimal(at) * 1000), volume=volume
        )
        repeated = result.reason is not None and "repeats" in result.reason
        did += MARK.get(result.event) or ("~" if repeated else "?")
    assert did == wanted


def test_a_target_is_never_delayed() -> None:
    made = plan(TWO + "", LONG)
    made = plan('target = "1"\n' + TWO)
    _, result = step(made, open_position(made), made.ticks(Decimal(11)), ts_ms=0)
    assert (result.event, result.reason) == ("exit", "target")


def test_a_quote_that_agrees_settles_a_suspect() -> None:
    made = plan(OUT)
    state, _ = step(made, open_position(made), 176, ts_ms=0)
    same, result = settle_by_quote(made, state, 199, ts_ms=100)
    assert (same, result.event) == (state, "held")
    _, result = settle_by_quote(made, state, 177, ts_ms=100)
    assert (result.event, result.price) == ("exit", 177)


def test_what_is_a_price() -> None:
    assert [usable(p) for p in (1, Decimal(1), 1.0, True, 0, None, "1")] == [True] + [False] * 6
