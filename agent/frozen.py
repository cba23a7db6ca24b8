"""A frozen value with some fields changed: `dataclasses.replace`, in a fraction of its time.

Every tick changes a few fields of a few values, and `dataclasses.replace` looks each field up and
then sets each one by name. For a slotted dataclass without a `__post_init__` it is enough to write
every slot into a new object; any other class goes the library's way.
A field that is no argument of its class (`init=False`) starts from its default, as it does there.
"""

from __future__ import annotations

import dataclasses
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
        copied, writers = shape
        if copied is None:
            return dataclasses.replace(value, **changes)
        made = copied(value)
        for name, new in changes.items():
            write = writers.get(name)
            if write is None:
                raise TypeError(f"{cls.__name__} has no field {name!r}")
            write(made, new)
        return made


Shape = tuple[Any, dict[str, Any]]
_SHAPES: dict[type, Shape] = {}


def _shape_of(cls: type) -> Shape:
    """Return a function that copies a value of a class, and what writes each of its fields.

    The copy is written out line by line, as `dataclasses` does with a class's own functions: a
    loop over the fields takes twice as long. The names are those of the class.
    """
    fields = dataclasses.fields(cls)
    slotted = all(hasattr(getattr(cls, field.name, None), "__set__") for field in fields)
    own = [field.default for field in fields if not field.init]
    if not slotted or hasattr(cls, "__post_init__") or dataclasses.MISSING in own or not fields:
        return None, {}
    names: dict[str, Any] = {"blank": object.__new__, "cls": cls}
    lines = ["def copied(value):", "    made = blank(cls)"]
    for n, field in enumerate(fields):
        names[f"write_{n}"], names[f"default_{n}"] = getattr(cls, field.name).__set__, field.default
        old = f"value.{field.name}" if field.init else f"default_{n}"
        lines.append(f"    write_{n}(made, {old})")
    exec("\n".join([*lines, "    return made"]), names)  # noqa: S102
    return names["copied"], {f.name: getattr(cls, f.name).__set__ for f in fields if f.init}


__all__ = ["replace"]
