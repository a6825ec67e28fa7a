"""Ray and the Serve application on this machine, for `stash-sense up` and the tests: start, wait, stop.

    with start(load_settings()) as server:
        server.url, server.api_key
        server.wait()              # until Ctrl-C or SIGTERM

Ray is embedded: it starts with the server on 127.0.0.1 and ends with it, and after the start the socket table is
checked. Logs are in `<data_dir>/logs`, everything else that Ray writes in a temporary folder that goes away.
"""

from __future__ import annotations

import ctypes
import logging
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import psutil
from tenacity import Retrying, stop_after_attempt

from pipelines.errors import NotWritable, PortInUse, StartupError
from pipelines.machine import cores
from pipelines.models.library import ModelLibrary
from pipelines.settings import Settings
from serve_app import without_pandas
from serve_app.job_queue import JOBS_APPLICATION
from serve_app.keys import load_or_create_key
from serve_app.ray_env import LOOPBACK, environment_set, ray_environment, wants_haproxy
from serve_app.sockets import exposed, process_tree

APPLICATION = "stash-sense"
OBJECT_STORE_BYTES = 128 << 20
"""Nothing large goes through the object store; Ray asks for 75 MB at least."""
TEMPORARY_PREFIX = "stash-sense-"
LONGEST_TEMPORARY = 40
"""Ray puts sockets about 60 characters below its folder, and the path of a socket has at most 107."""
START_ATTEMPTS = 4
"""Ray gives its processes 30 s to come up, which a machine under load may exceed; later on files are cached."""
KEEP_LOGS_S = 7 * 86400.0
DIE_TIMEOUT_S = 4.0
PR_SET_CHILD_SUBREAPER = 36  # <sys/prctl.h>


class LocalServer:
    """A running server. `stop` is idempotent.

    Attributes:
        url: where it answers.
        api_key: what its routes ask for.
        startup_s: seconds from `start` until it answered.
    """

    def __init__(self, settings: Settings, api_key: str) -> None:
        host = LOOPBACK if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - the owner's choice
        self.url = f"http://{host}:{settings.port}"
        self.api_key = api_key
        self.startup_s = 0.0
        self._settings = settings
        self._cleanup = ExitStack()
        self._vital: list[psutil.Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def wait(self) -> None:
        """Returns after SIGINT or SIGTERM. Raises StartupError when Ray ends by itself."""
        with signals_noted() as arrived:
            while not arrived.wait(1.0):
                if not all(process.is_running() for process in self._vital):
                    raise StartupError("The server ended by itself.", f"Its logs are in {logs_dir(self._settings)}.")

    def stop(self) -> None:
        """Ends the application, Ray and every process of theirs; signals wait until that is done."""
        with signals_noted():
            self._cleanup.close()

    def _start(self) -> None:
        settings = self._settings
        folder = self._cleanup.enter_context(temporary_folder())
        variables = ray_environment(folder, haproxy=wants_haproxy(settings))
        self._cleanup.enter_context(environment_set(variables))
        self._cleanup.enter_context(processes_ended())
        self._cleanup.enter_context(ray_running(settings, folder))
        run_application(settings)
        tree = process_tree()
        self._vital = [p for p in tree if p.name() in {"gcs_server", "raylet"}]
        open_to_all = exposed(tree, allowed=(settings.host, settings.port))
        if open_to_all:
            raise StartupError(
                f"Sockets are open to other machines: {', '.join(map(str, open_to_all))}.",
                "This is a fault of this Ray version; nothing was left running.",
            )


def start(settings: Settings) -> LocalServer:
    """Starts Ray and the application; returns when it answers.

    Raises like `check_ready`, before anything is started.
    Raises StartupError when Ray or the application does not come up; nothing is left running then.
    """
    began = time.perf_counter()
    check_ready(settings)
    server = LocalServer(settings, load_or_create_key(settings))
    with sigterm_raises():
        try:
            server._start()  # noqa: SLF001 - the two are one
        except BaseException:
            server.stop()
            raise
    server.startup_s = time.perf_counter() - began
    return server


def run_application(settings: Settings) -> None:
    """Deploys the application on the running Ray. Raises StartupError."""
    from ray import serve

    from serve_app.app import ServeArgs, build, build_jobs

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # of this process; those of Serve write to files
    logs = {"logs_dir": str(logs_dir(settings)), "enable_access_log": False, "log_level": "INFO"}
    http = {"host": settings.host, "port": settings.port, "request_timeout_s": settings.request_timeout_s + 30}
    try:
        serve.start(proxy_location="HeadOnly", http_options=http, logging_config=logs)
        args = ServeArgs.model_validate(settings.model_dump())
        application = build(args)
        serve.run(application, name=APPLICATION, route_prefix="/", logging_config=logs)
        jobs = serve.RunTarget(build_jobs(args), JOBS_APPLICATION, None, logs)
        serve.run_many([jobs], wait_for_applications_running=False)
    except (RuntimeError, TimeoutError) as error:
        raise StartupError(f"The application did not start: {error}", f"See {logs_dir(settings)}.") from error


@contextmanager
def ray_running(settings: Settings, folder: Path) -> Iterator[None]:
    """Ray on loopback inside the block."""
    import ray

    without_pandas.install()
    # While Ray's processes come up there is time to import the application.
    threading.Thread(target=import_module, args=("serve_app.app",), daemon=True).start()
    try:
        init_ray(folder, logical_cpus(settings))
        yield
    finally:
        if ray.is_initialized():
            with suppress(Exception):  # whatever the state of the application, its processes end below
                from ray import serve

                for name in (JOBS_APPLICATION, APPLICATION):
                    serve.delete(name)
        ray.shutdown()


def logical_cpus(settings: Settings) -> int:
    """Returns the CPUs that Ray counts with: what the engine replicas reserve, and as many again for jobs.

    They are numbers for placing work, not cores: scan workers stand back for requests by niceness, so both may have
    the whole machine. One more is for the process of a job beside the workers of another.
    """
    threads = 1 if settings.gpus_per_replica else settings.engine_threads or max(1, cores() // settings.engine_replicas)
    return settings.engine_replicas * threads + (settings.scan_workers or cores()) + 1


def init_ray(folder: Path, cpus: int) -> None:
    """Starts Ray on loopback with so many CPUs; what it writes goes to `folder`."""
    import ray

    for attempt in Retrying(stop=stop_after_attempt(START_ATTEMPTS), reraise=True):
        with attempt, nothing_left_of_a_failure():
            ray.init(
                address="local",
                num_cpus=cpus,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address=LOOPBACK,
                _temp_dir=str(folder),
            )


@contextmanager
def nothing_left_of_a_failure() -> Iterator[None]:
    """Ends what a start of Ray that failed leaves behind: dashboard, agents, log monitor. They slow down the next."""
    import ray

    before = set(process_tree())
    try:
        yield
    except BaseException:
        ray.shutdown()
        end_processes(before, patience_s=0.0)
        raise


@contextmanager
def processes_ended() -> Iterator[None]:
    """Ends every process that was started inside the block and is still there after it, orphans included.

    On Linux this process adopts what loses its parent, as Ray's agents and HAProxy may when Ray stops.
    """
    adopt_orphans()
    before = set(process_tree())
    try:
        yield
    finally:
        end_processes(before, patience_s=DIE_TIMEOUT_S)


def end_processes(before: Collection[psutil.Process], *, patience_s: float) -> None:
    """Waits for all processes of this one's tree that are not in `before`; kills those that take longer."""
    end = time.monotonic() + patience_s + DIE_TIMEOUT_S
    while (left := set(process_tree()) - set(before)) and time.monotonic() < end:
        _, alive = psutil.wait_procs(list(left), patience_s if time.monotonic() < end - DIE_TIMEOUT_S else 0)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def adopt_orphans() -> None:
    """Makes this process the parent of processes below it that lose theirs; Linux only, elsewhere nothing changes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A short path of mode 0700 that is removed afterwards."""
    base = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=base if len(base) <= LONGEST_TEMPORARY else "/tmp"))  # noqa: S108 - mkdtemp makes it private
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def signals_noted() -> Iterator[threading.Event]:
    """Inside the block SIGINT and SIGTERM set the event and do nothing else; only in the main thread."""
    arrived = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield arrived
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        arrived.set()

    before: dict[signal.Signals, Any] = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_ready(settings: Settings) -> None:
    """Raises PortInUse, NotWritable, ModelMissing, LicenceNotAccepted or PackUnknown: what can be known beforehand."""
    check_port(settings)
    check_writable(settings.data_dir)
    ModelLibrary(settings.models_path).folder(settings.pack)


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Inside the block SIGTERM raises SystemExit, so that what was started is ended; only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def check_port(settings: Settings) -> None:
    """Raises PortInUse when another program listens there."""
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise PortInUse(
                f"Port {settings.port} of {settings.host} cannot be used: {error.strerror}.",
                "Stop the program that uses it, or choose another one: STASH_SENSE_PORT=6961.",
            ) from error


def check_writable(data_dir: Path) -> None:
    """Raises NotWritable when nothing can be written to the data folder."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        raise NotWritable(
            f"The data folder {data_dir} cannot be written to: {error.strerror}.",
            "Make it writable, or set STASH_SENSE_DATA_DIR to a folder of your own.",
        ) from error


def logs_dir(settings: Settings) -> Path:
    """Returns the folder of the server's logs; it is made, and logs of more than a week ago are removed."""
    folder = settings.data_dir / "logs"
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in folder.iterdir():
        with suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > KEEP_LOGS_S:
                path.unlink()
    return folder
