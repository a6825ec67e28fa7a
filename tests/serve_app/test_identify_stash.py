"""Identification by Stash's ids and URLs: real server, real models, real media, a fake Stash."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipelines.faces.catalogue import OPEN
from pipelines.store.matches import ContentMatch, ContentPerson, MatchStamp, MatchStore
from pipelines.store.performers import SourceInfo
from pipelines.store.sql import open_store
from pipelines.store.templates import ContentScan, ScanDataset
from tests.fakes.stash import FANSDB, STASHDB, sample_stash_id
from tests.serve_app.conftest import STASH_KEY, Serving, until
from tests.serve_app.test_http_basics import assert_error
from tests.serve_app.test_http_identify import names, ok

MIX = "video/derived/signers_mix2.mp4"


@pytest.fixture(autouse=True)
def _no_scans(server: Serving, client: httpx.Client) -> Iterator[None]:
    """Every test begins and ends without stored scans, and with the settings as they were."""
    yield
    forget(server)
    client.delete("/settings/path_map")
    client.delete("/settings/stash_url")


def forget(server: Serving) -> None:
    scans = ScanDataset(server.data_dir / "scans")
    for kind in ("scene", "image"):
        done = scans.done(["kind", "content_id"]).to_pylist()
        scans.forget(kind, [row["content_id"] for row in done if row["kind"] == kind])  # type: ignore[arg-type]


def file_of(server: Serving, row: Any) -> Any:
    """Returns the primary file of a scene or image, as the fake keeps it."""
    return server.stash.library.files[row.file_ids[0]]


def scene_of(server: Serving, path: str) -> str:
    """Returns the id of the scene of a file of the test data."""
    scenes = server.stash.library.scenes.values()
    (found,) = [scene.id for scene in scenes if file_of(server, scene).path.endswith(path)]
    return str(found)


def gallery_of(server: Serving, folder: str) -> Any:
    (found,) = [g for g in server.stash.library.galleries.values() if (g.folder or "").endswith(f"/{folder}")]
    return found


def image_ids(server: Serving, gallery_id: int) -> list[str]:
    rows = server.stash.library.images.values()
    return [str(image.id) for image in rows if gallery_id in image.gallery_ids]


def test_scene_by_id_is_that_of_its_file(client: httpx.Client, server: Serving, data: Path) -> None:
    """Read from Stash with Range requests; the names are those of the same file by its path."""
    scene_id = scene_of(server, MIX)
    server.stash.requests.clear()
    answer = ok(client.post("/identify/scene", json={"scene_id": scene_id}))
    by_path = ok(client.post("/identify/scene", json={"path": str(data / MIX)}))
    assert names(answer) == names(by_path) == {"signer_a", "signer_b", "signer_c"}
    assert answer["content"]["kind"] == "scene"
    assert answer["content"]["id"] == scene_id
    for key in ("kind", "faces", "frames", "frames_wanted", "width", "height", "duration_s"):
        assert answer[key] == by_path[key], key
    assert (answer["source"], answer["stored"], by_path["stored"]) == ("fresh", True, False)
    for person, same in zip(answer["people"], by_path["people"], strict=True):
        assert person["ranges"] == same["ranges"]
        assert person["confidence"] == pytest.approx(same["confidence"], abs=0.01)
        assert person["candidates"]
    streams = [r for r in server.stash.requests if r.path.endswith("/stream")]
    assert streams
    assert all("apikey" not in r.path.lower() for r in server.stash.requests)


def test_stored_scan_answers_at_once_without_touching_the_file(client: httpx.Client, server: Serving) -> None:
    question = {"scene_id": scene_of(server, MIX)}
    first = ok(client.post("/identify/scene", json=question))
    server.stash.requests.clear()
    again = ok(client.post("/identify/scene", json=question))
    assert [r.path for r in server.stash.requests if not r.path.endswith("/graphql")] == []
    assert (again["source"], again["stored"]) == ("stored", False)
    assert again["scanned_at"]
    assert again["timing_ms"]["decode"] == again["timing_ms"]["engine"] == 0
    volatile = {"timing_ms", "source", "scanned_at", "stored"}
    assert {k: v for k, v in again.items() if k not in volatile} == {
        k: v for k, v in first.items() if k not in volatile
    }
    fresh = ok(client.post("/identify/scene", json={**question, "fresh": True}))
    assert (fresh["source"], fresh["stored"]) == ("fresh", True)
    stricter = ok(client.post("/identify/scene", json={**question, "max_distance": 0.001, "top_k": 1}))
    assert (stricter["source"], stricter["people"]) == ("stored", [])
    other_frames = ok(client.post("/identify/scene", json={**question, "frames": 6}))
    assert (other_frames["source"], other_frames["frames"], other_frames["stored"]) == ("fresh", 6, False)


def test_a_changed_file_or_sampling_is_looked_at_again(client: httpx.Client, server: Serving) -> None:
    question = {"scene_id": scene_of(server, MIX)}
    ok(client.post("/identify/scene", json=question))
    file = file_of(server, server.stash.library.scenes.one(question["scene_id"]))
    before = file.fingerprints
    try:
        file.fingerprints = tuple((k, v[::-1]) for k, v in before)
        assert ok(client.post("/identify/scene", json=question))["source"] == "fresh"
    finally:
        file.fingerprints = before
    try:
        ok(client.put("/settings/frames_per_scene", json={"value": 8}))
        assert ok(client.post("/identify/scene", json=question))["frames"] == 8
        assert ok(client.post("/identify/scene", json=question))["source"] == "stored"
    finally:
        ok(client.delete("/settings/frames_per_scene"))


def test_path_map_is_used_as_soon_as_it_is_set(client: httpx.Client, server: Serving, data: Path) -> None:
    ok(client.put("/settings/path_map", json={"value": [f"/data={data}"]}))
    server.stash.requests.clear()
    answer = ok(client.post("/identify/scene", json={"scene_id": scene_of(server, MIX)}))
    assert names(answer) == {"signer_a", "signer_b", "signer_c"}
    assert [r.path for r in server.stash.requests if not r.path.endswith("/graphql")] == []


def test_image_by_id(client: httpx.Client, server: Serving) -> None:
    gallery = gallery_of(server, "signer_a")
    image_id = image_ids(server, gallery.id)[0]
    answer = ok(client.post("/identify/image", json={"image_id": image_id}))
    assert names(answer) == {"signer_a"}
    assert (answer["source"], answer["stored"], answer["content"]["id"]) == ("fresh", True, image_id)
    again = ok(client.post("/identify/image", json={"image_id": image_id}))
    assert (again["source"], names(again)) == ("stored", {"signer_a"})
    assert again["people"][0]["best"]["box"] == answer["people"][0]["best"]["box"]


def test_gallery_by_id_with_a_broken_image(client: httpx.Client, server: Serving, data: Path) -> None:
    gallery = gallery_of(server, "joe_biden")
    ids = image_ids(server, gallery.id)
    ok(client.put("/settings/max_gallery_images", json={"value": 100}))
    file = file_of(server, server.stash.library.images.one(ids[0]))
    before = file.local
    try:
        file.local = data / "faces/formats/truncated.jpg"
        answer = ok(client.post("/identify/gallery", json={"gallery_id": str(gallery.id)}))
        assert names(answer) == {"joe_biden"}
        (person,) = answer["people"]
        assert person["image_ids"] == ids[1:]
        assert person["best"]["image_id"] in ids[1:]
        assert [e["image_id"] for e in answer["errors"]] == [ids[0]]
        assert answer["content"]["images"] == len(ids) == answer["frames"] + 1
        assert answer["stored_images"] == 0
        again = ok(client.post("/identify/gallery", json={"gallery_id": str(gallery.id)}))
        assert again["stored_images"] == len(ids) - 1
    finally:
        file.local = before
    whole = ok(client.post("/identify/gallery", json={"gallery_id": str(gallery.id)}))
    assert (whole["errors"], whole["people"][0]["image_ids"]) == ([], ids)
    ok(client.put("/settings/max_gallery_images", json={"value": 1}))
    part = ok(client.post("/identify/gallery", json={"gallery_id": str(gallery.id)}))
    assert (part["frames"], part["people"][0]["image_ids"]) == (1, ids[:1])
    assert f"{len(ids) - 1} of {len(ids)}" in part["warnings"][0]
    ok(client.delete("/settings/max_gallery_images"))


def with_ids_of(server: Serving, endpoint: str | None, domain: str) -> str:
    """Writes a version whose performers have the ids of a stash-box or of Stash, and a country; returns its id."""
    source, table, faces = gave(server)
    people = [str(i).split(":", 1)[1] for i in table["universal_id"].to_pylist()]
    rows = {row.name: row.id for row in server.stash.library.performers.values()}
    own = [
        rows[name.replace("_", " ").title()] if endpoint is None else sample_stash_id(name, endpoint) for name in people
    ]
    ids = [f"{domain}:{one}" for one in own]
    for name, values in (("universal_id", ids), ("country", ["US"] * len(ids))):
        column = table.column_names.index(name)
        table = table.set_column(column, table.schema.field(name), pa.array(values, pa.string()))
    return server.database.put(OPEN, source, table, with_ids(faces, dict(zip(people, ids, strict=True))))


def gave(server: Serving) -> tuple[SourceInfo, pa.Table, pa.Table]:
    """Returns what the folder of people gave to the current version."""
    database = server.database
    source = database.manifest().sources["folder"]
    return source, database.source_performers("folder"), database.source_faces("folder")


def with_ids(faces: pa.Table, ids: dict[str, str]) -> pa.Table:
    """Returns the faces as those of the performers' new ids."""
    column = faces.column_names.index("universal_id")
    mapped = [ids[str(i).split(":", 1)[1]] for i in faces["universal_id"].to_pylist()]
    return faces.set_column(column, faces.schema.field("universal_id"), pa.array(mapped, pa.string()))


@pytest.mark.parametrize(("endpoint", "domain"), [(STASHDB, "stashdb.org"), (FANSDB, "fansdb.cc"), (None, "stash")])
def test_tagged_performers_get_the_boost_whatever_their_box(
    client: httpx.Client, server: Serving, data: Path, endpoint: str | None, domain: str
) -> None:
    before = gave(server)
    version = with_ids_of(server, endpoint, domain)
    try:
        until(lambda: client.get("/database/info").json()["version"] == version, 20, "the swap")
        answer = ok(client.post("/identify/scene", json={"scene_id": scene_of(server, MIX)}))
        plain = ok(client.post("/identify/scene", json={"path": str(data / MIX)}))
        assert all(person["already_tagged"] for person in answer["people"])
        assert not any(person["already_tagged"] for person in plain["people"])
        scores = {p["name"]: p["score"] for p in plain["people"]}
        for person in answer["people"]:
            assert person["score"] - scores[person["name"]] == pytest.approx(0.03, abs=0.003)
            assert person["country"] == "US"
    finally:
        restored = server.database.put(OPEN, *before)
        until(lambda: client.get("/database/info").json()["version"] == restored, 20, "the swap back")


def picture(response: httpx.Response) -> Image.Image:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/jpeg"
    return Image.open(io.BytesIO(response.content)).convert("RGB")


def test_crop_links_show_faces_without_the_key(client: httpx.Client, server: Serving, data: Path) -> None:
    """Of a scene: cut from the very frame; followed by a client that knows no key."""
    answer = ok(client.post("/identify/scene", json={"scene_id": scene_of(server, MIX)}))
    photo = data / "faces/people/signer_b/02.jpg"
    for person in answer["people"]:
        url = person["best"]["crop_url"]
        assert server.key not in url
        assert STASH_KEY not in url
        shown = picture(httpx.get(server.url + url, timeout=60))
        assert max(shown.size) <= 240
        found = ok(client.post("/identify/image", files={"file": ("c.png", png(shown))}))
        assert names(found) == {person["name"]}
    uploaded = ok(client.post("/identify/image", files={"file": photo.read_bytes()}, data={"crop_links": "true"}))
    shown = picture(httpx.get(server.url + uploaded["people"][0]["best"]["crop_url"]))
    assert shown.size == (112, 112)
    assert "crop_url" not in ok(client.post("/identify/image", files={"file": photo.read_bytes()}))["people"][0]["best"]


def png(shown: Image.Image) -> bytes:
    file = io.BytesIO()
    shown.save(file, "PNG")
    return file.getvalue()


def test_crop_links_are_kept_and_cannot_be_forged(client: httpx.Client, server: Serving) -> None:
    gallery = gallery_of(server, "signer_a")
    answer = ok(client.post("/identify/image", json={"image_id": image_ids(server, gallery.id)[0]}))
    url = answer["people"][0]["best"]["crop_url"]
    first = httpx.get(server.url + url)
    assert "max-age" in first.headers["Cache-Control"]
    server.stash.requests.clear()
    assert httpx.get(server.url + url).content == first.content
    assert not list(server.stash.requests)
    token = url.removeprefix("/crops/").removesuffix(".jpg")
    data = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    for place in (0, len(data) - 5):
        forged = bytearray(data)
        forged[place] ^= 1
        text = base64.urlsafe_b64encode(bytes(forged)).decode().rstrip("=")
        assert_error(httpx.get(f"{server.url}/crops/{text}.jpg"), 404, "media_not_found")
    for nonsense in ("x", "AAAA", "%2e%2e%2fapi-key", "ä"):
        assert httpx.get(f"{server.url}/crops/{nonsense}.jpg").status_code == 404


def test_inline_crops_of_a_stored_scan(client: httpx.Client, server: Serving) -> None:
    question = {"scene_id": scene_of(server, MIX)}
    ok(client.post("/identify/scene", json=question))
    stored = ok(client.post("/identify/scene", json={**question, "crops": True}))
    assert stored["source"] == "stored"
    for person in stored["people"]:
        shown = Image.open(io.BytesIO(base64.b64decode(person["best"]["crop"]))).convert("RGB")
        assert np.asarray(shown).std() > 10


@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("scene", {"scene_id": "1", "path": "/a"}, "scene_id, path, url"),
        ("scene", {"scene_id": "1", "url": "http://a"}, "scene_id, path, url"),
        ("image", {}, "image_id, path, url"),
        ("gallery", {"gallery_id": "1", "paths": ["/a"]}, "gallery_id"),
        ("gallery", {}, "gallery_id"),
        ("scene", {"scene_id": "../1"}, "scene_id"),
        ("scene", {"scene_id": "1", "min_detection_score": 2}, "min_detection_score"),
        ("scene", {"image_id": "1"}, "image_id"),
    ],
)
def test_exactly_one_form(client: httpx.Client, route: str, body: dict[str, Any], field: str) -> None:
    error = assert_error(client.post(f"/identify/{route}", json=body), 422, "bad_input")
    assert field in error["message"]


def test_ids_that_stash_does_not_know(client: httpx.Client) -> None:
    for route, key in (("scene", "scene_id"), ("image", "image_id"), ("gallery", "gallery_id")):
        assert_error(client.post(f"/identify/{route}", json={key: "987654"}), 404, "stash_not_found")


def test_stash_that_does_not_answer(client: httpx.Client, server: Serving) -> None:
    body = {"scene_id": scene_of(server, MIX)}
    with server.stash.down():
        assert_error(client.post("/identify/scene", json=body), 502, "stash_unreachable")
    assert names(ok(client.post("/identify/scene", json=body)))


def test_stash_that_is_not_set_or_wants_another_key(client: httpx.Client, server: Serving) -> None:
    body = {"scene_id": scene_of(server, MIX)}
    try:
        ok(client.put("/settings/stash_api_key", json={"value": "wrong"}))
        assert_error(client.post("/identify/scene", json=body), 502, "stash_unauthorized")
        ok(client.put("/settings/stash_url", json={"value": None}))
        error = assert_error(client.post("/identify/scene", json=body), 502, "stash_unreachable")
        assert "stash_url" in error["hint"]
        assert_error(client.post("/identify", json={"url": f"{server.stash.url}/x"}), 403, "url_not_allowed")
    finally:
        ok(client.delete("/settings/stash_api_key"))
        ok(client.delete("/settings/stash_url"))
    assert names(ok(client.post("/identify/scene", json=body)))


def test_urls_of_stash_and_its_boxes_only(client: httpx.Client, server: Serving) -> None:
    gallery = gallery_of(server, "signer_a")
    image_id = image_ids(server, gallery.id)[0]
    server.stash.requests.clear()
    answer = ok(client.post("/identify", json={"url": f"{server.stash.url}/image/{image_id}/image?apikey=other"}))
    assert names(answer) == {"signer_a"}
    assert all(r.status < 400 for r in server.stash.requests)
    port = httpx.URL(server.stash.url).port
    for url in (
        f"http://localhost:{port}/image/{image_id}/image",
        f"http://127.0.0.1:{int(port or 0) + 1}/image/{image_id}/image",
        f"http://user@127.0.0.1:{port}/image/{image_id}/image",
        "http://stashdb.org.evil.example/x.jpg",
        "http://cdn.stashdb.org/x.jpg",
        "http://stashdb.org:8080/x.jpg",
        "http://169.254.169.254/latest",
    ):
        for route in ("/identify", "/identify/image"):
            assert_error(client.post(route, json={"url": url}), 403, "url_not_allowed")


def test_questions_are_really_applied(client: httpx.Client, server: Serving) -> None:
    scene = {"scene_id": scene_of(server, MIX)}
    plain = ok(client.post("/identify/scene", json=scene))
    sure = ok(client.post("/identify/scene", json={**scene, "min_detection_score": 0.999}))
    assert sure["faces"] < plain["faces"] == plain["faces_found"] == sure["faces_found"]
    apart = ok(client.post("/identify/scene", json={**scene, "same_person_distance": 0.05, "max_distance": 0.01}))
    together = ok(client.post("/identify/scene", json={**scene, "same_person_distance": 1.5, "max_distance": 0.01}))
    assert len(apart["unknown"]) > len(together["unknown"])
    often = ok(client.post("/identify/scene", json={**scene, "min_unique_frames": 20}))
    assert len(often["people"]) < len(plain["people"])
    large = ok(client.post("/identify/scene", json={**scene, "min_face_px": 2000}))
    assert (large["faces"], large["source"]) == (0, "stored")


def test_library_status_and_stored_people(client: httpx.Client, server: Serving) -> None:
    scene_id = scene_of(server, MIX)
    assert_error(client.get("/library/scenes/987654"), 404, "stash_not_found")
    assert_error(client.get("/library/scenes/..1"), 422, "bad_input")
    found = ok(client.post("/identify/scene", json={"scene_id": scene_id}))
    status = ok(client.get("/library/status"))
    assert status["scans"]["by_status"] == {"ok": 1}
    assert status["matches"]["stale"] in {0, 1}  # the server may have begun to match it by itself
    store = open_store(f"sqlite:///{server.data_dir / 'state.db'}")
    scan = ScanDataset(server.data_dir / "scans").read("scene", scene_id)
    assert scan is not None
    MatchStore(store).replace([as_match(scan, found)])
    try:
        stored = ok(client.get(f"/library/scenes/{scene_id}"))
        assert names(stored) == names(found)
        for person, same in zip(stored["people"], found["people"], strict=True):
            assert person["best"]["crop_url"] == same["best"]["crop_url"]
        assert_error(client.get(f"/library/images/{scene_id}"), 404, "stash_not_found")
    finally:
        MatchStore(store).remove([("scene", scene_id)])
        store.close()


def as_match(scan: ContentScan, answer: dict[str, Any]) -> ContentMatch:
    """Returns what a re-match would keep of an answer."""
    people = tuple(
        ContentPerson(
            person["universal_id"],
            person["name"],
            person["faces"],
            person["frames"],
            0.5,
            person["confidence"],
            person["distance"],
            tuple((start, end) for start, end in person["ranges"]),
            (),
            person["best"]["time_s"],
            corners(person["best"]["box"]),
        )
        for person in answer["people"]
    )
    stamp = MatchStamp(scan.key.file_fingerprint, scan.key.recipe_digest, scan.scanned_at, "v", "o")
    now = datetime.now(UTC)
    return ContentMatch("scene", scan.key.content_id, stamp, "ok", answer["faces"], answer["frames"], 1.0, people, now)


def corners(box: dict[str, float]) -> tuple[float, float, float, float]:
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]
