"""The secrets there are: from the environment, or from a file that its owner alone can read."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr


def _named(variable: str, description: str) -> Any:
    return Field(None, description=description, json_schema_extra={"variable": variable})


class SecretSettings(BaseModel):
    """Secrets; each keeps the variable's name that its reader has always known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kite_api_key: SecretStr | None = _named(
        "KITE_API_KEY", "Key of your Kite Connect app, from https://developers.kite.trade."
    )
    kite_api_secret: SecretStr | None = _named(
        "KITE_API_SECRET", "Secret of that app; `ratchet-agent login` needs it."
    )
    kite_access_token: SecretStr | None = _named(
        "KITE_ACCESS_TOKEN", "Today's token, instead of the one that a login keeps."
    )
    predict_token: SecretStr | None = _named(
        "RATCHET_PREDICT_TOKEN", "Asked for predictions; needed off the loopback."
    )
    admin_token: SecretStr | None = _named(
        "RATCHET_ADMIN_TOKEN", "Asked for changes of traffic; unset: HOME/secrets/admin-token."
    )
