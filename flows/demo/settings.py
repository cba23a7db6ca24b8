"""What can be set about a demo run."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class DemoSettings(BaseModel):
    """Settings of one run; every one is an option of `ratchet demo`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(description="Folder of everything the run writes; emptied first.")
    data: str | None = Field(None, description="Glob of candle files; None is the sample.")
    seed: int = Field(7, ge=0, description="Draws the price paths; the models have their own.")
    symbols_max: int = Field(6, ge=1, le=50, description="Most traded symbols kept of --data.")
    days: int | None = Field(None, ge=1, le=60, description="Sessions to replay, unseen.")
    ticks_per_day: int = Field(750, ge=50, le=22_500, description="Drawn inside a day candle.")
    challenger_share: float = Field(0.3, gt=0, lt=1, description="Weight of the challenger.")
    top_share: float = Field(0.2, gt=0, le=0.5, description="Share of each side's scores traded.")
    serve_port: int = Field(13000, ge=1024, le=65535)
    control_port: int = Field(13010, ge=1024, le=65535)
    paper_port: int = Field(13030, ge=1024, le=65535)

    @property
    def base(self) -> str:
        """The address all parts listen on."""
        return "127.0.0.1"
