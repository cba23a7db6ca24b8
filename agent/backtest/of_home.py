"""The agent's own settings of a home, as a simulation takes them.

The one file of this room that reads anything: `ratchet.toml` and the environment, by the live
agent's own reader, so that what is simulated is what would trade.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from agent.backtest.settings import INSTANCE, Settings
from agent.shell.settings import read_settings, rules_of


def settings_of_home(home: Path, *, interval: str, policy: str = "") -> Settings:
    """Return the settings of a simulation by the agent's rules of a home.

    The signals are heard as the model's: the other signal agents are left out, and none is
    required beside it.

    Parameters
    ----------
    home : Path
    interval : str
        Of the model's candles.
    policy : str
        TOML for signals that bring none.

    Raises
    ------
    SettingRefused
        Naming the key, what was found and what is allowed.
    """
    rules = rules_of(read_settings(home), instance=INSTANCE, live=False)
    heard = replace(rules.signals, weights={"model": Fraction(1)}, require=())
    return Settings(replace(rules, signals=heard), policy, interval)
