"""Put the live agent together and run it: `ratchet-agent run`.

Order: settings and session are checked (wrong ones fail here, with key and numbers), the journal
is opened, threads start, the loop runs, everything is stopped in reverse.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from agent.console import tell
from agent.core.events import Event
from agent.core.restore import restored
from agent.core.state import Desk
from agent.errors import EnvironmentRefused, Refused, Retryable, SettingRefused
from agent.kite.budget import Budget
from agent.kite.session import Session, load
from agent.orders.tags import instance_of
from agent.shell.broker import Broker
from agent.shell.calls import Calls
from agent.shell.clock import ExchangeClock, SystemClock, is_loopback
from agent.shell.control import Control
from agent.shell.history import read_freeze_cuts
from agent.shell.inbox import Item, Stop
from agent.shell.journal import Journal
from agent.shell.loop import Loop, Parts
from agent.shell.model import ModelClient
from agent.shell.notices import Notices
from agent.shell.settings import (
    AgentSettings,
    calendar_of,
    freezes_of,
    read_settings,
    rules_of,
    slices_note,
)
from agent.shell.ticker import Ticker
from agent.shell.views import Tally, positions_of, status_of, summary_of

PAPER = "paper"
CUTS_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    home: Path
    live: bool = False
    exchange_clock: bool = False
    until_end: bool = False
    ready_file: Path | None = None


def run(
    options: Options, environment: Mapping[str, str], clock: SystemClock | None = None
) -> dict[str, Any]:
    """Run the agent until it is stopped; return the summary of the run.

    Parameters
    ----------
    options : Options
    environment : mapping
        For the session's key, secret and token.
    clock : SystemClock, optional
        Another one than the machine's (a shifted one, to meet a paper exchange at its own hour).

    Raises
    ------
    SettingRefused
        If settings, session or options cannot be used together.
    """
    settings = read_settings(options.home)
    session = _session(options, settings, environment)
    note = slices_note(settings)
    if note is not None:
        tell(note)
    kept = settings.journal
    journal = Journal(options.home, record_events=kept.events, keep_days=kept.keep_days)
    try:
        return _run(options, settings, session, journal, clock or SystemClock())
    finally:
        journal.close()


def _session(options: Options, settings: AgentSettings, environment: Mapping[str, str]) -> Session:
    """Check where the orders would go; return the session to go there with."""
    roots = (settings.broker.rest_url, settings.broker.ticker_url)
    local = all(is_loopback(root) for root in roots)
    if not local and not options.live:
        raise SettingRefused(
            "agent.broker.rest_url, ticker_url",
            given=" and ".join(roots),
            allowed="roots on this machine (the paper exchange) without --live",
            fix="set RATCHET_AGENT__BROKER__REST_URL and __TICKER_URL, or trade with --live",
        )
    if options.live and options.exchange_clock:
        raise SettingRefused(
            "--clock exchange",
            given="with --live",
            allowed="--clock system",
            fix="real trading goes by the real clock",
        )
    if local and not environment.get("KITE_API_KEY"):
        return Session(PAPER, PAPER)
    return load(options.home, dict(environment), datetime.now(UTC))


def _run(
    options: Options,
    settings: AgentSettings,
    session: Session,
    journal: Journal,
    system: SystemClock,
) -> dict[str, Any]:
    inbox: SimpleQueue[Item] = SimpleQueue()
    clock = ExchangeClock(settings.broker.rest_url) if options.exchange_clock else system
    skew, tally = _Skew(), Tally()
    budget = Budget(options.home / "kite", session.api_key)
    calls = _calls(settings, session, inbox, budget, clock, skew)
    loop = _loop(options, settings, session, journal, calls, clock)
    loop.parts.skew, loop.parts.said = skew.skew_ms, tally.count
    first = loop.desk.numbers + 1
    reads = {
        "status": lambda: status_with_cuts(options.home, loop.desk),
        "positions": lambda: positions_of(loop.desk),
    }
    control = Control(options.home, settings.control.port, inbox, reads)
    _on_signals(inbox)
    try:
        loop.parts.ticker.start()
        _ready(options.ready_file, control.port)
        stopped = loop.run()
    finally:
        control.stop()
        calls.stop()
        loop.parts.ticker.stop()
        if isinstance(clock, ExchangeClock):
            clock.leave()
        loop.parts.notices.stop()
        budget.close()
    return summary_of(loop.desk, journal.trades_since(first), tally, stopped)


def _calls(
    settings: AgentSettings,
    session: Session,
    inbox: SimpleQueue[Item],
    budget: Budget,
    clock: SystemClock | ExchangeClock,
    skew: _Skew,
) -> Calls:
    """Connect to broker and model, and prove that somebody is there."""
    lockstep = isinstance(clock, ExchangeClock)
    broker = Broker(
        session.api_key,
        session.access_token,
        settings.broker.rest_url,
        timeout_s=settings.broker.timeout_s,
        seen_date=None if lockstep else skew.seen,
    )
    if isinstance(clock, ExchangeClock):
        clock.probe()
    else:
        budget.take("other", clock.now_ms(), hurried=True)
        _prove(broker, settings.broker.rest_url)
    told, model = settings.model, None
    if "model" in {*settings.signals.weights, *settings.signals.require}:
        model = ModelClient(told.url, told.name, timeout_s=told.timeout_s)
    return Calls(broker, model, budget, calendar_of(settings), inbox, lockstep)


def _loop(
    options: Options,
    settings: AgentSettings,
    session: Session,
    journal: Journal,
    calls: Calls,
    clock: SystemClock | ExchangeClock,
) -> Loop:
    """Take up what the journal kept, with everything that the loop drives."""
    instance = instance_of(socket.gethostname(), str(options.home))
    rules = rules_of(settings, instance=instance, live=options.live)
    desk = restored(rules, journal.kept())
    notices, note = (
        Notices(settings.notices.urls, least=settings.notices.least),
        slices_note(settings),
    )
    if note is not None:
        notices.tell("warning", "sizing.slices", note)
    calls.know(desk.instruments, freezes_of(settings))
    root = settings.broker.ticker_url
    parts = Parts(
        clock,
        journal,
        calls,
        Ticker(session.api_key, session.access_token, root, calls.inbox),
        notices,
        calls.inbox,
        silent_ms=rules.watch.silent_ms,
        skew_stop_ms=rules.watch.skew_stop_ms,
        until_end=options.until_end,
        bug=lambda event, fault: _log_bug(options.home, event, fault),
    )
    return Loop(desk, parts)


def status_with_cuts(home: Path, desk: Desk) -> dict[str, Any]:
    """Return the status, and which of the session's entries the freeze quantity has cut.

    The journal knows, over a restart too. Where it cannot be read the list is None: that is no
    reason to answer nothing at all.
    """
    status, cuts = status_of(desk), None
    with suppress(EnvironmentRefused):
        day = status["session"]
        cuts = [] if day is None else read_freeze_cuts(home, day, CUTS_SHOWN)
    return {**status, "freeze_cuts": cuts}


def _prove(broker: Broker, root: str) -> None:
    """Make one authenticated call before anything is started.

    Raises
    ------
    EnvironmentRefused
        If nobody answers there, or the session is not accepted.
    """
    try:
        broker.profile()
    except (Retryable, Refused) as fault:
        raise EnvironmentRefused(
            root,
            given=str(fault),
            allowed="a broker, or a paper exchange, that accepts this session",
            fix="start it or mend the root; with a dead token: ratchet-agent login",
        ) from fault


class _Skew:
    """How far this clock is off the server's `Date`; None until one was seen."""

    def __init__(self) -> None:
        self._off_ms: int | None = None

    def seen(self, server_ms: int) -> None:
        """Take in a `Date`: whole seconds, so up to a second late."""
        off = int(datetime.now(UTC).timestamp() * 1000) - server_ms
        self._off_ms = 0 if 0 <= off <= 1000 else off

    def skew_ms(self) -> int | None:
        """Return the skew, ms."""
        return self._off_ms


def _log_bug(home: Path, event: Event, fault: Exception) -> None:
    """Keep what a bug of ours was met with; trading goes on without entries."""
    told = "".join(traceback.format_exception(fault))
    with suppress(OSError):
        path = home / "logs" / "bug.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{event!r}\n{told}\n")


def _on_signals(inbox: SimpleQueue[Item]) -> None:
    """Let SIGINT and SIGTERM end the loop between two batches; stops stay at the exchange."""

    def stop(number: int, frame: object) -> None:
        del frame
        inbox.put(Stop(f"signal {signal.Signals(number).name}"))

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def _ready(path: Path | None, port: int) -> None:
    if path is None:
        return
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps({"pid": os.getpid(), "control_port": port}), encoding="utf-8")
    part.replace(path)
    tell(f"ready: {path}")
