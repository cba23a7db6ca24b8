"""The BentoML service: one `Worker` a process, with the FastAPI application mounted.

Started by `bentoml serve bentos.service:ModelServingPipeline`, a container, or `ratchet serve`.
What the decorator switches off costs more than our whole answer: BentoML's metrics and access
log 130 us a request, its tracing 320 us. Its time-out keeps one timer alive a request for its
whole length, so it is short; every limit of ours is shorter, so that it (504) never answers first.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import bentoml

from bentos import door
from bentos.access import Access, StartRefused, admin_token, bound_hosts, check_bind
from bentos.app import Gate, build_app
from bentos.registry import RegistryTags
from bentos.settings import BUNDLED, ServingSettings, load_settings
from bentos.store import PlanStore, locked
from bentos.worker import Worker

PR_SET_PDEATHSIG = 1
REFUSED = signal.SIGUSR2  # of a worker that may not start, to its supervisor
HEARTBEAT_S = 0.1
LAG_MEMORY = 0.9  # a stall of 1 s keeps a worker out of traffic for about a second

REQUIREMENTS = Path(__file__).with_name("requirements.txt")

gate = Gate()
door.build()


def _image() -> bentoml.images.Image:
    """Return what a container installs: the whole tree, pinned and hashed beforehand.

    BentoML's own locking would ask the network at every build, and pin the top of the tree anew.
    """
    image = bentoml.images.Image(python_version="3.11", lock_python_packages=False)
    image.system_packages("libgomp1")
    image.python_requirements = REQUIREMENTS.read_text(encoding="utf-8")
    return image


@bentoml.service(
    name="ratchet",
    workers=int(os.environ.get("RATCHET_WORKERS") or 1),
    traffic={"timeout": 5},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
    image=_image(),
)
@bentoml.asgi_app(build_app(gate), path="/")
class ModelServingPipeline:
    """The served models of one process."""

    def __init__(self) -> None:
        _die_with_parent()
        take_all_files()
        try:
            settings = load_settings()
            for host in bound_hosts():
                check_bind(host, settings)
            access = Access(settings)
        except (StartRefused, ValueError) as fault:
            _refuse(fault)
            raise
        self.worker = Worker(settings, bentoml.server_context.worker_index or 1)
        self.worker.start()
        gate.worker, gate.access = self.worker, access
        door.stand(self.worker, access)
        gate.store = PlanStore(lambda: settings.folder, *_registry(settings))
        self._beat: asyncio.Task[None] | None = None

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    def prepare() -> None:
        """Refuse bad settings before a worker starts; give an empty serving folder its models."""
        signal.signal(REFUSED, _end_refused)
        try:
            settings = load_settings()
            admin_token(settings)
        except (StartRefused, ValueError) as fault:
            print(f"ratchet: {fault}", file=sys.stderr, flush=True)
            raise SystemExit(2) from None
        seed(settings)

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def begin(self) -> None:
        """Watch the event loop."""
        self._beat = asyncio.create_task(_heartbeat(self.worker))

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def end(self) -> None:
        """Leave nothing unwritten."""
        if self._beat is not None:
            self._beat.cancel()
        await asyncio.to_thread(self.worker.stop)

    async def __is_alive__(self) -> bool:
        """Answer `/livez`: the loop that answers is alive."""
        return True

    async def __is_ready__(self) -> bool:
        """Answer `/readyz`."""
        return not self.worker.unready()


def take_all_files() -> None:
    """Raise the limit of open files to what the system allows: one is needed a connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def seed(settings: ServingSettings) -> None:
    """Copy the Bento's own models into a serving folder that has none yet.

    Changes of traffic then go there, and outlive the Bento.
    """
    folder = settings.serving_dir
    if folder is None or not BUNDLED.is_dir() or any(folder.glob("*/plan.json")):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".seed.lock"):
        for source in sorted(path.parent for path in BUNDLED.glob("*/plan.json")):
            target = folder / source.name
            if (target / "plan.json").exists():
                continue
            target.mkdir(exist_ok=True)
            for version in sorted((source / "versions").iterdir()):
                passing = target / "versions" / f".{version.name}.{os.getpid()}.tmp"
                shutil.copytree(version, passing)
                if (target / "versions" / version.name).exists():
                    shutil.rmtree(passing)
                else:
                    passing.rename(target / "versions" / version.name)
            shutil.copyfile(source / "plan.json", target / ".plan.json.tmp")
            (target / ".plan.json.tmp").replace(target / "plan.json")


def _registry(settings: ServingSettings) -> tuple[RegistryTags | None, Path | None]:
    if not settings.tracking_uri.startswith(("http://", "https://")):
        return None, None
    return RegistryTags(settings.tracking_uri), settings.home.resolve() / "locks" / "registry.lock"


def _die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the supervisor dies: kill -9 of it leaves no orphan.

    An orphan would go on serving and keep the port.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        print("ratchet: prctl failed; a killed supervisor may leave a worker", file=sys.stderr)


def _refuse(fault: Exception) -> None:
    """End the supervisor, too: it would start a worker that cannot start again and again."""
    print(f"ratchet: the service does not start: {fault}", file=sys.stderr, flush=True)
    os.kill(int(os.environ.get("RATCHET_SUPERVISOR") or os.getppid()), REFUSED)


def _end_refused(*_: object) -> None:
    """End the supervisor as a failure, which SIGTERM would not: who started it must not read 0."""
    raise SystemExit(2)


async def _heartbeat(worker: Worker) -> None:
    """Measure how late the event loop is; a stall is remembered for about a second."""
    while True:
        due = time.monotonic() + HEARTBEAT_S
        await asyncio.sleep(HEARTBEAT_S)
        worker.lag_s = max(time.monotonic() - due, worker.lag_s * LAG_MEMORY)
        worker.pauses.beat()
