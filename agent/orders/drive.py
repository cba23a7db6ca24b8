"""What does this trade need next? Compares what is wanted with what stands, and sends one call.

Rule 1: level-triggered. Whatever woke us (a row, an answer, a tick, a timer), the question is the
same and the answer depends on the trade alone; nothing here remembers why it was called.
Rule 2: nothing is sent beside a live exit, and no second exit before the first one's final row
and a full book (orders AND positions) asked after it.
Rule 3: a position without a live exit gets one before anything else happens to it.
Order of work: the entry (cancel what must not fill any more), then the exit side (exits.py), then
whether the trade is over, then when to look again.
"""

from __future__ import annotations

from agent.core.commands import CancelTimer, SetTimer
from agent.core.result import result_of
from agent.core.trade import Trade
from agent.core.turn import Turn
from agent.core.values import Mode, Reason
from agent.frozen import replace
from agent.orders.exits import LOOKUPS_MIN, close, drive_exit, with_leg, withdraw
from agent.orders.fills import release
from agent.orders.leg import Leg, look_due, moved
from agent.orders.lifecycle import Evidence, OrderState


def drive(turn: Turn, number: int) -> None:
    """Do what a trade needs next."""
    before = turn.desk.trades[number]
    if before.done:
        return
    trade = _looked_up(turn, before)
    trade = _entry(turn, trade)
    trade = _naked(turn, trade)
    trade = drive_exit(turn, trade)
    trade = _surplus(turn, trade)
    trade = _over(turn, trade)
    trade = _look_again(turn, trade)
    if trade is not before:
        turn.put(trade)


def at_rest(turn: Turn, trade: Trade) -> bool:
    """Tell whether a trade that has just been driven would stay as it is if it were driven again.

    True only where every step above is known to do nothing more at this instant: the entry is
    over, all shares lie behind one resting exit, nothing closes. What then may have changed is
    the planner's memory, asked again with the same stop at the same time; a change of the exit
    that was sent, which lets no other leave; and the timer, which follows from both.
    """
    if trade.entry is not None and not trade.entry.final:
        return False
    if trade.levels is None or trade.closing is not None or trade.frozen:
        return False
    if trade.naked_ms or trade.open <= 0:
        return False
    lives = trade.live_exits
    if len(lives) != 1 or lives[0].state is not OrderState.RESTING:
        return False
    due = look_due(lives[0], turn.desk.rules.lookup)
    return not due or due > turn.at_ms


def _looked_up(turn: Turn, trade: Trade) -> Trade:
    """Ask for a book where an order has been silent for too long."""
    look = turn.desk.rules.lookup

    def asked(leg: Leg) -> Leg:
        due = look_due(leg, look)
        if not due or turn.at_ms < due:
            return leg
        turn.want_book()
        return replace(leg, asked_ms=turn.at_ms)

    legs = trade.exits if trade.entry is None else (trade.entry, *trade.exits)
    for leg in legs:
        after = asked(leg)
        if after is not leg:
            trade = with_leg(trade, after)
    return trade


def _entry(turn: Turn, trade: Trade) -> Trade:
    leg = trade.entry
    if leg is None or leg.final:
        return _entry_over(turn, trade)
    look = turn.desk.rules.lookup
    if leg.state is OrderState.UNKNOWN:
        if leg.lookups >= LOOKUPS_MIN and turn.at_ms - leg.lost_ms >= look.entry_ms:
            turn.note("entry", trade.key, f"{leg.tag} was never found: given up", trade.number)
            given_up = moved(leg, Evidence.GIVEN_UP, call=turn.desk.calls, at_ms=turn.at_ms)
            return release(turn, replace(trade, entry=given_up))
        return trade
    if leg.idle and _entry_must_go(turn, trade, leg):
        return replace(trade, entry=withdraw(turn, trade, leg))
    return trade


def _entry_must_go(turn: Turn, trade: Trade, leg: Leg) -> bool:
    rules = turn.desk.rules.entry
    late = turn.at_ms >= leg.sent_ms + rules.ttl_ms
    return late or trade.closing is not None or turn.desk.mode >= Mode.REDUCE_ONLY


def _entry_over(turn: Turn, trade: Trade) -> Trade:
    leg = trade.entry
    if leg is None or not leg.final or leg.state is OrderState.ABSENT:
        return trade
    least = turn.desk.rules.entry.min_fill * trade.instrument.lot_size
    if 0 < leg.filled < min(least, leg.terms.quantity):
        words = f"{leg.filled} of {leg.terms.quantity} filled, kept from {least}"
        return close(turn, trade, Reason.MIN_FILL, words)
    return trade


def _naked(turn: Turn, trade: Trade) -> Trade:
    """Run the clock of shares without an exit; past its limit the ladder takes over."""
    if trade.open <= 0 or trade.protected:
        if not trade.naked_ms:
            return trade
        lasted = turn.at_ms - trade.naked_ms
        return replace(trade, naked_ms=0, naked_ms_max=max(trade.naked_ms_max, lasted))
    if not trade.naked_ms:
        return replace(trade, naked_ms=turn.at_ms)
    lasted = turn.at_ms - trade.naked_ms
    limit = turn.desk.rules.protect.unprotected_ms_max
    if lasted < limit or trade.closing is not None:
        return trade
    turn.notify(
        "alarm", "unprotected", f"{trade.key}: {trade.open} shares without a stop for {lasted} ms"
    )
    return close(turn, trade, Reason.UNPROTECTED, f"no stop for {lasted} ms, at most {limit}")


def _surplus(turn: Turn, trade: Trade) -> Trade:
    """Own what our own exits sold too much of: a trade of the other side, closed at once."""
    if trade.open >= 0:
        return trade
    shares = -trade.open
    last = max((leg for leg in trade.exits if leg.filled), key=lambda leg: leg.sent_call)
    paise = last.value_paise * shares // last.filled
    number = turn.desk.numbers + 1
    words = f"own exits closed {shares} shares more than there were"
    turn.notify("alarm", "surplus", f"{trade.key}: {words}: closing them")
    turn.set(numbers=number)
    other = Trade(
        number,
        trade.instrument,
        trade.side.opposite,
        trade.product,
        replace(trade.pin, agent="surplus", words=words),
        turn.at_ms,
        None,
        adopted_shares=shares,
        adopted_paise=paise,
        filled_ms=turn.at_ms,
    )
    turn.put(close(turn, other, Reason.SURPLUS, words))
    return replace(
        trade,
        external_shares=trade.external_shares - shares,
        external_paise=trade.external_paise - paise,
    )


def _over(turn: Turn, trade: Trade) -> Trade:
    if trade.open or trade.entry_live or trade.live_exits:
        return trade
    turn.emit(CancelTimer(f"trade:{trade.number}"))
    _tell(turn, trade)
    return replace(trade, closed_ms=turn.at_ms, timer_ms=0)


def _tell(turn: Turn, trade: Trade) -> None:
    """Say what a trade came to: the digest of its moves, too."""
    if not trade.entered:
        turn.note("not filled", trade.key, "the entry did not fill", trade.number)
        return
    result, moves = result_of(trade), 0 if trade.levels is None else trade.levels.stop_moves
    reason = "" if trade.reason is None else trade.reason.value
    words = (
        f"{trade.side.value} {trade.entered} in at {float(trade.average):.2f}, out at "
        f"{trade.left_paise / trade.left / 100:.2f}: {reason}, net {result.net / 100:.2f} rupees, "
        f"stop moved {moves} times"
    )
    turn.note("closed", trade.key, words, trade.number, {"reason": reason, "net": result.net})
    turn.notify("info", "closed", f"{trade.key}: {words}")


def _look_again(turn: Turn, trade: Trade) -> Trade:
    """Set the timer for the next moment at which time alone changes what is needed."""
    if trade.done:
        return trade
    dues = [due for due in _dues(turn, trade) if due > turn.at_ms]
    due = min(dues, default=0)
    if due == trade.timer_ms:
        return trade
    if not due:
        return replace(trade, timer_ms=0)
    turn.emit(SetTimer(f"trade:{trade.number}", due))
    return replace(trade, timer_ms=due)


def _dues(turn: Turn, trade: Trade) -> list[int]:
    rules = turn.desk.rules
    look, exits = rules.lookup, rules.exit
    dues = [trade.retry_ms]
    if trade.entry is not None and not trade.entry.final:
        dues += [trade.entry.sent_ms + rules.entry.ttl_ms, look_due(trade.entry, look)]
        if trade.entry.state is OrderState.UNKNOWN:
            dues.append(trade.entry.lost_ms + look.entry_ms)
    for leg in trade.live_exits:
        dues.append(look_due(leg, look))
        if leg.state is OrderState.UNKNOWN:
            dues += [leg.lost_ms + look.exit_ms, leg.lost_ms + look.entry_ms]
        if leg.triggered_ms:
            dues.append(leg.triggered_ms + exits.trigger_wait_ms)
    if trade.naked_ms:
        dues.append(trade.naked_ms + rules.protect.unprotected_ms_max)
    if trade.closing is not None:
        dues.append(trade.closing.rung_ms + exits.rung_ms)
        dues.append(trade.closing.since_ms + exits.entry_wait_ms)
    if trade.open > 0 and trade.live_exits == ():
        dues.append(turn.at_ms + look.retry_ms)
    if trade.hit_ms:
        dues.append(trade.hit_ms + exits.trigger_wait_ms)
    if trade.levels is not None:
        dues.append(trade.levels.wake_ms)
    return dues
