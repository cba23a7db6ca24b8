"""A worker's keeper: imports once what a worker needs, then forks it, and again when it is killed.

Started by BentoML's supervisor in the place of its worker (`flows.launch`). Importing takes seconds
of processor time, a fork none: the next worker answers within a second of the last one's death.
The keeper does nothing else. It ends with its worker's own end, and takes it along; signals are
passed on. Nothing of `bentos` is imported before the fork: a Bento brings its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import runpy
import signal
import sys
import time
from types import FrameType

from flows import spread

WORKER = "_bentoml_impl.worker.service"
PR_SET_PDEATHSIG = 1
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
KILLED = frozenset({signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS})
SOON_S = 1.0  # a worker that died sooner than this, twice, has a fault that forking cannot mend


def _import_what_workers_need() -> None:
    import _bentoml_impl.loader
    import _bentoml_impl.server.app
    import _bentoml_impl.worker.service
    import bentoml
    import fastapi.openapi.utils
    import httptools
    import msgspec
    import numpy as np
    import orjson
    import pydantic_settings
    import uvicorn
    import uvloop

    del bentoml, fastapi, httptools, msgspec, np, orjson, pydantic_settings, uvicorn, uvloop
    del _bentoml_impl
    gc.collect()
    gc.freeze()  # pages that a collection does not touch stay shared


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _worker_number() -> int:
    """Return the worker's number, from 1; 0 where BentoML gave none."""
    told = dict(zip(sys.argv, sys.argv[1:], strict=False)).get("--worker-id", "")
    return int(told) if told.isdigit() else 0


def main() -> None:
    """Keep one worker alive; exit as it exits."""
    _end_with_parent()
    worker = 0
    ending = False

    def passed_on(number: int, _: FrameType | None) -> None:
        nonlocal ending
        ending = True
        if worker:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, number)

    _import_what_workers_need()
    soon = 0
    while True:
        for number in PASSED_ON:
            signal.signal(number, signal.SIG_DFL)
        began = time.monotonic()
        worker = os.fork()
        if worker == 0:
            _end_with_parent()
            spread.join(_worker_number())
            sys.argv[0] = WORKER
            runpy.run_module(WORKER, run_name="__main__", alter_sys=True)
            return
        for number in PASSED_ON:
            signal.signal(number, passed_on)
        _, status = os.waitpid(worker, 0)
        code = os.waitstatus_to_exitcode(status)
        soon = soon + 1 if time.monotonic() - began < SOON_S else 0
        if ending or -code not in KILLED or soon > 1:
            raise SystemExit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
