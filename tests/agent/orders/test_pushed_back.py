"""A stop that the broker pushes back (429) is sent again at once: nothing of it ever left."""

from __future__ import annotations

from agent.core.values import Fault, Role
from agent.orders.exits import EAGER_TRIES
from tests.agent.orders.bench import Bench


def filled() -> Bench:
    bench = Bench()
    bench.enter()
    bench.accept()
    bench.row(bench.entry, "COMPLETE", filled=300)
    return bench


def test_it_is_sent_again_before_any_book_is_read() -> None:
    bench = filled()
    for tries in range(1, 6):
        (*_, stop) = bench.orders_sent(Role.EXIT)
        assert len(bench.orders_sent(Role.EXIT)) == tries
        assert (stop.terms.order_type, stop.terms.quantity) == ("SL", 300)
        bench.fail(Fault.RETRYABLE, "Too many requests")
        bench.later(600)
    assert bench.trade.closing is None  # pushed back is not refused: the stop still makes sense
    tags = [order.tag for order in bench.orders_sent(Role.EXIT)]
    assert len(set(tags)) == len(tags)


def test_a_stop_that_was_refused_waits_for_the_book() -> None:
    bench = filled()
    bench.fail(Fault.REFUSED, "a reason")
    sent = len(bench.orders_sent(Role.EXIT))
    bench.later(900)
    assert len(bench.orders_sent(Role.EXIT)) == sent
    bench.book(held=300)
    assert len(bench.orders_sent(Role.EXIT)) == sent + 1


def test_a_long_storm_is_met_less_and_less_often() -> None:
    bench = filled()
    waits = []
    for _ in range(EAGER_TRIES + 6):
        before, start = len(bench.orders_sent(Role.EXIT)), bench.now
        bench.fail(Fault.RETRYABLE, "Too many requests")
        while len(bench.orders_sent(Role.EXIT)) == before:
            bench.tick(2_000)
            bench.later(100)
            assert bench.now - start < 120_000
        waits.append(bench.now - start)
    assert max(waits[:5]) <= 1_200
    assert waits[-1] > 8_000
