"""What the core was told once, at the start: numbers with units, nothing that changes.

Made by the shell from the settings (shell/settings.py says the defaults and what each is for).
Frozen: a changed setting is a new value of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from fractions import Fraction

from agent.risk.settings import MoneySettings
from agent.trailing.policy import Policy


@dataclass(frozen=True, slots=True)
class EntryRules:
    """How an entry leaves, and what stops it before."""

    max_slip_bp: int = 5
    ttl_ms: int = 10_000
    min_fill: int = 1
    spread_bp_max: int = 10
    since: time = time(9, 20)
    until: time = time(14, 45)
    shorts_until: time = time(14, 0)
    patience_ms: int = 60_000
    circuit_stop_distances: int = 2


@dataclass(frozen=True, slots=True)
class ExitRules:
    """The ladder: limit, wider limit, protected market, a person."""

    slips_bp: tuple[int, ...] = (5, 25)
    rung_ms: int = 2_000
    trigger_wait_ms: int = 1_000
    entry_wait_ms: int = 2_000
    market_protection: int = -1
    lead_ms: int = 30_000
    flat_by: time = time(15, 5)


@dataclass(frozen=True, slots=True)
class ProtectRules:
    """The protective order: its limit lies a gap beyond its trigger."""

    gap_share: Fraction = Fraction(1, 100)
    gap_atr: Fraction = Fraction(2)
    gap_ticks: int = 5
    derivative_gap_share: Fraction = Fraction(3, 100)
    unprotected_ms_max: int = 5_000


@dataclass(frozen=True, slots=True)
class LookupRules:
    """How long a lost answer is looked for, and when a silent change is read again."""

    first_ms: int = 300
    patient_ms: int = 4_000
    entry_ms: int = 120_000
    exit_ms: int = 3_000
    confirm_ms: int = 1_000
    retry_ms: int = 500


@dataclass(frozen=True, slots=True)
class WatchRules:
    """What counts as blind, and how often the books are read without a reason."""

    stale_ms: int = 15_000
    silent_ms: int = 10_000
    poll_ms: int = 10_000
    positions_every: int = 6
    skew_warn_ms: int = 2_000
    skew_stop_ms: int = 5_000
    model_timeout_ms: int = 2_000


@dataclass(frozen=True, slots=True)
class SignalRules:
    """Who is asked, how they are weighed, and what two opinions make."""

    weights: Mapping[str, Fraction] = field(default_factory=lambda: {"model": Fraction(1)})
    require: tuple[str, ...] = ()
    least: Fraction = Fraction(0)
    opposite: str = "hold"  # hold | close | reverse


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything together."""

    instance: str
    live: bool = False
    product: str = "MIS"
    model: str | None = None
    interval: str = "day"
    window: int = 61
    universe: tuple[str, ...] = ()
    policy: Policy | None = None
    sectors: Mapping[str, str] | None = None  # None: the sector limit is off
    allow_policy_mismatch: bool = False
    allow_without_gate: bool = False
    entry: EntryRules = EntryRules()
    exit: ExitRules = ExitRules()
    protect: ProtectRules = ProtectRules()
    lookup: LookupRules = LookupRules()
    watch: WatchRules = WatchRules()
    signals: SignalRules = field(default_factory=SignalRules)
    money: MoneySettings = field(default_factory=MoneySettings)
