"""Settings come in layers, each value with its origin; a wrong key is named with the nearest."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from agent.errors import SettingRefused
from agent.secrets import SECRETS
from flows.settings import TOML, all_keys, read_settings, titles
from flows.settings_text import MASK, secrets_text, toml


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def write(root: Path, text: str) -> None:
    (root / TOML).write_text(text, encoding="utf-8")


def write_secrets(root: Path, text: str, mode: int = 0o600) -> None:
    (root / SECRETS).write_text(text, encoding="utf-8")
    (root / SECRETS).chmod(mode)


def test_option_over_environment_over_file_over_default(root: Path) -> None:
    key, variable = "stack.serve_port", "RATCHET_STACK__SERVE_PORT"
    layers = []
    for step in range(4):
        if step == 1:
            write(root, "[stack]\nserve_port = 14001\n")
        environ = {variable: "14002"} if step >= 2 else {}
        options = {key: 14003} if step >= 3 else {}
        value = read_settings(root, options, environ).values[key]
        layers.append((value.value, value.origin))
    assert layers == [
        (13000, "default"),
        (14001, str(root / TOML)),
        (14002, f"environment {variable}"),
        (14003, "option"),
    ]


def test_secrets_file_is_under_the_environment_and_never_shown(root: Path) -> None:
    write_secrets(root, "# mine\nexport KITE_API_KEY='k-1-y'\nKITE_API_SECRET=one\n")
    given = read_settings(root, environ={"KITE_API_SECRET": "s-2-t"})

    assert given.environment("secrets") == {"KITE_API_KEY": "k-1-y", "KITE_API_SECRET": "s-2-t"}
    assert given.values["secrets.kite_api_key"].origin == f"{root / SECRETS} KITE_API_KEY"
    assert given.values["secrets.kite_api_secret"].origin == "environment KITE_API_SECRET"
    assert [given.told(f"secrets.kite_api_{part}") for part in ("key", "secret")] == [MASK, MASK]
    assert given.told("secrets.kite_access_token") is None
    assert "k-1-y" not in repr(given)
    assert "s-2-t" not in repr(given)


#  what is wrong, the file, the environment, what the message must say
WRONG = [
    ("typo in a key", "[stack]\nserv_port = 1\n", {}, r"stack.serv_port.*mean stack.serve_port\?"),
    ("key in the wrong table", "[agent]\nmax_open_positions = 1\n", {}, "agent.risk.max_open_pos"),
    ("unknown table", "[stak]\nx = 1\n", {}, "stak.x .*does not exist"),
    ("typo in a variable", "", {"RATCHET_AGENT__RISK__MAX_DAYLY_LOSS": "1"}, "max_daily_loss"),
    ("a limit", "[stack]\nserve_port = 80\n", {}, "stack.serve_port: found 80.*1024.*ratchet.toml"),
    ("a limit by variable", "", {"RATCHET_STACK__SERVE_WORKERS": "0"}, "'0'.*environment RATCHET_"),
    ("two ports", "[stack]\nserve_port = 13050\n", {}, "mlflow_port and serve_port are both 13050"),
    ("amount", "[agent.risk]\nmax_daily_loss = 'much'\n", {}, "agent.risk.max_daily_loss.*'much'"),
    ("shares", "[agent.capital]\nlong_share = 80\n", {}, "80 and short_share 50 exceed 100"),
    ("unknown part", "[stack]\nwithout = ['cockpit']\n", {}, "unknown part 'cockpit'"),
    ("no TOML", "[stack\n", {}, r"ratchet.toml: found .*line 1.*mend that line"),
    ("a secret in the file", "[agent.notices]\nurls = ['tgram://t']\n", {}, "not one.*secrets.env"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "environ", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_a_wrong_setting_is_refused_with_key_and_cure(
    root: Path, text: str, environ: dict[str, str], said: str
) -> None:
    write(root, text)
    with pytest.raises(SettingRefused, match=said) as refused:
        read_settings(root, environ=environ)
    assert refused.value.exit_status == 2
    assert "tgram" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_secrets_that_others_can_read_are_refused(root: Path, mode: int) -> None:
    write_secrets(root, "KITE_API_KEY=abc\n", mode)
    with pytest.raises(SettingRefused, match=f"mode {mode:04o}.*chmod 600") as refused:
        read_settings(root, environ={})
    assert "abc" not in str(refused.value)


def test_lists_are_written_as_json_or_with_commas_and_empty_means_unset(root: Path) -> None:
    for text in ('["agent", "paper"]', "agent, paper"):
        given = read_settings(root, environ={"RATCHET_STACK__WITHOUT": text})
        assert given.stack.without == ("agent", "paper")
    assert read_settings(root, environ={"RATCHET_STACK__WITHOUT": ""}).stack.without == ()


def test_the_written_file_is_the_defaults_explained(root: Path) -> None:
    keys = all_keys()
    text = toml(keys.values(), titles())
    write(root, text)
    write_secrets(root, secrets_text(keys.values()))

    written, plain = read_settings(root, environ={}), read_settings(root / "no", environ={})

    assert written.sections == plain.sections
    document = tomllib.loads(text)
    assert document["agent"]["risk"]["max_open_positions"] == 3
    assert document["agent"]["risk"]["max_gross"] == "100%"
    assert document["agent"]["sizing"]["risk"] == "0.25%"
    assert document["agent"]["risk"]["max_daily_loss"] == "1%"
    assert document["agent"]["risk"]["min_price"] == 50
    explained = [key.field.description for key in keys.values()]
    assert all(explained)
    assert not any(key.secret for name, key in keys.items() if f"{name.split('.')[-1]} = " in text)


def test_what_a_program_gets_as_variables_reads_back_the_same(root: Path) -> None:
    write(root, "[serving]\npoll_s = 0.25\nmodels = ['a', 'b']\noutside_range = 'refuse'\n")
    told = read_settings(root, environ={}).environment("serving")
    assert told == {
        "RATCHET_SERVING__POLL_S": "0.25",
        "RATCHET_SERVING__MODELS": '["a", "b"]',
        "RATCHET_SERVING__OUTSIDE_RANGE": "refuse",
    }
    again = read_settings(root / "no", environ=told)
    assert again.sections["serving"] == read_settings(root, environ={}).sections["serving"]
