"""Settings: safe defaults by name, amounts in two forms, wrong ones refused with both numbers."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from pydantic import BaseModel, ValidationError

from agent.risk.settings import (
    DEFAULTS,
    CapitalSettings,
    MarginSettings,
    MoneySettings,
    RiskSettings,
    SizingSettings,
    parse_amount,
)

LAKH = 100_000_00  # paise


def test_the_defaults_are_the_safe_ones() -> None:
    risk, sizing, capital = DEFAULTS.risk, DEFAULTS.sizing, DEFAULTS.capital.paise
    assert risk.max_open_positions == 3
    assert risk.max_gross.paise(capital) == capital  # leverage 1.0
    assert sizing.mode == "risk_per_trade"
    assert sizing.risk.paise(LAKH) == 250_00
    assert risk.max_daily_loss.paise(LAKH) == 1_000_00
    assert risk.min_price == 50
    assert risk.max_sector is None


#  every default as docs/money.md and the help tell it: a changed one moves somebody's money
SHIPPED: dict[type, dict[str, object]] = {
    CapitalSettings: {"total": "100000", "mode": "pooled", "long_share": "50",
                      "short_share": "50"},
    SizingSettings: {"mode": "risk_per_trade", "quantity": 1, "notional": "25%",
                     "risk": "0.25%", "volatility": "0.25%", "slices": 1},
    RiskSettings: {"max_open_positions": 3, "max_gross": "100%", "max_net": "100%",
                   "max_long": "100%", "max_short": "100%", "max_symbol": "40%",
                   "max_sector": None, "max_trades": 30, "max_round_trips": 6,
                   "max_daily_loss": "1%", "max_drawdown": "1.5%", "min_price": "50",
                   "allow_long": True, "allow_short": True},
    MarginSettings: {"warn_at": "80", "no_entry_at": "90", "reduce_at": "95",
                     "fallback_mis": "50", "fallback_carry": "100"},
}  # fmt: skip


@pytest.mark.parametrize("model", SHIPPED)
def test_the_settings_as_shipped(model: type[BaseModel]) -> None:
    assert model().model_dump(mode="json") == SHIPPED[model]


#  key              least and most taken      refused just beyond them
@pytest.mark.parametrize(
    ("model", "key", "taken", "refused"),
    [
        (CapitalSettings, "total", ["0.01", "1"], ["0", "-1"]),
        (CapitalSettings, "long_share", ["0", "50"], ["-0.01", "50.01"]),
        (SizingSettings, "quantity", [1, 2], [0, -1]),
        (SizingSettings, "slices", [1, 10], [0, 11]),
        (RiskSettings, "max_open_positions", [0, 1], [-1]),
        (RiskSettings, "max_trades", [0, 1], [-1]),
        (RiskSettings, "max_round_trips", [0, 1], [-1]),
        (RiskSettings, "min_price", ["0", "0.05"], ["-0.05", "-1"]),
        (MarginSettings, "warn_at", ["0", "90"], ["-0.01", "90.01"]),
        (MarginSettings, "reduce_at", ["90", "100"], ["89.99", "100.01"]),
        (MarginSettings, "fallback_mis", ["0", "100"], ["-0.01", "100.01"]),
        (MarginSettings, "fallback_carry", ["0", "100"], ["-0.01", "100.01"]),
    ],
)
def test_a_setting_is_taken_up_to_its_bounds(
    model: type[BaseModel], key: str, taken: list[object], refused: list[object]
) -> None:
    for value in taken:
        assert str(getattr(model(**{key: value}), key)) == str(value)  # type: ignore[arg-type]
    for value in refused:
        with pytest.raises(ValidationError):
            model(**{key: value})  # type: ignore[arg-type]


def test_a_setting_does_not_change_under_a_decision() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        DEFAULTS.risk.max_trades = 31
    assert DEFAULTS.capital.paise == LAKH


@pytest.mark.parametrize(
    ("given", "paise"),
    [("1%", 1_000_00), ("0.25%", 250_00), (5000, 5_000_00), ("5000", 5_000_00),
     (5000.5, 5_000_50), ("0", 0), ("0%", 0), ("33.333333%", 33_333_33)],
)  # fmt: skip
def test_an_amount_is_rupees_or_a_share_of_the_capital(given: object, paise: int) -> None:
    assert parse_amount(given).paise(LAKH) == paise


def test_the_bounds_are_the_amounts_of_the_settings_in_force() -> None:
    bounds = DEFAULTS.bounds
    assert (bounds.capital, bounds.notional, bounds.risk, bounds.volatility) == (
        LAKH, 25_000_00, 250_00, 250_00)  # fmt: skip
    own = {"max_gross": 1, "max_net": 2, "max_long": 3, "max_short": 4, "max_symbol": 5,
           "max_sector": 6, "max_daily_loss": 7, "max_drawdown": 8, "min_price": 9}  # fmt: skip
    risk = RiskSettings(**own)  # type: ignore[arg-type]
    changed = replace(DEFAULTS, risk=risk)  # an operator's change: not the old one's amounts
    told = [getattr(changed.bounds, field.name) for field in fields(changed.bounds)]
    assert told == [LAKH, 1_00, 2_00, 3_00, 4_00, 5_00, 6_00, 7_00, 8_00, 9_00,
                    25_000_00, 250_00, 250_00]  # fmt: skip
    assert replace(DEFAULTS, capital=CapitalSettings(total=1)).bounds.gross == 100  # type: ignore[arg-type]
    off = MoneySettings(risk=RiskSettings(max_sector=None, max_drawdown=None)).bounds
    assert (off.sector, off.drawdown) == (None, None)


@pytest.mark.parametrize(("rupees", "paise"), [("0", 0), ("50", 5000), ("49.991", 5000)])
def test_the_least_price_in_paise_is_rounded_up(rupees: str, paise: int) -> None:
    assert MoneySettings(risk=RiskSettings(min_price=rupees)).bounds.least_price == paise  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["-1%", "five", "", "%", "nan", -1, None, True, "1 %%"])
def test_an_amount_that_cannot_be_read_is_refused_with_its_key(given: object) -> None:
    with pytest.raises(ValidationError, match="max_daily_loss") as refused:
        RiskSettings(max_daily_loss=given)
    assert repr(given) in str(refused.value)


@pytest.mark.parametrize(
    ("model", "given", "words"),
    [
        (CapitalSettings, {"long_share": 60, "short_share": 50}, "60.*50"),
        (CapitalSettings, {"total": 0}, "greater than 0"),
        (CapitalSettings, {"mode": "shared"}, "separate"),
        (MarginSettings, {"warn_at": 95}, "95, 90"),
        (SizingSettings, {"slices": 11}, "10"),
        (RiskSettings, {"max_open_position": 3}, "max_open_position"),
    ],
)
def test_wrong_settings_are_refused(model: type, given: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        model(**given)


@pytest.mark.parametrize("model", [CapitalSettings, SizingSettings, RiskSettings, MarginSettings])
def test_every_setting_has_its_sentence_and_survives_a_round_trip(model: type) -> None:
    assert all(f.description and f.description.endswith(".") for f in model.model_fields.values())
    assert model(**model().model_dump(mode="json")) == model()
    assert model.model_json_schema()["properties"]
