"""A reading of the books of which one half failed is asked for again, with nothing open too."""

from __future__ import annotations

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.values import Fault
from tests.agent.orders.bench import Bench


def test_half_a_first_reading_is_asked_for_again_until_the_day_can_begin() -> None:
    bench = Bench()
    bench.take(ev.Started(bench.now))  # as after a restart: nothing open, books not read
    bench.later(5_000)
    for _ in range(3):
        wanted = _asked(bench)
        bench.take(ev.BookRead(bench.now, wanted.call, (), None, "Too many requests"))
        assert "books" in bench.desk.guards
        again = bench.later(2_000)
        assert [one for one in again if isinstance(one, cmd.ReadBook) and one.positions]
    bench.take(ev.BookRead(bench.now, _asked(bench).call, (), ()))
    assert "books" not in bench.desk.guards


def test_a_whole_reading_that_failed_is_asked_for_again_too() -> None:
    bench = Bench()
    bench.take(ev.Started(bench.now))
    wanted = _asked(bench)
    bench.take(ev.CallFailed(bench.now, wanted.call, Fault.RETRYABLE, "502"))
    assert [one for one in bench.later(2_000) if isinstance(one, cmd.ReadBook)]


def _asked(bench: Bench) -> cmd.ReadBook:
    """Return the reading that is on its way; ask for one if none is."""
    flying = [n for n, purpose in bench.desk.asking.items() if purpose == "book:full"]
    if not flying:
        bench.take(ev.TimerFired(bench.now, "recheck"))
        flying = [n for n, purpose in bench.desk.asking.items() if purpose == "book:full"]
    return next(c for c in bench.all(cmd.ReadBook) if c.call == flying[-1])
