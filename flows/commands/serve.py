"""`ratchet serve`: the released models on this machine, until a signal."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.console import emit, tell
from agent.errors import EnvironmentRefused, SettingRefused
from agent.home import DEFAULT_HOME

LOOK_S = 0.2


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("serve")(serve)


def serve(  # noqa: PLR0913, PLR0917  (one option a setting)
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0: a free one.")] = 13000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
    host: Annotated[
        str, typer.Option(help="Address; off the loopback both tokens are needed.")
    ] = "127.0.0.1",
    model: Annotated[
        list[str] | None, typer.Option(help="Serve this model alone. May be repeated.")
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written once it is ready: JSON with url and pid.")
    ] = None,
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one line once it is ready: url, pid, home, workers."),
    ] = False,
) -> None:
    """Serve the latest release; stop with Ctrl-C or SIGTERM.

    Example: ratchet serve --home var --port 13000 --workers 2
    """
    from flows.home import Home

    opened = Home.open(home)
    _forget_ready(ready_file)
    from flows import deploy
    from flows.children import Children
    from flows.home import process_environment

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _check_models(deploy.released(opened).path, opened.serving, model or ())
    host = "127.0.0.1" if host == "localhost" else host  # BentoML takes addresses alone
    options = deploy.ServeOptions(port, workers, host, tuple(model or ()))
    environment = process_environment(opened)
    with Children(environment, opened.logs, grace_s=deploy.STOP_S) as children:
        server = deploy.start(children, opened, options, stop=stop)
        follower = deploy.Follower(opened, tell)
        follower.start()
        ready = {"url": server.url, "pid": os.getpid()}
        _write_ready(ready_file, ready)
        if as_json:
            more = {"home": str(opened.root), "workers": workers}
            emit({**ready, **more}, as_json=True, human=lambda: None)
        if not deploy.is_ready(server.url):
            tell("not ready: some versions failed, others answer; see GET /v1/models")
        tell(f"serving {deploy.released(opened).tag} at {server.url} (log: {server.child.log})")
        try:
            while not stop.wait(LOOK_S):
                if (why := server.child.fault()) is not None:
                    raise EnvironmentRefused(
                        "serve", given=why, allowed="a running server", fix="read its log"
                    )
        finally:
            if ready_file is not None:
                ready_file.unlink(missing_ok=True)
            follower.stop()
    tell("stopped")


def _check_models(bento: Path, serving: Path, wanted: Sequence[str]) -> None:
    """Refuse a model that neither the home nor the Bento holds: its server never got ready.

    Raises
    ------
    agent.errors.SettingRefused
        If one is unknown.
    """
    plans = [*serving.glob("*/plan.json")] or [*(bento / "src" / "models").glob("*/plan.json")]
    known = sorted(path.parent.name for path in plans)
    for name in wanted:
        if name not in known:
            raise SettingRefused(
                "--model",
                given=name,
                allowed=f"a released model: {', '.join(known) or 'there is none'}",
                fix="release it, or leave the option out to serve all",
            )


def _forget_ready(path: Path | None) -> None:
    """Take away the ready file of a run that was killed; that of one that goes on stays."""
    if path is None or not path.exists():
        return
    try:
        os.kill(int(json.loads(path.read_bytes())["pid"]), 0)
    except (ValueError, KeyError, TypeError, OverflowError, ProcessLookupError):
        path.unlink(missing_ok=True)
    except PermissionError:
        pass  # somebody else's process: it goes on
    except OSError as fault:
        raise EnvironmentRefused(
            "--ready-file",
            given=f"{path}: {fault.strerror}",
            allowed="a file that can be written",
            fix="choose another",
        ) from fault


def _write_ready(path: Path | None, ready: dict[str, Any]) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    passing.write_text(json.dumps(ready) + "\n", encoding="utf-8")
    passing.replace(path)
