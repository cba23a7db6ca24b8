"""One form for every benchmark's result: a table for people, HOME/bench/NAME.json for comparing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Figure = dict[str, Any]


def figure(name: str, value: float, unit: str, against: float | None = None) -> Figure:
    """Return one figure; `against`: a bound or a peer, `ratio`: value over it, none over 0."""
    ratio = None if not against else round(value / against, 4)
    return {"name": name, "value": value, "unit": unit, "against": against, "ratio": ratio}


def keep(name: str, figures: Sequence[Figure], home: Path) -> Path:
    """Print the table and write the file."""
    width = max(len(f["name"]) for f in figures)
    for f in figures:
        against = "" if f["against"] is None else f"  against {f['against']:g}"
        ratio = "" if f["ratio"] is None else f", x{f['ratio']:g}"
        print(f"{f['name']:<{width}}  {f['value']:>12,.3f} {f['unit']}{against}{ratio}")
    path = home / "bench" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(figures), indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")
    return path
