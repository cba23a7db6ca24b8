"""Looks at the machine: system, memory, disk, clock, zone, libraries. Changes nothing."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.console import install_line
from flows.doctor.finding import Finding, well

CORES_MIN = 2
MEMORY_MIN_MIB = 2_048  # the stack idles at 1 GiB and a training run peaks half a GiB above it
DISK_FAULT_MIB, DISK_WARNING_MIB = 512, 5_120
UNSYNCHRONISED = 0x0040  # STA_UNSYNC of adjtimex(2)
# Imported by name in the pipeline; pandas 3.1 breaks evidently's import.
LIBRARIES = (
    "prefect", "mlflow", "lightgbm", "bentoml", "evidently", "pandas", "numpy", "pyarrow",
    "duckdb", "kiteconnect", "pydantic",
)  # fmt: skip


def machine(root: Path) -> Iterator[Finding]:
    """Yield what is found about the machine that a home lies on."""
    yield _system()
    yield _cores()
    yield _memory()
    yield from _libraries()
    yield _openmp()
    yield _disk(root)
    yield _zone()
    yield _clock()


def _system() -> Finding:
    told = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    if platform.system() != "Linux":
        return Finding("system", "fault", told, "use Linux: supervision needs /proc and prctl")
    if sys.version_info[:2] != (3, 11):
        return Finding("system", "fault", told, "use Python 3.11")
    return well("system", told)


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0))
    if cores < CORES_MIN:
        fix = "give this machine two cores, or leave parts out: `ratchet up --without agent,paper`"
        return Finding("cores", "warning", f"{cores}", fix)
    return well("cores", f"{cores}")


def _memory() -> Finding:
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    mib = {m[1]: int(m[2]) // 1024 for m in re.finditer(r"(\w+):\s+(\d+) kB", text)}
    found = f"{mib['MemAvailable']} MiB available of {mib['MemTotal']}"
    if mib["MemAvailable"] < MEMORY_MIN_MIB:
        fix = f"free memory: the whole stack with a training run wants {MEMORY_MIN_MIB} MiB"
        return Finding("memory", "warning", found, fix)
    return well("memory", found)


def _libraries() -> Iterator[Finding]:
    found, missing = [], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    yield well("versions", f"ratchet {metadata.version('ratchet')}, " + ", ".join(found))
    if missing:
        extras = "pipeline,serving,paper"
        fix = f"install ratchet[{extras}] from its checkout: {install_line(extras)}"
        yield Finding("libraries", "fault", f"not installed: {', '.join(missing)}", fix)
    yield from _misfits()


def _misfits() -> Iterator[Finding]:
    """Yield libraries whose version our own metadata does not allow."""
    try:
        from packaging.requirements import Requirement
    except ImportError:  # a base install has none; then there is nothing to misfit either
        return
    for text in metadata.requires("ratchet") or ():
        wanted = Requirement(text)
        try:
            there = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            continue
        if not wanted.specifier.contains(there, prereleases=True):
            fix = "install the locked versions: make install"
            found = f"{wanted.name} {there}, but {wanted.specifier} works"
            yield Finding("libraries", "fault", found, fix)


def _openmp() -> Finding:
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        return Finding(
            "OpenMP", "fault", "no libgomp.so.1: LightGBM cannot load", "apt-get install libgomp1"
        )
    return well("OpenMP", "libgomp.so.1")


def _disk(root: Path) -> Finding:
    there = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(there).free >> 20
    found = f"{free} MiB free at {there}"
    fix = "make room, or choose another folder with --home"
    if free < DISK_FAULT_MIB:
        return Finding("disk", "fault", found, fix)
    if free < DISK_WARNING_MIB:
        return Finding("disk", "warning", found, fix)
    return well("disk", found)


def _zone() -> Finding:
    try:
        ZoneInfo("Asia/Kolkata")
    except ZoneInfoNotFoundError:
        return Finding("time zone", "fault", "no Asia/Kolkata", "pip install tzdata")
    return well("time zone", "Asia/Kolkata is known; the machine's own zone does not matter")


def _clock() -> Finding:
    """Ask the kernel whether something keeps its clock right (adjtimex, reading only)."""
    words = (ctypes.c_long * 64)()  # struct timex: modes, offset, freq, maxerror, esterror, status
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(words))
    fix = "start chrony or systemd-timesyncd: past 5 s of skew the agent opens nothing"
    if answer < 0:
        return Finding("clock", "warning", "the kernel does not say whether it is right", fix)
    status = ctypes.cast(words, ctypes.POINTER(ctypes.c_int))[_STATUS_INT]
    if status & UNSYNCHRONISED:
        return Finding("clock", "warning", "nothing keeps it in step with the world's", fix)
    return well("clock", "kept in step by the system")


_STATUS_INT = 5 * ctypes.sizeof(ctypes.c_long) // ctypes.sizeof(ctypes.c_int)
