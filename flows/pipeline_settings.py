"""What the scheduled flows work on. Defaults live here alone; prefect.yaml names no data.

Also the further times of a flow, read here once: cron in India, or `every N s`.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

FLOWS = ("ingest", "train", "release", "monitor")
ZONE = "Asia/Kolkata"
EVERY = re.compile(r"every (\d{1,7}) s")
CRON = re.compile(r"[\d*/,A-Za-z-]+( [\d*/,A-Za-z-]+){4}")


class PipelineSettings(BaseModel):
    """What the scheduled flows work on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        "kite", description="Where the daily ingest reads: kite, sample, parquet:GLOB, csv:GLOB."
    )
    dataset: str = Field("kite", description="Dataset in the store that is kept up to date.")
    interval: Literal[
        "minute", "3minute", "5minute", "10minute", "15minute", "30minute", "60minute", "day"
    ] = Field("day", description="Interval of its candles.")
    model: str = Field("", description="Model that is trained on it; empty: the dataset's name.")
    entries: str = Field(
        "edge", description="When it trades: edge, edge=R, or top-share=S (paper only)."
    )
    also: dict[str, str] = Field(
        default_factory=dict,
        description="Further times of a flow beside those of prefect.yaml: cron (India), or "
        'every N s: {train = "0 9 * * 0"}.',
    )

    @field_validator("also")
    @classmethod
    def _readable(cls, also: dict[str, str]) -> dict[str, str]:
        for flow, text in also.items():
            if flow not in FLOWS:
                raise ValueError(f"one of {', '.join(FLOWS)}, not {flow!r}")
            schedule(text)
        return also


def schedule(text: str) -> dict[str, Any]:
    """Return a time as prefect.yaml holds it.

    Raises
    ------
    ValueError
        If it is neither a cron line of five fields nor `every N s`.

    Examples
    --------
    >>> schedule("0 9 * * 0")
    {'cron': '0 9 * * 0', 'timezone': 'Asia/Kolkata', 'slug': 'also'}
    >>> schedule("every 30 s")
    {'interval': 30, 'timezone': 'Asia/Kolkata', 'slug': 'also'}
    """
    if (every := EVERY.fullmatch(text)) and int(every[1]):
        return {"interval": int(every[1]), "timezone": ZONE, "slug": "also"}
    if CRON.fullmatch(text):
        return {"cron": text, "timezone": ZONE, "slug": "also"}
    raise ValueError(f"a cron line of five fields, or `every N s`, not {text!r}")
