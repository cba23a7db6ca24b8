"""docs/monitoring.md names every key of the document and every kind of finding, and the limits."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from flows.monitor import integrity, picture, quality, tails, usual, watch

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "monitoring.md").read_text(encoding="utf-8")


def _keys(function: object) -> set[str]:
    """Return the text keys of every dict that a function writes."""
    tree = ast.parse(inspect.getsource(function))  # type: ignore[arg-type]
    dicts = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    return {str(key.value) for d in dicts for key in d.keys if isinstance(key, ast.Constant)}


def test_every_key_of_the_document_is_on_the_page() -> None:
    keys = _keys(watch._watch) | _keys(watch._of_drift)
    assert len(keys) > 20
    assert {key for key in keys if f"`{key}`" not in PAGE} == set()


def test_every_kind_of_finding_is_on_the_page() -> None:
    source = inspect.getsource(integrity)
    kinds = set(re.findall(r'(?:unit\.day|day),\s*"([a-z ]+)"', source))
    assert len(kinds) == 7
    assert {kind for kind in kinds if f"| `{kind}` |" not in PAGE} == set()


def test_the_figures_on_the_page_are_those_of_the_code() -> None:
    for said, is_so in (
        ("10 % more of the rows", integrity.MISSING_MORE == 0.10),
        ("three times as far", integrity.REACH == 3.0),
        ("(four times", integrity.REACH_SLOW == 4.0),
        ("a fifth of the rows", integrity.STALE_SHARE == 0.20),
        ("blocks of 25 days", tails.BLOCK_DAYS == 25),
        ("beyond its 90 % quantile", tails.TAIL_SHARE == 0.10),
        ("one day in 21, in 90 %", (tails.MONTH_DAYS, tails.SURE) == (21, 0.90)),
        ("Less than 80 training days", tails.DAYS_MIN == 80),
        ("half a training day's", usual.ROWS_SHARE_MIN == 0.5),
        ("3 of the last 5 days", (watch.ASK_DAYS, watch.ASK_OF) == (3, 5)),
        ("Below 20 days", quality.BURN_DAYS == 20),
        ("5 % error", quality.ERROR == 0.05),
        ("above 0.3 standard", picture.DISTANCE_MAX == 0.3),
        ("fewer than 20 served", picture.ROWS_MIN == 20),
    ):
        assert said in " ".join(PAGE.split())
        assert is_so, said
