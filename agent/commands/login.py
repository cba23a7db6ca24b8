"""`ratchet-agent login`: the day's access token from a person's login."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.home import DEFAULT_HOME


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("login")(login)


def login(
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    request_token: Annotated[
        str | None, typer.Option(help="From the page that the login redirects to.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Exchange a request token for the day's access token and keep it in the home folder (0600).

    Without --request-token the login page's address is printed and the token is asked for. The
    key and secret come from KITE_API_KEY and KITE_API_SECRET, or HOME/secrets.env.

    Example: ratchet-agent login --home var
    """
    import os
    from datetime import UTC, datetime

    from agent.console import emit, tell
    from agent.errors import SettingRefused
    from agent.home import open_home
    from agent.kite.session import KEY, SECRET, Session, dies_at, login_url, save
    from agent.secrets import SECRETS, take_secrets
    from agent.shell.broker import exchange_token
    from agent.shell.settings import read_settings

    folder = open_home(home)
    take_secrets(folder, os.environ)
    key, secret = os.environ.get(KEY, ""), os.environ.get(SECRET, "")
    if not key or not secret:
        raise SettingRefused(
            f"{KEY}, {SECRET}",
            given="nothing" if not key else f"no {SECRET}",
            allowed=f"both in the environment, or in {folder / SECRETS}",
            fix="export them, or write that file (`ratchet init` makes one, mode 0600)",
        )
    if request_token is None:
        tell(f"log in at: {login_url(key)}")
        request_token = typer.prompt("request_token", err=True)
    root = read_settings(folder).broker.rest_url
    reply = exchange_token(key, secret, request_token.strip(), root)
    dies = dies_at(datetime.now(UTC))
    path = save(folder, Session(key, reply["access_token"], str(reply.get("user_id", "")), dies))
    document = {"user_id": reply.get("user_id"), "file": str(path), "dies_at": dies.isoformat()}
    emit(
        document,
        as_json=as_json,
        human=lambda: print(f"logged in as {document['user_id']} until {document['dies_at']}"),
    )
