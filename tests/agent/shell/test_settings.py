"""Settings: safe defaults, file under environment, typos refused with key and numbers."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from agent.errors import SettingRefused
from agent.market.sessions import NSE
from agent.shell.run import Options, run
from agent.shell.settings import AgentSettings, calendar_of, read_settings, rules_of


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("RATCHET_AGENT__", "KITE_")):
            monkeypatch.delenv(name)


def written(home: Path, text: str) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    (home / "ratchet.toml").write_text(text)
    return home


def test_the_defaults_are_the_safe_ones(home: Path) -> None:
    rules = rules_of(read_settings(home), instance="abcd", live=False)
    assert rules.money.risk.max_open_positions == 3
    assert str(rules.money.sizing.risk) == "0.25%"
    assert str(rules.money.risk.max_daily_loss) == "1%"
    assert rules.money.risk.min_price == 50
    assert (rules.entry.max_slip_bp, rules.entry.ttl_ms, rules.entry.spread_bp_max) == (
        5,
        10_000,
        10,
    )
    assert f"{rules.entry.since:%H:%M}-{rules.entry.until:%H:%M}" == "09:20-14:45"
    assert f"{rules.entry.shorts_until:%H:%M} {rules.exit.flat_by:%H:%M}" == "14:00 15:05"
    assert rules.exit.market_protection == -1
    assert rules.lookup.entry_ms == 120_000


def test_the_file_is_read_and_the_environment_wins(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(home, "[agent.risk]\nmax_open_positions = 2\nmax_trades = 9\n[serving]\nport = 1\n")
    monkeypatch.setenv("RATCHET_AGENT__RISK__MAX_TRADES", "5")
    monkeypatch.setenv("RATCHET_AGENT__RISK__MAX_DAILY_LOSS", "5000")
    found = read_settings(home)
    assert found.risk.max_open_positions == 2
    assert found.risk.max_trades == 5
    assert found.risk.max_daily_loss.paise(0) == 500_000
    assert isinstance(found, AgentSettings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[agent.risk]\nmax_open_position = 2\n", "max_open_position"),
        ("[agent.entry]\nttl_s = -1\n", "entry.ttl_s"),
        ("[agent.exit]\nslips_bp = []\n", "exit.slips_bp"),
        ("[agent.capital]\nlong_share = 80\nshort_share = 40\nmode = 'separate'\n", "80"),
        ("[agent]\nlive = true\n", "live"),
        ("[agent.broker]\naccess_token = 'x'\n", "access_token"),
        ("[agent\n", "TOML"),
    ],
)
def test_a_wrong_setting_fails_at_the_start_with_its_key(home: Path, text: str, words: str) -> None:
    with pytest.raises(SettingRefused, match=words):
        read_settings(written(home, text))


def test_no_entry_is_allowed_after_the_closing_of_the_day_has_begun(home: Path) -> None:
    def read(until: str, flat_by: str, lead_s: int) -> AgentSettings:
        return read_settings(
            written(
                home,
                f"[agent.entry]\nuntil = {until}\n[agent.exit]\nflat_by = {flat_by}\n"
                f"lead_s = {lead_s}\n",
            )
        )

    assert read("15:00:00", "15:05:00", 300).exit.lead_s == 300
    with pytest.raises(SettingRefused, match=r"agent\.entry\.until.*agent\.exit\.flat_by") as late:
        read("15:00:01", "15:05:00", 300)
    assert "at most 15:00:00, when the closing of the day begins" in str(late.value)
    with pytest.raises(SettingRefused, match=r"agent\.entry\.until"):
        read("15:10:00", "15:05:00", 30)
    with pytest.raises(SettingRefused, match=r"agent\.entry\.until"):
        read("00:00:01", "15:05:00", 86_400)


def test_the_sector_file_switches_the_sector_limit_on(home: Path) -> None:
    table = home / "sectors.csv"
    written(home, f'[agent.market]\nsectors_file = "{table}"\n[agent.risk]\nmax_sector = "30%"\n')
    table.write_text("symbol,sector\nINFY,IT\nNSE:TCS,IT\n")
    rules = rules_of(read_settings(home), instance="one", live=False)
    assert rules.sectors == {"NSE:INFY": "IT", "NSE:TCS": "IT"}
    table.write_text("symbol\nINFY\n")
    with pytest.raises(SettingRefused, match="symbol and sector"):
        rules_of(read_settings(home), instance="one", live=False)
    table.unlink()
    with pytest.raises(SettingRefused, match="sectors_file"):
        rules_of(read_settings(home), instance="one", live=False)


def test_the_sessions_file_gives_exactly_its_days(home: Path) -> None:
    days = home / "days.json"
    written(home, f'[agent.market]\nsessions_file = "{days}"\n')
    days.write_text('["2025-11-03", "2025-11-08"]')
    calendar = calendar_of(read_settings(home))
    assert calendar.is_open(date(2025, 11, 8))  # a Saturday
    assert not calendar.is_open(date(2025, 11, 4))
    days.write_text('{"2025": 1}')
    with pytest.raises(SettingRefused, match="sessions_file"):
        calendar_of(read_settings(home))
    assert calendar_of(AgentSettings()) is NSE


# where orders may go


@pytest.mark.parametrize(
    ("rest", "live", "clock", "words"),
    [
        ("https://api.kite.trade", False, False, "--live"),
        ("http://127.0.0.1:1", True, True, "--clock exchange"),
        ("https://api.kite.trade", True, False, "KITE_API_KEY"),
    ],
    ids=["the broker without --live", "live in lock-step", "live without a session"],
)
def test_real_money_needs_its_word(
    home: Path, monkeypatch: pytest.MonkeyPatch, rest: str, live: bool, clock: bool, words: str
) -> None:
    monkeypatch.setenv("RATCHET_AGENT__BROKER__REST_URL", rest)
    monkeypatch.setenv("RATCHET_AGENT__BROKER__TICKER_URL", rest.replace("http", "ws"))
    home.mkdir()
    with pytest.raises(SettingRefused, match=words):
        run(Options(home, live=live, exchange_clock=clock), {})


def test_by_default_the_roots_are_the_brokers_and_so_refused_without_live(home: Path) -> None:
    home.mkdir()
    with pytest.raises(SettingRefused, match=r"api\.kite\.trade"):
        run(Options(home), {})


#  id, ratchet.toml
SECRETS_IN_THE_FILE = [
    ("a list", '[agent.notices]\nurls = ["tgram://token/1"]'),
    ("one", '[agent.notices]\nurls = "tgram://token/1"'),
    ("dotted", 'agent.notices.urls = ["mailto://user:word@example.com"]'),
    ("none, but the place for them", "[agent.notices]\nurls = []"),
]


@pytest.mark.parametrize(
    "toml", [row[1] for row in SECRETS_IN_THE_FILE], ids=[row[0] for row in SECRETS_IN_THE_FILE]
)
def test_addresses_with_tokens_are_refused_in_the_file_and_not_shown(
    tmp_path: Path, toml: str
) -> None:
    """As `ratchet config check` and `ratchet up` do; the message says where they belong."""
    (tmp_path / "ratchet.toml").write_text(toml)
    with pytest.raises(SettingRefused) as refused:
        read_settings(tmp_path)
    told = str(refused.value)
    assert "RATCHET_AGENT__NOTICES__URLS" in told
    assert str(tmp_path / "secrets.env") in told
    assert "://" not in told


def test_addresses_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATCHET_AGENT__NOTICES__URLS", '["tgram://token/1"]')
    assert read_settings(tmp_path).notices.urls == ("tgram://token/1",)
