"""How much: sizing, capital, limits, margin. Pure.

What the core calls, all of it (state, event) -> state over one `Book`:

    at the open       book = open_book(on, sectors)
    at a signal       answer = decide_entry(book, Proposal(...), settings)   # Sized | Refusal
    intent journaled  book = reserve(book, answer.reserve(intent))
    at a trade        book, closed = on_fill(book, Fill(...), intent)        # entries and exits
    order is final    book = release(book, intent)                           # also when rejected
    at a tick         book = on_mark(book, key, price_paise)
    broker's margin   book = on_margins(book, Margins(...), unseen=...)
    a stop has moved  book = on_stop(book, slot, risk_at_stop(position, limit_paise, on))
    after square-off  book, left = after_square_off(book, closes)            # shorts in delivery
    frozen, freed     book = freeze(book, slot, why), unfreeze(book, slot)
    next morning      book = next_day(book, on, closes);  restart: book_of(portfolio, sectors)
    then ask          guards(book, settings)                                 # modes to set, closes
    profit and loss   book.portfolio, statement(...), whole(...)             # agent.portfolio

`settings` is an argument of every question and no part of the state: changed at run time, it
acts on the next one. docs/money.md walks two trades through all of this.
"""

from agent.risk.book import (
    Book,
    Reserve,
    on_fill,
    on_margins,
    on_mark,
    on_stop,
    open_book,
    release,
    reserve,
)
from agent.risk.day import after_square_off, book_of, freeze, next_day, unfreeze
from agent.risk.entry import Sized, decide_entry
from agent.risk.limits import Breach, Refusal, guards
from agent.risk.margin import Margins
from agent.risk.settings import (
    DEFAULTS,
    CapitalSettings,
    MarginSettings,
    MoneySettings,
    RiskSettings,
    SizingSettings,
)
from agent.risk.sizing import Proposal, risk_at_stop

__all__ = [
    "DEFAULTS",
    "Book",
    "Breach",
    "CapitalSettings",
    "MarginSettings",
    "Margins",
    "MoneySettings",
    "Proposal",
    "Refusal",
    "Reserve",
    "RiskSettings",
    "Sized",
    "SizingSettings",
    "after_square_off",
    "book_of",
    "decide_entry",
    "freeze",
    "guards",
    "next_day",
    "on_fill",
    "on_margins",
    "on_mark",
    "on_stop",
    "open_book",
    "release",
    "reserve",
    "risk_at_stop",
    "unfreeze",
]
