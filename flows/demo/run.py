"""The whole loop once: candles, models, a release, an exchange, the agent, a report.

Each step is a command or a process of ours; this file orders them, watches over them and gathers
what they say. Whatever goes wrong, every process that was started is ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from agent.console import tell
from agent.errors import EnvironmentRefused
from agent.market.sessions import IST, from_epoch_ms
from bentos.documents import ModelTold
from flows import deploy
from flows.children import Child, Children, require_free_port, wait_ready
from flows.demo import figures
from flows.demo.asking import Asker, Service, Unanswered
from flows.demo.ground import clean_home, settle
from flows.demo.memory import PeakMemory
from flows.demo.replay import Replay, choose
from flows.demo.report import render
from flows.demo.second import beside, prepare, questions
from flows.demo.settings import DemoSettings
from flows.demo.steps import Progress, StepFailed, ask
from flows.demo.story import SAMPLE_BANNER, Story
from flows.home import Home, process_environment

DATASET = "demo"
MODEL = "demo"
STEPS = 8
VERSIONS = ("champion", "challenger")
DAILY_POLICY = Path(__file__).with_name("daily.toml")
READY_S = 60.0
AGENT_LIMIT_S = 540.0  # far above what a run takes: a bound, not an expectation
WATCH_S = 0.2
PROGRESS_S = 5.0
ASK_PAUSE_S = 0.1  # between two questions to the second model while the agent trades


def run_demo(settings: DemoSettings) -> dict[str, Any]:
    """Run the demo and write its report and summary.

    Returns
    -------
    dict
        The document of `summary.json`, and under `files` where report and summary are.

    Raises
    ------
    agent.errors.SettingRefused
        If the data cannot be used, a port is taken, the home cannot be written, or a part died.
    agent.errors.Broken
        If the agent's books and the exchange's differ.
    """
    began = time.monotonic()
    for port, purpose, option in (
        (settings.serve_port, "the served model", "--serve-port"),
        (settings.control_port, "the agent's control", "--control-port"),
        (settings.paper_port, "the paper exchange", "--paper-port"),
    ):
        require_free_port(port, host=settings.base, purpose=purpose, setting=option)
    with clean_home(settings.home) as root, PeakMemory() as memory:
        settle(root, dataset=DATASET, model=MODEL)
        story = _loop(Home.open(root), settings)
        document = _document(story, settings, memory.mib, time.monotonic() - began)
        report, summary = root / "report.html", root / "summary.json"
        report.write_text(render(story), encoding="utf-8")
        summary.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")
    return document | {"files": {"report": str(report), "summary": str(summary)}}


def _loop(home: Home, settings: DemoSettings) -> Story:
    environment = process_environment(home)
    progress = Progress(STEPS)

    def pipeline(*arguments: str) -> dict[str, Any]:
        return ask("flows", [*arguments, "--home", str(home.root)], environment)

    with progress.step("ingest", settings.data or "the sample that comes with it"):
        source = _source(settings.data)
        data = pipeline("ingest", "--source", source, "--dataset", DATASET)
        replay = choose(home, DATASET, days=settings.days, symbols_max=settings.symbols_max)
    with progress.step("train", f"champion and challenger, through {replay.trained_through}"):
        trainings = [pipeline(*_training(data, replay, settings, who)) for who in VERSIONS]
    champion, challenger = (training["version"] for training in trainings)
    second = beside(data["interval"])
    with progress.step("second", f"{second.model}, of made-up {second.interval} candles"):
        other = prepare(home, second, pipeline, top_share=settings.top_share)
    with progress.step("release", "build a Bento, prove it in a fresh process, plan the traffic"):
        share = f"{challenger}={settings.challenger_share}"
        split = ["--model", MODEL, "--champion", str(champion), "--challenger", share]
        released = pipeline("release", *split)
    with Children(environment, home.logs) as children:
        with progress.step("start", "both served models and the paper exchange"):
            url = deploy.start(children, home, deploy.ServeOptions(port=settings.serve_port)).url
            told = _described(url, (MODEL, second.model))
            paper = _start_paper(children, home, settings, replay)
            asked = questions(home, second, told[1].window)
        trading = f"{len(replay.symbols)} symbols, {replay.first} on"
        with progress.step("trade", f"{trading}; {len(asked)} questions to {second.model} besides"):
            with Asker(url, second.model, asked, pause_s=ASK_PAUSE_S) as asker:
                _trade(children, home, settings, replay)
            audit = figures.read_audit(paper)
    with progress.step("monitor", "predictions joined with outcomes, drift"):
        drift = pipeline("monitor", "--model", MODEL)
    with progress.step("report", "what happened"):
        trades = figures.read_trades(home.root)
        serving = figures.served_figures(home, MODEL, str(released["bento"]))
        beside_it = figures.served_figures(home, second.model, str(released["bento"]))
        return Story(
            banner=_banner(data, settings),
            data=_data(data, replay),
            training=_trained(trainings, progress.seconds["train"]),
            serving=serving,
            agent=figures.agent_figures(audit, trades),
            drift={key: drift[key] for key in ("report", "drifted_features", "features")},
            seconds=progress.seconds,
            trainings=[*trainings, other.training],
            trades=trades,
            refusals=figures.read_refusals(home.root),
            report_links=_links(home.root, drift),
            models=[
                figures.model_figures(told[0], data, serving),
                figures.model_figures(told[1], other.data, beside_it)
                | {"asked": len(asked), "unanswered": len(asker.unanswered)},
            ],
        )


def _described(url: str, models: Sequence[str]) -> list[ModelTold]:
    """Return what the served models say of themselves, in the order asked for.

    Raises
    ------
    StepFailed
        If one does not say it.
    """
    try:
        with closing(Service(url)) as service:
            return [service.described(model) for model in models]
    except Unanswered as why:
        raise StepFailed(
            "the served models",
            given=str(why),
            allowed=f"the documents of {', '.join(models)}",
            fix="run it again; if it happens again, read serve.log",
        ) from why


def _source(data: str | None) -> str:
    if data is None:
        return "sample"
    kind = "csv" if data.endswith((".csv", ".csv.gz")) else "parquet"
    return f"{kind}:{data}"


def _training(
    data: Mapping[str, Any], replay: Replay, settings: DemoSettings, preset: str
) -> list[str]:
    through = replay.trained_through.isoformat()
    chosen = ["--symbols", ",".join(replay.symbols)]
    chosen += ["--first", replay.trained_from.isoformat(), "--last", through]
    entries = ["--entries", f"top-share={settings.top_share}", "--folds", str(replay.folds)]
    named = ["--dataset", DATASET, "--model", MODEL, "--preset", preset]
    policy = ["--policy", str(DAILY_POLICY)] if data["interval"] == "day" else []
    return ["train", *named, *chosen, *entries, *policy]


def _start_paper(children: Children, home: Home, settings: DemoSettings, replay: Replay) -> str:
    ready = home.tmp / "paper-ready.json"
    days = ["--first", replay.first.isoformat(), "--last", replay.last.isoformat()]
    place = ["--port", str(settings.paper_port), "--ready-file", str(ready)]
    drawn = ["--lockstep", "--fresh", "--seed", str(settings.seed)]
    drawn += ["--ticks-per-day", str(settings.ticks_per_day)]
    command = [sys.executable, "-m", "agent", "paper", "--candles", str(replay.candles)]
    child = children.start("paper", [*command, *days, *place, *drawn, "--home", str(home.root)])
    wait_ready(child, ready.exists, limit_s=READY_S)
    return f"http://{settings.base}:{settings.paper_port}"


def _trade(children: Children, home: Home, settings: DemoSettings, replay: Replay) -> None:
    """Run the agent to the end of the data; stop at once if a part dies."""
    where = settings.base
    extra = {
        "RATCHET_AGENT__BROKER__REST_URL": f"http://{where}:{settings.paper_port}",
        "RATCHET_AGENT__BROKER__TICKER_URL": f"ws://{where}:{settings.paper_port}",
        "RATCHET_AGENT__MODEL__URL": f"http://{where}:{settings.serve_port}",
        "RATCHET_AGENT__MODEL__NAME": MODEL,
        "RATCHET_AGENT__MARKET__SESSIONS_FILE": str(replay.sessions),
        "RATCHET_AGENT__CONTROL__PORT": str(settings.control_port),
        # in lock-step no update is lost, and each reading of the book stops the exchange's clock
        "RATCHET_AGENT__WATCH__POLL_S": "120",
    }
    command = [sys.executable, "-m", "agent", "run", "--clock", "exchange", "--until-end"]
    agent = children.start("agent", [*command, "--home", str(home.root)], extra=extra)
    watch(agent, children, lambda: _told(home.root))


def watch(agent: Child, children: Children, told: Callable[[], str]) -> None:
    """Wait for the agent's own end while every other part lives; tell progress.

    Raises
    ------
    EnvironmentRefused
        If the agent or another part ends as it should not, or the bound is passed.
    """
    until = time.monotonic() + AGENT_LIMIT_S
    tell_at = time.monotonic() + PROGRESS_S
    while agent.process.poll() is None:
        fault = children.first_fault(besides=agent)
        if fault is not None or time.monotonic() > until:
            raise EnvironmentRefused(
                "trade",
                given=fault or f"an agent still at it after {AGENT_LIMIT_S:g} s",
                allowed="every part alive to the end of the data",
                fix="run it again; if it happens again, read the logs named above",
            )
        if time.monotonic() > tell_at:
            tell(f"      {told()}")
            tell_at = time.monotonic() + PROGRESS_S
        time.sleep(WATCH_S)
    if agent.process.returncode != 0:
        raise StepFailed(
            "agent",
            given=agent.fault() or "",
            allowed="an agent that trades to the end of the data",
            fix="run it again; if it happens again, read its log",
        )


def _told(root: Path) -> str:
    """Return how far the agent is, in one line, from its journal."""
    trades, last_ms = figures.closed_so_far(root)
    if not trades:
        return "no trade closed yet"
    return f"{trades} trades closed, the last on {from_epoch_ms(last_ms).astimezone(IST):%d %b %Y}"


def _banner(data: Mapping[str, Any], settings: DemoSettings) -> str:
    if settings.data is None:
        return SAMPLE_BANNER
    notes, inside = data["notes"], data["interval"]
    return f"plumbing, not performance: {notes}; prices inside a {inside} are simulated"


def _data(data: Mapping[str, Any], replay: Replay) -> dict[str, Any]:
    return {
        "source": data["source"],
        "interval": data["interval"],
        "symbols": list(replay.symbols),
        "first": data["first"],
        "last": data["last"],
        "candles": data["candles"],
        "fingerprint": data["fingerprint"],
        "replayed": [replay.first.isoformat(), replay.last.isoformat()],
        "trained": [replay.trained_from.isoformat(), replay.trained_through.isoformat()],
        "simulated_path": True,
    }


def _trained(trainings: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    by_role = dict(zip(VERSIONS, trainings, strict=True))

    def each(key: str) -> dict[str, Any]:
        return {who: training[key] for who, training in by_role.items()}

    return {
        "model": MODEL,
        "versions": each("version"),
        "gates": each("gates"),
        "folds": each("folds"),
        "metrics": each("metrics"),
        "seconds": seconds,
    }


def _links(root: Path, drift: Mapping[str, Any]) -> dict[str, str]:
    report = drift["report"]
    return {"Evidently's drift report": os.path.relpath(report, root)} if report else {}


def _document(
    story: Story, settings: DemoSettings, peak_mib: float, seconds: float
) -> dict[str, Any]:
    return {
        "banner": story.banner,
        "data": dict(story.data),
        "training": dict(story.training),
        "serving": dict(story.serving),
        "agent": dict(story.agent),
        "drift": dict(story.drift),
        "refusals": dict(story.refusals),
        "models": list(story.models),
        "seed": settings.seed,
        "peak_memory_mib": round(peak_mib),
        "seconds": {**story.seconds, "total": round(seconds, 3)},
    }
