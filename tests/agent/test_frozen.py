"""`frozen.replace` is `dataclasses.replace`, for every shape of class that comes its way."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.frozen import replace


@dataclass(frozen=True, slots=True)
class Slotted:
    a: int
    b: str = "b"
    c: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Below(Slotted):
    d: float = 1.0


@dataclass(frozen=True, slots=True)
class Alone:
    a: int


@dataclass(frozen=True)
class Open:
    a: int
    b: int = 2


@dataclass(frozen=True, slots=True)
class Derived:
    a: int
    twice: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "twice", 2 * self.a)


@dataclass(frozen=True, slots=True)
class Own:
    a: int
    b: int = 2
    memo: int = field(default=0, init=False)


def test_a_field_that_is_no_argument_starts_anew() -> None:
    value = Own(1)
    object.__setattr__(value, "memo", 9)
    assert replace(value, a=3) == dataclasses.replace(value, a=3) == Own(3)
    with pytest.raises(TypeError, match="memo"):
        replace(value, memo=1)


@pytest.mark.parametrize(
    "value", [Slotted(1), Below(1, d=2.0), Alone(1), Open(1), Derived(1)], ids=repr
)
def test_it_is_the_librarys_replace(value: Any) -> None:
    before = repr(value)
    assert replace(value, a=5) == dataclasses.replace(value, a=5)
    assert replace(value) == value
    assert type(replace(value)) is type(value)
    assert repr(value) == before


@pytest.mark.parametrize("value", [Slotted(1), Open(1)])
def test_a_field_that_is_not_there_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="z"):
        replace(value, z=1)
