"""Is the registry there, and what does it mean when it is not: MLflow's errors, renamed once.

Asked before every use, because MLflow itself retries for minutes: a server that is down costs
one connection attempt, a database file that cannot be opened one look.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.errors import EnvironmentRefused, RatchetError, SettingRefused

CONNECT_S = 5.0
SQLITE_BUSY_S = 30.0


def check_reachable(uri: str) -> None:
    """Refuse at once, in one sentence, if the registry at this address cannot be used.

    Raises
    ------
    agent.errors.EnvironmentRefused
        If the server does not answer, or the SQLite file cannot be opened and written.
    """
    if uri.startswith(("http://", "https://")):
        _check_server(uri)
    elif uri.startswith("sqlite:"):
        _check_file(_sqlite_path(uri))
    else:
        _check_database(uri)


def is_fresh(uri: str) -> bool:
    """Return whether this is a SQLite registry whose tables have yet to be made."""
    if not uri.startswith("sqlite:"):
        return False
    with contextlib.closing(sqlite3.connect(_sqlite_path(uri), timeout=SQLITE_BUSY_S)) as db:
        made = db.execute("select count(*) from sqlite_master where name = 'alembic_version'")
        return not made.fetchone()[0]


def client(uri: str) -> Any:
    """Return MLflow's client for an address; makes the tables of an empty database."""
    from mlflow.tracking import MlflowClient

    for logger in ("mlflow", "alembic"):  # they tell of every table and artifact
        logging.getLogger(logger).setLevel(logging.ERROR)
    made = MlflowClient(uri)
    made.search_registered_models(max_results=1)
    return made


@contextlib.contextmanager
def errors_named(uri: str) -> Iterator[None]:
    """Rename what MLflow, SQLAlchemy and the network raise inside the block.

    Raises
    ------
    agent.errors.EnvironmentRefused
        If the registry went away, is full, or has another version's tables.
    agent.errors.SettingRefused
        If MLflow says that something does not exist or may not be so.
    """
    try:
        yield
    except RatchetError:
        raise
    except Exception as fault:
        kind = type(fault).__module__.split(".")[0]
        if kind == "mlflow":
            raise _mlflow_named(fault, uri) from fault
        if kind in {"sqlalchemy", "sqlite3", "requests", "urllib3"} or isinstance(fault, OSError):
            raise _gone(uri, _first_line(fault)) from fault
        raise


@contextlib.contextmanager
def best_effort() -> Iterator[None]:
    """Let the block fail in silence: it tidies up after an error that is already on its way."""
    with contextlib.suppress(Exception):
        yield


def _mlflow_named(fault: Exception, uri: str) -> SettingRefused:
    code = str(getattr(fault, "error_code", ""))
    if code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS"}:
        return SettingRefused(
            f"registry {uri}",
            given=_first_line(fault),
            allowed="a name, version and value that it holds",
            fix="look with `ratchet models list`",
        )
    return _gone(uri, _first_line(fault))


def _gone(uri: str, why: str) -> EnvironmentRefused:
    return EnvironmentRefused(
        f"registry {_without_password(uri)}",
        given=why,
        allowed="an MLflow registry that answers",
        fix="start it (`ratchet up`), mend it, or unset MLFLOW_TRACKING_URI to use the home's own",
    )


def _first_line(fault: Exception) -> str:
    lines = str(fault).strip().splitlines() or [""]
    return f"{type(fault).__name__}: {lines[0][:300]}"


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return uri.replace(f":{parts.password}@", ":***@") if parts.password else uri


def _check_server(uri: str) -> None:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=CONNECT_S):  # noqa: S310
            return
    except urllib.error.HTTPError as answer:
        if answer.code < 500:
            return  # a managed server may know no /health; that it answers is enough
        raise _gone(uri, f"HTTP {answer.code}") from answer
    except (OSError, ValueError) as fault:
        raise _gone(uri, str(getattr(fault, "reason", fault))) from fault


def _sqlite_path(uri: str) -> Path:
    return Path(uri.removeprefix("sqlite:///").split("?")[0])


def _check_file(path: Path) -> None:
    uri = f"sqlite:///{path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(path, timeout=SQLITE_BUSY_S)) as db:
            db.execute("begin immediate")
            db.rollback()
    except (OSError, sqlite3.Error) as fault:
        raise _gone(uri, str(getattr(fault, "strerror", None) or fault)) from fault


def _check_database(uri: str) -> None:
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(uri)
        with engine.connect():
            pass
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, OSError) as fault:
        raise _gone(uri, _first_line(fault)) from fault
