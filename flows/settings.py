"""The effective settings of a home and where each came from.

Order: an option, the environment, the secrets file, ratchet.toml, the default in the model.
Secrets are never read from ratchet.toml. A key that nobody knows is an error that names the
nearest: a typo in a limit must not fall back to a default in silence.
"""

from __future__ import annotations

import functools
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import BaseSettings

from agent.errors import SettingRefused
from agent.secrets import SECRETS, read_secrets
from agent.shell.settings import AgentSettings
from bentos.settings import ServingSettings
from flows.pipeline_settings import PipelineSettings
from flows.secrets import SecretSettings
from flows.settings_keys import HIDDEN, PREFIX, Key, flattened, keys_of, nearest, nested, tables
from flows.settings_text import MASK, plainly
from flows.stack.settings import StackSettings

TOML = "ratchet.toml"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Value:
    """A value and where it came from: `option`, `environment NAME`, a file, or `default`."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is set for one home.

    Parameters
    ----------
    sections : dict of str to BaseModel
        The validated models by section.
    values : dict of str to Value
        Every key, in the models' order.
    keys : dict of str to Key
    """

    sections: dict[str, BaseModel]
    values: dict[str, Value]
    keys: dict[str, Key]

    @property
    def stack(self) -> StackSettings:
        """The settings of `ratchet up`."""
        return cast("StackSettings", self.sections["stack"])

    @property
    def agent(self) -> AgentSettings:
        """The settings of the live agent."""
        return cast("AgentSettings", self.sections["agent"])

    @property
    def pipeline(self) -> PipelineSettings:
        """What the scheduled flows work on."""
        return cast("PipelineSettings", self.sections["pipeline"])

    def environment(self, *names: str, defaults: bool = False) -> dict[str, str]:
        """Return what is set under these keys or sections as variables, secrets in the clear.

        For programs of ours that read nothing else; defaults are left out unless asked for.
        """
        told = {}
        for name, value in self.values.items():
            if value.value is None or (value.origin == DEFAULT and not defaults):
                continue
            if any(name == wanted or name.startswith(f"{wanted}.") for wanted in names):
                secret = isinstance(value.value, SecretStr)
                plain = value.value.get_secret_value() if secret else plainly(value.value)
                told[self.keys[name].variable] = (
                    plain if isinstance(plain, str) else json.dumps(plain)
                )
        return told

    def told(self, name: str) -> Any:
        """Return a value as JSON holds it, masked if it is secret."""
        value = self.values[name].value
        if self.keys[name].secret and value not in (None, (), ""):
            return MASK
        return plainly(value)


def models() -> dict[str, type[BaseModel]]:
    """Return the settings models by the section they have in ratchet.toml."""
    return {
        "stack": StackSettings,
        "pipeline": PipelineSettings,
        "agent": AgentSettings,
        "serving": ServingSettings,
        "secrets": SecretSettings,
    }


def titles() -> dict[str, str]:
    """Return a sentence for each table: the first line of its model's docstring."""
    told: dict[str, str] = {}
    for section, model in models().items():
        told |= {
            name: (m.__doc__ or "").strip().split("\n")[0] for name, m in tables(section, model)
        }
    return told


def all_keys() -> dict[str, Key]:
    """Return every key there is."""
    return {key.name: key for section, model in models().items() for key in keys_of(section, model)}


def read_settings(
    root: Path,
    options: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings of a home, validated.

    Parameters
    ----------
    root : Path
        The home.
    options : mapping, optional
        Values from the command line, by dotted key.
    environ : mapping, optional
        Instead of this process's environment.

    Raises
    ------
    agent.errors.SettingRefused
        For a file that cannot be read, a key that does not exist, or a value that cannot be.
    """
    keys = all_keys()
    given: dict[str, Value] = {}
    for layer in (
        _from_toml(root / TOML, keys),
        _from_secrets(root, keys),
        _from_environment(os.environ if environ is None else environ, keys, "environment"),
        {name: Value(value, "option") for name, value in (options or {}).items()},
    ):
        given |= layer
    sections: dict[str, BaseModel] = {}
    for section, model in models().items():
        plain = {name: value.value for name, value in given.items()}
        try:
            sections[section] = _reading_nothing(model)(**nested(plain, section))
        except ValidationError as fault:
            raise _refused(fault, section, given, root) from fault
    values = {
        name: Value(_value_in(sections, name), given[name].origin if name in given else DEFAULT)
        for name in keys
    }
    return Settings(sections, values, keys)


@functools.cache
def _reading_nothing(model: type[BaseModel]) -> type[BaseModel]:
    """Return a model that takes what it is given and looks nowhere else: the layers are ours."""
    if not issubclass(model, BaseSettings):
        return model

    class Given(model):  # type: ignore[misc, valid-type]
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], init_settings: Any, **_others: Any
        ) -> tuple[Any, ...]:
            del settings_cls
            return (init_settings,)

    return Given


def _from_toml(path: Path, keys: Mapping[str, Key]) -> dict[str, Value]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise SettingRefused(
            str(path), given=str(fault), allowed="a TOML file", fix="mend that line"
        ) from fault
    found = {}
    for name, value in flattened(document, keys).items():
        _known(name, keys, str(path))
        if keys[name].secret:
            raise SettingRefused(
                f"{name} in {path}",
                given="a secret in a file that is not one",
                allowed=f"the environment ({keys[name].variable}) or {path.with_name(SECRETS)}",
                fix="move it there, and replace it at the broker if others could read the file",
            )
        found[name] = Value(value, str(path))
    return found


def _from_secrets(root: Path, keys: Mapping[str, Key]) -> dict[str, Value]:
    return _from_environment(read_secrets(root), keys, str(root / SECRETS))


def _from_environment(
    environ: Mapping[str, str], keys: Mapping[str, Key], origin: str
) -> dict[str, Value]:
    by_variable = {key.variable: key for key in keys.values()}
    sections = {key.variable.split("__")[0] for key in keys.values()}
    found = {}
    for variable, text in environ.items():
        if variable in by_variable and text:  # an empty variable counts as not set
            key = by_variable[variable]
            where = f"{origin} {variable}"
            try:
                found[key.name] = Value(key.parsed(text), where)
            except ValueError as fault:
                raise SettingRefused(
                    where,
                    given="(hidden)" if key.secret else text,
                    allowed="JSON, or items with commas",
                    fix=str(fault),
                ) from fault
        elif "__" in variable and variable.split("__")[0] in sections:
            name = variable.removeprefix(PREFIX).replace("__", ".").lower()
            _known(name, keys, f"{origin} {variable}")
    return found


def _known(name: str, keys: Mapping[str, Key], where: str) -> None:
    if name not in keys:
        raise SettingRefused(
            f"{name} in {where}",
            given="a key that does not exist",
            allowed="a key of the settings",
            fix=nearest(name, keys),
        )


def _refused(
    fault: ValidationError, section: str, given: Mapping[str, Value], root: Path
) -> SettingRefused:
    first = fault.errors(include_url=False)[0]
    name = ".".join([section, *(str(part) for part in first["loc"] if isinstance(part, str))])
    message = first["msg"].removeprefix("Value error, ")
    told = [
        key for key in given if key.startswith(f"{name}.") and key.rpartition(".")[2] in message
    ]
    at_fault = [name] if name in given else told
    origin = " or ".join(dict.fromkeys(given[key].origin for key in at_fault)) or str(root / TOML)
    hidden = isinstance(first.get("input"), SecretStr) or "secret" in name or name in HIDDEN
    whole = isinstance(first.get("input"), Mapping)
    shown = (
        "(hidden)" if hidden else "values that do not fit" if whole else repr(first.get("input"))
    )
    return SettingRefused(name, given=shown, allowed=message, fix=f"change it in {origin}")


def _value_in(sections: Mapping[str, BaseModel], name: str) -> Any:
    first, *rest = name.split(".")
    value: Any = sections[first]
    for part in rest:
        value = getattr(value, part)
    return value
