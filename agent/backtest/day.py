"""One day of the agent against the exchange's core, instant by instant.

At an instant: the exchange moves and its ticks and updates are seen; what was on its way arrives;
candles close; timers fire; then calls leave. This is the order of the live loop in lock-step
(agent/shell/loop.py), without its threads. A tick that nobody looks at (nothing open, nothing
waiting in that instrument) is not decided on at once: it is remembered, and told before the next
thing that could look; a closed candle that asks nobody anything, likewise. The decisions are the
same (tested). Between two instants at which anything but ticks is due, only ticks are played.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from agent.backtest.link import Link, Maker, quote_of
from agent.backtest.market import BacktestMarket, Legs
from agent.backtest.results import Day
from agent.backtest.settings import MODEL, Settings
from agent.backtest.signals import SignalFunction, SignalRow, Versions, by_instant
from agent.backtest.trips import trips_of
from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.decide import decide, decide_plainly
from agent.core.idle import idle_after
from agent.core.quiet import QUIET, quiet_after
from agent.core.state import Desk, Sight
from agent.core.turn import Turn
from agent.core.values import Mode, Quote
from agent.core.windows import on_candle
from agent.errors import check
from agent.market.instruments import Side
from agent.paper.board import FAR, Board
from agent.paper.exchange import Exchange, Instant
from agent.signals.feed import CandleFeed

HISTORY_CANDLES: Final = 30  # what an ATR of 14 has settled from
HISTORY_DAYS: Final = 60
HISTORY_DAYS_INSIDE: Final = 8
DAY_MS: Final = 86_400_000


class DayRun:
    """One day, from the open until the exchange has closed its books.

    Parameters
    ----------
    market : BacktestMarket, of that day and the instruments to trade
    signals : rows of that day, or a function that is asked when candles close
    settings : Settings
    every_tick : bool
        Decide on everything at once, ticks that nobody looks at, too, and the plain way: slower,
        and the same (a test compares).
    """

    def __init__(
        self,
        market: BacktestMarket,
        signals: Sequence[SignalRow] | SignalFunction,
        settings: Settings,
        *,
        every_tick: bool = False,
    ) -> None:
        self._market = market
        self._settings = settings
        self._every_tick = every_tick
        self._function = None if isinstance(signals, Sequence) else signals
        self.exchange = Exchange(market, cash=settings.cash)
        self.exchange.start()
        self.link = Link(self.exchange, market, settings, self._of_model)
        self._versions = Versions(settings.policy)
        universe = tuple(sorted(self.exchange.boards))
        rules = replace(
            settings.rules,
            model=MODEL,
            interval=settings.interval,
            window=settings.window if self._function is not None else 0,
            universe=universe,
            live=False,
            watch=replace(settings.rules.watch, poll_ms=settings.poll_ms),
        )
        self.desk = Desk(rules)
        self._feeds = {
            key: CandleFeed(board.session, settings.interval, board.session.opens_ms)
            for key, board in self.exchange.boards.items()
        }
        self._legs = {key: market.legs(key) for key in universe}
        self._timers: dict[str, int] = {}
        self._unseen: dict[str, int] = {}  # the last tick of each key that was not decided on
        self._late: list[ev.CandleClosed] = []  # closed, and not told yet
        self._held: dict[str, Side] = {}
        self._waiting = self._finished = False
        self._to_come = 0  # instants at which rows are still to be heard
        self.events = self.instants = 0
        self.refused: Counter[str] = Counter()
        self.notes: list[tuple[int, str, str, str]] = []
        self.halted = ""
        if isinstance(signals, Sequence):
            self._expect(signals)

    @property
    def on(self) -> date:
        """The day."""
        return self.exchange.on

    def run(self) -> Day:
        """Live the day.

        Raises
        ------
        SettingRefused
            If a signal cannot be used.
        Broken
            If an invariant of ours does not hold.
        """
        self._begin()
        exchange = self.exchange
        while not exchange.over and not self._finished:
            own = min(self._timer_due(), self._feed_due(), self.link.next_ms)
            until = min(max(own, exchange.now_ms), exchange.timers_due)
            if exchange.ticks_due < until:
                self._ticks(until)
            else:
                self._instant(until)
        audit = exchange.findings()
        trips = trips_of(self.desk, exchange, self._market)
        return Day(
            self.on,
            trips,
            exchange.books.funds() - self._settings.cash,
            exchange.books.charges,
            audit,
            dict(sorted(self.refused.items())),
            self.halted,
            self.events,
            self.instants,
            tuple(self.notes),
        )

    # a day's course

    def _begin(self) -> None:
        now = self.exchange.now_ms
        for board in self.exchange.instant().ticked:
            self._tick(board, now)
        self._take(ev.Started(now))
        self._take(ev.FeedChanged(now, connected=True))
        self.link.dispatch(now)

    def _ticks(self, until_ms: int) -> None:
        """Play the ticks before an instant, up to the first one that has any consequence.

        Of that one the instant is finished; what others would have done at theirs is nothing.
        """
        exchange = self.exchange
        boards = tuple(exchange.boards.values())
        while (at_ms := exchange.ticks_due) < until_ms:
            self.instants += 1
            if self._held:
                self._turn_against()
            plain = exchange.tick(at_ms)
            for board in boards:
                if board.ticked_ms == at_ms and self._tick(board, at_ms):
                    plain = False
            if not plain:
                self._rest(at_ms, exchange.instant())
                return

    def _instant(self, at_ms: int) -> None:
        self.instants += 1
        if self._held:
            self._turn_against()
        instant = self.exchange.move_to(at_ms)
        for board in instant.ticked:
            self._tick(board, at_ms)
        self._rest(at_ms, instant)

    def _rest(self, at_ms: int, instant: Instant) -> None:
        """Do what an instant brings after its ticks."""
        for update in instant.notes.updates:
            self.link.update(update)
        for event in self.link.arrivals(at_ms):
            self._take(event)
        for _, feed in sorted(self._feeds.items()):
            if feed.next_ms is not None and feed.next_ms <= at_ms:
                for closed in feed.timer(at_ms):
                    self._take(closed)
        if self._timers and min(self._timers.values()) <= at_ms:
            self._fire(at_ms)
        self.link.dispatch(at_ms)

    def _tick(self, board: Board, at_ms: int) -> bool:
        """Take a tick; return whether anything but what was last seen has changed."""
        key = board.instrument.key
        # a candidate is tried on every packet, whosever it is
        looked_at = self._every_tick or self._waiting or key in self._held
        quote = quote_of(board, at_ms) if looked_at else _bare(board, at_ms)
        feed = self._feeds[key]
        due = feed.next_ms
        changed = False
        for closed in feed.tick(key, quote, at_ms):
            changed = self._take(closed) or changed
        if changed:
            looked_at = self._every_tick or self._waiting or key in self._held
            quote = quote_of(board, at_ms) if looked_at else quote
        if looked_at:
            self._unseen.pop(key, None)
            changed = self._decide(ev.TickSeen(at_ms, key, quote)) or changed
        else:
            self._unseen[key] = at_ms
        return changed or feed.next_ms != due

    def _take(self, event: ev.Event) -> bool:
        """Decide on an event, or keep a candle for later that only adds to what is known.

        A candle of another interval than the model's asks nobody anything: its true range is
        wanted by the next event that is not proven to change nothing.
        """
        if (
            isinstance(event, ev.CandleClosed)
            and event.interval != self.desk.rules.interval
            and not self._every_tick
        ):
            self._late.append(event)
            return False
        changed = self._decide(event)
        if isinstance(event, ev.DayOpened):
            self._tell_history()
        return changed

    def _decide(self, event: ev.Event) -> bool:
        """Decide on an event; return whether it did more than add to what was last seen."""
        self.events += 1
        if isinstance(event, ev.ModelAnswered):
            self._to_come -= 1
        found = None if self._every_tick else _quietly(self.desk, event)
        if found is None:
            self._catch_up(sights=not isinstance(event, ev.TickSeen))
            decided = decide_plainly if self._every_tick else decide
            self.desk, commands = decided(self.desk, event)
        else:
            self.desk, commands = found
        for command in commands:
            self._carry_out(command)
        # a tick about which nothing is said opens, closes and drops nothing; to look at the desk
        # would have it written down (agent/core/idle.py)
        if found is None and (commands or not isinstance(event, ev.TickSeen)):
            self._look()
        return bool(commands) or not isinstance(event, ev.TickSeen)

    def _catch_up(self, *, sights: bool) -> None:
        """Tell candles that were kept for later, and put down what was seen and not decided on.

        A packet that nobody looks at changes the sight of its instrument, and nothing else.
        """
        if self._late:
            turn = Turn(self.desk, self.desk.now_ms)
            for closed in self._late:
                asks = on_candle(turn, closed)
                check(not asks, "a candle of another interval asks nobody", event=closed)
            self.events += len(self._late)
            self.desk, self._late = turn.desk, []
        if sights and self._unseen:
            desk = self.desk if self.desk.idle is None else self.desk.idle.written()
            boards, known = self.exchange.boards, dict(desk.sights)
            for key, at_ms in self._unseen.items():
                known[key] = Sight(quote_of(boards[key], at_ms), at_ms)
            self._unseen = {}
            self.desk = replace(desk, sights=known)

    def _look(self) -> None:
        desk = self.desk
        self._held = {trade.key: trade.side for trade in desk.open_trades}
        self._waiting = bool(desk.candidates)
        # flat, and nobody is going to say anything: the rest of the day is without orders
        over = self._function is None and not self._to_come
        self._finished = over and not self._held and not self._waiting and bool(desk.session)
        if not self.halted and desk.operator is Mode.HALT:
            self.halted = "; ".join(
                f"{name}: {guard.words}" for name, guard in sorted(desk.guards.items())
            )

    def _tell_history(self) -> None:
        """Let rows, too, meet a trail whose ATR is known from the first candle on."""
        if self.desk.rules.window:
            return  # the agent asks by itself
        now, interval = self.exchange.now_ms, self._settings.interval
        days = HISTORY_DAYS if interval == "day" else HISTORY_DAYS_INSIDE
        for key in self.desk.rules.universe:
            candles = self.link.history(key, interval, (now - days * DAY_MS, now))
            if candles:
                self._decide(ev.HistoryRead(now, 0, key, interval, candles[-HISTORY_CANDLES:]))

    def _carry_out(self, command: cmd.Command) -> None:
        match command:
            case cmd.Call():
                self.link.add(command, self.exchange.now_ms)
            case cmd.SetTimer():
                self._timers[command.name] = command.due_ms
            case cmd.CancelTimer():
                self._timers.pop(command.name, None)
            case cmd.Note():
                if command.kind == "refused":
                    self.refused[str(command.facts.get("reason", ""))] += 1
                if self._settings.keep_notes:
                    line = (self.desk.now_ms, command.kind, command.key, command.words)
                    self.notes.append(line)
            case _:
                pass

    def _fire(self, at_ms: int) -> None:
        for name in sorted(name for name, due in self._timers.items() if due <= at_ms):
            if self._timers.get(name, at_ms + 1) <= at_ms:
                del self._timers[name]
                self._take(ev.TimerFired(at_ms, name))

    def _turn_against(self) -> None:
        """Let a candle that is about to move take its worse way for what is open in it."""
        for key, side in self._held.items():
            legs, board = self._legs.get(key), self.exchange.boards[key]
            if legs is not None and board.cursor + 1 in legs.low_first:
                _lay(board, legs, side)

    def _timer_due(self) -> int:
        return min(self._timers.values(), default=FAR)

    def _feed_due(self) -> int:
        dues = [feed.next_ms for feed in self._feeds.values() if feed.next_ms is not None]
        return min(dues, default=FAR)

    # signals

    def _expect(self, rows: Sequence[SignalRow]) -> None:
        """Let each instant's rows be heard as one answer of the model."""
        now = self.exchange.now_ms
        for heard_ms, spoken in by_instant(rows).items():
            told = tuple(self._versions.prediction(row) for row in spoken)
            infos = self._versions.infos()
            self._to_come += 1

            def heard(
                at: int,
                told: tuple[ev.Prediction, ...] = told,
                infos: tuple[ev.VersionInfo, ...] = infos,
            ) -> ev.Event:
                return ev.ModelAnswered(at, 0, told, infos)

            self.link.tell(max(heard_ms - now, 0), heard)

    def _of_model(self, call: cmd.Call) -> Maker:
        number = call.call
        if isinstance(call, cmd.AskModel) and self._function is not None:
            rows = tuple(self._function(call))
            told = tuple(self._versions.prediction(row) for row in rows)
            infos = self._versions.infos()
            return lambda at: ev.ModelAnswered(at, number, told, infos)
        if isinstance(call, cmd.AskModel):
            return lambda at: ev.ModelAnswered(at, number, ())
        rules, infos = self.desk.rules, self._versions.infos()
        return lambda at: ev.ModelDescribed(
            at, number, MODEL, rules.interval, rules.window, rules.universe, infos
        )


def _quietly(desk: Desk, event: ev.Event) -> tuple[Desk, tuple[cmd.Command, ...]] | None:
    """Return the answer to an event that is proven to bring no news, as `decide` gives it."""
    if type(event) is ev.TickSeen:
        after = idle_after(desk, event)
        return None if after is None else (after, ())
    return quiet_after(desk, event) if type(event) in QUIET else None


def _bare(board: Board, at_ms: int) -> Quote:
    """Return what a candle takes of a packet: nobody looks at its depth."""
    tick = board.instrument.tick_paise
    traded = board.last_trade_ms // 1000 * 1000
    return Quote(board.last // tick, board.volume, (), (), traded, at_ms // 1000 * 1000)


def _lay(board: Board, legs: Legs, side: Side) -> None:
    start = board.cursor + 1
    way = (legs.low_first if side is Side.LONG else legs.high_first)[start]
    board.tape.prices[start : start + len(way)] = way
