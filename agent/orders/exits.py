"""The exit side of a trade: one order for life. It protects, follows, and becomes the exit.

Rule 1: stop, target, flip, square-off and flatten are the same order: the resting SL, modified.
Only when the broker refuses the change of type, or the order is gone, is a new one placed.
Rule 2: the ladder: limit at the best opposite price through a slip -> wider -> protected market
-> notice and human, inside the circuit band; the protected market order may rest as a limit and
strand, so it has a time limit, too.
Rule 3: a stop only tightens: what is asked for is never behind what stands (promise 2).
Order: withdraw what has nothing to close, then what is one too many; then place, look up, close
or follow.
"""

from __future__ import annotations

from agent.core.commands import Cancel, Modify, Place
from agent.core.trade import Closing, Trade, last_exit
from agent.core.turn import Turn
from agent.core.values import Band, Fault, Mode, Priority, Reason, Role, Terms
from agent.frozen import replace
from agent.orders.leg import Doing, Flight, Leg, moved, placed, sent, triggered
from agent.orders.lifecycle import Evidence, OrderState
from agent.orders.prices import exit_limit, protect_gap, protect_limit
from agent.orders.stops import first_stop, stop_move, unspent
from agent.orders.tags import tag_of
from agent.trailing.planner import REPLACE, SEND

MODIFICATIONS_MAX = 25  # Kite, per order: the 26th is refused and the order stays live
REFUSALS_MAX = 2
PROTECT_TRIES_MAX = 3
EAGER_TRIES = 10  # calls pushed back (429) that are repeated at once; then less and less often
LOOKUPS_MIN = 2  # books that do not show an order before it is given up
HUMAN_RUNG_FACTOR = 5


def drive_exit(turn: Turn, trade: Trade) -> Trade:
    """Do what the exit side needs next; at most one call for each order."""
    trade = _one_at_most(turn, trade)
    if trade.open <= 0:
        return _forgotten(turn, trade)
    leg = trade.exit
    if leg is None:
        return _place(turn, trade)
    if leg.state is OrderState.UNKNOWN:
        return _lost(turn, trade, leg)
    if not leg.idle or not leg.at_exchange or turn.at_ms < trade.retry_ms:
        return trade
    trade = _stranded(turn, trade, leg)
    if trade.closing is not None:
        return _ladder(turn, trade, leg, trade.closing)
    if leg.state is OrderState.RESTING:
        return _follow(turn, trade, leg)
    return trade


def with_leg(trade: Trade, leg: Leg) -> Trade:
    """Return the trade with one of its orders replaced by a newer state of it."""
    if trade.entry is not None and leg.tag == trade.entry.tag:
        return replace(trade, entry=leg)
    return replace(trade, exits=tuple(leg if old.tag == leg.tag else old for old in trade.exits))


def crossed(turn: Turn, trade: Trade, trigger: int) -> bool:
    """Tell whether the last price has reached a stop of this trade."""
    sight = turn.sight(trade.key)
    return sight is not None and trade.side.sign * (sight.quote.last - trigger) <= 0


def _one_at_most(turn: Turn, trade: Trade) -> Trade:
    """Withdraw exits that have nothing to close, and the second of two."""
    keep = trade.exit if trade.open > 0 else None
    for leg in trade.live_exits:
        if keep is not None and leg.tag == keep.tag:
            continue
        if leg.idle and leg.state is not OrderState.CANCEL_SENT:
            trade = with_leg(trade, withdraw(turn, trade, leg))
    return trade


def pushed_back(turn: Turn, trade: Trade, leg: Leg, fault: Fault) -> Trade:
    """Return the trade after a call about one of its orders failed: when to try again."""
    rules, exit_leg = turn.desk.rules.lookup, leg.role is Role.EXIT
    if fault in {Fault.RETRYABLE, Fault.TOKEN}:
        again = max(sum(one.never_left for one in trade.exits) - EAGER_TRIES, 0)
        trade = replace(trade, retry_ms=turn.at_ms + rules.retry_ms * 2 ** min(again, 6))
        if trade.closing is not None and exit_leg:
            rung = max(trade.closing.rung - 1, -1)
            trade = replace(trade, closing=replace(trade.closing, rung_ms=0, rung=rung))
    elif fault in {Fault.REFUSED, Fault.BLOCKED} and exit_leg:
        # The first refusal is answered at once (a stop that the price has passed becomes an
        # exit); a broker that goes on refusing is asked less and less often, never given up.
        wait = rules.retry_ms * 2 ** min(trade.refusals, 6) if trade.refusals else 0
        trade = replace(trade, refusals=trade.refusals + 1, retry_ms=turn.at_ms + wait)
    return trade


def withdraw(turn: Turn, trade: Trade, leg: Leg) -> Leg:
    """Cancel an order that no other call is about."""
    call = turn.call()
    turn.emit(Cancel(call, Priority.EXIT, trade.number, leg.role, trade.key, leg.order_id or ""))
    return sent(leg, Flight(Doing.CANCEL, call))


def close(turn: Turn, trade: Trade, reason: Reason, words: str) -> Trade:
    """Put a trade on its way out; the first reason stays."""
    if trade.closing is not None or trade.frozen:
        return trade
    turn.note("closing", trade.key, f"{reason}: {words}", trade.number)
    return replace(trade, closing=Closing(reason, turn.at_ms))


def _forgotten(turn: Turn, trade: Trade) -> Trade:
    """Give up a lost exit of a flat trade, as late as an entry; it is withdrawn if it comes."""
    for leg in trade.live_exits:
        waited = turn.at_ms - leg.lost_ms >= turn.desk.rules.lookup.entry_ms
        if leg.state is OrderState.UNKNOWN and leg.lookups >= LOOKUPS_MIN and waited:
            gone = moved(leg, Evidence.GIVEN_UP, call=turn.desk.calls, at_ms=turn.at_ms)
            trade = with_leg(trade, gone)
    return trade


def _lost(turn: Turn, trade: Trade, leg: Leg) -> Trade:
    look = turn.desk.rules.lookup
    if leg.lookups < LOOKUPS_MIN or turn.at_ms - leg.lost_ms < look.exit_ms:
        return trade
    words = f"{leg.tag} is in no book after {turn.at_ms - leg.lost_ms} ms: placed anew"
    turn.note("exit", trade.key, words, trade.number)
    gone = moved(leg, Evidence.GIVEN_UP, call=turn.desk.calls, at_ms=turn.at_ms)
    return _place(turn, with_leg(trade, gone))


def _stranded(turn: Turn, trade: Trade, leg: Leg) -> Trade:
    """Close what the exchange should have closed by now."""
    wait = turn.desk.rules.exit.trigger_wait_ms
    if triggered(leg) and turn.at_ms >= leg.triggered_ms + wait:
        return close(turn, trade, Reason.STOP, f"triggered and unfilled after {wait} ms")
    if trade.hit_ms and leg.state is OrderState.RESTING and turn.at_ms >= trade.hit_ms + wait:
        return close(turn, trade, Reason.STOP, f"crossed and not triggered after {wait} ms")
    if leg.state is OrderState.OPEN and not triggered(leg):
        return close(turn, trade, Reason.STOP, "a plain exit order was found at the exchange")
    return trade


def _place(turn: Turn, trade: Trade) -> Trade:
    last = last_exit(trade)
    if turn.at_ms < trade.retry_ms or not _trading(turn):
        return trade
    # An order that never left changed nothing: what was read before it still holds.
    if last is not None and not last.never_left and trade.book_call <= last.final_call:
        turn.want_book()
        return trade
    if trade.closing is None:
        trade = _cannot_protect(turn, trade)
    if trade.closing is None:
        return _protect(turn, trade)
    if _entry_in_the_way(turn, trade, trade.closing):
        return trade
    rung = max(trade.closing.rung, 0)
    terms, protection = rung_terms(turn, trade, rung, trade.open)
    trade = replace(trade, closing=replace(trade.closing, rung=rung, rung_ms=turn.at_ms))
    return _send(turn, trade, terms, protection)


def _cannot_protect(turn: Turn, trade: Trade) -> Trade:
    """Turn to the exit where a stop makes no sense any more."""
    refused = [
        leg for leg in trade.exits if leg.state is OrderState.REJECTED and not leg.never_left
    ]
    if trade.levels is None:
        return close(turn, trade, Reason.UNPROTECTED, "there is no stop to place")
    if crossed(turn, trade, trade.levels.stop):
        return close(turn, trade, Reason.STOP, "the price is through the stop already")
    if len(refused) >= PROTECT_TRIES_MAX:
        words = f"the broker refused {len(refused)} stops: {refused[-1].words}"
        return close(turn, trade, Reason.UNPROTECTED, words)
    return trade


def _protect(turn: Turn, trade: Trade) -> Trade:
    trade, trigger = first_stop(trade)
    return _send(turn, trade, _protective(turn, trade, trigger, trade.open), None)


def _protective(turn: Turn, trade: Trade, trigger: int, quantity: int) -> Terms:
    desk = turn.desk
    atr = desk.atrs.get((trade.key, "minute"))
    gap = protect_gap(
        trade.instrument, trigger, None if atr is None else atr.value, desk.rules.protect
    )
    limit = protect_limit(trade.side, trigger, gap, desk.bands.get(trade.key))
    return Terms("SL", quantity, limit, trigger)


def _send(turn: Turn, trade: Trade, terms: Terms, protection: int | None) -> Trade:
    call = turn.call()
    tag = tag_of(turn.desk.rules.instance, trade.number, Role.EXIT, len(trade.exits))
    transaction = trade.side.exit_transaction
    leg = placed(Role.EXIT, transaction, terms, tag, call=call, at_ms=turn.at_ms)
    turn.emit(
        Place(
            call,
            Priority.EXIT,
            trade.number,
            Role.EXIT,
            trade.key,
            trade.product,
            transaction,
            terms,
            tag,
            protection,
        )
    )
    return replace(trade, exits=(*trade.exits, leg), naked_ms=0)


def _entry_in_the_way(turn: Turn, trade: Trade, closing: Closing) -> bool:
    """Tell whether to wait until the entry's remainder is known to be withdrawn."""
    wait = turn.desk.rules.exit.entry_wait_ms
    return trade.entry_live and turn.at_ms < closing.since_ms + wait


def _ladder(turn: Turn, trade: Trade, leg: Leg, closing: Closing) -> Trade:
    if _entry_in_the_way(turn, trade, closing) or not _trading(turn):
        return trade
    locked = _locked(turn, trade, turn.desk.bands.get(trade.key))
    if trade.frozen:
        if locked:
            return trade  # one limit at the band is enough: no spam at a locked circuit
        trade = replace(trade, frozen="")
    rules = turn.desk.rules.exit
    human = closing.rung > len(rules.slips_bp)
    wait = rules.rung_ms * (HUMAN_RUNG_FACTOR if human else 1)
    grown = leg.pending < trade.open
    if closing.rung >= 0 and turn.at_ms < closing.rung_ms + wait and not grown:
        return trade
    rung = closing.rung + (0 if grown and closing.rung >= 0 else 1)
    trade = replace(trade, closing=replace(closing, rung=rung, rung_ms=turn.at_ms))
    if rung == len(rules.slips_bp) + 1:
        turn.notify(
            "alarm", "exit stuck", f"{trade.key}: {trade.open} shares, {closing.reason}; a person"
        )
    if leg.modifications >= MODIFICATIONS_MAX or trade.refusals >= REFUSALS_MAX:
        # The broker does not let this order change any more: its final row, a book, a new one.
        return with_leg(replace(trade, refusals=0), withdraw(turn, trade, leg))
    if locked:
        trade = _at_band(turn, trade)
    terms, protection = rung_terms(turn, trade, rung, leg.filled + trade.open)
    return with_leg(trade, _modify(turn, trade, leg, terms, protection))


def rung_terms(turn: Turn, trade: Trade, rung: int, quantity: int) -> tuple[Terms, int | None]:
    """Return what the exit asks for on a rung of the ladder, and its market protection."""
    rules = turn.desk.rules.exit
    sight, band = turn.sight(trade.key), turn.desk.bands.get(trade.key)
    locked = bool(trade.frozen)
    if sight is None or (rung == len(rules.slips_bp) and not locked):
        return Terms("MARKET", quantity), rules.market_protection
    slip = rules.slips_bp[rung] if rung < len(rules.slips_bp) else 2 * rules.slips_bp[-1]
    return Terms("LIMIT", quantity, exit_limit(trade.side, sight.quote, slip, band)), None


def _locked(turn: Turn, trade: Trade, band: Band | None) -> bool:
    """Tell whether nobody takes the other side at the circuit limit."""
    sight = turn.sight(trade.key)
    if band is None or sight is None:
        return False
    quote = sight.quote
    if trade.side.sign > 0:
        return not quote.bids and quote.last <= band.lower
    return not quote.asks and quote.last >= band.upper


def _at_band(turn: Turn, trade: Trade) -> Trade:
    if trade.frozen:
        return trade
    words = "locked at its circuit limit: the exit waits there, a person decides"
    turn.note("frozen", trade.key, words, trade.number)
    turn.notify("alarm", "frozen", f"{trade.key}: {words}")
    return replace(trade, frozen=words)


def _follow(turn: Turn, trade: Trade, leg: Leg) -> Trade:
    """Let the resting stop have the open quantity, and the trigger that the planner asks for."""
    levels, old = trade.levels, leg.terms.trigger_ticks
    fits = leg.pending == trade.open
    if levels is None or old is None or (turn.desk.mode is Mode.HALT and fits):
        return trade
    before, (trade, decision) = trade, stop_move(turn, trade, leg)
    if decision is None and fits:
        return trade
    trigger = old if decision is None else decision.level
    if trade.side.sign * (trigger - old) < 0 or crossed(turn, trade, trigger):
        trigger = old  # never back, never into the price: the exit takes care of that
        if decision is not None and decision.action == SEND:
            trade = unspent(before, trade)
    if (decision is not None and decision.action == REPLACE) or (
        leg.modifications >= MODIFICATIONS_MAX and not fits
    ):
        return with_leg(trade, withdraw(turn, trade, leg))
    if trigger == old and fits:
        return trade
    if trigger != old and decision is not None:
        trade = _moved(turn, trade, old, trigger, decision.why)
    terms = _protective(turn, trade, trigger, leg.filled + trade.open)
    return with_leg(trade, _modify(turn, trade, leg, terms, None))


def _moved(turn: Turn, trade: Trade, old: int, new: int, why: str) -> Trade:
    levels, price = trade.levels, trade.instrument.price
    if levels is None:
        return trade
    facts = {"from": old, "to": new, "desired": levels.stop}
    words = f"stop {price(old)} to {price(new)}: {why}"
    turn.note("stop", trade.key, words, trade.number, facts)
    return replace(trade, levels=replace(levels, stop_moves=levels.stop_moves + 1))


def _modify(turn: Turn, trade: Trade, leg: Leg, terms: Terms, protection: int | None) -> Leg:
    call = turn.call()
    turn.emit(
        Modify(
            call,
            Priority.EXIT,
            trade.number,
            leg.role,
            trade.key,
            leg.order_id or "",
            terms,
            quantity_changes=terms.quantity != leg.terms.quantity,
            market_protection=protection,
        )
    )
    return sent(leg, Flight(Doing.MODIFY, call, terms))


def _trading(turn: Turn) -> bool:
    session = turn.desk.session
    return session is not None and session.is_continuous_ms(turn.at_ms)
