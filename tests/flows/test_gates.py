"""Every condition of a gate fails for its own reason, says its figures, and a pass is a pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flows.gates import Evidence, Gate, allowed, economic, fold_error, statistical

GOOD = Evidence(
    figures={
        "log_loss_gain": 0.01, "log_loss_gain_se": 0.002, "direction_auc": 0.56,
        "direction_auc_se": 0.01, "direction_gain": 0.008, "direction_gain_se": 0.002,
    },
    fold_gains=[0.009, 0.011, 0.010, 0.012, 0.008],
    calibration_error=0.02,
    boundary_errors=0.5,
    causal_rows=64,
    golden=True,
    days=500,
    moved=3000,
)  # fmt: skip


def test_a_good_forecast_passes_and_says_why() -> None:
    gate = statistical(GOOD)
    assert gate.passed
    assert "direction AUC 0.560" in gate.why
    assert gate.told()["figures"]["days"] == 500


#  id               what is wrong                                   verdict         says
ROWS: list[tuple[str, dict[str, Any], str, str]] = [
    ("few days",     {"days": 59},                                  "insufficient", "59 tested"),
    ("few moves",    {"moved": 299},                                "insufficient", "299 rows"),
    ("no gain",      {"log_loss_gain": 0.0039},                     "failed", "class shares"),
    ("folds apart", {"fold_gains": [0.05, -0.03, 0.05, -0.03]},    "failed", "class shares"),
    ("one fold",     {"fold_gains": [0.01]},                        "failed", "class shares"),
    ("no direction", {"direction_auc": 0.519},                       "failed", "is volatility"),
    ("no saving",    {"direction_gain": 0.0015},                    "failed", "more than chance"),
    ("figure gone",  {"direction_auc": None},                       "failed", "too good|direction"),
    ("too good",     {"direction_auc": 0.71},                       "failed", "look for a leak"),
    ("boundary",     {"boundary_errors": 4.5},                      "failed", "look for a leak"),
    ("golden",       {"golden": False},                             "failed", "golden answer"),
    ("calibration",  {"calibration_error": 0.06},                   "failed", "not calibrated"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wrong", "verdict", "says"), ROWS, ids=[row[0] for row in ROWS])
def test_one_thing_wrong_is_one_reason(
    name: str, wrong: dict[str, Any], verdict: str, says: str
) -> None:
    whole = {k: v for k, v in wrong.items() if k in Evidence.__slots__}
    merged = {k: v for k, v in {**GOOD.figures, **wrong}.items() if k not in whole}
    figures = {k: v for k, v in merged.items() if v is not None}
    gate = statistical(replace(GOOD, **{"figures": figures, **whole}))
    assert gate.verdict == verdict
    assert not gate.passed
    assert any(word in gate.why for word in says.split("|")), gate.why


MONEY = {
    "trades": 400.0, "days": 500.0, "net_bp_a_day": 3.0, "net_bp_a_day_se": 1.0,
    "deflated_sharpe": 0.97, "trials": 4.0,
}  # fmt: skip
MONEY_ROWS = [
    ("good", {}, "passed", "+3.0 bp a day"),
    ("no trades", {"trades": 0.0}, "insufficient", "0 trades"),
    ("short", {"days": 119.0}, "insufficient", "119 tested days"),
    ("loses", {"net_bp_a_day": -1.0}, "failed", "no more than staying flat"),
    ("within error", {"net_bp_a_day": 2.0}, "failed", "no more than staying flat"),
    ("lucky", {"deflated_sharpe": 0.94}, "failed", "may be luck"),
]


@pytest.mark.parametrize(
    ("name", "wrong", "verdict", "says"), MONEY_ROWS, ids=[r[0] for r in MONEY_ROWS]
)
def test_money_must_be_earned_after_charges_and_search(
    name: str, wrong: dict[str, float], verdict: str, says: str
) -> None:
    gate = economic(MONEY | wrong)
    assert gate.verdict == verdict
    assert says in gate.why


@pytest.mark.parametrize(
    ("skill", "money", "exercise", "where"),
    [
        ("passed", "passed", False, "live"),
        ("passed", "failed", False, "paper"),
        ("passed", "insufficient", False, "paper"),
        ("failed", "passed", False, "none"),
        ("insufficient", "passed", False, "none"),
        ("failed", "failed", True, "paper"),
        ("passed", "passed", True, "paper"),
    ],
)
def test_where_a_version_may_trade(skill: Any, money: Any, exercise: bool, where: str) -> None:
    assert allowed(Gate(skill, "", {}), Gate(money, "", {}), exercise=exercise) == where


def test_the_error_of_the_folds() -> None:
    assert fold_error([1.0, 3.0]) == pytest.approx(1.0)
    assert fold_error([1.0]) != fold_error([1.0])
