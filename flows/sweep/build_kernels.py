"""Makes `kernels.ll.gz`: `python -m flows.sweep.build_kernels`, after a change of a kernel.

numba compiles each loop behind a wrapper that takes plain addresses, and its optimised code is
kept as text. A test compares the fingerprint of the sources, so a stale file is red.
"""

# ruff: noqa: D103, PLR0913, PLR0917  (the wrappers spell out every address and length)
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import gzip
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba import carray, int64, types

from flows.sweep.kernels import ARTIFACT, NAMES, sources_sha256

# numba's cache looks at a function's own file only, not at what it calls in another: start empty
CACHE = tempfile.TemporaryDirectory(prefix="kernels-")
numba.config.CACHE_DIR = CACHE.name

from agent.trailing.bulk import loops  # noqa: E402

P = types.CPointer(int64)


def over_ticks(
    policy, n0, prices, n1, sign, n2, entry, n3, first, n4, last, n5, atr, n6, breakeven, n7, m7,
    atr_at, n8, atr_value, n9, trace, n10, m10, rules, n11, out, n12, m12,
):  # fmt: skip
    loops.over_ticks(
        carray(policy, (n0,)), carray(prices, (n1,)), carray(sign, (n2,)), carray(entry, (n3,)),
        carray(first, (n4,)), carray(last, (n5,)), carray(atr, (n6,)), carray(breakeven, (n7, m7)),
        carray(atr_at, (n8,)), carray(atr_value, (n9,)), carray(trace, (n10, m10)),
        carray(rules, (n11,)), carray(out, (n12, m12)),
    )  # fmt: skip


def over_candles(
    policy, n0, candles, n1, m1, sign, n2, entry, n3, first, n4, last, n5, atr, n6, breakeven, n7,
    m7, atr_at, n8, atr_value, n9, rules, n10, out, n11, m11,
):  # fmt: skip
    loops.over_candles(
        carray(policy, (n0,)), carray(candles, (n1, m1)), carray(sign, (n2,)),
        carray(entry, (n3,)), carray(first, (n4,)), carray(last, (n5,)), carray(atr, (n6,)),
        carray(breakeven, (n7, m7)), carray(atr_at, (n8,)), carray(atr_value, (n9,)),
        carray(rules, (n10,)), carray(out, (n11, m11)),
    )  # fmt: skip


def always_in(
    policy, n0, prices, n1, sign, atr, atr_at, n2, atr_value, n3, trace, n4, m4, rules, n5, out,
    n6, m6,
):  # fmt: skip
    loops.always_in(
        carray(policy, (n0,)), carray(prices, (n1,)), sign, atr, carray(atr_at, (n2,)),
        carray(atr_value, (n3,)), carray(trace, (n4, m4)), carray(rules, (n5,)),
        carray(out, (n6, m6)),
    )  # fmt: skip


# What each wrapper takes: "1" and "2" an array of so many dimensions, "i" a number.
SHAPES = {"over_ticks": "1111111211212", "over_candles": "121111121112", "always_in": "11ii11212"}


def code_of(name: str) -> str:
    """Return one loop's optimised code as text, its function called by its name."""
    wrapper = globals()[name]
    takes: list[Any] = []
    for shape in SHAPES[name]:
        takes += [int64] if shape == "i" else [P, *[int64] * int(shape)]
    made = numba.cfunc(types.void(*takes), error_model="numpy")(wrapper)
    text = made._library.get_llvm_str()  # noqa: SLF001  (numba offers no public way)
    inner = made.native_name.removeprefix("cfunc.")
    text = text.replace(inner, name)
    return _without_python(text, name)


def _without_python(text: str, name: str) -> str:
    """Return the code without the wrapper that would call into Python, and self-contained."""
    text = re.sub(
        rf"^define [^\n]*@\"?cfunc\.{name}.*?^}}\n", "", text, flags=re.MULTILINE | re.DOTALL
    )
    return re.sub(
        r"^declare void @NRT_MemInfo_call_dtor\(ptr\).*$",
        "define internal void @NRT_MemInfo_call_dtor(ptr %0) {\n  ret void\n}",
        text,
        flags=re.MULTILINE,
    )


def linked() -> str:
    """Return all loops as one module: numba's names made short, one copy of each function."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    whole = None
    for name in NAMES:
        module = llvm.parse_assembly(code_of(name))
        if whole is None:
            whole = module
        else:
            whole.link_in(module)
    text = str(whole)
    for number, mangled in enumerate(sorted(set(re.findall(r"_ZN[A-Za-z0-9_]+", text)))):
        text = text.replace(mangled, f"k{number}")
    return text


def main() -> None:
    """Write the file beside this one."""
    head = {
        "sources": sources_sha256(), "numba": numba.__version__, "llvmlite": llvmlite.__version__,
    }  # fmt: skip
    text = f"; {json.dumps(head)}\n{linked()}"
    target = Path(__file__).with_name(ARTIFACT)
    target.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{target}: {len(text):,} characters, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
