"""`ratchet train`: one version from a dataset, judged and registered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.console import emit, tell
from agent.errors import Refused, SettingRefused
from agent.home import DEFAULT_HOME
from agent.program import date_option
from flows.commands.typed import only_dataset, text_of

if TYPE_CHECKING:
    from flows.model import Recipe


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("train")(train)


def train(  # noqa: PLR0913, PLR0917  (one parameter an option)
    dataset: Annotated[
        str | None, typer.Option(help="Dataset in the store [default: the home's own].")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model [default: the dataset's name].")] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="Trailing policy, TOML [default: the packaged one of the interval]."),
    ] = None,
    params: Annotated[
        Path | None, typer.Option(help="Recipe, TOML: [params] of LightGBM, rounds_max, …")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="champion or challenger [default: champion].")
    ] = None,
    entries: Annotated[
        str,
        typer.Option(
            help="edge[=R]: trade when that much is expected after charges; top-share=S: always "
            "trade this share on each side, an exercise on paper."
        ),
    ] = "edge",
    symbols: Annotated[
        list[str] | None, typer.Option(help="NSE:A,NSE:B; may be repeated [default: all].")
    ] = None,
    first: Annotated[str | None, typer.Option(help="First date, YYYY-MM-DD, inclusive.")] = None,
    last: Annotated[str | None, typer.Option(help="Last date, YYYY-MM-DD, inclusive.")] = None,
    folds: Annotated[int, typer.Option(help="Steps forward of the validation.", min=2)] = 5,
    seed: Annotated[int, typer.Option(help="Same data and seed: same model.", min=0)] = 1,
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train a version: labels under its policy, purged walk-forward, gates, registry.

    Ends with 0 when a version was registered, whatever its gates said: they are its tags.

    Example: ratchet train --dataset sample --entries top-share=0.2
    """
    from flows.home import Home

    opened = Home.open(home)
    from agent.trailing.policy import Policy
    from flows.training import TrainSettings, train_model
    from flows.validation.walk import Entries

    chosen = dataset or only_dataset(opened)
    named = tuple(s.strip() for text in symbols or () for s in text.split(",") if s.strip())
    settings = TrainSettings(
        dataset=chosen,
        model=model or chosen,
        policy=None
        if policy is None
        else Policy.parse(text_of(policy, "--policy"), source=str(policy)),
        recipe=_recipe(params, preset),
        entries=Entries.parse(entries),
        symbols=named or None,
        first=date_option("--first", first),
        last=date_option("--last", last),
        folds=folds,
        seed=seed,
    )
    try:
        document = train_model(opened, settings, tell)
    except Refused as fault:
        if as_json:
            emit({"model": settings.model, "refused": str(fault)}, as_json=True, human=lambda: None)
        raise
    emit(document, as_json=as_json, human=lambda: _draw(document))


def _recipe(params: Path | None, preset: str | None) -> Recipe:
    from flows import model

    if params is not None and preset is not None:
        raise SettingRefused(
            "--params, --preset", given="both", allowed="one of them", fix="leave one out"
        )
    if params is not None:
        return model.parse_recipe(text_of(params, "--params"), source=str(params))
    return model.preset(preset or "champion")


def _draw(document: dict[str, Any]) -> None:
    data, labels = document["data"], document["metrics"]["labels"]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in labels["share"].items())
    print(f"model {document['model']} version {document['version']} ({document['seconds']:.1f} s)")
    print(
        f"data: {data['dataset']}, {data['samples']:,} labels of {len(data['symbols'])} symbols, "
        f"{data['first']} to {data['last']}; {shares}; ambiguous {labels['ambiguous']:.0%}"
    )
    for fold in document["folds"]:
        print(
            f"fold {fold['fold']}: {fold['from']} to {fold['to']}, log-loss skill "
            f"{fold['skill']:+.2%}, direction AUC {fold['direction_auc']:.3f}"
        )
    for name, gate in document["gates"].items():
        print(f"{name} gate {gate['verdict']}: {gate['why']}")
    alias = f"alias {document['alias']}" if document["alias"] else "no alias"
    print(f"{alias}; allowed to trade: {document['allowed']}")
    if document["exercise"]:
        print(document["exercise"])
