"""The served model's settings, all from the environment: a Bento has no other way in."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

PREFIX = "RATCHET_SERVING__"
BUNDLED = Path(__file__).resolve().parents[1] / "models"


def _env(name: str) -> AliasChoices:
    return AliasChoices(name, name.lower())


class ServingSettings(BaseSettings):
    """How one worker serves; `RATCHET_SERVING__NAME` in the environment, except where named."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", populate_by_name=True
    )

    home: Path = Field(
        default=Path("var"),
        validation_alias=_env("RATCHET_HOME"),
        description="The home folder: logs go to HOME/predictions.",
    )
    serving_dir: Path | None = Field(
        default=None,
        validation_alias=_env("RATCHET_SERVING_DIR"),
        description="The folder of plans and versions that workers watch; else the Bento's own.",
    )
    tracking_uri: str = Field(
        default="",
        validation_alias=_env("MLFLOW_TRACKING_URI"),
        description="Where plan changes are written first, if it is an HTTP address.",
    )
    predict_token: SecretStr | None = Field(
        default=None,
        validation_alias=_env("RATCHET_PREDICT_TOKEN"),
        description="Needed for predictions where set; obligatory off the loopback.",
    )
    admin_token: SecretStr | None = Field(
        default=None,
        validation_alias=_env("RATCHET_ADMIN_TOKEN"),
        description="Needed to change traffic; else HOME/secrets/admin-token holds one.",
    )
    models: tuple[str, ...] = Field(default=(), description="Serve these alone; empty: all.")
    poll_s: float = Field(default=0.5, gt=0, le=60, description="Seconds between two looks.")
    retry_s: float = Field(default=30, gt=0, description="When a failed version is tried again.")
    body_bytes_max: int = Field(default=65_536, ge=1_024, description="Body of one question.")
    batch_bytes_max: int = Field(default=2_097_152, ge=1_024, description="Body of a batch.")
    batch_instances_max: int = Field(default=200, ge=1, le=1_000, description="Rows of a batch.")
    body_s_max: float = Field(
        default=3, gt=0, lt=5, description="Time for a body; under BentoML's own 5 s."
    )
    open_max: int = Field(default=256, ge=1, description="Requests open in one worker.")
    waiting_max: int = Field(default=64, ge=1, description="Requests waiting per model.")
    waiting_s_max: float = Field(default=1.5, gt=0, le=3, description="Longest wait for a turn.")
    direct: bool = Field(
        default=True, description="Plain questions pass by BentoML's middleware (CORS, tracing)."
    )
    shadow_waiting_max: int = Field(default=1_000, ge=1, description="Shadow rows waiting.")
    log_flush_s: float = Field(default=0.5, gt=0, le=10, description="What a kill -9 may lose.")
    log_file_bytes_max: int = Field(default=67_108_864, ge=65_536, description="Rotate at.")
    log_waiting_max: int = Field(default=100_000, ge=100, description="Records kept when stuck.")
    log_keep_days: int = Field(default=365, ge=1, description="Older log files are deleted.")
    outside_range: Literal["warn", "refuse"] = Field(
        default="warn", description="A value outside the training range."
    )
    stale: Literal["warn", "refuse"] = Field(
        default="warn", description="as_of later than the last close by more than valid_for_s."
    )
    cache_answers: int = Field(default=0, ge=0, le=100_000, description="Answers kept; 0: off.")
    model_bytes_max: int = Field(
        default=268_435_456, ge=1, description="Model texts in memory; the plan's always stay."
    )
    alert_hook: str = Field(
        default="", repr=False, description="Where alerts go: an address (POST) or a command."
    )
    alert_every_s: float = Field(default=300, ge=0, description="Before the same alert again.")
    alert_window_s: float = Field(default=60, gt=0, le=3_600, description="Rates are over.")
    alert_error_share: float = Field(
        default=0.01, ge=0, lt=1, description="Of a model's requests that end with 503."
    )
    alert_p99_ms: float = Field(
        default=50, gt=0, le=1_000, description="Slowest hundredth of a model's answers, ms."
    )
    lag_s_max: float = Field(default=1.0, gt=0, description="Event-loop lag of a ready worker.")

    @property
    def folder(self) -> Path:
        """The folder that workers watch."""
        folder = self.serving_dir or (self.home / "serving")
        return folder if any(folder.glob("*/plan.json")) else BUNDLED


def load_settings() -> ServingSettings:
    """Return the settings of this process; an empty variable counts as not set.

    Raises
    ------
    ValueError
        If one cannot be used or has no meaning; the message names it.
    """
    empty = [k for k, v in os.environ.items() if k.startswith("RATCHET_") and not v]
    for name in empty:
        del os.environ[name]
    known = {PREFIX + name.upper() for name in ServingSettings.model_fields}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{name}: no setting of that name{hint}")
    try:
        return ServingSettings()
    except ValidationError as fault:
        told = "; ".join(f"{_variable(e['loc'])}: {e['msg']}" for e in fault.errors())
        raise ValueError(told) from None  # what was found stays out: it may be a token
    except SettingsError:  # the one setting that is no single value
        raise ValueError(f'{PREFIX}MODELS: expected a list as JSON, like ["sample"]') from None


def _variable(place: tuple[int | str, ...]) -> str:
    """Return the variable of a setting that pydantic names by field or by alias."""
    name = str(place[0]).upper()
    return name if name.startswith(("RATCHET_", "MLFLOW_")) else PREFIX + name
