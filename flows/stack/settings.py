"""What can be set about the stack: ports, sizes and what is left out. Defaults live here alone."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Port = Annotated[int, Field(ge=1024, le=65_535)]
PARTS = ("mlflow", "prefect", "worker", "deployments", "serve", "paper", "agent")


class StackSettings(BaseModel):
    """The parts that `ratchet up` runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    without: tuple[str, ...] = Field(
        (), description=f"Parts that are not started, of: {', '.join(PARTS)}."
    )
    live: bool = Field(
        False, description="The agent trades at the broker, with real money; no paper exchange."
    )
    mlflow_port: Port = Field(13050, description="Port of the registry's server and page (MLflow).")
    prefect_port: Port = Field(13042, description="Port of Prefect's API and page.")
    serve_port: Port = Field(13000, description="Port of the served model.")
    serve_workers: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="Processes of the served model."
    )
    paper_port: Port = Field(13030, description="Port of the paper exchange: REST and ticker.")
    flow_runs_max: Annotated[int, Field(ge=1, le=32)] = Field(
        2, description="Flow runs at one time."
    )
    paper_candles: str | None = Field(
        None,
        description="Candle file, folder or glob of the paper exchange, or `synthetic`; unset: "
        "the dataset of [pipeline] or the only one that is stored, else synthetic prices.",
    )
    paper_clock: Literal["wall", "exchange"] = Field(
        "wall",
        description="wall: the candles are played on today, at the time of day, in NSE's hours; "
        "exchange: one day after the other at any hour, the agent in step with it.",
    )
    paper_speed: Annotated[float, Field(gt=0, le=100_000)] = Field(
        60.0,
        description="With paper_clock = exchange: at most so many virtual seconds in a second "
        "of the wall; 60 is a day in six minutes.",
    )
    paper_seed: Annotated[int, Field(ge=0)] = Field(
        1, description="Draws the paper exchange's paths, depth and synthetic prices."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        unknown = sorted(set(self.without) - set(PARTS))
        if unknown:
            raise ValueError(f"without: unknown part {unknown[0]!r}; one of {', '.join(PARTS)}")
        ports = {key: getattr(self, key) for key in type(self).model_fields if key.endswith("port")}
        port, times = Counter(ports.values()).most_common(1)[0]
        if times > 1:
            twice = " and ".join(key for key, value in ports.items() if value == port)
            raise ValueError(f"{twice} are both {port}; each needs a port of its own")
        return self
