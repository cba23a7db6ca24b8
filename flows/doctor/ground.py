"""Looks at one home: folder, settings, registry, ports and who holds them, calendar."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

from agent.errors import RatchetError, SettingRefused
from agent.home import at, open_home
from agent.market.holidays import LAST_YEAR
from agent.market.sessions import IST
from agent.secrets import SECRETS
from flows.children import require_free_port
from flows.doctor.finding import Finding, well
from flows.settings import TOML, Settings, read_settings
from flows.stack.mark import marked
from flows.stack.parts import HOST, ports_of
from flows.stack.status import is_running, status

CALENDAR_WARNING_DAYS = 45


def ground(home: Path) -> Iterator[Finding]:
    """Yield what is found about a home."""
    root = at(home)
    try:
        open_home(root)
        yield well("home", f"{root} can be written")
    except SettingRefused as fault:
        yield _of("home", fault)
    settings = None
    try:
        settings = read_settings(root)
        files = [name for name in (TOML, SECRETS) if (root / name).exists()]
        yield well("settings", f"valid; read {' and '.join(files) or 'no file: all defaults'}")
    except SettingRefused as fault:
        yield _of("settings", fault)
    yield from _stack(root)
    if settings is not None:
        yield from _ports(root, settings)
    yield calendar(datetime.now(IST).date())


def registry(root: Path) -> Finding:
    """Return whether the registry can be used; makes no tables."""
    from flows.home import Home, tracking_uri
    from flows.reach import check_reachable

    uri = tracking_uri(Home(root))
    try:
        check_reachable(uri)
    except RatchetError as fault:
        return _of("registry", fault)
    return well("registry", uri)


def calendar(today: date) -> Finding:
    """Return whether the dated table of sessions reaches a day, and for how long yet."""
    last = date(LAST_YEAR, 12, 31)
    fix = "install a newer Ratchet: NSE publishes next year's holidays in December"
    if today > last:
        return Finding("calendar", "fault", f"the table of holidays ends at {last}", fix)
    if (last - today).days < CALENDAR_WARNING_DAYS:
        return Finding("calendar", "warning", f"the table of holidays ends soon, at {last}", fix)
    return well("calendar", f"holidays and special sessions are known to {last}")


def _stack(root: Path) -> Iterator[Finding]:
    if is_running(root):
        wrong = status(root)["wrong"]
        yield well("stack", "runs")
        for sentence in wrong:
            yield Finding("stack", "warning", sentence, f"read {root / 'logs'}; `ratchet status`")
    elif left := marked(root):
        found = f"{len(left)} processes of an earlier run: {', '.join(map(str, sorted(left)))}"
        yield Finding("stack", "warning", found, "`ratchet up` ends them first; or end them")
    else:
        yield well("stack", "does not run")


def _ports(root: Path, settings: Settings) -> Iterator[Finding]:
    """Look at each port; one that our own running stack holds is as it should be."""
    ours = is_running(root)
    for port, purpose in ports_of(settings).items():
        name = f"port {port}"
        key = "agent.control.port" if purpose == "agent" else f"stack.{purpose}_port"
        try:
            require_free_port(port, host=HOST, purpose=purpose, setting=f"{key} in {root / TOML}")
            yield well(name, f"free for {purpose}")
        except SettingRefused as fault:
            if ours:
                yield well(name, f"{purpose} of the running stack")
            else:
                yield Finding(name, "fault", f"{purpose}: {fault.given}", fault.fix)


def _of(check: str, fault: RatchetError) -> Finding:
    if isinstance(fault, SettingRefused):
        found = f"{fault.subject}: found {fault.given}; expected {fault.allowed}"
        return Finding(check, "fault", found, fault.fix)
    return Finding(check, "fault", str(fault), "mend that")
