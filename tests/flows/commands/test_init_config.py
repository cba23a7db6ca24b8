"""`ratchet init` and `ratchet config check`: what a person types on the first day."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.errors import Refused, SettingRefused
from agent.shell.settings import read_settings as read_agent_settings
from flows.cli import app


def run(*arguments: str, environ: dict[str, str] | None = None) -> str:
    told = CliRunner().invoke(app, list(arguments), env=environ, catch_exceptions=True)
    if told.exception is not None:
        raise told.exception
    assert told.exit_code == 0
    return told.stdout


def test_init_writes_settings_and_a_secrets_file_that_only_its_owner_reads(home: Path) -> None:
    written = json.loads(run("init", "--json", "--home", str(home)))["written"]

    assert written == [str(home / "ratchet.toml"), str(home / "secrets.env")]
    assert stat.S_IMODE((home / "secrets.env").stat().st_mode) == 0o600
    assert "KITE_API_KEY" in (home / "secrets.env").read_text()
    assert "KITE" not in (home / "ratchet.toml").read_text()
    # the agent's own reader takes the file as it is, and it changes nothing
    read, defaults = read_agent_settings(home), read_agent_settings(home / "empty")
    assert read.model_dump() == defaults.model_dump()


def test_init_overwrites_nothing_unless_forced(home: Path) -> None:
    run("init", "--home", str(home))
    (home / "ratchet.toml").write_text("[stack]\nserve_port = 14000\n")
    with pytest.raises(Refused, match=r"ratchet.toml .*--force"):
        run("init", "--home", str(home))
    assert "14000" in (home / "ratchet.toml").read_text()

    run("init", "--force", "--home", str(home))
    assert "14000" not in (home / "ratchet.toml").read_text()


def test_config_check_tells_every_value_and_its_origin(home: Path) -> None:
    run("init", "--home", str(home))
    environ = {"RATCHET_AGENT__RISK__MAX_DAILY_LOSS": "5000", "KITE_API_SECRET": "s-2-t"}
    arguments = ("config", "check", "--home", str(home))

    told = json.loads(run(*arguments, "--json", environ=environ))["settings"]
    drawn = run(*arguments, environ=environ)

    assert told["agent.risk.max_daily_loss"] == {
        "value": "5000",
        "from": "environment RATCHET_AGENT__RISK__MAX_DAILY_LOSS",
    }
    assert told["agent.risk.max_gross"]["from"] == str(home / "ratchet.toml")
    assert told["secrets.kite_api_secret"]["value"] == "********"
    assert "s-2-t" not in drawn
    assert 'max_daily_loss = "5000"' in drawn


def test_config_check_refuses_what_the_agent_would_refuse(home: Path) -> None:
    home.mkdir()
    (home / "ratchet.toml").write_text("[agent.risk]\nmax_open_position = 2\n")
    with pytest.raises(SettingRefused, match=r"did you mean agent\.risk\.max_open_positions"):
        run("config", "check", "--home", str(home))
