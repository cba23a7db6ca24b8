"""May this candidate enter now, at which price, with how many shares? Or why not, in words.

Order: what can never be right today (mode, hours, version, product), what the market says now
(a fresh packet, spread, circuits: waits up to `patience_ms`), the money's answer, the order.
A refusal is final for its decision; a wait is looked at again on every packet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from agent.core.commands import Place
from agent.core.levels import atr_ticks, policy_of
from agent.core.trade import Pin, Trade
from agent.core.turn import Turn
from agent.core.values import Mode, Priority, Quote, Reason, Role, Terms
from agent.errors import SettingRefused
from agent.market.instruments import Instrument, Side
from agent.market.sessions import IST, from_epoch_ms
from agent.orders.leg import placed
from agent.orders.prices import BP, entry_limit, protect_gap, protect_limit
from agent.orders.tags import tag_of
from agent.risk import book as money
from agent.risk.entry import decide_entry
from agent.risk.limits import Refusal
from agent.risk.sizing import Proposal
from agent.signals.coordinator import rank
from agent.signals.signal import Candidate
from agent.trailing.plan import Plan
from agent.trailing.policy import Policy, plan_for


@dataclass(frozen=True, slots=True)
class No:
    """Why not: `waits` says whether another moment may answer differently."""

    kind: str
    words: str
    waits: bool = False


def try_candidates(turn: Turn) -> None:
    """Enter what may enter now, strongest first; drop what may not."""
    if "order margins" in turn.desk.asking.values():
        return
    waiting: list[Candidate] = []
    for candidate in rank(turn.desk.candidates):
        answer = _try(turn, candidate)
        if answer is None:
            continue
        patience = candidate.since_ms + turn.desk.rules.entry.patience_ms
        if answer.waits and turn.at_ms < min(patience, candidate.valid_until_ms):
            waiting.append(replace(candidate, waits=answer.words))
            continue
        facts = {"reason": answer.kind, "side": candidate.side.value}
        words = f"{candidate.side.value} refused: {answer.words}"
        turn.note("refused", candidate.key, words, 0, facts)
    turn.set(candidates=tuple(waiting))


def _try(turn: Turn, candidate: Candidate) -> No | None:
    pin = _pin(turn, candidate)
    if isinstance(pin, No):
        return pin
    no = _closed(turn, candidate) or _overtraded(turn, candidate, policy_of(pin.policy_toml))
    if no is not None:
        return no
    instrument = turn.desk.instruments.get(candidate.key)
    sight = turn.sight(candidate.key)
    if instrument is None:
        return No("instrument", "the day's instruments dump does not list it")
    if sight is None or turn.at_ms - sight.at_ms > turn.desk.rules.watch.stale_ms:
        return No("stale", "no packet of this instrument lately", waits=True)
    limit = entry_limit(candidate.side, sight.quote, turn.desk.rules.entry)
    if limit is None:
        return No("depth", "nobody offers the other side", waits=True)
    no = _spread(sight.quote, turn.desk.rules.entry.spread_bp_max)
    if no is not None:
        return no
    plan = _plan(turn, candidate.side, instrument, limit, policy_of(pin.policy_toml))
    if isinstance(plan, No):
        return plan
    no = _circuits(turn, candidate, plan, sight.quote)
    if no is not None:
        return no
    return _enter(turn, candidate, pin, _proposal(turn, candidate, instrument, sight.quote, plan))


def _pin(turn: Turn, candidate: Candidate) -> Pin | No:
    """Say which policy and version the trade will be run by."""
    rules = turn.desk.rules
    spoke = next((s for s in candidate.signals if s.agent == "model"), candidate.signals[0])
    own = rules.policy
    policy = "" if own is None else own.text
    if spoke.agent == "model":
        info = turn.desk.versions.get(spoke.version)
        if info is None:
            return No("version", f"version {spoke.version} has not been described")
        if info.allowed == "none" or (rules.live and info.allowed != "live"):
            where = "live" if rules.live else "on paper"
            if not (rules.allow_without_gate and not rules.live):
                words = f"version {spoke.version} may trade '{info.allowed}', not {where}"
                return No("gate", f"{words}: its gates say so")
        other = own is not None and own.text != info.policy_toml
        if other and rules.live and not rules.allow_policy_mismatch:
            return No("policy", "an own policy instead of the version's, without permission")
        policy = policy or info.policy_toml
    if not policy:
        return No("policy", "no trailing policy: set policy, or let the model speak")
    try:
        policy_of(policy)
    except SettingRefused as fault:
        return No("policy", str(fault))
    return Pin(
        spoke.agent,
        policy,
        turn.desk.model if spoke.agent == "model" else "",
        spoke.version,
        spoke.variant,
        spoke.request_id,
        candidate.words,
        candidate.strength,
    )


def _closed(turn: Turn, candidate: Candidate) -> No | None:
    """Refuse by mode, hours, validity and what is open already."""
    desk, rules = turn.desk, turn.desk.rules.entry
    if desk.mode is not Mode.NORMAL:
        why = "; ".join(g.words for g in desk.guards.values() if g.mode is desk.mode)
        return No("mode", f"{desk.mode.name}: {why or 'by the operator'}")
    if turn.at_ms >= candidate.valid_until_ms:
        over = from_epoch_ms(candidate.valid_until_ms).astimezone(IST)
        return No("expired", f"the signal was valid until {over:%Y-%m-%d %H:%M:%S}")
    session = desk.session
    if session is None or not session.is_continuous_ms(turn.at_ms):
        return No("session", "the market does not trade continuously")
    at = from_epoch_ms(turn.at_ms)
    until = rules.until if candidate.side is Side.LONG else min(rules.shorts_until, rules.until)
    if not session.after_open(rules.since) <= at < session.before_close(until):
        hours = f"{rules.since:%H:%M} to {until:%H:%M}"
        return No("hours", f"{candidate.side.value} entries from {hours}")
    held = desk.trade_of(candidate.key, desk.rules.product)
    if held is not None:
        return No("one_position", f"trade {held.number} holds or enters it", waits=True)
    return None


def _overtraded(turn: Turn, candidate: Candidate, policy: Policy) -> No | None:
    limits = policy.overtrading
    past = [t for t in turn.desk.trades.values() if t.key == candidate.key and t.done and t.entered]
    if limits.max_round_trips is not None and len(past) >= limits.max_round_trips:
        return No(
            "max_round_trips", f"{len(past)} round trips today, {limits.max_round_trips} allowed"
        )
    stopped = [t.closed_ms for t in past if t.side is candidate.side and t.reason is Reason.STOP]
    ready = max(stopped, default=0) + limits.cooldown_s * 1000
    if stopped and turn.at_ms < ready:
        return No("cooldown", f"stopped out, {(ready - turn.at_ms) // 1000} s of cooldown left")
    return None


def _spread(quote: Quote, most_bp: int) -> No | None:
    bid, ask = quote.bid, quote.ask
    if bid is None or ask is None:
        return No("depth", "one side of the book is empty", waits=True)
    # one tick is the least spread there is, however many basis points that makes
    if ask - bid > 1 and (ask - bid) * 2 * BP > most_bp * (ask + bid):
        bp = (ask - bid) * 2 * BP / (ask + bid)
        return No("spread", f"spread {bp:.1f} bp, allowed {most_bp}", waits=True)
    return None


def _plan(turn: Turn, side: Side, instrument: Instrument, limit: int, policy: Policy) -> Plan | No:
    atr = atr_ticks(turn.desk, instrument.key)
    try:
        return plan_for(
            policy,
            side=side,
            entry=instrument.price(limit),
            tick_size=instrument.tick_size,
            quantity=1,
            on=from_epoch_ms(turn.at_ms).date(),
            atr=None if atr is None else atr * Fraction(instrument.tick_size),
        )
    except SettingRefused as fault:
        return No("policy", str(fault))


def _circuits(turn: Turn, candidate: Candidate, plan: Plan, quote: Quote) -> No | None:
    """Refuse an entry too near to the limit at which nobody would buy it back."""
    band = turn.desk.bands.get(candidate.key)
    if band is None:
        return No("band", "the day's circuit limits are not known", waits=True)
    adverse = band.lower if candidate.side is Side.LONG else band.upper
    room = candidate.side.sign * (quote.last - adverse)
    stop = candidate.side.sign * (quote.last - plan.stop)
    needed = turn.desk.rules.entry.circuit_stop_distances
    if room < needed * stop:
        words = f"{room} ticks to the adverse circuit, {needed} stop distances are {needed * stop}"
        return No("circuit", words)
    return None


def _proposal(
    turn: Turn, candidate: Candidate, instrument: Instrument, quote: Quote, plan: Plan
) -> Proposal:
    desk, side = turn.desk, candidate.side
    band = desk.bands.get(candidate.key)
    limit = entry_limit(side, quote, desk.rules.entry) or quote.last
    minute = desk.atrs.get((candidate.key, "minute"))
    gap = protect_gap(
        instrument, plan.stop, None if minute is None else minute.value, desk.rules.protect
    )
    levels = quote.asks if side is Side.LONG else quote.bids
    key = (candidate.key, side.entry_transaction)
    asked = any(k[0] == candidate.key for k in desk.margins_per_share)
    day = desk.atrs.get((candidate.key, "day"))
    return Proposal(
        instrument=instrument,
        product=desk.rules.product,
        side=side,
        limit=limit,
        stop_limit=protect_limit(side, plan.stop, gap, band),
        on=from_epoch_ms(turn.at_ms).date(),
        reference=max(quote.last, limit) if side is Side.SHORT else None,
        band=None if band is None else (band.lower, band.upper),
        depth=sum(shares for _, shares in levels[:5]),
        daily_sd=None
        if day is None or day.value is None
        else round(day.value) * instrument.tick_paise,
        margin=desk.margins_per_share.get(key),
        mis_allowed=key in desk.margins_per_share or not asked,
    )


def _enter(turn: Turn, candidate: Candidate, pin: Pin, proposal: Proposal) -> No | None:
    desk = turn.desk
    if desk.money is None:
        return No("money", "the day's book is not open", waits=True)
    sized = decide_entry(desk.money, proposal, desk.rules.money)
    if isinstance(sized, Refusal):
        return No(sized.limit, sized.words)
    number = desk.numbers + 1
    call = turn.call()
    terms = Terms("LIMIT", sized.slices[0], proposal.limit)
    transaction = candidate.side.entry_transaction
    tag = tag_of(desk.rules.instance, number, Role.ENTRY, 0)
    leg = placed(Role.ENTRY, transaction, terms, tag, call=call, at_ms=turn.at_ms)
    trade = Trade(
        number,
        proposal.instrument,
        candidate.side,
        proposal.product,
        pin,
        turn.at_ms,
        leg,
        reserved=True,
    )
    intent = sized.reserve(trade.intent)
    if terms.quantity != sized.quantity:
        intent = replace(intent, quantity=terms.quantity)
    turn.set(numbers=number, money=money.reserve(desk.money, intent))
    turn.note(
        "taken",
        candidate.key,
        f"{sized.words}; {candidate.words}",
        number,
        {"side": candidate.side.value, "strength": candidate.strength, "bound": sized.bound},
    )
    turn.emit(
        Place(
            call,
            Priority.ENTRY,
            number,
            Role.ENTRY,
            candidate.key,
            proposal.product,
            transaction,
            terms,
            tag,
        )
    )
    turn.put(trade)
    return None
