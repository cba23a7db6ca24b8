"""docs/validation.md is run: its Python, its commands, its recipe, its bounds."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import typer
from typer.testing import CliRunner

from flows import gates, model
from flows.commands import models, train
from flows.labels import EVERY, LabelSettings
from flows.validation import split

PAGE = Path(__file__).resolve().parents[3] / "docs" / "validation.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", TEXT, flags=re.DOTALL)


def test_its_python_prints_what_it_shows() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 0
    assert result.failed == 0


def test_its_commands_exist() -> None:
    app = typer.Typer()
    train.register(app)
    models.register(app)
    lines = [line[2:] for block in blocks("console") for line in block.splitlines()]
    assert lines
    for line in lines:
        program, *arguments = line.split()
        assert program == "ratchet"
        assert CliRunner().invoke(app, arguments).exit_code == 0, line


def test_its_recipe_is_one() -> None:
    (text,) = blocks("toml")
    recipe = model.parse_recipe(text, source=str(PAGE))
    assert (recipe.rounds_min, recipe.patience) == (
        model.Recipe().rounds_min,
        model.Recipe().patience,
    )


def test_its_bounds_are_the_codes() -> None:
    settings = LabelSettings()
    for said in (
        f"above {gates.ERRORS:g} errors",
        f"off by at most {gates.CALIBRATION_ERROR_MAX}",
        f"AUC at most {gates.DIRECTION_AUC_MAX:.2f}",
        f"not better by {gates.BOUNDARY_ERRORS_MAX:g} errors",
        f"{gates.STATISTICAL_DAYS_MIN} tested days and {gates.MOVED_ROWS_MIN} labels",
        f"Sharpe at least {gates.DEFLATED_SHARPE_MIN}",
        f"{gates.TRADES_MIN} trades and {gates.ECONOMIC_DAYS_MIN} tested days",
        f"first {split.FIRST_TRAIN_SHARE:.0%} of the days".replace("%", " %"),
        f"last {split.SLICE_SHARE:.0%} of a fold".replace("%", " %"),
        f"entries from {settings.entry_from} to {settings.entry_until}, flat by",
        f"flat by {settings.square_off}",
        f"max(r_short, {settings.theta_r})",
        f"{settings.spread_bps:g} by default",
        f"every {EVERY['minute']}th",
    ):
        assert said in re.sub(r"\s+", " ", TEXT), said
