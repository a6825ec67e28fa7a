"""What the real server does under overload, in a swap of databases, after cancelled requests and a killed replica."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import psutil
import pyarrow as pa
import pytest

from pipelines.faces.catalogue import OPEN
from pipelines.store.performers import PerformerDatabase
from serve_app.deployments.lanes import WAITING_VIDEOS
from tests.serve_app.conftest import Serving, until
from tests.serve_app.test_http_basics import assert_error
from tests.serve_app.test_http_identify import names, ok


@pytest.fixture
def photo(data: Path) -> bytes:
    return (data / "faces/people/signer_a/02.jpg").read_bytes()


def renamed(database: PerformerDatabase, suffix: str) -> str:
    """Writes a version whose performers have other names; returns its id."""
    table, faces = database.source_performers("folder"), database.source_faces("folder")
    column = table.column_names.index("name")
    changed = pa.array([f"{name}{suffix}" for name in table["name"].to_pylist()])
    source = database.manifest().sources["folder"]
    return database.put(OPEN, source, table.set_column(column, table.schema.field("name"), changed), faces)


def test_overload_is_answered_with_503_and_retry_after(client: httpx.Client, data: Path) -> None:
    photo = (data / "faces/groups/obama_biden_1.jpg").read_bytes()

    def ask(_: int) -> httpx.Response:
        return client.post("/identify/image", content=photo, headers={"Content-Type": "image/jpeg"})

    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(ask, range(60)))
    count = Counter(a.status_code for a in answers)
    assert set(count) == {200, 503}, count
    for refused in (a for a in answers if a.status_code == 503):
        assert_error(refused, 503, "overloaded")
        assert int(refused.headers["Retry-After"]) >= 1
    assert names(ok(ask(0))) == {"barack_obama", "joe_biden"}


def test_too_many_videos_are_refused_and_pictures_go_on(client: httpx.Client, data: Path, photo: bytes) -> None:
    video = {"path": str(data / "video/derived/signers_mix2.mp4")}
    accepted = 1 + WAITING_VIDEOS
    with ThreadPoolExecutor(accepted + 3) as pool:
        videos = [pool.submit(client.post, "/identify/scene", json=video) for _ in range(accepted + 3)]
        picture = client.post("/identify/image", files={"file": photo})
        assert names(ok(picture)) == {"signer_a"}
        assert sum(not v.done() for v in videos) > 1, "the picture waited for all videos"
        count = Counter(v.result().status_code for v in videos)
    assert count == {200: accepted, 503: 3}


def test_swap_of_databases_under_load(server: Serving, client: httpx.Client, photo: bytes) -> None:
    """No request fails, each answer is of one version, and the new version comes into force."""
    database = server.database
    first = str(database.current())
    stop = Event()
    answers: list[dict[str, object]] = []

    def keep_asking() -> None:
        while not stop.is_set():
            answers.append(ok(client.post("/identify/image", files={"file": photo})))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(keep_asking) for _ in range(4)]
        try:
            second = renamed(database, " II")
            until(lambda: client.get("/database/info").json()["version"] == second, 10, "the swap")
            seen = len(answers)
            until(lambda: len(answers) > seen + 8, 30, "answers of the second version")
            database.use(first)
            assert ok(client.post("/database/reload"))["version"] == first
        finally:
            stop.set()
        for future in asking:
            future.result()
    expected = {first: {"signer_a"}, second: {"signer_a II"}}
    assert {a["database_version"] for a in answers} == set(expected)
    assert all(names(a) == expected[str(a["database_version"])] for a in answers)


def test_damaged_version_leaves_the_old_one_in_force(server: Serving, client: httpx.Client, photo: bytes) -> None:
    database = server.database
    first = str(database.current())
    damaged = renamed(database, " damaged")
    (database.root / damaged / "vectors.faiss").write_bytes(b"")
    (database.root / "current").write_text(damaged)
    try:
        time.sleep(2.5)
        assert names(ok(client.post("/identify/image", files={"file": photo}))) <= {"signer_a", "signer_a damaged"}
        assert client.get("/ready").status_code == 200
    finally:
        database.use(first)
    assert ok(client.post("/database/reload"))["version"] == first


def test_cancelled_videos_free_their_place(server: Serving, client: httpx.Client, data: Path) -> None:
    video = {"path": str(data / "video/derived/signers_mix1__vp9.webm"), "frames": 600}

    def give_up(_: int) -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{server.url}/identify/scene", json=video, headers={"ApiKey": server.key}, timeout=httpx.Timeout(0.3)
            )

    places = 1 + WAITING_VIDEOS
    with ThreadPoolExecutor(places) as pool:
        list(pool.map(give_up, range(places)))
    engine = _replica(server, "FaceEngine")
    until(lambda: engine.cpu_percent(1.0) < 20, 20, "rest after the cancelled videos")
    assert client.post("/identify/scene", json=video).status_code == 200


def test_killed_engine_comes_back(server: Serving, client: httpx.Client, photo: bytes) -> None:
    engine = _replica(server, "FaceEngine")
    engine.kill()
    engine.wait(10)
    statuses = []

    def works() -> bool:
        answer = client.post("/identify/image", files={"file": photo})
        statuses.append(answer.status_code)
        if answer.status_code != 200:
            assert_error(answer, 503, "overloaded")
            assert int(answer.headers["Retry-After"]) >= 1
        return answer.status_code == 200

    until(works, 90, "a new engine")
    assert _replica(server, "FaceEngine").pid != engine.pid
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_killed_index_comes_back(server: Serving, client: httpx.Client, photo: bytes) -> None:
    index = _replica(server, "FaceIndex")
    index.kill()
    index.wait(10)

    def works() -> bool:
        answer = client.post("/identify/image", files={"file": photo})
        assert answer.status_code in {200, 503}, answer.text
        return answer.status_code == 200

    until(works, 90, "a new index")


def _replica(server: Serving, name: str) -> psutil.Process:
    def found() -> Iterator[psutil.Process]:
        for process in server.tree():
            if name in "".join(process.cmdline()) or name in process.name():
                yield process

    process: psutil.Process = until(lambda: next(found(), None), 60, f"a replica of {name}")
    return process
