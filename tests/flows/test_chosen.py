"""Which dataset and model a command means that was given none."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import SettingRefused
from flows import chosen
from flows.home import Home

OWN = '[pipeline]\ndataset = "mine"\n'
OTHER = '[pipeline]\ndataset = "mine"\nmodel = "theirs"\n'


@pytest.mark.parametrize(
    ("settings", "there", "dataset", "model"),
    [
        ("", ["one"], "one", "one"),
        ("", ["kite", "other"], "kite", "kite"),  # the setting's default
        ("", ["one", "two"], None, None),
        ("", [], None, None),
        (OWN, ["mine", "theirs"], "mine", "mine"),
        (OTHER, ["mine", "theirs"], "mine", "theirs"),
        (OWN, ["one"], "one", "one"),
        (OWN, ["one", "two"], None, None),
    ],
)
def test_the_settings_choose_else_the_only_one(
    tmp_path: Path, settings: str, there: list[str], dataset: str | None, model: str | None
) -> None:
    home = Home.open(tmp_path / "home")
    (home.root / "ratchet.toml").write_text(settings)
    assert chosen.model(home, there) == model
    if dataset is not None:
        assert chosen.dataset(home, there) == dataset
        return
    with pytest.raises(SettingRefused) as refused:
        chosen.dataset(home, there)
    assert all(name in str(refused.value) for name in ("--dataset", *there))
