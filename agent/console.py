"""What both programs print: results on stdout, progress and errors on stderr, one exit status.

A leaf beside errors.py; imports rich only when something is drawn.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from typer.exceptions import Abort, TyperException

from agent.errors import RatchetError

USAGE = 2
INTERRUPTED = 3
TYPER_INTERRUPTED = 130  # what Typer makes of Ctrl-C before we see it
BUG = 4


def tell(message: str) -> None:
    """Print one line of progress or explanation to stderr, at once."""
    print(message, file=sys.stderr, flush=True)


def emit(document: Mapping[str, Any], *, as_json: bool, human: Callable[[], None]) -> None:
    """Print a command's result: one JSON document on stdout, or what `human` draws.

    Raises
    ------
    ValueError
        If the document holds a NaN or an infinity: JSON has neither.
    """
    if as_json:
        print(json.dumps(document, allow_nan=False, default=str), flush=True)
    else:
        human()


def run_program(app: Callable[..., Any], *, program: str) -> None:
    """Run a Typer application and end the process with the documented exit status.

    Every error that a user can cause is one message; only a bug of ours shows where its
    traceback was written.
    """
    try:
        status = app(prog_name=program, standalone_mode=False)
        code = status if isinstance(status, int) else 0
        if code == TYPER_INTERRUPTED:
            tell(f"{program}: interrupted")
            code = INTERRUPTED
    except TyperException as fault:
        tell(f"{program}: {fault.format_message()} See `{program} --help`.")
        code = USAGE
    except (Abort, KeyboardInterrupt):
        tell(f"{program}: interrupted")
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except RatchetError as fault:
        tell(f"{program}: {fault}")
        code = fault.exit_status
    except ModuleNotFoundError as fault:
        code = _report_missing(fault, program)
    except Exception as fault:  # noqa: BLE001  (the outermost edge: whatever is left is our bug)
        code = _report_bug(fault, program)
    sys.stdout.flush()
    sys.exit(code)


def _report_missing(fault: ModuleNotFoundError, program: str) -> int:
    """Name the extra that brings a library; a library that none brings is our bug."""
    library = (fault.name or "").split(".")[0]
    extras = extras_with(library)
    if not extras:
        return _report_bug(fault, program)
    extra = "paper" if program == "ratchet-agent" and "paper" in extras else extras[0]
    tell(
        f"{program}: found no library {library}; this command expects the extra '{extra}'; "
        f"install ratchet[{extra}] from its checkout: {install_line(extra)}"
    )
    return USAGE


def install_line(extras: str) -> str:
    """Return how extras are installed: from a checkout, for the name on PyPI is another's."""
    return f"pip install '.[{extras}]'"


def extras_with(library: str) -> list[str]:
    """Return the extras of our distribution that bring an importable library, `pipeline` first."""
    from importlib import metadata

    names = {
        re.sub(r"[-_.]+", "-", library).lower(),
        *metadata.packages_distributions().get(library, ()),
    }
    names |= {"scikit-learn"} if library == "sklearn" else set()
    found = set()
    for wanted in metadata.requires("ratchet") or ():
        match = re.match(r"([A-Za-z0-9._-]+).*extra == ['\"](\w+)['\"]", wanted)
        if match and re.sub(r"[-_.]+", "-", match[1]).lower() in names:
            found.add(match[2])
    return sorted(found, key=lambda extra: (extra != "pipeline", extra))


def _report_bug(fault: Exception, program: str) -> int:
    told = "".join(traceback.format_exception(fault))
    where = Path(os.environ.get("RATCHET_HOME", "var")) / "logs" / "bug.log"
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        with where.open("a", encoding="utf-8") as log:
            log.write(told + "\n")
    except OSError:
        tell(told)
        where = Path("above")
    tell(f"{program}: a bug of ours: {type(fault).__name__}: {fault}; the traceback is in {where}")
    return BUG
