"""The values of the money's rooms cannot be changed in place, and hold nothing but their fields."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import agent.market.charges
import agent.portfolio
import agent.risk
from agent.risk import CapitalSettings, MarginSettings, RiskSettings, SizingSettings


def values() -> Iterator[type]:
    modules = [agent.market.charges]
    for room in (agent.portfolio, agent.risk):
        for found in pkgutil.iter_modules(room.__path__):
            modules.append(importlib.import_module(f"{room.__name__}.{found.name}"))  # noqa: PERF401
    for module in modules:
        for held in vars(module).values():
            own = isinstance(held, type) and held.__module__ == module.__name__
            if own and dataclasses.is_dataclass(held):
                yield held


@pytest.mark.parametrize("value", list(values()), ids=lambda v: v.__qualname__)
def test_a_value_is_frozen_and_slotted(value: type) -> None:
    assert value.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(value)


@pytest.mark.parametrize(
    "model",
    [CapitalSettings, SizingSettings, RiskSettings, MarginSettings],
    ids=lambda m: m.__name__,
)
def test_settings_are_frozen_and_know_no_other_key(model: type) -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(model(), next(iter(model.model_fields)), 1)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="not permitted"):
        model(nonsense=1)
