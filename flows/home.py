"""Where the pipeline keeps things under `--home`, and the environment of what it starts.

Every process, our own included, gets `process_environment`: nothing phones home, nothing is
written outside the home folder, and no folder called `agent/` in the working folder shadows ours.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from agent.home import open_home


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one home folder, all absolute."""

    root: Path

    @classmethod
    def open(cls, home: Path) -> Home:
        """Open (and create) a home; take over its environment for this process.

        Call before prefect, mlflow or bentoml are imported: each reads its folder at import.

        Raises
        ------
        agent.errors.EnvironmentRefused
            If the folder cannot be written.
        """
        opened = cls(open_home(home))
        opened.tmp.mkdir(exist_ok=True)
        os.environ.update(process_environment(opened))
        return opened

    @property
    def candles(self) -> Path:
        """Partitioned candles: `candles/DATASET/…`."""
        return self.root / "candles"

    @property
    def mlflow(self) -> Path:
        """The registry's database and artifacts."""
        return self.root / "mlflow"

    @property
    def serving(self) -> Path:
        """The mirror that the served model reads: `serving/MODEL/plan.json`, `…/versions/V/`."""
        return self.root / "serving"

    @property
    def bentoml(self) -> Path:
        """BentoML's store: the built Bentos."""
        return self.root / "bentoml"

    @property
    def predictions(self) -> Path:
        """The prediction log."""
        return self.root / "predictions"

    @property
    def reports(self) -> Path:
        """HTML and JSON reports."""
        return self.root / "reports"

    @property
    def logs(self) -> Path:
        """Logs of the processes we start."""
        return self.root / "logs"

    @property
    def locks(self) -> Path:
        """`flock` files: one writer at a time."""
        return self.root / "locks"

    @property
    def tmp(self) -> Path:
        """Temporary files of every process."""
        return self.root / "tmp"


def tracking_uri(home: Home) -> str:
    """Return the registry's address: `MLFLOW_TRACKING_URI` if set, else SQLite under the home.

    A value that `Home.open` set for another home, here or in a parent process, is not the user's.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    before = os.environ.get("RATCHET_HOME")
    if given and before and given == _embedded_registry(Path(before)):
        given = None
    return given or _embedded_registry(home.root)


def _embedded_registry(root: Path) -> str:
    return f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"


def process_environment(home: Home) -> dict[str, str]:
    """Return what every process of ours must have in its environment.

    Values that a user has set for `MLFLOW_TRACKING_URI`, `PREFECT_API_URL` and the registry's
    time-outs are kept: those are how one points Ratchet at other servers.
    """
    prefect = home.root / "prefect"
    fixed = {
        "RATCHET_HOME": str(home.root),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(home.tmp),
        "DO_NOT_TRACK": "true",
        "PREFECT_HOME": str(prefect),
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(prefect / "ui"),
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_TASKS_DEFAULT_NO_CACHE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "BENTOML_HOME": str(home.bentoml),
        "BENTOML_DO_NOT_TRACK": "True",
        "OTEL_SDK_DISABLED": "true",
        "OMP_WAIT_POLICY": "passive",
        "MPLCONFIGDIR": str(home.tmp / "matplotlib"),
        "NUMBA_CACHE_DIR": str(home.root / "numba"),
        "XDG_CACHE_HOME": str(home.tmp / "cache"),
    }
    settable = {
        "MLFLOW_TRACKING_URI": tracking_uri(home),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{prefect / 'prefect.db'}",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    given = {key: os.environ.get(key) or value for key, value in settable.items()}
    return fixed | given | {"MLFLOW_TRACKING_URI": tracking_uri(home)}
