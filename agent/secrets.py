"""HOME/secrets.env: what is set there counts where the environment says nothing. Mode 0600.

A leaf. The file is `NAME=value` lines, as systemd's EnvironmentFile takes them; `ratchet init`
writes one that names every secret and holds none.
"""

from __future__ import annotations

import stat
from collections.abc import MutableMapping
from pathlib import Path

from agent.errors import SettingRefused

SECRETS = "secrets.env"


def read_secrets(root: Path) -> dict[str, str]:
    """Return the variables that a home's secrets file sets; empty if there is none.

    Raises
    ------
    SettingRefused
        If others can read it, or a line is no `NAME=value`. Values are never shown.
    """
    path = root / SECRETS
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as fault:
        raise SettingRefused(
            str(path), given=str(fault), allowed="a readable text file", fix="mend it"
        ) from fault
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingRefused(
            str(path),
            given=f"mode {stat.S_IMODE(mode):04o}: others can read your secrets",
            allowed="mode 0600",
            fix=f"chmod 600 {path}",
        )
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        name, equals, value = bare.removeprefix("export ").partition("=")
        if not equals:
            raise SettingRefused(
                f"{path} line {number}", given="no '='", allowed="NAME=value", fix="mend that line"
            )
        found[name.strip()] = value.strip().strip("'\"")
    return found


def take_secrets(root: Path, environ: MutableMapping[str, str]) -> None:
    """Set in an environment what the home's secrets file sets and the environment does not.

    Raises
    ------
    SettingRefused
        As `read_secrets`.
    """
    for name, value in read_secrets(root).items():
        if value and not environ.get(name):
            environ[name] = value
