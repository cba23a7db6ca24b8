"""MLflow's server in one process: 245 MiB instead of the 1,500 of its own command's defaults.

`mlflow server` starts a parent, four workers and a job queue. One uvicorn worker of the same
application is told its stores by MLflow's own private variables (`_MLFLOW_SERVER_*`, fixed by the
pinned version; tests/end_to_end/test_deployments.py fails if a new one moves them).
"""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path


def main() -> None:
    """Serve the registry of the home given as first argument on the port given as second."""
    root, port = Path(sys.argv[1]), int(sys.argv[2])
    store = f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"
    (root / "mlflow").mkdir(parents=True, exist_ok=True)
    os.environ.update(
        {
            "_MLFLOW_SERVER_FILE_STORE": store,
            "_MLFLOW_SERVER_REGISTRY_STORE": store,
            # plain files, not served: what is logged over HTTP also loads without a server
            "_MLFLOW_SERVER_ARTIFACT_ROOT": (root / "mlflow" / "artifacts").as_uri(),
            "_MLFLOW_SERVER_BOOT_ID": uuid.uuid4().hex,
        }
    )
    import uvicorn
    from mlflow.server.handlers import initialize_backend_stores

    # as `mlflow server` does before it serves: else the first request waits for tables to be made,
    # longer than a client waits on a busy machine
    initialize_backend_stores(store, store, os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"])

    uvicorn.run(
        "mlflow.server.fastapi_app:app",
        host="127.0.0.1",
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
