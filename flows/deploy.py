"""The released Bento as running processes on this machine, and the serving folder they watch.

The folder mirrors the registry: `mirror` brings both to the newer plan. `start` runs the latest
released Bento as a child; `ratchet serve` and the demo use it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import EnvironmentRefused, RatchetError, SettingRefused
from bentos.access import StartRefused, check_bind
from bentos.settings import load_settings
from bentos.store import locked, write_whole
from bentos.traffic import parse_plan
from flows.children import Child, Children, require_free_port, wait_ready
from flows.follow import MIRRORED, PLAN
from flows.follow import Follower as Follower  # noqa: PLC0414  (`ratchet serve` finds it here)
from flows.home import Home
from flows.plan import encoded

START_S = 90.0
STOP_S = 8.0
RELEASED = "bento.json"


@dataclass(frozen=True, slots=True)
class Released:
    """The Bento that the last successful release left."""

    tag: str
    path: Path


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How the released Bento is run.

    Parameters
    ----------
    port : int
        0 takes a free one.
    models : tuple of str
        Serve these alone; empty serves all.
    whole : bool
        Refuse to start while any version fails; else one that answers is enough, because a
        broken model must not keep the others from serving.
    """

    port: int = 13000
    workers: int = 1
    host: str = "127.0.0.1"
    models: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it answers, and its supervisor."""

    url: str
    child: Child

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self.child.pid


def released(home: Home) -> Released:
    """Return the latest released Bento.

    Raises
    ------
    agent.errors.EnvironmentRefused
        If nothing is released, or its folder is gone.
    """
    try:
        said = json.loads((home.serving / RELEASED).read_bytes())
        found = Released(str(said["tag"]), home.root / said["path"])
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if found is None or not (found.path / "bento.yaml").is_file():
        raise EnvironmentRefused(
            f"home {home.root}",
            given="no released model" if found is None else f"no Bento at {found.path}",
            allowed="a Bento that `ratchet release` built",
            fix=f"run: ratchet release --home {home.root}",
        )
    return found


def start(
    children: Children,
    home: Home,
    options: ServeOptions,
    *,
    extra: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> Server:
    """Start the latest released Bento and wait until it is ready for traffic.

    Parameters
    ----------
    children : the processes of this run; it ends the server, too
    extra : more environment for the server
    stop : set to give up waiting (KeyboardInterrupt)

    Raises
    ------
    agent.errors.EnvironmentRefused
        If nothing is released, the port is taken, or it does not become ready.
    agent.errors.SettingRefused
        If it would listen off the loopback without both tokens.
    """
    bento = released(home)
    environment = {
        "RATCHET_SERVING_DIR": str(home.serving),
        "RATCHET_SERVING__MODELS": json.dumps(list(options.models)),
        **(extra or {}),
    }
    return start_bento(children, bento.path, options, extra=environment, stop=stop)


def start_bento(
    children: Children,
    bento: Path,
    options: ServeOptions,
    *,
    extra: Mapping[str, str],
    stop: threading.Event | None = None,
) -> Server:
    """Start a Bento from its folder and wait until it is ready.

    Raises
    ------
    agent.errors.EnvironmentRefused, agent.errors.SettingRefused
        As `start`.
    """
    _check_host(options.host)
    port = options.port or free_port(options.host)
    require_free_port(port, host=options.host, purpose="served model", setting="--port")
    child = children.start(
        "serve",
        [sys.executable, "-m", "flows.launch", str(bento), options.host, str(port)],
        extra={"RATCHET_WORKERS": str(options.workers), **extra},
    )
    reached = "127.0.0.1" if options.host in {"0.0.0.0", "::"} else options.host  # noqa: S104
    url = f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"

    def ready() -> bool:
        if stop is not None and stop.is_set():
            raise KeyboardInterrupt
        return is_ready(url) or _settled(url, whole=options.whole)

    wait_ready(child, ready, limit_s=START_S)
    return Server(url, child)


def is_ready(url: str) -> bool:
    """Return whether a server says that it should get traffic."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310  (our own address)
            return bool(answer.status == 200)
    except OSError:
        return False


def _settled(url: str, *, whole: bool) -> bool:
    """Whether a server that is not ready will not become more so, and answers nevertheless.

    Raises
    ------
    agent.errors.EnvironmentRefused
        If a version failed and none answers, or with `whole`.
    """
    token = os.environ.get("RATCHET_PREDICT_TOKEN") or ""
    request = urllib.request.Request(  # noqa: S310  (our own address)
        f"{url}/v1/models", headers={"Authorization": f"Bearer {token}"} if token else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310
            models = json.loads(answer.read())["models"]
    except (OSError, ValueError, KeyError):
        return False
    failed = [f"{m['name']}: {m['last_error']}" for m in models if m["last_error"]]
    answering = [m["name"] for m in models if m["state"] != "not ready"]
    if failed and (whole or not answering):
        raise EnvironmentRefused(
            "the served model",
            given="; ".join(failed),
            allowed="versions that load and reproduce their golden answers",
            fix="release versions that do",
        )
    return bool(failed)


def _check_host(host: str) -> None:
    try:
        settings = load_settings()
    except ValueError as fault:
        raise SettingRefused(
            "the environment",
            given=" ".join(str(fault).split()),
            allowed="the settings of docs/serving.md",
            fix="mend or unset the variable",
        ) from fault
    try:
        check_bind(host, settings)
    except StartRefused as fault:
        raise SettingRefused(
            "--host", given=host, allowed="a loopback address, or both tokens", fix=str(fault)
        ) from fault


def free_port(host: str) -> int:
    """Return a port that was free just now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def folder_plan(home: Home, name: str) -> dict[str, Any] | None:
    """Return the plan in the serving folder, None before the first.

    Raises
    ------
    agent.errors.SettingRefused
        If the file is no plan.
    """
    path = home.serving / name / PLAN
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        document = json.loads(text)
        parse_plan(document, model=name)
    except ValueError as fault:
        raise SettingRefused(
            str(path), given=str(fault), allowed="a traffic plan", fix="release again"
        ) from fault
    return dict(document)


def publish(home: Home, name: str, plan: Mapping[str, Any]) -> None:
    """Write a plan into the serving folder, unless a newer one is there."""
    folder = home.serving / name
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".plan.lock"):
        there = folder_plan(home, name)
        if there is None or int(there["revision"]) < int(plan["revision"]):
            write_whole(folder / PLAN, encoded(plan))
        write_whole(folder / MIRRORED, str(plan["revision"]))


def mirror(home: Home, name: str) -> dict[str, Any] | None:
    """Bring registry and serving folder to the newer of their plans; return it.

    Changes made over the API land in the folder first where the registry is no server; changes
    made by the pipeline land in the registry first.

    Raises
    ------
    agent.errors.EnvironmentRefused
        If the registry cannot be reached; the folder is as it was.
    """
    from flows.registry import Registry

    registry = Registry(home)
    theirs, ours = registry.plan(name), folder_plan(home, name)
    if theirs is None and ours is None:
        return None
    if theirs is None or (ours is not None and int(ours["revision"]) > int(theirs["revision"])):
        if ours is None:
            return None
        registry.take_plan(name, ours)
        publish(home, name, ours)
        return ours
    for version in {theirs["champion"], *map(int, theirs["challengers"]), *theirs["shadows"]}:
        folder = home.serving / name / "versions" / str(version)
        if not folder.exists():
            registry.fetch(name, version, folder)
    publish(home, name, theirs)
    return theirs


def main() -> None:
    """Mirror every model of a home: `python -m flows.deploy HOME`."""
    home = Home.open(Path(sys.argv[1]))
    try:
        for path in sorted(home.serving.glob(f"*/{PLAN}")):
            mirror(home, path.parent.name)
    except RatchetError as fault:
        print(fault, file=sys.stderr)
        raise SystemExit(fault.exit_status) from None


if __name__ == "__main__":
    main()
