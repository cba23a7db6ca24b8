"""Settings: safe defaults by name, amounts in two forms, wrong ones refused with both numbers."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from agent.risk.settings import (
    DEFAULTS,
    CapitalSettings,
    MarginSettings,
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


@pytest.mark.parametrize(
    ("given", "paise"),
    [("1%", 1_000_00), ("0.25%", 250_00), (5000, 5_000_00), ("5000", 5_000_00),
     (5000.5, 5_000_50), ("0", 0), ("33.333333%", 33_333_33)],
)  # fmt: skip
def test_an_amount_is_rupees_or_a_share_of_the_capital(given: object, paise: int) -> None:
    assert parse_amount(given).paise(LAKH) == paise


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
