"""Where the compiled kernels come from: shipped as LLVM code, or made by numba on the spot.

numba needs seconds to import and compile; `kernels.ll.gz` is what it made of
agent/trailing/bulk (flows/sweep/build_kernels.py), and llvmlite, numba's own back end, turns that
into this machine's code in a quarter of a second. The code is used only on the kind of machine it
was made for and only while the sources are those it was made of; else numba compiles them, cached
in `NUMBA_CACHE_DIR` (`Home.open` puts it under the home folder).
"""

from __future__ import annotations

import ctypes
import gzip
import hashlib
import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import check

ARTIFACT = "kernels.ll.gz"
NAMES = ("over_ticks", "over_candles", "always_in")
SOURCES = (
    ("agent.trailing", "rules.py"),
    *(
        ("agent.trailing.bulk", f"{name}.py")
        for name in ("layout", "resolve", "ticks", "candles", "loops")
    ),
)
MACHINE = ("Linux", "x86_64")


@dataclass(frozen=True, slots=True)
class Kernels:
    """The three loops of agent/trailing/bulk/loops.py; `made` is `shipped` or `numba`."""

    made: str
    over_ticks: Callable[..., Any]
    over_candles: Callable[..., Any]
    always_in: Callable[..., Any]


@lru_cache(maxsize=1)
def kernels() -> Kernels:
    """Return the kernels, by the fastest way there is. Call after `Home.open`."""
    return shipped() or by_numba()


def by_numba() -> Kernels:
    """Return the kernels as numba compiles them, cached for these very sources."""
    import numba

    cache = os.environ.get("NUMBA_CACHE_DIR")
    if cache:
        # numba's cache looks at a function's own file only, not at what it calls in another
        numba.config.CACHE_DIR = str(Path(cache) / sources_sha256()[:16])
    from agent.trailing.bulk import loops

    return Kernels("numba", *(getattr(loops, name) for name in NAMES))


def shipped() -> Kernels | None:
    """Return the kernels of the shipped code; None where it is not for this machine or source."""
    if (platform.system(), platform.machine()) != MACHINE:
        return None
    try:
        packed = (resources.files("flows.sweep") / ARTIFACT).read_bytes()
    except FileNotFoundError:
        return None
    head, _, code = gzip.decompress(packed).decode("utf-8").partition("\n")
    if json.loads(head.lstrip("; "))["sources"] != sources_sha256():
        return None
    engine = _engine(code)
    made = (_callable(name, engine.get_function_address(name), engine) for name in NAMES)
    return Kernels("shipped", *made)


def sources_sha256() -> str:
    """Return the fingerprint of the sources that the kernels are made of."""
    digest = hashlib.sha256()
    for package, name in SOURCES:
        digest.update((resources.files(package) / name).read_bytes())
    return digest.hexdigest()


def _engine(code: str) -> Any:
    """Return llvmlite's execution engine with the code, compiled for this very processor."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(code)
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        opt=3,
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        jit=True,
    )
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


def _callable(name: str, address: int, engine: Any) -> Callable[..., None]:
    """Return a function that takes what the numba kernel takes: arrays of int64, and ints.

    numba's own convention: a place for the result, one for an error, then an array as its address
    and its shape; the status is 0 unless an error was raised, and a kernel raises none.
    """
    function = ctypes.CFUNCTYPE(ctypes.c_int32)(address)

    def call(*arguments: Any) -> None:
        result, error = ctypes.c_int64(), ctypes.c_void_p()
        flat: list[Any] = [ctypes.byref(result), ctypes.byref(error)]
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                check(
                    argument.dtype == np.int64 and argument.flags.c_contiguous,
                    "a kernel takes whole, contiguous int64 arrays",
                    kernel=name,
                )
                flat += [ctypes.c_void_p(argument.ctypes.data)]
                flat += [ctypes.c_int64(length) for length in argument.shape]
            else:
                flat.append(ctypes.c_int64(argument))
        status = function(*flat)
        check(status == 0, "a kernel ended with an error", kernel=name, status=status)

    call.engine = engine  # type: ignore[attr-defined]  # the code lives as long as its owner
    return call
