"""A text that LightGBM would abort on, or never answer, is refused before it sees it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bentos.booster import Booster, BoosterRefused
from bentos.features import FEATURES
from bentos.model_text import TextDamaged, check_model_text
from tests.bentos.bundles import booster_text

TEXT = booster_text(1, 3)
HEAD = TEXT.index("Tree=0")


def first(pattern: str, instead: str) -> str:
    found, times = re.subn(pattern, instead, TEXT, count=1)
    assert times == 1
    return found


#  what happened to it, the text, what is told
DAMAGED: list[tuple[str, str, str]] = [
    ("nothing there", "", "its head"),
    ("another file", "not a model", "its head"),
    ("cut in a tree", TEXT[: HEAD + 900], "tree 0"),
    ("cut between lines", TEXT[: TEXT.index("left_child")], "tree 0"),
    ("cut behind the trees", TEXT[: TEXT.index("end of trees")], "are not followed by"),
    ("a tree left out", TEXT[:HEAD] + TEXT[TEXT.index("Tree=1") :], "tree 0"),
    ("a line left out", first(r"left_child=.*\n", ""), "tree 0"),
    ("a zero byte", TEXT[:HEAD] + "\0" + TEXT[HEAD + 1 :], "zero byte"),
    ("a value too few", first(r"leaf_value=\S+ ", "leaf_value="), "tree 0"),
    ("no number", first(r"threshold=\d", "threshold=x"), "threshold does not hold"),
    ("a feature too far", first(r"split_feature=\d+", "split_feature=99"), "tree 0"),
    ("a child too far", first(r"left_child=-?\d+", "left_child=9"), "tree 0"),
    ("a leaf too far", first(r"left_child=-?\d+", "left_child=-9"), "tree 0"),
    ("its own child", first(r"left_child=-?\d+", "left_child=0"), "tree 0"),
    ("more leaves", first(r"num_leaves=\d+", "num_leaves=9"), "does not hold"),
    ("categories", first(r"num_cat=0", "num_cat=3"), "tree 0"),
]


@pytest.mark.parametrize(
    ("text", "told"), [row[1:] for row in DAMAGED], ids=[row[0] for row in DAMAGED]
)
def test_a_damaged_text_is_refused(text: str, told: str) -> None:
    with pytest.raises(TextDamaged, match=told):
        check_model_text(text.encode())
    with pytest.raises(BoosterRefused, match=r"model\.txt: "):
        Booster(text.encode(), tuple(f.name for f in FEATURES))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"linear_tree": True},
        {"num_leaves": 2},
        {"min_data_in_leaf": 400},  # trees of one leaf
        {"objective": "regression", "num_class": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("categorical", [[], [2]])
def test_what_the_library_writes_is_whole(
    parameters: dict[str, object], categorical: list[int]
) -> None:
    import lightgbm as lgb

    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(500, 3)), draw.integers(0, 3, 500)
    x[:, 2] = draw.integers(0, 12, 500)
    said = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbose": -1} | parameters
    data = lgb.Dataset(x, y, categorical_feature=categorical, params=said)
    check_model_text(lgb.train(said, data, num_boost_round=4).model_to_string().encode())
