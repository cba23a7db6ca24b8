"""The registry: model versions, their bundles, gates and aliases, and the traffic plan, in MLflow.

The only file that talks to MLflow's registry. Works on SQLite without a server, and over HTTP.
Order of a registration: artifacts and metrics into a run, then the version row with all its tags
in one call, last. Whatever dies before that row leaves a run that nobody names; the next writer
of the same home removes it. One writer at a time (flock), every message one sentence.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.errors import SettingRefused
from agent.market.sessions import IST
from flows import bundle, locks, logged, reach
from flows.home import Home, tracking_uri
from flows.plan import Note, encoded, expect_revision, next_plan

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ALIAS = re.compile(r"(?!latest$|v\d+$)[a-z][a-z0-9_-]{0,63}", re.IGNORECASE)
PLAN = "ratchet.plan"
OURS = "ratchet.model"  # marks our registered models: a shared server holds others' too
LOCK_WAIT_S = 120.0
PAGE = 500


@dataclass(frozen=True, slots=True)
class Version:
    """One registered version.

    Parameters
    ----------
    name, version : str, int
    run_id : str
        The MLflow run that holds metrics and artifacts.
    at : str
        When it was registered, ISO 8601 in India.
    aliases : tuple of str
    tags : dict of str
        `ratchet.*`: fingerprint, hashes, gates (JSON), `ratchet.allowed`, seed, code revision.
    """

    name: str
    version: int
    run_id: str
    at: str
    aliases: tuple[str, ...]
    tags: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """The identity of the version's bundle."""
        return self.tags.get(logged.FINGERPRINT, "")

    @property
    def model_sha256(self) -> str:
        """Hash of the booster's text."""
        return self.tags.get("ratchet.model_sha256", "")

    @property
    def allowed(self) -> str:
        """Where it may trade: none, paper or live."""
        return self.tags.get("ratchet.allowed", "none")

    @property
    def gates(self) -> dict[str, Any]:
        """The gates with their figures, by name."""
        prefix = "ratchet.gate."
        return {
            k[len(prefix) :]: json.loads(v) for k, v in self.tags.items() if k.startswith(prefix)
        }


class Registry:
    """The registry of one home; cheap to make, connects at the first call.

    Every method raises `agent.errors.EnvironmentRefused` if the registry cannot be reached or
    opened, and `SettingRefused` for a name or version that does not exist.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._uri = tracking_uri(home)

    def register(
        self,
        name: str,
        folder: Path,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        params: Mapping[str, object],
    ) -> Version:
        """Register a bundle as the next version, or return the version that already holds it.

        Parameters
        ----------
        name : str
        folder : Path
            A bundle as `flows.bundle` writes it.
        metrics : finite figures, kept with the version's run
        tags : set on the version in the call that creates it, besides those of the bundle
        params : kept with the run, as text

        Raises
        ------
        agent.errors.SettingRefused
            If the bundle is damaged, or the name is no name or another program's model.
        agent.errors.Refused
            If another process keeps writing for `LOCK_WAIT_S`.
        """
        check_name(name)
        held = bundle.read_bundle(folder)
        with self._writing(f"register a version of {name}") as client:
            self._ensure_model(client, name)
            known = client.search_model_versions(
                f"name = '{name}' and tags.`{logged.FINGERPRINT}` = '{held.fingerprint}'"
            )
            if known:
                return _version(known[0], self._aliases(client, name))
            experiment = self._experiment(client, name)
            writer = f"{socket.gethostname()}:{self._home.root}"
            logged.sweep(client, experiment, name, writer)
            figures = logged.Figures(dict(metrics), dict(tags), dict(params))
            with logged.run(client, experiment, name, writer) as run_id:
                row = logged.fill(client, (self._uri, run_id), name, held, figures)
            return _version(row, self._aliases(client, name))

    def names(self) -> list[str]:
        """Return the names of our models that have a version, sorted."""
        with self._reading() as client:
            models = _pages(client.search_registered_models)
            return sorted(m.name for m in models if OURS in m.tags and m.latest_versions)

    def versions(self, name: str) -> list[Version]:
        """Return a model's versions, oldest first; empty if there is no such model."""
        check_name(name)
        with self._reading() as client:
            rows = _pages(client.search_model_versions, f"name = '{name}'")
            aliases = self._aliases(client, name) if rows else {}
            return sorted((_version(row, aliases) for row in rows), key=lambda v: v.version)

    def version(self, name: str, version: int) -> Version:
        """Return one version.

        Raises
        ------
        agent.errors.SettingRefused
            If it does not exist; the message names those that do.
        """
        versions = self.versions(name)
        for found in versions:
            if found.version == int(version):
                return found
        raise SettingRefused(
            f"version of model {name}",
            given=version,
            allowed=", ".join(str(v.version) for v in versions)
            or "a version (none is registered yet)",
            fix="choose one of those" if versions else f"train it: ratchet train --model {name}",
        )

    def metrics(self, name: str, version: int) -> dict[str, float]:
        """Return the figures kept with a version."""
        run_id = self.version(name, version).run_id
        with self._reading() as client:
            return dict(client.get_run(run_id).data.metrics)

    def params(self, name: str, version: int) -> dict[str, str]:
        """Return the parameters kept with a version, as text."""
        run_id = self.version(name, version).run_id
        with self._reading() as client:
            return dict(client.get_run(run_id).data.params)

    def fetch(self, name: str, version: int, into: Path) -> Path:
        """Copy a version's bundle to the folder `into`, whole or not at all; checked by hash.

        Returns
        -------
        Path : `into`; left alone if it already is that bundle

        Raises
        ------
        agent.errors.SettingRefused
            If what the registry holds is damaged, or `into` is something else.
        """
        wanted = self.version(name, version)
        if into.exists():
            if bundle.read_bundle(into).fingerprint == wanted.fingerprint:
                return into
            raise SettingRefused(
                str(into), given="another bundle", allowed="a new folder", fix="remove it"
            )
        passing = self._home.tmp / f"fetch-{uuid.uuid4().hex[:12]}"
        passing.mkdir(parents=True)
        try:
            with self._reading() as client:
                client.download_artifacts(wanted.run_id, "bundle", dst_path=str(passing))
            held = bundle.read_bundle(passing / "bundle")
            if held.fingerprint != wanted.fingerprint:
                raise SettingRefused(
                    f"bundle of {name} version {version}",
                    given=held.fingerprint,
                    allowed=wanted.fingerprint,
                    fix="the registry's artifacts were changed: train the version again",
                )
            bundle.copy_bundle(passing / "bundle", into)
        finally:
            shutil.rmtree(passing, ignore_errors=True)
        return into

    def plan(self, name: str) -> dict[str, Any] | None:
        """Return the traffic plan, None before the first."""
        text = self.tag(name, PLAN)
        return None if text is None else dict(json.loads(text))

    def write_plan(
        self,
        name: str,
        plan: Mapping[str, Any],
        *,
        who: str,
        why: str,
        expected_revision: int | None,
    ) -> dict[str, Any]:
        """Change the traffic plan in one call, then the aliases, which are for people.

        Parameters
        ----------
        name : str
        plan : mapping
            `champion`, `challengers`, `shadows` and optionally `salt` (`flows.plan.next_plan`).
        who, why : str
            Kept in the plan's history.
        expected_revision : int or None
            0 where there is no plan yet; None writes over whatever is there.

        Returns
        -------
        dict : the plan in force; unchanged, without a new revision, if it said the same already

        Raises
        ------
        flows.plan.PlanMoved
            If the revision is another: nothing was written.
        agent.errors.SettingRefused
            If the plan is not one.
        """
        known = [v.version for v in self.versions(name)]
        with self._writing(f"change the traffic of {name}") as client:
            current = _plan_of(client, name)
            expect_revision(current, expected_revision)
            note = Note(who, why, datetime.now(IST).isoformat(timespec="seconds"))
            changed = next_plan(current, plan, model=name, known=known, note=note)
            if changed != current:
                client.set_registered_model_tag(name, PLAN, encoded(changed))
            self._mirror_aliases(client, name, changed, current or {})
            return changed

    def take_plan(self, name: str, plan: Mapping[str, Any]) -> None:
        """Write a plan that was changed elsewhere as it is, unless a newer one is here; aliases."""
        check_name(name)
        with self._writing(f"take over the traffic of {name}") as client:
            self._ensure_model(client, name)
            current = _plan_of(client, name)
            if current is None or int(current["revision"]) < int(plan["revision"]):
                client.set_registered_model_tag(name, PLAN, encoded(plan))
                self._mirror_aliases(client, name, plan, current or {})

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version.

        Raises
        ------
        agent.errors.SettingRefused
            If the alias is reserved (`latest`, `v1`, `v2`, …) or the version does not exist.
        """
        if not ALIAS.fullmatch(alias):
            raise SettingRefused(
                "alias",
                given=alias,
                allowed="letters, digits, '_', '-'; not latest, not v and a number (reserved)",
                fix="choose another",
            )
        self.version(name, version)
        with self._writing(f"set alias {alias} of {name}") as client:
            client.set_registered_model_alias(name, alias, str(version))

    def tag(self, name: str, key: str) -> str | None:
        """Return a tag of the registered model, None if it or the model does not exist."""
        check_name(name)
        with self._reading() as client:
            return _tags_of(client, name).get(key)

    def change_tag(self, name: str, key: str, change: Any) -> str:
        """Read, change and write a tag of the registered model under the writer's lock.

        Parameters
        ----------
        name, key : str
        change : callable
            From the old text (None if there is none) to the new.
        """
        check_name(name)
        with self._writing(f"change tag {key} of {name}") as client:
            self._ensure_model(client, name)
            text = str(change(_tags_of(client, name).get(key)))
            client.set_registered_model_tag(name, key, text)
            return text

    # -- below: one writer, and MLflow's own words ------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        reach.check_reachable(self._uri)
        if reach.is_fresh(self._uri):  # the first to open a database makes its tables
            with self._lock("make the registry"), reach.errors_named(self._uri):
                reach.client(self._uri)
        with reach.errors_named(self._uri):
            yield reach.client(self._uri)

    @contextmanager
    def _writing(self, what: str) -> Iterator[Any]:
        reach.check_reachable(self._uri)
        with self._lock(what), reach.errors_named(self._uri):
            yield reach.client(self._uri)

    def _lock(self, what: str) -> Any:
        return locks.held(self._home.locks / "registry.lock", what=what, wait_s=LOCK_WAIT_S)

    def _ensure_model(self, client: Any, name: str) -> None:
        found = _pages(client.search_registered_models, f"name = '{name}'")
        if not found:
            client.create_registered_model(name, tags={OURS: "1"})
        elif OURS not in found[0].tags:
            raise SettingRefused(
                f"model {name}",
                given="a registered model of another program",
                allowed="a free name",
                fix="choose another with --model",
            )

    def _experiment(self, client: Any, name: str) -> str:
        title = f"ratchet/{name}"
        found = client.get_experiment_by_name(title)
        if found:
            return str(found.experiment_id)
        # Without a server MLflow's default would be ./mlruns in the working folder.
        local = None if self._uri.startswith("http") else (self._home.mlflow / "artifacts").as_uri()
        return str(client.create_experiment(title, artifact_location=local))

    def _aliases(self, client: Any, name: str) -> dict[str, int]:
        return {k: int(v) for k, v in client.get_registered_model(name).aliases.items()}

    def _mirror_aliases(
        self, client: Any, name: str, plan: Mapping[str, Any], before: Mapping[str, Any]
    ) -> None:
        tried = sorted(plan["challengers"].items(), key=lambda item: (-item[1], int(item[0])))
        wanted = {
            "champion": plan["champion"],
            "challenger": int(tried[0][0]) if tried else None,
            "shadow": plan["shadows"][0] if plan["shadows"] else None,
        }
        there = self._aliases(client, name)
        named = {plan["champion"], before.get("champion"), *map(int, before.get("challengers", {}))}
        for alias, version in wanted.items():
            if version is not None and there.get(alias) != version:
                client.set_registered_model_alias(name, alias, str(version))
            # a candidate that training named and no plan knows yet keeps its alias
            elif (
                alias in there and version is None and (alias == "shadow" or there[alias] in named)
            ):
                client.delete_registered_model_alias(name, alias)


def check_name(name: str) -> None:
    """Refuse what cannot be a model's name: it is a folder's, a lock's and an URL's as well.

    Raises
    ------
    agent.errors.SettingRefused
        If it is none.
    """
    if not NAME.fullmatch(name):
        raise SettingRefused(
            "model name",
            given=repr(name),
            allowed="letters, digits, '.', '_' and '-', at most 64, a letter or digit first",
            fix="choose another with --model",
        )


def _pages(search: Any, text: str | None = None) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = search(text, max_results=PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _tags_of(client: Any, name: str) -> dict[str, str]:
    found = _pages(client.search_registered_models, f"name = '{name}'")
    return dict(found[0].tags) if found else {}


def _plan_of(client: Any, name: str) -> dict[str, Any] | None:
    text = _tags_of(client, name).get(PLAN)
    return None if text is None else dict(json.loads(text))


def _version(row: Any, aliases: Mapping[str, int]) -> Version:
    number = int(row.version)  # text over HTTP, a number on SQLite
    at = datetime.fromtimestamp(int(row.creation_timestamp) / 1000, IST)
    named = tuple(sorted(alias for alias, version in aliases.items() if version == number))
    stamp = at.isoformat(timespec="seconds")
    return Version(row.name, number, row.run_id, stamp, named, dict(row.tags))
