"""What the scheduled flows work on. Defaults live here alone; prefect.yaml names no data."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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
