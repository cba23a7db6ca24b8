"""The parts of a home's stack: the commands, in their order, and what each one waits for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from agent.errors import SettingRefused
from flows.home import Home, process_environment, tracking_uri
from flows.settings import Settings
from flows.stack.part import Part
from flows.stack.probe import Probe
from flows.stack.settings import StackSettings

HOST = "127.0.0.1"
POOL = "ratchet"
WARDEN = "warden"
SYNTHETIC = "synthetic"
REGISTRY_LIMIT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
RELEASED = "bento.json"  # what a release leaves under HOME/serving (flows/deploy.py)
BROKER_SECRETS = (
    "secrets.kite_api_key",
    "secrets.kite_api_secret",
    "secrets.kite_access_token",
    "agent.notices.urls",
)


@dataclass(frozen=True, slots=True)
class Stack:
    """What to run for one home.

    Parameters
    ----------
    parts : tuple of Part
    environment : dict of str to str
        Of every part.
    elsewhere : dict of str to str
        Servers that others run, by name: their addresses.
    ports : dict of int to str
        Ports that must be free, and whose they are.
    """

    parts: tuple[Part, ...]
    environment: dict[str, str]
    elsewhere: dict[str, str]
    ports: dict[int, str]


def stack(home: Home, given: Settings) -> Stack:
    """Return the stack of a home (opened) as its settings want it."""
    settings = given.stack
    elsewhere: dict[str, str] = {}
    if (uri := tracking_uri(home)).startswith(("http://", "https://")):
        elsewhere["mlflow"] = uri
    if api := os.environ.get("PREFECT_API_URL"):
        elsewhere["prefect"] = api
    mlflow = elsewhere.get("mlflow", f"http://{HOST}:{settings.mlflow_port}")
    prefect = elsewhere.get("prefect", f"http://{HOST}:{settings.prefect_port}/api")
    left_out = _left_out(settings, elsewhere)
    all_parts = [
        *_servers(home, settings),
        *_pipeline(home, given, own_prefect="prefect" not in elsewhere),
        *_trading(home, given),
    ]
    chosen = [part for part in all_parts if part.name not in left_out]
    names = {part.name for part in chosen}
    parts = tuple(_needing_only(part, names) for part in chosen)
    environment = {
        **process_environment(home),
        "MLFLOW_TRACKING_URI": tracking_uri(home) if "mlflow" in settings.without else mlflow,
        "PREFECT_API_URL": prefect,
        "RATCHET_SERVE_URL": f"http://{HOST}:{settings.serve_port}",
        # a scheduled run has time; one that is typed is told after five seconds (flows/home.py)
        REGISTRY_LIMIT: os.environ.get(REGISTRY_LIMIT) or "30",
    }
    ports = {port: name for port, name in ports_of(given).items() if name in names}
    return Stack(parts, environment, elsewhere, ports)


def ports_of(given: Settings) -> dict[int, str]:
    """Return the ports of the stack and whose they are."""
    settings = given.stack
    return {
        settings.mlflow_port: "mlflow",
        settings.prefect_port: "prefect",
        settings.serve_port: "serve",
        settings.paper_port: "paper",
        given.agent.control.port: "agent",
    }


def _servers(home: Home, settings: StackSettings) -> list[Part]:
    mlflow, prefect = settings.mlflow_port, settings.prefect_port
    listen = ("--host", HOST, "--port", str(prefect))
    return [
        Part(WARDEN, _module("flows.stack.warden", str(home.root)), tethered=True, stage=3),
        Part(
            "mlflow",
            _module("flows.stack.registry_server", str(home.root), str(mlflow)),
            probe=Probe(mlflow, "/health"),
            address=f"http://{HOST}:{mlflow}",
            stage=2,
        ),
        Part(
            "prefect",
            _module("prefect", "server", "start", *listen),
            probe=Probe(prefect, "/api/health"),
            address=f"http://{HOST}:{prefect}",
            stage=2,
        ),
    ]


def _pipeline(home: Home, given: Settings, *, own_prefect: bool) -> list[Part]:
    settings = given.stack
    root, whose = str(home.root), "ours" if own_prefect else "shared"
    registered = Probe(
        settings.prefect_port,
        f"/api/work_pools/{POOL}/workers/filter",
        body={"workers": {"status": {"any_": ["ONLINE"]}}},  # a heartbeat in the last 90 s
        text="ratchet-{pid}",
    )
    worker = ("flows.stack.worker", root, POOL, str(settings.flow_runs_max), whose)
    return [
        Part(
            "worker",
            _module(*worker),
            extra=given.environment(*BROKER_SECRETS),
            needs=("prefect", "mlflow"),
            probe=registered if own_prefect else None,
            whole=True,
            keeps_orphans=True,
        ),
        Part(
            "deployments",
            _module("flows.stack.deployments", deployments_file()),
            needs=("prefect", "worker"),
            extra=given.environment("pipeline", defaults=True),
            once=True,
        ),
    ]


def _trading(home: Home, given: Settings) -> list[Part]:
    settings, root = given.stack, ("--home", str(home.root))
    serve, paper, control = settings.serve_port, settings.paper_port, given.agent.control.port
    workers = ("--workers", str(settings.serve_workers))
    in_step = settings.paper_clock == "exchange"
    bound = ("--lockstep", "--latest", "--speed-max", f"{settings.paper_speed:g}")
    drawn = (*(bound if in_step else ("--wall-clock",)), "--seed", str(settings.paper_seed))
    mode: tuple[str, ...] = ("--live",) if settings.live else ()
    if in_step and not settings.live:
        mode = ("--clock", "exchange")
    return [
        Part(
            "serve",
            _module("flows", "serve", *root, "--port", str(serve), *workers),
            probe=Probe(serve, "/livez"),
            address=f"http://{HOST}:{serve}",
            extra=given.environment("serving", "secrets.predict_token", "secrets.admin_token"),
            missing=nothing_released(home),
            stage=1,
        ),
        Part(
            "paper",
            _module("agent", "paper", *root, "--port", str(paper), *_candles(home, given), *drawn),
            probe=Probe(paper, "/_paper/clock"),
            address=f"http://{HOST}:{paper}",
            stage=1,
        ),
        Part(
            "agent",
            _module("agent", "run", *root, *mode),
            needs=("serve", "paper"),
            probe=Probe(control, "/status", statuses=frozenset({200, 401})),  # 401: no token
            address=f"http://{HOST}:{control}",
            extra={**given.environment(*BROKER_SECRETS), **_where(settings)},
        ),
    ]


def _candles(home: Home, given: Settings) -> tuple[str, ...]:
    """Return what the paper exchange replays: what the model knows, if we can tell what that is."""
    chosen = given.stack.paper_candles
    if chosen is None:
        from flows.data.store import CandleStore  # needs numpy; ports are told without it

        store = CandleStore(home)
        stored, own = store.datasets(), given.pipeline.dataset
        if own not in stored and len(stored) != 1:
            return ()
        chosen = str(store.folder(own if own in stored else stored[0]))
    return () if chosen == SYNTHETIC else ("--candles", chosen)


def _where(settings: StackSettings) -> dict[str, str]:
    """Return what tells the agent where the model and, on paper, the exchange are."""
    told = {"RATCHET_AGENT__MODEL__URL": f"http://{HOST}:{settings.serve_port}"}
    if not settings.live:
        told |= {
            "RATCHET_AGENT__BROKER__REST_URL": f"http://{HOST}:{settings.paper_port}",
            "RATCHET_AGENT__BROKER__TICKER_URL": f"ws://{HOST}:{settings.paper_port}",
            "KITE_API_KEY": "paper",
            "KITE_API_SECRET": "paper",
            "KITE_ACCESS_TOKEN": "paper",
        }
    return told


def nothing_released(home: Home) -> Callable[[], str | None]:
    """Return what says that no model has been released in a home yet."""

    def missing() -> str | None:
        if (home.serving / RELEASED).is_file():
            return None
        return "no released model yet: `ratchet train`, then `ratchet release`"

    return missing


def deployments_file() -> str:
    """Return the path of prefect.yaml: the checkout's, else the one in the wheel.

    Raises
    ------
    agent.errors.SettingRefused
        If neither is there.
    """
    package = Path(str(resources.files("flows")))
    for path in (package.parent / "prefect.yaml", package / "prefect.yaml"):
        if path.is_file():
            return str(path)
    raise SettingRefused(
        "prefect.yaml",
        given=f"none beside or in {package}",
        allowed="the file that comes with Ratchet",
        fix="install Ratchet again",
    )


def _left_out(settings: StackSettings, elsewhere: Mapping[str, str]) -> set[str]:
    out = {*settings.without, *elsewhere, *({"paper"} if settings.live else ())}
    if "prefect" in settings.without and "prefect" not in elsewhere:
        out |= {"worker", "deployments"}  # nothing to work for
    return out


def _module(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def _needing_only(part: Part, names: set[str]) -> Part:
    """Return the part without needs that were left out or run elsewhere."""
    return replace(part, needs=tuple(need for need in part.needs if need in names))
