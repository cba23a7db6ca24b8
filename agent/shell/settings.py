"""What a person may set of the agent; the defaults live here (and agent/risk/settings.py) alone.

One file, `ratchet.toml` in the home folder, section `[agent]`; every key by environment, too
(`RATCHET_AGENT__RISK__MAX_DAILY_LOSS=5000`), which wins. Unknown keys are refused. Secrets
are never in the file: KITE_API_KEY, KITE_API_SECRET, KITE_ACCESS_TOKEN and the notices' addresses
come from the environment or the secrets file.
"""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from agent.core.rules import (
    EntryRules,
    ExitRules,
    ProtectRules,
    Rules,
    SignalRules,
    WatchRules,
)
from agent.errors import SettingRefused
from agent.market.sessions import NSE, Calendar
from agent.risk.freezes import parse_freezes
from agent.risk.sectors import parse_sectors
from agent.risk.settings import (
    CapitalSettings,
    MarginSettings,
    MoneySettings,
    RiskSettings,
    SizingSettings,
)
from agent.secrets import SECRETS
from agent.trailing.policy import Policy

FILE: Final = "ratchet.toml"
REST_URL: Final = "https://api.kite.trade"
TICKER_URL: Final = "wss://ws.kite.trade"
NOTICES: Final = "RATCHET_AGENT__NOTICES__URLS"
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BrokerSettings(_Part):
    """Where the broker is; the paper exchange is another root, nothing else."""

    rest_url: str = Field(REST_URL, description="Root of the broker's REST API.")
    ticker_url: str = Field(TICKER_URL, description="Root of the broker's ticker.")
    timeout_s: Seconds = Field(5.0, description="Time-out of one call, seconds.")
    product: Literal["MIS"] = Field("MIS", description="Product of the orders.")


class ModelSettings(_Part):
    """Where the served model is."""

    url: str = Field("http://127.0.0.1:13000", description="Root of the served model.")
    name: str = Field("", description="Model name; empty: the only one that is served.")
    timeout_s: Seconds = Field(2.0, description="Time-out of one prediction call, seconds.")


class MarketSettings(_Part):
    """Which days trade, and which symbols."""

    sessions_file: Path | None = Field(
        None, description="JSON list of dates: the only trading days (replays of foreign data)."
    )
    universe: tuple[str, ...] = Field((), description="Symbols; empty: those of the model.")
    sectors_file: Path | None = Field(
        None, description="CSV of symbol and sector, for `risk.max_sector`."
    )
    freeze_file: Path | None = Field(
        None, description="CSV of symbol and freeze_quantity: the most that one order may carry."
    )
    interval: str = Field("day", description="Candle interval where no model says one.")
    window: Annotated[int, Field(ge=2, le=2_000)] = Field(
        61, description="Candles where no model says how many."
    )


class EntrySettings(_Part):
    """How an entry leaves, and what stops it before."""

    max_slip_bp: Annotated[int, Field(ge=0, le=200)] = Field(
        5, description="Limit beyond the best opposite price, basis points (at least a tick)."
    )
    ttl_s: Seconds = Field(10.0, description="An entry is withdrawn after this, seconds.")
    min_fill_lots: Annotated[int, Field(ge=1)] = Field(
        1, description="Lots that a part-filled entry must have to be kept."
    )
    spread_bp_max: Annotated[int, Field(ge=1, le=1_000)] = Field(
        10, description="Widest spread to enter at, basis points."
    )
    since: time = Field(time(9, 20), description="First entry of a normal day, India.")
    until: time = Field(time(14, 45), description="No entry from here on.")
    shorts_until: time = Field(time(14, 0), description="No short entry from here on.")
    patience_s: Seconds = Field(
        60.0, description="How long a signal waits for a quote that lets it enter, seconds."
    )


class ExitSettings(_Part):
    """The exit ladder and the end of the day."""

    slips_bp: Annotated[tuple[int, ...], Field(min_length=1, max_length=5)] = Field(
        (5, 25), description="Limits through the best opposite price, rung by rung, basis points."
    )
    rung_s: Seconds = Field(2.0, description="Time on a rung of the ladder, seconds.")
    trigger_wait_s: Seconds = Field(1.0, description="Triggered and unfilled: then the ladder.")
    market_protection: Annotated[int, Field(ge=-1, le=100)] = Field(
        -1, description="Protection of the market rung: -1 automatic, or percent."
    )
    flat_by: time = Field(time(15, 5), description="Intraday positions are flat by then, India.")
    lead_s: Seconds = Field(30.0, description="The closing starts at least so long before.")


class ProtectSettings(_Part):
    """The protective order."""

    gap_percent: Annotated[Decimal, Field(gt=0, le=20)] = Field(
        Decimal(1), description="Limit beyond the trigger, percent of the trigger."
    )
    gap_atr: Annotated[Decimal, Field(ge=0, le=20)] = Field(
        Decimal(2), description="... or this many ATRs of one minute, if more."
    )
    gap_ticks: Annotated[int, Field(ge=1)] = Field(5, description="... or this many ticks.")
    unprotected_s_max: Seconds = Field(5.0, description="Without a stop so long: the exit.")


class WatchSettings(_Part):
    """What counts as blind."""

    stale_s: Seconds = Field(60.0, description="A packet older than this lets nothing enter.")
    silent_s: Seconds = Field(10.0, description="No frame for so long: the ticker is dead.")
    poll_s: Seconds = Field(10.0, description="The order book is read so often while in a trade.")
    skew_stop_s: Seconds = Field(5.0, description="A clock so far off lets nothing enter.")


class SignalSettings(_Part):
    """Who is asked, and how the opinions are weighed."""

    weights: dict[str, float] = Field(
        default_factory=lambda: {"model": 1.0},
        description="Signal agents and their weights: model, momentum, mean_reversion.",
    )
    require: tuple[str, ...] = Field((), description="Agents that must all agree.")
    least: Annotated[float, Field(ge=0)] = Field(0.0, description="Least strength to act on.")
    opposite: Literal["hold", "close", "reverse"] = Field(
        "hold", description="A signal against an open position."
    )


class TrailingSettings(_Part):
    """An own policy instead of the version's."""

    policy: Path | None = Field(None, description="Policy file used instead of the version's.")
    allow_policy_mismatch: bool = Field(False, description="Allow that with --live.")
    allow_without_gate: bool = Field(
        False, description="On paper: trade versions that may not trade anywhere."
    )


class NoticeSettings(_Part):
    """Where notices go. The addresses hold tokens: they are never read from ratchet.toml."""

    urls: tuple[str, ...] = Field((), description="apprise targets.")
    least: Literal["info", "warning", "alarm"] = Field("info", description="From this level on.")


class ControlSettings(_Part):
    """The local control API."""

    port: Annotated[int, Field(ge=0, le=65_535)] = Field(13010, description="Loopback port.")


class JournalSettings(_Part):
    """What is kept."""

    events: bool = Field(True, description="Keep every event: a day can be replayed.")
    keep_days: Annotated[int, Field(ge=1)] = Field(30, description="How long events are kept.")


class AgentSettings(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="RATCHET_AGENT__", env_nested_delimiter="__"
    )

    broker: BrokerSettings = BrokerSettings()
    model: ModelSettings = ModelSettings()
    market: MarketSettings = MarketSettings()
    entry: EntrySettings = EntrySettings()
    exit: ExitSettings = ExitSettings()
    protect: ProtectSettings = ProtectSettings()
    watch: WatchSettings = WatchSettings()
    signals: SignalSettings = SignalSettings()
    trailing: TrailingSettings = TrailingSettings()
    capital: CapitalSettings = Field(default_factory=CapitalSettings)
    sizing: SizingSettings = Field(default_factory=SizingSettings)
    risk: RiskSettings = Field(default_factory=RiskSettings)
    margin: MarginSettings = Field(default_factory=MarginSettings)
    notices: NoticeSettings = NoticeSettings()
    control: ControlSettings = ControlSettings()
    journal: JournalSettings = JournalSettings()


def read_settings(home: Path) -> AgentSettings:
    """Return the settings of a home: its file, and the environment over it.

    Raises
    ------
    SettingRefused
        Naming the key, what was found and what is allowed; also for a secret in the file.
    """
    path = home / FILE

    class _Read(AgentSettings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del init_settings, env_settings, dotenv_settings, file_secret_settings
            sources: list[PydanticBaseSettingsSource] = [_Variables(settings_cls)]
            if path.exists() and not path.is_file():
                raise SettingRefused(
                    str(path), given="no file", allowed="TOML", fix="move it away: ratchet init"
                )
            if path.is_file():
                sources.append(_Section(settings_cls, path))
            return tuple(sources)

    try:
        found = _Read()
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingRefused(
            f"agent.{where}",
            given="(hidden)" if where.startswith("notices") else repr(first.get("input"))[:120],
            allowed=first["msg"],
            fix=f"mend it in {path} or in RATCHET_AGENT__{where.upper().replace('.', '__')}",
        ) from None
    except (ValueError, OSError) as fault:
        raise SettingRefused(
            str(path), given=str(fault), allowed="TOML", fix="mend that line"
        ) from fault
    _entries_end_first(found)
    return found


def _entries_end_first(settings: AgentSettings) -> None:
    """Refuse entries after the closing of the day has begun: they would be bought to be sold."""
    until, leave = settings.entry.until, settings.exit
    day = date.min + timedelta(days=2)  # any day: a lead of a day fits before it
    starts = datetime.combine(day, leave.flat_by.replace(tzinfo=None)) - timedelta(
        seconds=leave.lead_s
    )
    if datetime.combine(day, until.replace(tzinfo=None)) > starts:
        raise SettingRefused(
            "agent.entry.until",
            given=f"{until}, with agent.exit.flat_by {leave.flat_by} and lead_s {leave.lead_s:g}",
            allowed=f"at most {starts.time()}, when the closing of the day begins",
            fix="an earlier agent.entry.until, or a later agent.exit.flat_by",
        )


class _Variables(EnvSettingsSource):
    """The environment; lists as JSON, or items with commas, as the other program reads them."""

    def __call__(self) -> dict[str, Any]:
        """Return what is set; a variable of no section is an error, not ignored."""
        sections = {name.lower() for name in self.settings_cls.model_fields}
        prefix = self.env_prefix.lower()
        for name in self.env_vars:
            if name.lower().startswith(prefix):
                section = name.lower().removeprefix(prefix).partition("__")[0]
                if section not in sections:
                    raise SettingRefused(
                        name.upper(),
                        given="a variable of no section",
                        allowed=", ".join(sorted(sections)),
                        fix="see `ratchet config check` for all keys",
                    )
        return super().__call__()

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Return a list or a table as it is spelt out."""
        text = str(value).strip()
        if text.startswith(("[", "{")):
            try:
                return json.loads(text)
            except ValueError as fault:
                raise SettingRefused(
                    f"{self.env_prefix}…{field_name.upper()}",
                    given="text that cannot be read",
                    allowed="JSON, or items with commas",
                    fix=str(fault),
                ) from fault
        if get_origin(field.annotation) in {tuple, list}:
            return [item.strip() for item in text.split(",") if item.strip()]
        return super().decode_complex_value(field_name, field, value)


class _Section(TomlConfigSettingsSource):
    """The section `[agent]` of the file; the others are other programs'."""

    def __init__(self, settings_cls: type[BaseSettings], path: Path) -> None:
        super().__init__(settings_cls, toml_file=path)
        section = self.init_kwargs.get("agent", {})
        if not isinstance(section, dict):
            raise SettingRefused(
                f"agent in {path}", given=repr(section), allowed="a table", fix="write [agent]"
            )
        notices = section.get("notices", {})
        if isinstance(notices, dict) and "urls" in notices:
            raise SettingRefused(
                f"agent.notices.urls in {path}",
                given="a secret in a file that is not one",
                allowed=f"the environment ({NOTICES}) or {path.with_name(SECRETS)}",
                fix="move it there, and replace its token if others could read the file",
            )
        self.init_kwargs: dict[str, Any] = dict(section)


def calendar_of(settings: AgentSettings) -> Calendar:
    """Return the calendar: NSE's, or exactly the days of `market.sessions_file`.

    Raises
    ------
    SettingRefused
        If the file is not a JSON list of dates.
    """
    path = settings.market.sessions_file
    if path is None:
        return NSE
    try:
        days = [date.fromisoformat(day) for day in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as fault:
        raise SettingRefused(
            "agent.market.sessions_file",
            given=f"{path}: {fault}",
            allowed='a JSON list of dates: ["2025-11-03"]',
            fix="write one, or remove the key",
        ) from fault
    return Calendar.of_days(days)


def rules_of(settings: AgentSettings, *, instance: str, live: bool) -> Rules:
    """Return the settings as the core takes them.

    Raises
    ------
    SettingRefused
        If an own policy or a sector file cannot be read.
    """
    entry, leave, protect, watch = settings.entry, settings.exit, settings.protect, settings.watch
    model = "model" in {*settings.signals.weights, *settings.signals.require}
    return Rules(
        instance=instance,
        live=live,
        product=settings.broker.product,
        model=settings.model.name if model else None,
        interval=settings.market.interval,
        window=settings.market.window,
        universe=settings.market.universe,
        policy=_policy(settings.trailing.policy),
        sectors=_sectors(settings.market.sectors_file),
        allow_policy_mismatch=settings.trailing.allow_policy_mismatch,
        allow_without_gate=settings.trailing.allow_without_gate,
        entry=EntryRules(
            max_slip_bp=entry.max_slip_bp,
            ttl_ms=_ms(entry.ttl_s),
            min_fill=entry.min_fill_lots,
            spread_bp_max=entry.spread_bp_max,
            since=entry.since,
            until=entry.until,
            shorts_until=entry.shorts_until,
            patience_ms=_ms(entry.patience_s),
        ),
        exit=ExitRules(
            slips_bp=leave.slips_bp,
            rung_ms=_ms(leave.rung_s),
            trigger_wait_ms=_ms(leave.trigger_wait_s),
            market_protection=leave.market_protection,
            lead_ms=_ms(leave.lead_s),
            flat_by=leave.flat_by,
        ),
        protect=ProtectRules(
            gap_share=Fraction(protect.gap_percent) / 100,
            gap_atr=Fraction(protect.gap_atr),
            gap_ticks=protect.gap_ticks,
            unprotected_ms_max=_ms(protect.unprotected_s_max),
        ),
        watch=WatchRules(
            stale_ms=_ms(watch.stale_s),
            silent_ms=_ms(watch.silent_s),
            poll_ms=_ms(watch.poll_s),
            skew_stop_ms=_ms(watch.skew_stop_s),
        ),
        signals=SignalRules(
            weights={
                name: Fraction(weight).limit_denominator(10_000)
                for name, weight in settings.signals.weights.items()
            },
            require=settings.signals.require,
            least=Fraction(settings.signals.least).limit_denominator(10_000),
            opposite=settings.signals.opposite,
        ),
        # one order an entry, whatever `slices` says: see `slices_note`
        money=MoneySettings(
            settings.capital,
            settings.sizing.model_copy(update={"slices": 1}),
            settings.risk,
            settings.margin,
        ),
    )


def slices_note(settings: AgentSettings) -> str | None:
    """Say that an entry is one order where the settings ask for more.

    A position has one exit order, and that may not be above the freeze quantity either: what
    further slices brought in would be without a stop.
    """
    asked = settings.sizing.slices
    if asked == 1:
        return None
    return (
        f"agent.sizing.slices is {asked}: the agent enters one order a signal, of at most the "
        "exchange's freeze quantity, because the one stop of a position is under it, too"
    )


def _policy(path: Path | None) -> Policy | None:
    if path is None:
        return None
    try:
        return Policy.parse(path.read_text(encoding="utf-8"), source=str(path))
    except OSError as fault:
        raise SettingRefused(
            "agent.trailing.policy", given=f"{path}: {fault.strerror}", allowed="a policy file",
            fix="mend the path",
        ) from fault  # fmt: skip


def freezes_of(settings: AgentSettings) -> dict[str, int]:
    """Return the freeze quantities that `market.freeze_file` lists; none without one.

    Raises
    ------
    SettingRefused
        If it cannot be read.
    """
    path = settings.market.freeze_file
    return {} if path is None else parse_freezes(_csv(path, "freeze_file"), source=str(path))


def _sectors(path: Path | None) -> dict[str, str] | None:
    return None if path is None else parse_sectors(_csv(path, "sectors_file"), source=str(path))


def _csv(path: Path, key: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise SettingRefused(
            f"agent.market.{key}",
            given=f"{path}: {fault}",
            allowed="a CSV file with a header and the column symbol",
            fix="mend the path, or remove the key",
        ) from fault


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
