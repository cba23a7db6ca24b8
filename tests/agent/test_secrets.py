"""HOME/secrets.env counts where the environment says nothing, and only if nobody else reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import SettingRefused
from agent.secrets import SECRETS, read_secrets, take_secrets


def write(root: Path, text: str, mode: int = 0o600) -> None:
    (root / SECRETS).write_text(text, encoding="utf-8")
    (root / SECRETS).chmod(mode)


def test_the_environment_wins_and_an_empty_value_is_none(tmp_path: Path) -> None:
    write(tmp_path, "# mine\nexport KITE_API_KEY='file'\nKITE_API_SECRET=file\nX=\nY=a=b\n\n")
    environ = {"KITE_API_KEY": "mine", "KITE_API_SECRET": ""}
    take_secrets(tmp_path, environ)
    assert environ == {"KITE_API_KEY": "mine", "KITE_API_SECRET": "file", "Y": "a=b"}


def test_no_file_is_no_secrets(tmp_path: Path) -> None:
    assert read_secrets(tmp_path) == read_secrets(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [("A=s-2-t", 0o640, "mode 0640.*chmod 600"), ("# x\ns-2-t\n", 0o600, "line 2: found no '='")],
)
def test_a_file_that_cannot_be_used_is_refused_without_its_content(
    tmp_path: Path, text: str, mode: int, said: str
) -> None:
    write(tmp_path, text, mode)
    with pytest.raises(SettingRefused, match=said) as refused:
        take_secrets(tmp_path, {})
    assert "s-2-t" not in str(refused.value)
