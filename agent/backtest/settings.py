"""What a simulation is run by: the agent's own rules, and the few things that are only here.

The rules are the live agent's (agent/core/rules.py), so that what is simulated is what would
trade. Added: how long calls take, when a signal is heard, and how a day is set up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.rules import Rules, WatchRules
from agent.errors import SettingRefused

MODEL = "backtest"
INSTANCE = "bktt"  # the four characters of its orders' tags
CLOSE_DELAY_MS = 1_000  # a candle closes a second after its boundary: agent/market/candles.py


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a message is on its way, ms; constant, so that a run repeats.

    Parameters
    ----------
    out_ms : int
        From the agent's decision until the broker has the call. The exchange adds its own 40 ms
        until an order stands (agent/paper/desk.py).
    back_ms : int
        From there until an answer, or an order update, is heard.
    model_ms : int
        From the question until the model's answer is heard.
    """

    out_ms: int = 50
    back_ms: int = 50
    model_ms: int = 50

    def __post_init__(self) -> None:
        for name in ("out_ms", "back_ms", "model_ms"):
            given = getattr(self, name)
            if not 0 <= given <= 60_000:
                raise SettingRefused(
                    f"latency.{name}",
                    given=given,
                    allowed="0 to 60000 ms",
                    fix="give milliseconds",
                )


@dataclass(frozen=True, slots=True)
class Settings:
    """A simulation's settings.

    Parameters
    ----------
    rules : Rules
        The agent's; `model`, `interval`, `window` and `universe` in it are set from below.
    policy : str
        TOML of the trailing policy of signals that bring none. `rules.policy` goes over all.
    interval : str, in Kite's words
        The model's candles: the ATR that a policy asks for is of these.
    window : int, candles
        What a signal function is shown of each symbol; 0 for rows.
    latency : Latency
    cash_paise : int or None
        What the account has each morning; None is the rules' capital.
    signal_delay_ms : int
        A row is heard so long after its instant, and a model's answer takes `latency.model_ms` on
        top: a live candle closes a second after its boundary.
    poll_ms : int
        How often the order book is read without a reason while something is open. The live agent
        does so every ten seconds in case an update is lost; here none is.
    keep_notes : bool
        Whether the result carries every line that the agent would have journaled.
    """

    rules: Rules = field(
        default_factory=lambda: Rules(instance=INSTANCE, watch=WatchRules(stale_ms=60_000))
    )
    policy: str = ""
    interval: str = "minute"
    window: int = 0
    latency: Latency = Latency()
    cash_paise: int | None = None
    signal_delay_ms: int = CLOSE_DELAY_MS
    poll_ms: int = 60_000
    keep_notes: bool = False

    @property
    def cash(self) -> int:
        """What the account has each morning, paise."""
        given = self.cash_paise
        return self.rules.money.capital.paise if given is None else given
