"""The decisions: when the model is asked, about what, and what becomes of its answers.

Order: a candle closes (or, for day candles, the session's first allowed moment comes) -> the
symbols whose window is whole are asked about in one batch -> the signal agents speak -> the
coordinator decides -> candidates wait for a quote that lets them enter (entries.py).
Rule 1: entries fail closed. No answer, no entry; exits never wait for a model.
Rule 2: one decision a symbol and candle; it survives a restart (`decided` is journaled).
"""

from __future__ import annotations

from dataclasses import replace

from agent.core.commands import AskModel, ReadMargins, ReadOrderMargins
from agent.core.entries import try_candidates
from agent.core.events import ModelAnswered, Prediction
from agent.core.levels import hear
from agent.core.turn import Turn
from agent.core.values import Mode, Priority, Reason
from agent.core.windows import window_of
from agent.market.candles import interval_ms
from agent.orders.exits import close
from agent.signals.coordinator import candidate_of, coordinate
from agent.signals.mean_reversion import MeanReversion
from agent.signals.model import Model
from agent.signals.momentum import Momentum
from agent.signals.signal import Candidate, Context, Signal, SignalAgent

AGENTS: dict[str, SignalAgent] = {
    agent.name: agent for agent in (Model(), Momentum(), MeanReversion())
}
BATCH_MAX = 200
RETRY_MS = 1_000


def decide_now(turn: Turn) -> None:
    """Ask the model about every symbol whose last candle has not been decided on."""
    desk = turn.desk
    if any(purpose == "model" for purpose in desk.asking.values()):
        turn.timer("decide", turn.at_ms + RETRY_MS)
        return
    windows, missing = [], []
    for key in desk.universe:
        if key not in desk.instruments:
            continue
        window = window_of(turn, key)
        if window is None:
            missing.append(key)
        elif desk.decided.get(key, 0) < window.ts_ms[-1]:
            windows.append(window)
    if missing and any(p.startswith("history:") for p in desk.asking.values()):
        turn.timer("decide", turn.at_ms + RETRY_MS)  # its candles are on their way
    if not windows:
        return
    if "model" not in desk.rules.signals.weights and "model" not in desk.rules.signals.require:
        _conclude(turn, {w.key: None for w in windows}, {w.key: w.ts_ms[-1] for w in windows})
        return
    call = turn.ask("model")
    turn.emit(AskModel(call, Priority.READ, tuple(windows[:BATCH_MAX]), turn.at_ms))
    if len(windows) > BATCH_MAX:
        turn.timer("decide", turn.at_ms + RETRY_MS)


def on_model(turn: Turn, event: ModelAnswered) -> None:
    """Take in the model's answers."""
    turn.answered(event.call)
    turn.lift("model")
    known = {**turn.desk.versions, **{info.version: info for info in event.versions}}
    turn.set(versions=known)
    answers: dict[str, Prediction | None] = {p.key: p for p in event.predictions}
    decided = {}
    for key in answers:
        window = turn.desk.windows.get(key, ())
        if window:
            decided[key] = window[-1].ts_ms
    for prediction in event.predictions:
        _noted(turn, prediction)
    _conclude(turn, answers, decided)


def on_model_failed(turn: Turn, words: str) -> None:
    """Open nothing while the model does not answer; ask again."""
    turn.guard("model", Mode.NO_NEW, words, "the next answer of the served model")
    turn.timer("decide", turn.at_ms + 5 * RETRY_MS)


def _conclude(turn: Turn, answers: dict[str, Prediction | None], decided: dict[str, int]) -> None:
    turn.set(decided={**turn.desk.decided, **decided})
    fresh: list[Candidate] = []
    for key in sorted(answers):
        signals = _signals(turn, key, answers[key])
        _tell_trade(turn, key, signals)
        outcome = coordinate(key, signals, turn.desk.rules.signals)
        candidate = candidate_of(outcome, turn.at_ms)
        if candidate is None:
            turn.note("stayed out", key, outcome.words)
            continue
        fresh.append(_against_open(turn, candidate))
    others = tuple(c for c in turn.desk.candidates if c.key not in answers)
    turn.set(candidates=(*others, *fresh))
    if fresh:
        _ask_margins(turn, fresh)


def _signals(turn: Turn, key: str, prediction: Prediction | None) -> list[Signal]:
    rules = turn.desk.rules.signals
    window = turn.desk.windows.get(key, ())
    valid = interval_ms(turn.desk.interval)
    context = Context(key, turn.at_ms, turn.desk.interval, valid, window, prediction)
    found = []
    for name in sorted({*rules.weights, *rules.require}):
        agent = AGENTS.get(name)
        signal = None if agent is None else agent.on_candle(context)
        if signal is not None:
            found.append(signal)
    return found


def _tell_trade(turn: Turn, key: str, signals: list[Signal]) -> None:
    """Let an open trade's levels hear the model: agreement, or a turn against it."""
    trade = turn.desk.trade_of(key, turn.desk.rules.product)
    spoke = next((s for s in signals if s.agent == "model"), None)
    if trade is None or spoke is None or trade.pin.agent != "model":
        return
    says = 0 if spoke.side is None else 1 if spoke.side is trade.side else -1
    turn.put(hear(trade, says))


def _against_open(turn: Turn, candidate: Candidate) -> Candidate:
    """Hold, close or reverse a trade of the other side, as the settings say."""
    trade = turn.desk.trade_of(candidate.key, turn.desk.rules.product)
    what = turn.desk.rules.signals.opposite
    if trade is None or trade.side is candidate.side or what == "hold":
        return candidate
    turn.put(close(turn, trade, Reason.FLIP, f"signal {candidate.side.value}: {candidate.words}"))
    if what == "reverse":
        return candidate  # it waits until the trade is flat, then enters under new ids
    return replace(candidate, valid_until_ms=turn.at_ms)


def _ask_margins(turn: Turn, fresh: list[Candidate]) -> None:
    """Ask what the entries would block; they leave when the answer (or its failure) is here."""
    items = []
    for candidate in fresh:
        sight = turn.sight(candidate.key)
        if sight is not None:
            items.append((candidate.key, candidate.side.entry_transaction, sight.quote.last))
    if not items:
        try_candidates(turn)
        return
    product = turn.desk.rules.product
    turn.emit(ReadMargins(turn.ask("margins"), Priority.READ))
    turn.emit(ReadOrderMargins(turn.ask("order margins"), Priority.READ, product, tuple(items)))


def _noted(turn: Turn, prediction: Prediction) -> None:
    if prediction.error:
        turn.note("model error", prediction.key, prediction.error)
        return
    facts = {
        "side": prediction.side,
        "version": prediction.version,
        "variant": prediction.variant,
        "request_id": prediction.request_id,
        "er_long": prediction.er_long,
        "er_short": prediction.er_short,
    }
    words = f"{prediction.variant} v{prediction.version}: {prediction.side}"
    if prediction.warnings:
        words += f" ({'; '.join(prediction.warnings)})"
    turn.note("answer", prediction.key, words, 0, facts)
