"""`ratchet-agent paper`: serve the paper exchange."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from agent.errors import SettingRefused
from agent.home import DEFAULT_HOME, open_home
from agent.program import date_option

Candles = Annotated[
    str | None,
    typer.Option(help="Candle file, folder or glob (Parquet, CSV); without it: synthetic."),
]
Speed = Annotated[float, typer.Option(help="Virtual seconds a second of the wall.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")]
Seed = Annotated[
    int | None,
    typer.Option(min=0, help="Draws paths, depth, prices, faults [1, or the scenario's]."),
]
LockStep = Annotated[
    bool, typer.Option("--lockstep", help="Wait at each instant for every joined client.")
]
WallClock = Annotated[
    bool,
    typer.Option(
        "--wall-clock",
        help="Play the days on today and the trading days after it, at the time of day.",
    ),
]
SpeedMax = Annotated[
    float | None,
    typer.Option(help="With --lockstep: at most so many virtual seconds a second of the wall."),
]
Latest = Annotated[
    bool,
    typer.Option(
        "--latest",
        help="Without --first: replay the last half of the days, at most 250; earlier ones "
        "are history.",
    ),
]
StrictLogin = Annotated[
    bool, typer.Option("--strict-login", help="Refuse the token `paper`; a login is needed.")
]
RedirectUrl = Annotated[
    str, typer.Option(help="Where the login page sends a browser [default: it shows the token].")
]
ReadyFile = Annotated[
    Path | None, typer.Option(help="Written once calls are answered: pid, port, URLs.")
]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Home = Annotated[Path, typer.Option(help="Folder of all state.")]
First = Annotated[
    str | None, typer.Option(help="First day to replay, YYYY-MM-DD; earlier ones are history.")
]
Last = Annotated[str | None, typer.Option(help="Last day to replay, YYYY-MM-DD.")]
Db = Annotated[
    Path | None, typer.Option(help="SQLite file [default: HOME/paper/exchange-PORT.db].")
]
TicksPerDay = Annotated[int, typer.Option(min=4, max=22_500, help="Ticks in a normal session.")]
Instruments = Annotated[
    Path | None, typer.Option(help="Instruments dump (CSV, CSV.GZ): ticks, lots, tokens.")
]
Cash = Annotated[int, typer.Option(min=0, help="Rupees that the account starts with.")]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Start over instead of going on with a stored run.")
]
ScenarioName = Annotated[
    str | None,
    typer.Option(help="A day that teaches: a name of --list-scenarios, or a TOML file."),
]
ReadLimits = Annotated[
    bool | None,
    typer.Option(
        "--read-limits/--no-read-limits",
        help="Answer reads past the broker's budgets with 429 [default: unless --lockstep].",
    ),
]
ListScenarios = Annotated[
    bool, typer.Option("--list-scenarios", help="Print the scenarios that there are, and stop.")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("paper")(paper)


def paper(  # noqa: PLR0913, PLR0917  (one option a setting)
    candles: Candles = None,
    speed: Speed = 1.0,
    port: Port = 13030,
    seed: Seed = None,
    lockstep: LockStep = False,
    wall_clock: WallClock = False,
    speed_max: SpeedMax = None,
    latest: Latest = False,
    strict_login: StrictLogin = False,
    redirect_url: RedirectUrl = "",
    ready_file: ReadyFile = None,
    host: Host = "127.0.0.1",
    home: Home = DEFAULT_HOME,
    first: First = None,
    last: Last = None,
    db: Db = None,
    ticks_per_day: TicksPerDay = 1_500,
    instruments: Instruments = None,
    cash: Cash = 1_000_000,
    fresh: Fresh = False,
    scenario: ScenarioName = None,
    read_limits: ReadLimits = None,
    list_scenarios: ListScenarios = False,
) -> None:
    """Serve a local exchange that speaks the broker's REST and ticker.

    Example: ratchet-agent paper --candles var/candles --speed 60 --port 13030
    """
    from agent.market.sessions import IST
    from agent.paper.opening import OPERATIONS, Opening, run
    from agent.paper.scenario import find_scenario, print_scenarios

    if list_scenarios:
        print_scenarios(OPERATIONS)
        return
    scene = None if scenario is None else find_scenario(scenario, OPERATIONS)
    others = {"--candles": candles, "--instruments": instruments, "--first": first, "--last": last}
    told = [name for name, value in others.items() if value is not None]
    if scene is not None and told:
        raise SettingRefused(
            "--scenario",
            given=f"with {told[0]}",
            allowed="one of them: a scenario brings its market and its days",
            fix=f"leave {told[0]} out, or write it into the scenario",
        )
    _refuse_clocks(speed, speed_max, lockstep=lockstep, wall_clock=wall_clock)
    run(
        Opening(
            open_home(home),
            datetime.now(IST).date(),
            candles=candles,
            instruments=instruments,
            seed=seed if seed is not None else scene.seed if scene else 1,
            scenario=scene,
            read_limits=read_limits,
            ticks_per_day=ticks_per_day,
            first=date_option("--first", first),
            last=date_option("--last", last),
            cash_paise=cash * 100,
            host=host,
            port=port,
            speed=speed,
            lockstep=lockstep,
            strict_login=strict_login,
            redirect_url=redirect_url,
            ready=ready_file,
            db=db,
            fresh=fresh,
            speed_max=speed_max,
            wall_clock=wall_clock,
            latest=latest,
        )
    )


def _refuse_clocks(
    speed: float, speed_max: float | None, *, lockstep: bool, wall_clock: bool
) -> None:
    """Refuse clocks that contradict each other, or that no exchange could keep."""
    for name, value in (("--speed", speed), ("--speed-max", speed_max)):
        if value is not None and not 0 < value <= 100_000:
            raise SettingRefused(
                name, given=value, allowed="above 0, at most 100000", fix="60 is an hour a minute"
            )
    if wall_clock and (lockstep or speed != 1.0):
        raise SettingRefused(
            "--wall-clock",
            given="with --lockstep" if lockstep else f"with --speed {speed:g}",
            allowed="the time of day alone",
            fix="leave one of them out",
        )
    if speed_max is not None and not lockstep:
        raise SettingRefused(
            "--speed-max",
            given="without --lockstep",
            allowed="a bound for --lockstep",
            fix="use --speed, or add --lockstep",
        )
