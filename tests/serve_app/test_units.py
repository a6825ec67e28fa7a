"""Keys, limits, sources, lanes and sockets without Ray."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipelines.errors import (
    LimitExceeded,
    MediaCorrupt,
    MediaNotFound,
    ModelMissing,
    NotWritable,
    Overloaded,
    PathNotAllowed,
    PortInUse,
    StashSenseError,
    UrlNotAllowed,
)
from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.media.images import load_image
from pipelines.settings import Settings
from serve_app.deployments.lanes import CancellableEngine, Cancelled, EngineLane, EnginePlan, PixelBudget
from serve_app.deployments.outcome import returns_errors, unwrap
from serve_app.errors import STATUS, error_response, invalid_body, status_of
from serve_app.haproxy_launcher import mended
from serve_app.keys import KEY_FILE, digest, load_or_create_key
from serve_app.local import check_ready, nothing_left_of_a_failure, temporary_folder
from serve_app.ray_env import free_port
from serve_app.sockets import exposed, listeners
from serve_app.sources import allowed_path, allowed_url

EVERYWHERE = "0.0.0.0"  # noqa: S104 - the test is about it


def test_key_is_made_once_and_private(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new" / "folder")
    key = load_or_create_key(settings)
    path = settings.data_dir / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(key) >= 40
    assert load_or_create_key(settings) == key
    assert sorted(p.name for p in path.parent.iterdir()) == [KEY_FILE]
    assert len(digest(key)) == 64 != key


def test_key_made_by_two_at_once_is_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(load_or_create_key(settings))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_key_setting_goes_first_and_bad_files_are_named(tmp_path: Path) -> None:
    assert load_or_create_key(Settings(data_dir=tmp_path, api_key="own")) == "own"
    assert not (tmp_path / KEY_FILE).exists()
    (tmp_path / KEY_FILE).write_text("")
    with pytest.raises(NotWritable, match="empty"):
        load_or_create_key(Settings(data_dir=tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable):
        load_or_create_key(Settings(data_dir=tmp_path / "file" / "below"))


def leaves(kind: type[StashSenseError]) -> list[type[StashSenseError]]:
    below = [leaf for sub in kind.__subclasses__() for leaf in leaves(sub)]
    return below or [kind]


def test_errors_have_the_status_of_their_leaf() -> None:
    statuses = {kind.__name__: status_of(kind("m", "h")) for kind in leaves(StashSenseError)}
    assert statuses["LimitExceeded"] == 413
    assert statuses["PathNotAllowed"] == 403
    assert statuses["MediaCorrupt"] == 422
    assert statuses["MediaNotFound"] == 404
    assert statuses["DatabaseMissing"] == 503
    assert statuses["PortInUse"] == 500
    assert {status for _, status in STATUS} <= set(statuses.values()) | {422, 503}


def test_503_says_when_to_try_again() -> None:
    assert error_response(Overloaded("m", "h", retry_after_s=7)).headers["Retry-After"] == "7"
    assert "Retry-After" not in error_response(MediaCorrupt("m")).headers


def test_invalid_requests_do_not_repeat_what_was_sent() -> None:
    body = invalid_body([{"loc": ("body", "api_key"), "msg": "too short", "input": "s3cret"}])
    assert body["hint"] == "Fields: api_key."
    assert "s3cret" not in str(body)


def test_named_errors_cross_deployments_as_values() -> None:
    class Deployment:
        @returns_errors
        async def method(self, good: int) -> int:
            if not good:
                raise MediaCorrupt("m", "h")
            if good < 0:
                raise ValueError("a fault")
            return good

    assert unwrap(asyncio.run(Deployment().method(1))) == 1
    with pytest.raises(MediaCorrupt, match="m"):
        unwrap(asyncio.run(Deployment().method(0)))
    with pytest.raises(ValueError, match="a fault"):
        asyncio.run(Deployment().method(-1))


def test_no_path_and_no_url_is_allowed_by_default(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"x")
    with pytest.raises(PathNotAllowed):
        allowed_path(str(file), Settings())
    with pytest.raises(UrlNotAllowed):
        allowed_url("http://127.0.0.1/a.jpg", Settings())
    inside = Settings(allowed_roots=(tmp_path,))
    assert allowed_path(str(file), inside) == file.resolve()
    with pytest.raises(MediaNotFound):
        allowed_path(str(tmp_path / "b.jpg"), inside)
    with pytest.raises(PathNotAllowed):
        allowed_path(f"{file}\0", inside)


@pytest.mark.parametrize(
    ("allowed", "url", "good"),
    [
        ("stash", "http://stash/a", True),
        ("stash", "https://STASH/a", True),
        ("stash", "http://stash:80/a", True),
        ("stash", "http://stash.:80/a", True),
        ("stash", "http://stash:9999/a", False),
        ("stash:9999", "http://stash:9999/a", True),
        ("stash:9999", "http://stash/a", False),
        ("stash", "http://stash.evil.example/a", False),
        ("stash", "http://stash@evil.example/a", False),
        ("stash", "http://evil.example#stash", False),
        ("stash", "http://evil.example\\@stash/", False),
        ("stash", "ftp://stash/a", False),
        ("[::1]:80", "http://[::1]/a", True),
    ],
)
def test_urls_are_allowed_by_host_and_port(allowed: str, url: str, good: bool) -> None:
    settings = Settings(allowed_hosts=(allowed,))
    if good:
        assert allowed_url(url, settings).url == url
    else:
        with pytest.raises(UrlNotAllowed):
            allowed_url(url, settings)


@pytest.fixture(scope="module")
def engine(open_models: Path) -> FaceEngine:
    return FaceEngine(OPEN, open_models, EngineOptions())


def test_lanes_give_what_the_engine_gives(engine: FaceEngine, data: Path) -> None:
    frames = [load_image(data / f"faces/people/{name}/01.jpg") for name in ("signer_a", "signer_b", "signer_c")]
    lane = EngineLane(engine, EnginePlan(2, 4, 0.0, 1, on_gpu=False), name="test", niceness=5)
    expected = engine.analyze(frames)
    for found in (lane.analyze(frames), asyncio.run(lane.analyze_async(frames))):
        assert [len(faces) for faces in found] == [len(faces) for faces in expected]
        for got, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(got[0].template, wanted[0].template, atol=1e-5)
    assert lane.analyze([]) == []
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Cancelled):
        CancellableEngine(lane, stopped).analyze(frames)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == os.getpriority(os.PRIO_PROCESS, os.getpid())
    lane.close()


def test_pixel_budget_bounds_what_is_in_memory() -> None:
    async def scenario() -> tuple[float, int]:
        budget, held, most, done = PixelBudget(10), 0.0, 0.0, 0

        async def one(megapixels: float) -> None:
            nonlocal held, most, done
            async with budget.hold(megapixels):
                held += min(megapixels, 10)
                most = max(most, held)
                await asyncio.sleep(0.001)
                held -= min(megapixels, 10)
                done += 1

        await asyncio.gather(*(one(size) for size in [3, 4, 5, 6, 50, 1, 9] * 4))
        return most, done

    assert asyncio.run(scenario()) == (10, 28)


def test_listeners_tell_loopback_from_the_rest() -> None:
    sockets = []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, EVERYWHERE), (socket.AF_INET6, "::1")):
        probe = socket.socket(family)
        probe.bind((host, 0))
        probe.listen()
        sockets.append(probe)
    own = [psutil.Process()]
    port = sockets[1].getsockname()[1]
    assert {s.getsockname()[1] for s in sockets} <= {found.port for found in listeners(own)}
    assert [s.port for s in exposed(own)] == [port]
    assert exposed(own, allowed=(EVERYWHERE, port)) == []
    for probe in sockets:
        probe.close()


def test_start_says_what_is_missing(tmp_path: Path, models_dir: Path) -> None:
    good = Settings(data_dir=tmp_path, models_dir=models_dir, port=free_port())
    check_ready(good)
    with pytest.raises(ModelMissing, match="models fetch open"):
        check_ready(good.model_copy(update={"models_dir": tmp_path / "none"}))
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable, match="STASH_SENSE_DATA_DIR"):
        check_ready(good.model_copy(update={"data_dir": tmp_path / "file"}))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"{port}.*STASH_SENSE_PORT"):
            check_ready(good.model_copy(update={"port": port}))


def test_temporary_folder_is_short_private_and_goes_away() -> None:
    with temporary_folder() as folder:
        assert len(str(folder)) <= 60
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "x").write_text(str(time.time()))
    assert not folder.exists()


def test_limit_message_names_the_limit() -> None:
    assert status_of(LimitExceeded("m")) == 413


def test_haproxy_configuration_is_mended() -> None:
    written = (
        "defaults\n    option abortonclose\n    option splice-request\n    option splice-response\n"
        "frontend prometheus\n    bind :9101\nfrontend http\n    bind *:6960\n"
        "listen stats\n  bind *:8404\n  stats enable\n"
    )
    assert mended(written, ["8404", "9101"]) == (
        "defaults\n    option abortonclose\n"
        "frontend prometheus\n    bind 127.0.0.1:9101\nfrontend http\n    bind *:6960\n"
        "listen stats\n  bind 127.0.0.1:8404\n  stats enable\n"
    )


def test_a_start_that_fails_leaves_no_process() -> None:
    children: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        raise RuntimeError("did not come up")

    with pytest.raises(RuntimeError), nothing_left_of_a_failure():
        start()
    assert not psutil.pid_exists(children[0].pid)
