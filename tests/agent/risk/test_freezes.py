"""Freeze quantities out of a list: by key, by underlying, wrong ones refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.errors import SettingRefused
from agent.risk.freezes import parse_freezes, with_freeze
from tests.agent.risk.scenes import CASH, FUTURE

LIST = "symbol,freeze_quantity\nB,1\nA,500\nNFO:A,1800\nNFO:A26DECFUT,900\n"


def test_a_list_is_read_by_key_and_a_symbol_alone_is_of_nse() -> None:
    assert parse_freezes(LIST) == {"NSE:B": 1, "NSE:A": 500, "NFO:A": 1800, "NFO:A26DECFUT": 900}


@pytest.mark.parametrize("shares", ["0", "-1", "1,5", "1e3", "1800.5", "many", "\u0661"])
def test_a_quantity_that_is_none_is_refused_with_its_symbol(shares: str) -> None:
    with pytest.raises(SettingRefused, match=r"list\.csv, NSE:A") as refused:
        parse_freezes(f'symbol,freeze_quantity\nA,"{shares}"\n', source="list.csv")
    assert repr(shares) in str(refused.value)


def test_a_contract_has_its_own_or_its_underlying_s() -> None:
    future, freezes = replace(FUTURE, name="A"), parse_freezes(LIST)
    assert with_freeze(future, freezes).freeze_quantity == 900
    other = replace(future, key="NFO:A27JANFUT")
    assert with_freeze(other, freezes).freeze_quantity == 1800


def test_a_share_has_its_own_alone_and_what_is_not_listed_stays() -> None:
    freezes = parse_freezes(LIST)
    assert with_freeze(CASH[0], freezes).freeze_quantity == 500
    assert with_freeze(replace(CASH[2], name="A"), freezes).freeze_quantity == 100_000
    assert with_freeze(CASH[1], {}) is CASH[1]
