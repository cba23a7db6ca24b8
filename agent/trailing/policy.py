"""What does the policy file say? TOML text to exact settings; and `plan_for`, the way to a plan.

Pure: the caller reads the file. The text itself stays with the policy and its SHA-256 names it,
because a model version is released together with the policy that its labels were made with.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from agent.errors import SettingRefused
from agent.market.instruments import Side
from agent.trailing.distance import Distance, parse_distance
from agent.trailing.plan import Opening, Plan, build_plan
from agent.trailing.policy_keys import Table, lock_of, mode_of, volatility_of

BROKER_MODIFICATIONS_MAX = 25  # Kite, per order; the 26th is refused and the order stays live


@dataclass(frozen=True, slots=True)
class PlannerSettings:
    """How the order at the exchange follows the desired stop.

    Parameters
    ----------
    buffer : Distance
        How far behind the desired stop the placed one trails.
    modifications : int
        What one order may be modified, the reserve included; at most the broker's 25.
    reserve : int
        Modifications kept for the exit.
    quiet_ms : int
        After so long without a new desired stop the last one is sent.
    """

    buffer: Distance
    modifications: int = BROKER_MODIFICATIONS_MAX
    reserve: int = 3
    quiet_ms: int = 2000


@dataclass(frozen=True, slots=True)
class Whipsaw:
    """When a breach is not believed at once; all off by default."""

    confirm_trades: int | None = None
    confirm_ms: int | None = None
    soft_band: Distance | None = None
    outlier: Distance | None = None


@dataclass(frozen=True, slots=True)
class Overtrading:
    """Limits for the agent and the backtest: per symbol and side, per symbol and day."""

    cooldown_s: int = 0
    max_round_trips: int | None = None


@dataclass(frozen=True, slots=True)
class SignalRules:
    """What the model's latest signal does to an open position."""

    extend_only_while_agrees: bool = False
    tighten_on_flip: Distance | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A trailing policy, parsed and checked as far as no entry price is needed."""

    text: str
    source: str
    mode: str
    stop: Distance
    target: Distance | None
    step: Distance | None
    move: Distance | None
    continuous: bool
    share: Fraction | None
    multiple: Fraction | None
    min_distance: Distance | None
    activation: Distance | None
    lock: Distance | str | None
    max_distance: Distance | None
    min_gap: Distance | None
    follow: Fraction
    max_extension: Distance | None
    volatility: tuple[Fraction, Fraction] | None
    planner: PlannerSettings
    whipsaw: Whipsaw
    overtrading: Overtrading
    signal: SignalRules

    @property
    def sha256(self) -> str:
        """The SHA-256 of the text, hexadecimal: what a model version carries as its tag."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def parse(cls, text: str, *, source: str = "policy") -> Policy:
        """Read a policy.

        Parameters
        ----------
        text : str
            TOML.
        source : str
            What messages call it: a file name.

        Raises
        ------
        SettingRefused
            If it is not TOML, or a key is unknown, missing, another mode's, or out of its range.
        """
        try:
            values = tomllib.loads(text, parse_float=Decimal)
        except (tomllib.TOMLDecodeError, ValueError, RecursionError) as fault:
            raise SettingRefused(
                source, given=str(fault), allowed="TOML", fix="mend that line"
            ) from fault
        table = Table(source, values)
        mode = mode_of(table)
        stop = table.distance("stop")
        if stop is None:
            raise table.refuse("stop", "a distance", "add it")
        step = table.distance("step")
        if step is not None and step.amount == 0:
            raise table.refuse("step", "a distance above 0", "raise it")
        if "target" not in values:
            for key in ("follow", "max_extension"):
                if key in values:
                    raise SettingRefused(
                        table.subject(key),
                        given=f"{key} = {values[key]} without a target",
                        allowed="follow and max_extension only beside a target",
                        fix=f"add target = ..., or remove {key}",
                    )
        return cls(
            text=text,
            source=source,
            mode=mode,
            stop=stop,
            target=table.distance("target"),
            step=step,
            move=table.distance("move"),
            continuous=table.flag("continuous"),
            share=table.number("share", low=0, high=1),
            multiple=table.number("multiple", low=0, open_low=True),
            min_distance=table.distance("min_distance"),
            activation=table.distance("activation"),
            lock=lock_of(table),
            max_distance=table.distance("max_distance"),
            min_gap=table.distance("min_gap"),
            follow=table.number("follow", low=0) or Fraction(0),
            max_extension=table.distance("max_extension"),
            volatility=volatility_of(table),
            planner=_planner(table),
            whipsaw=_whipsaw(table),
            overtrading=_overtrading(table),
            signal=_signal(table),
        )


def plan_for(  # noqa: PLR0913  (what is known of a position at its entry, by name)
    policy: Policy,
    *,
    side: Side,
    entry: Fraction | Decimal,
    tick_size: Decimal,
    quantity: int | None = None,
    on: date | None = None,
    atr: Decimal | Fraction | None = None,
) -> Plan:
    """Resolve a policy for one position: every distance exact, every rule of the entry checked.

    Parameters
    ----------
    policy : Policy
    side : Side
    entry : Fraction or Decimal, rupees
        Average entry price; it may lie off the grid.
    tick_size : Decimal, rupees
    quantity : int, shares, optional
        Needed by `lock = "breakeven"`.
    on : date, optional
        Day of the entry, for the charges schedule; needed by `lock = "breakeven"`.
    atr : Decimal or Fraction, rupees, optional
        ATR at entry, where it is known already.

    Returns
    -------
    Plan

    Raises
    ------
    SettingRefused
        Naming both keys and numbers of the rule that the policy breaks at this entry.
    """
    return build_plan(policy, Opening(side, entry, tick_size, quantity, on, atr))


def _planner(table: Table) -> PlannerSettings:
    inner = table.table("planner") or Table(table.source, {}, "planner.")
    inner.only(("buffer", "modifications", "reserve", "quiet_ms"))
    modifications = inner.whole(
        "modifications", low=1, high=BROKER_MODIFICATIONS_MAX, default=BROKER_MODIFICATIONS_MAX
    )
    reserve = inner.whole("reserve", low=0, default=3)
    if reserve > modifications and "reserve" in inner.values:
        raise SettingRefused(
            inner.subject("reserve"),
            given=f"reserve = {reserve}",
            allowed=f"at most modifications = {modifications}",
            fix="lower reserve or raise modifications",
        )
    return PlannerSettings(
        buffer=inner.distance("buffer") or parse_distance("buffer", 0),
        modifications=modifications,
        reserve=min(reserve, modifications),
        quiet_ms=inner.whole("quiet_ms", low=0, default=2000),
    )


def _whipsaw(table: Table) -> Whipsaw:
    inner = table.table("whipsaw")
    if inner is None:
        return Whipsaw()
    inner.only(("confirm_trades", "confirm_ms", "soft_band", "outlier"))
    confirms = [key for key in ("confirm_trades", "confirm_ms") if key in inner.values]
    if bool(confirms) != ("soft_band" in inner.values):
        found = confirms[0] if confirms else "soft_band"
        raise SettingRefused(
            inner.subject(found),
            given=f"{found} = {inner.values[found]} alone",
            allowed="soft_band together with confirm_trades or confirm_ms",
            fix="add soft_band" if confirms else "add confirm_trades or confirm_ms",
        )
    return Whipsaw(
        inner.whole("confirm_trades", low=1, default=1) if "confirm_trades" in confirms else None,
        inner.whole("confirm_ms", low=0, default=0) if "confirm_ms" in confirms else None,
        inner.distance("soft_band"),
        inner.distance("outlier"),
    )


def _overtrading(table: Table) -> Overtrading:
    inner = table.table("overtrading")
    if inner is None:
        return Overtrading()
    inner.only(("cooldown_s", "max_round_trips"))
    trips = inner.whole("max_round_trips", low=0, default=0)
    return Overtrading(
        inner.whole("cooldown_s", low=0, default=0),
        trips if "max_round_trips" in inner.values else None,
    )


def _signal(table: Table) -> SignalRules:
    inner = table.table("signal")
    if inner is None:
        return SignalRules()
    inner.only(("extend_only_while_agrees", "tighten_on_flip"))
    return SignalRules(inner.flag("extend_only_while_agrees"), inner.distance("tighten_on_flip"))
