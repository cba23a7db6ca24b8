"""Signals as rows, as a model version or a file gives them, and how the agent hears them.

A row is an opinion on one symbol at one instant: the side, what it is worth, until when it may be
acted on, and which version with which trailing policy said so. The agent knows no rows: it is
told what its served model would have answered (`events.Prediction`), and each version is described
to it with its policy, as the service would. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent.core.commands import AskModel
from agent.core.events import Prediction, VersionInfo
from agent.core.levels import policy_of
from agent.errors import SettingRefused
from agent.market.instruments import Side

SPOKEN: Final = {Side.LONG: "BUY", Side.SHORT: "SELL", None: "HOLD"}
ALLOWED: Final = "paper"


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One opinion.

    Parameters
    ----------
    ts_ms : int, epoch ms
        When it was known: the close of the candle that it was made from, never before.
    key : str, as NSE:INFY
    side : Side or None
        None is HOLD: an opinion that opens nothing, and that the trailing policy may listen to.
    strength : float, >= 0
        Who goes first at the capital; in R where the model can say so.
    valid_until_ms : int, epoch ms
        No entry from then on.
    version : str
    policy : str
        TOML of the version's trailing policy; "" takes `Settings.policy`.
    heard_ms : int, epoch ms
        When the agent hears of it; set by the simulation.
    """

    ts_ms: int
    key: str
    side: Side | None
    strength: float = 1.0
    valid_until_ms: int = 0
    version: str = "signals"
    policy: str = ""
    heard_ms: int = 0


# Asked when candles close, about the symbols whose window is whole: what would be answered?
SignalFunction = Callable[[AskModel], Iterable[SignalRow]]
Signals = Sequence[SignalRow] | SignalFunction


class Versions:
    """The versions that spoke, each with one policy, under names that the agent is told.

    A version that speaks with two policies is two to the agent, as two versions would be.

    Parameters
    ----------
    fallback : str
        The policy of rows that bring none.
    """

    def __init__(self, fallback: str) -> None:
        self._fallback = fallback
        self._names: dict[tuple[str, str], str] = {}
        self._infos: dict[str, VersionInfo] = {}

    def infos(self) -> tuple[VersionInfo, ...]:
        """Return what the service would say of each of them."""
        return tuple(self._infos.values())

    def prediction(self, row: SignalRow) -> Prediction:
        """Return a row as the served model's answer.

        Raises
        ------
        SettingRefused
            If neither the row nor the settings have a policy, or it cannot be used.
        """
        worth = max(row.strength, 0.0)
        return Prediction(
            row.key,
            SPOKEN[row.side],
            self._name(row),
            "backtest",
            str(row.ts_ms),
            er_long=worth if row.side is Side.LONG else 0.0,
            er_short=worth if row.side is Side.SHORT else 0.0,
            valid_until_ms=row.valid_until_ms,
        )

    def _name(self, row: SignalRow) -> str:
        policy = row.policy or self._fallback
        at = (row.version, policy)
        known = self._names.get(at)
        if known is not None:
            return known
        if not policy:
            raise SettingRefused(
                f"signal of {row.key}",
                given="no trailing policy",
                allowed="a policy in the row or in the settings",
                fix="set policy",
            )
        policy_of(policy)  # a wrong one is told now, not as a refusal of each signal
        others = sum(version == row.version for version, _ in self._names)
        name = f"{row.version}.{others + 1}" if others else row.version
        self._names[at] = name
        self._infos[name] = VersionInfo(name, policy, ALLOWED)
        return name


def by_instant(rows: Iterable[SignalRow]) -> Mapping[int, tuple[SignalRow, ...]]:
    """Return rows by the instant at which they are heard, oldest first, keys in order.

    Raises
    ------
    SettingRefused
        If one symbol has two opinions at one instant.
    """
    found: dict[int, dict[str, SignalRow]] = {}
    for row in rows:
        at = found.setdefault(row.heard_ms, {})
        if row.key in at:
            raise SettingRefused(
                f"signals of {row.key}",
                given=f"two known at {row.ts_ms} ms",
                allowed="one for each symbol and instant",
                fix="keep one of them",
            )
        at[row.key] = row
    return {ts: tuple(at[key] for key in sorted(at)) for ts, at in sorted(found.items())}
