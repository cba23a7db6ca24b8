"""A frozen value with some fields changed: `dataclasses.replace`, in a quarter of its time.

Every tick changes a few fields of a few values, and `dataclasses.replace` looks each field up and
then sets each one by name. For a slotted dataclass without a `__post_init__` it is enough to read
all slots at once and write them into a new object; any other class goes the library's way.
A field that is no argument of its class (`init=False`) starts from its default, as it does there.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import replace
else:

    def replace(value: Any, /, **changes: Any) -> Any:
        """Return a copy of a frozen dataclass with some of its fields changed.

        Raises
        ------
        TypeError
            If there is no such field.
        """
        cls = type(value)
        shape = _SHAPES.get(cls)
        if shape is None:
            shape = _SHAPES[cls] = _shape_of(cls)
        read, places, writers, defaults = shape
        if read is None:
            return dataclasses.replace(value, **changes)
        fields = list(read(value))
        for place, default in defaults:
            fields[place] = default
        for name, new in changes.items():
            if name not in places:
                raise TypeError(f"{cls.__name__} has no field {name!r}")
            fields[places[name]] = new
        made = object.__new__(cls)
        for write, field in zip(writers, fields, strict=True):
            write(made, field)
        return made


Shape = tuple[Any, dict[str, int], list[Any], list[tuple[int, Any]]]
_SHAPES: dict[type, Shape] = {}


def _shape_of(cls: type) -> Shape:
    """Return how to read all fields of a class, where each one is, how to write it; defaults."""
    fields = dataclasses.fields(cls)
    names = [field.name for field in fields]
    slotted = all(hasattr(getattr(cls, name, None), "__set__") for name in names)
    own = [(n, field.default) for n, field in enumerate(fields) if not field.init]
    plain = not hasattr(cls, "__post_init__")
    plain = plain and all(default is not dataclasses.MISSING for _, default in own)
    if len(names) < 2 or not (slotted and plain):
        return None, {}, [], []
    writers = [getattr(cls, name).__set__ for name in names]
    places = {field.name: n for n, field in enumerate(fields) if field.init}
    return attrgetter(*names), places, writers, own


__all__ = ["replace"]
