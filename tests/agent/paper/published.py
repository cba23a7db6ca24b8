"""The shapes of the broker's answers, field by field, as its samples have them, and who fits."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

SHAPES = json.loads((Path(__file__).parent / "shapes.json").read_text())
KINDS = {"string": (str, datetime), "number": (int, float), "bool": bool}
NULL = "null"  # what is null in the sample, and a text in another account's answer


def misfits(shape: object, found: object, where: str = "", *, rows: bool = False) -> list[str]:
    """Return where an answer does not have the shape, all the way down.

    With `rows` a list of the sample has to have a row in the answer: an empty one proves nothing.
    """
    if isinstance(shape, dict):
        if not isinstance(found, dict):
            return [f"{where}: {found!r} is no object"]
        if found.get("status") == "REJECTED":  # the sample's one has not been at the exchange
            shape = {k: NULL if k.startswith("exchange_") else v
                     for k, v in shape.items()}  # fmt: skip
        missing = [f"{where}.{key} is missing" for key in shape if key not in found]
        inner = [
            misfits(shape[k], found[k], f"{where}.{k}", rows=rows) for k in shape if k in found
        ]
        return missing + [line for lines in inner for line in lines]
    if isinstance(shape, list):
        if not isinstance(found, list) or (rows and not found):
            return [f"{where}: {found!r} is no list, or has no row"]
        if where.endswith("candles"):
            return misfits_of_candles(found, where)
        return [line for one in found for line in misfits(shape[0], one, f"{where}[]", rows=rows)]
    if shape == NULL:
        return [] if found is None or isinstance(found, str) else [f"{where}: {found!r}"]
    ok = isinstance(found, KINDS[str(shape)])
    ok = ok and (shape != "number" or not isinstance(found, bool))
    return [] if ok else [f"{where}: {found!r} is no {shape}"]


def misfits_of_candles(rows: list, where: str) -> list[str]:
    return [
        f"{where}: {row!r}"
        for row in rows
        if not isinstance(row[0], str) or len(row[0]) != 24 or len(row) != 6
        or not all(isinstance(one, int | float) for one in row[1:])
    ]  # fmt: skip
