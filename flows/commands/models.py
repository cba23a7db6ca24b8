"""`ratchet models`: what the registry holds, one version's figures, two versions side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.console import emit
from agent.errors import SettingRefused
from agent.home import DEFAULT_HOME

if TYPE_CHECKING:
    from flows.registry import Registry, Version

HomeOption = Annotated[Path, typer.Option("--home", help="Folder of all state.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
NameArgument = Annotated[str, typer.Argument(help="Model.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    models = typer.Typer(help="List, show and compare registered models.", no_args_is_help=True)
    models.command("list")(list_models)
    models.command("show")(show)
    models.command("compare")(compare)
    app.add_typer(models, name="models")


def list_models(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the models with their versions.

    Example: ratchet models list
    """
    registry = _open(home)
    models = [
        {
            "name": name,
            "versions": [_brief(version) for version in registry.versions(name)],
            "plan": registry.plan(name),
        }
        for name in registry.names()
    ]
    emit({"models": models}, as_json=as_json, human=lambda: _draw_list(models))


def show(
    name: NameArgument,
    version: Annotated[int | None, typer.Argument(help="Version [default: the latest].")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show one version: hashes, gates in words, figures, recipe.

    Example: ratchet models show sample 1
    """
    registry = _open(home)
    document = _whole(registry, _find(registry, name, version))
    emit(document, as_json=as_json, human=lambda: _draw_version(document))


def compare(
    name: NameArgument,
    a: Annotated[int, typer.Argument(help="One version.")],
    b: Annotated[int, typer.Argument(help="Another.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions: figures side by side, and what differs in how they were made.

    Example: ratchet models compare sample 1 2
    """
    registry = _open(home)
    one, other = (_whole(registry, _find(registry, name, v)) for v in (a, b))
    made = ("model_sha256", "policy_sha256", "features_sha256", "data_fingerprint", "seed",
            "code_revision", "trained_through")  # fmt: skip
    document = {
        "name": name,
        "versions": [a, b],
        "figures": {
            key: [one["metrics"].get(key), other["metrics"].get(key)]
            for key in sorted(one["metrics"].keys() | other["metrics"].keys())
        },
        "made": {key: [one[key], other[key]] for key in made if one[key] != other[key]},
        "params": {
            key: [one["params"].get(key), other["params"].get(key)]
            for key in sorted(one["params"].keys() | other["params"].keys())
            if one["params"].get(key) != other["params"].get(key)
        },
        "gates": {key: [v["gates"].get(key) for v in (one, other)] for key in one["gates"]},
        "note": "figures of different data or policies are not comparable"
        if one["data_fingerprint"] != other["data_fingerprint"]
        or one["policy_sha256"] != other["policy_sha256"]
        else "",
    }
    emit(document, as_json=as_json, human=lambda: _draw_compare(document))


def _open(home: Path) -> Registry:
    from flows.home import Home

    opened = Home.open(home)
    from flows.registry import Registry

    return Registry(opened)


def _find(registry: Registry, name: str, version: int | None) -> Version:
    if version is not None:
        return registry.version(name, version)
    versions = registry.versions(name)
    if not versions:
        raise SettingRefused(
            "model",
            given=name,
            allowed=", ".join(registry.names()) or "a model (none is registered yet)",
            fix="choose one of those, or train it: ratchet train",
        )
    return versions[-1]


def _brief(version: Version) -> dict[str, Any]:
    return {
        "version": version.version,
        "at": version.at,
        "aliases": list(version.aliases),
        "allowed": version.allowed,
        "gates": {name: gate.get("passed") for name, gate in version.gates.items()},
        "model_sha256": version.model_sha256,
        "trained_through": version.tags.get("ratchet.trained_through"),
    }


def _whole(registry: Registry, version: Version) -> dict[str, Any]:
    keys = ("policy_sha256", "features_sha256", "data_fingerprint", "seed", "code_revision",
            "interval", "entries", "fingerprint")  # fmt: skip
    return {
        "name": version.name,
        **_brief(version),
        **{key: version.tags.get(f"ratchet.{key}") for key in keys},
        "run_id": version.run_id,
        "gates": version.gates,
        "metrics": registry.metrics(version.name, version.version),
        "params": registry.params(version.name, version.version),
    }


def _draw_list(models: list[dict[str, Any]]) -> None:
    if not models:
        print("no model is registered yet: ratchet train")
    for model in models:
        print(model["name"])
        for v in model["versions"]:
            gates = ", ".join(
                f"{name} {'passed' if passed else 'not passed'}"
                for name, passed in v["gates"].items()
            )
            named = f" [{', '.join(v['aliases'])}]" if v["aliases"] else ""
            print(f"  {v['version']}{named}  {v['at']}  trades: {v['allowed']}  {gates}")


def _draw_version(document: dict[str, Any]) -> None:
    named = f" [{', '.join(document['aliases'])}]" if document["aliases"] else ""
    print(f"{document['name']} version {document['version']}{named}, {document['at']}")
    print(f"allowed to trade: {document['allowed']}; entries {document['entries']}")
    for name, gate in document["gates"].items():
        print(f"{name} gate {gate.get('verdict', gate.get('passed'))}: {gate.get('why', '')}")
    for key in ("model_sha256", "policy_sha256", "data_fingerprint", "code_revision"):
        print(f"{key}: {document[key]}")
    for key, value in sorted(document["metrics"].items()):
        print(f"  {key:<36} {value: .5g}")


def _draw_compare(document: dict[str, Any]) -> None:
    a, b = document["versions"]
    print(f"{document['name']}: version {a} against {b}")
    for part in ("made", "params"):
        for key, (one, other) in document[part].items():
            print(f"  {key}: {one} | {other}")
    for key, (one, other) in document["figures"].items():
        print(f"  {key:<36} {_told(one):>12} {_told(other):>12}")
    if document["note"]:
        print(document["note"])


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"
