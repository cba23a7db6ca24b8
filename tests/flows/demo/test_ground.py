"""A demo empties its own folder, never another's, and runs alone in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import EnvironmentRefused, Refused
from flows import chosen
from flows.demo.ground import clean_home, settle
from flows.home import Home
from flows.settings import read_settings


def test_a_second_run_starts_empty(home: Path) -> None:
    with clean_home(home) as first:
        (first / "candles").mkdir()
        (first / "candles" / "x").touch()
    with clean_home(home) as second:
        assert [p.name for p in second.iterdir()] == [".ratchet-demo"]


def test_a_folder_that_no_demo_made_is_left_alone(home: Path) -> None:
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    with pytest.raises(EnvironmentRefused, match=r"thesis\.txt"), clean_home(home):
        pass
    assert (home / "thesis.txt").read_text() == "years of work"


def test_two_at_once_are_refused(home: Path) -> None:
    with clean_home(home), pytest.raises(Refused), clean_home(home):
        pass


def test_an_unwritable_home_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentRefused, match="file"), clean_home(tmp_path / "file"):
        pass


def test_the_homes_own_model_is_meant_where_there_are_two(home: Path) -> None:
    with clean_home(home) as root:
        settle(root, dataset="candles", model="traded")
    opened = Home.open(home)
    assert chosen.dataset(opened, ["candles", "others"]) == "candles"
    assert chosen.model(opened, ["another", "traded"]) == "traded"
    assert read_settings(home).agent.model.name == "traded"
