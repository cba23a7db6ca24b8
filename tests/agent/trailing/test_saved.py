"""A saved trail: exact, versioned, refused when it is none."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from agent.errors import SettingRefused
from agent.trailing import saved
from agent.trailing.ratchet import open_position, step, with_circuit, with_signal
from tests.agent.trailing.paths import plan

TEXT = (
    'mode = "percent"\nstop = "1"\nshare = 0.333\nmax_distance = "2atr"\n'
    '[whipsaw]\nsoft_band = "0.2"\nconfirm_ms = 500\noutlier = "3"\n'
)


def a_state(made):
    state = with_circuit(with_signal(open_position(made, opened_ms=0), -1), (100, 400))
    for price, atr, ms in (
        (201, None, 1),
        (Fraction(1007, 5), Fraction(10007, 3333), 2),
        (300, None, 3),
    ):
        state, _ = step(made, state, price, atr, ts_ms=ms, volume=Fraction(ms))
    return state


def test_what_is_read_is_what_was_written() -> None:
    made = plan(TEXT, entry="10.003")
    state = a_state(made)
    text = saved.to_json(state)
    again = saved.from_json(made, text)
    assert saved.to_json(again) == text
    assert (again.stop, again.best, again.atr_at_entry) == (
        state.stop,
        state.best,
        Fraction(10007, 3333),
    )
    assert again.screen == state.screen
    assert again.screen.suspect == 300
    assert json.loads(text)["version"] == saved.VERSION


def test_an_older_version_is_migrated(monkeypatch) -> None:
    made = plan(TEXT)
    text = saved.to_json(a_state(made))

    def older_named_it_best(document):
        document["move_ticks"] = document.pop("best_move")
        return {**document, "version": 2}

    monkeypatch.setattr(saved, "VERSION", 2)
    monkeypatch.setitem(saved.MIGRATIONS, 1, older_named_it_best)
    older = text.replace('"move_ticks"', '"best_move"')
    assert saved.from_json(made, older).move == a_state(made).move


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version":1}', '{"version":99}', '{"version":"1"}', "null"]
)
def test_what_is_no_saved_trail_is_refused(text: str) -> None:
    with pytest.raises(SettingRefused, match="saved trail"):
        saved.from_json(plan(TEXT), text)
