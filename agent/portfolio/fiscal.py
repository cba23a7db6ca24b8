"""Which financial year a day belongs to: India's run from 1 April to 31 March."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from agent.errors import SettingRefused


@dataclass(frozen=True, slots=True, order=True)
class FinancialYear:
    """A financial year, named by the calendar year in which it starts."""

    starts_in: int

    @classmethod
    def of(cls, on: date) -> FinancialYear:
        """Return the financial year of a day."""
        return cls(on.year if on.month >= 4 else on.year - 1)

    @classmethod
    def parse(cls, text: str, *, option: str = "--fy") -> FinancialYear:
        """Read a financial year as the tax return names it: `2026-27`.

        Raises
        ------
        SettingRefused
            If it is none, or its two halves do not follow each other.
        """
        match = re.fullmatch(r"(2[01]\d\d)-(\d\d)", text.strip(), re.ASCII)
        if match is None or (int(match[1]) + 1) % 100 != int(match[2]):
            raise SettingRefused(
                option,
                given=repr(text),
                allowed="a financial year as YYYY-YY, April to March",
                fix=f"{option} 2026-27 is 1 April 2026 to 31 March 2027",
            )
        return cls(int(match[1]))

    @property
    def since(self) -> date:
        """Its first day."""
        return date(self.starts_in, 4, 1)

    @property
    def until(self) -> date:
        """Its last day."""
        return date(self.starts_in + 1, 3, 31)

    def __contains__(self, on: date) -> bool:
        return self.since <= on <= self.until

    def __str__(self) -> str:
        return f"{self.starts_in}-{(self.starts_in + 1) % 100:02d}"
