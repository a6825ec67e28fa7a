"""Who is in pictures, galleries and videos, asked of the real server with real people."""

from __future__ import annotations

import base64
import io
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.serve_app.conftest import Serving
from tests.serve_app.test_http_basics import assert_error


def names(answer: dict[str, Any]) -> set[str]:
    return {person["name"] for person in answer["people"]}


def ok(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_picture_by_all_ways_gives_the_same_answer(client: httpx.Client, server: Serving, data: Path) -> None:
    relative = "faces/groups/obama_biden_1.jpg"
    photo = (data / relative).read_bytes()
    answers = [
        ok(client.post("/identify/image", files={"file": ("a.jpg", photo)})),
        ok(client.post("/identify/image", content=photo, headers={"Content-Type": "image/jpeg"})),
        ok(client.post("/identify/image", json={"path": str(data / relative)})),
        ok(client.post("/identify/image", json={"url": f"{server.media_url}/{relative}"})),
        ok(client.post("/identify", files={"file": ("a.jpg", photo)})),
        ok(client.post("/identify", json={"path": str(data / relative)})),
        ok(client.post("/identify", json={"url": f"{server.media_url}/{relative}"})),
    ]
    for answer in answers:
        timing = answer.pop("timing_ms")
        assert set(timing) == {"decode", "engine", "index", "total"}
        assert answer == answers[0]
    assert names(answers[0]) == {"barack_obama", "joe_biden"}
    assert answers[0]["kind"] == "image"
    assert answers[0]["database_version"] == server.database.current()


def test_boxes_are_px_of_the_upright_picture(client: httpx.Client, data: Path) -> None:
    turned = ok(client.post("/identify/image", json={"path": str(data / "faces/formats/obama_exif_orientation6.jpg")}))
    with Image.open(data / "faces/formats/obama_exif_orientation6.jpg") as picture:
        assert picture.getexif()[0x0112] == 6
        assert (turned["width"], turned["height"]) == picture.size[::-1]
    box = turned["people"][0]["best"]["box"]
    assert names(turned) == {"barack_obama"}
    assert 0 <= box["x"] < box["x"] + box["width"] <= turned["width"]
    assert 0 <= box["y"] < box["y"] + box["height"] <= turned["height"]


def test_crop_only_when_asked_for(client: httpx.Client, data: Path) -> None:
    path = {"path": str(data / "faces/people/signer_b/01.jpg")}
    assert "crop" not in ok(client.post("/identify/image", json=path))["people"][0]["best"]
    crop = ok(client.post("/identify/image", json={**path, "crops": True}))["people"][0]["best"]["crop"]
    with Image.open(io.BytesIO(base64.b64decode(crop))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (112, 112))


def test_question_is_respected(client: httpx.Client, data: Path) -> None:
    path = {"path": str(data / "faces/groups/obama_biden_1.jpg")}
    plain = ok(client.post("/identify/image", json=path))
    assert len(plain["people"][0]["candidates"]) == 5
    assert len(ok(client.post("/identify/image", json={**path, "top_k": 2}))["people"][0]["candidates"]) == 2
    strict = ok(client.post("/identify/image", json={**path, "max_distance": 0.001}))
    assert (len(strict["people"]), len(strict["unknown"])) == (0, plain["faces"])
    assert strict["unknown"][0]["candidates"][0]["name"] in {"barack_obama", "joe_biden"}
    assert ok(client.post("/identify/image", json={**path, "min_face_px": 1000}))["faces"] == 0
    tagged = ok(client.post("/identify/image", json={**path, "tagged": ["local:joe_biden"]}))
    flags = {p["name"]: p["already_tagged"] for p in tagged["people"]}
    assert flags == {"barack_obama": False, "joe_biden": True}
    form = client.post("/identify/image", files={"file": Path(path["path"]).read_bytes()}, data={"top_k": "1"})
    assert len(ok(form)["people"][0]["candidates"]) == 1


def test_nobody_in_pictures_without_faces(client: httpx.Client, data: Path) -> None:
    for path in sorted((data / "faces/noface").iterdir()):
        answer = ok(client.post("/identify/image", json={"path": str(path)}))
        assert not answer["people"], path.name


FORMATS = {
    "einstein.webp": 200,
    "einstein.png": 200,
    "einstein.gif": 200,
    "einstein.jpeg": 200,
    "obama_q10.jpg": 200,
    "obama_tiny64.jpg": 200,
    "obama_gray.jpg": 200,
    "obama_exif_orientation6.jpg": 200,
    "dad_copy_resized.webp": 200,
    "empty.png": 415,
    "truncated.jpg": 422,
    "corrupted.png": None,
}


def test_formats_are_all_listed(data: Path) -> None:
    assert {p.name for p in (data / "faces/formats").iterdir()} == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_people_or_a_named_error(client: httpx.Client, data: Path, name: str) -> None:
    response = client.post("/identify/image", files={"file": (name, (data / "faces/formats" / name).read_bytes())})
    expected = FORMATS[name]
    assert response.status_code == expected or (expected is None and response.status_code in {415, 422}), response.text
    body = response.json()
    if expected == 200:
        assert body["faces"] <= 2
        assert names(body) <= {"barack_obama", "azure_family1_dad"}
    else:
        assert set(body) == {"error", "message", "hint"}
        assert body["error"].startswith("media_")


@pytest.mark.parametrize("content", [b"", b"no picture at all", bytes(1000), b"\xff\xd8\xff" + bytes(500)])
@pytest.mark.parametrize("route", ["/identify", "/identify/image", "/identify/scene"])
def test_bytes_that_are_no_media(client: httpx.Client, route: str, content: bytes) -> None:
    response = client.post(route, files={"file": ("x.jpg", content)})
    assert response.status_code in {415, 422}, response.text
    assert response.json()["error"].startswith("media_")


def test_gallery_names_people_over_several_pictures(client: httpx.Client, data: Path) -> None:
    photos = [data / "faces/people/joe_biden" / name for name in ("01.jpg", "02.jpg")]
    broken = data / "faces/formats/truncated.jpg"
    files = [("files", (p.name, p.read_bytes())) for p in [*photos, broken]]
    uploaded = ok(client.post("/identify/gallery", files=files))
    named = ok(client.post("/identify/gallery", json={"paths": [str(p) for p in [*photos, broken]]}))
    for answer in (uploaded, named):
        assert names(answer) == {"joe_biden"}
        assert (answer["people"][0]["frames"], answer["frames"]) == (2, 2)
        assert [e["image"] for e in answer["errors"]] == [2]
        assert answer["errors"][0]["error"] == "media_corrupt"
        assert "1 of 3" in answer["warnings"][0]


def test_scene_names_people_and_times(client: httpx.Client, data: Path) -> None:
    video = data / "video/derived/signers_mix2.mp4"
    answer = ok(client.post("/identify/scene", json={"path": str(video), "crops": True}))
    assert names(answer) == {"signer_a", "signer_b", "signer_c"}
    assert answer["kind"] == "video"
    assert answer["frames"] > 20
    for person in answer["people"]:
        assert person["ranges"]
        assert all(0 <= start <= end <= answer["duration_s"] for start, end in person["ranges"])
        box = person["best"]["box"]
        assert box["x"] + box["width"] <= answer["width"]
        assert person["best"]["crop"]
        assert 0 <= person["best"]["time_s"] <= answer["duration_s"]
    assert not answer["unknown"]


def test_scene_by_upload_and_by_identify(client: httpx.Client, data: Path) -> None:
    video = data / "video/real/asl_bird.mkv"
    uploaded = ok(
        client.post("/identify/scene", files={"file": (video.name, video.read_bytes())}, data={"frames": "8"})
    )
    named = ok(client.post("/identify", json={"path": str(video), "frames": 8}))
    assert uploaded["frames"] == named["frames"] == 8
    assert names(uploaded) == names(named) != set()
    assert named["kind"] == "video"


def test_scene_start_and_end(client: httpx.Client, data: Path) -> None:
    path = {"path": str(data / "video/derived/signers_mix2.mp4")}
    answer = ok(client.post("/identify/scene", json={**path, "start_fraction": 0.5, "end_fraction": 0.6, "frames": 5}))
    low, high = 0.49 * answer["duration_s"], 0.61 * answer["duration_s"]
    assert answer["people"]
    assert all(low <= person["best"]["time_s"] <= high for person in answer["people"])


def test_scene_over_http_needs_ranges(client: httpx.Client, server: Serving) -> None:
    """The test's file server knows no Range: the error says so, and nothing hangs."""
    error = client.post("/identify/scene", json={"url": f"{server.media_url}/video/real/asl_bird.mkv"})
    assert_error(error, 415, "media_unsupported")
    assert "Range" in error.json()["message"]


def test_duration_limit(client: httpx.Client, data: Path) -> None:
    long = data / "video/real/noface_bottles.mp4"
    error = assert_error(client.post("/identify/scene", json={"path": str(long)}), 413, "limit_exceeded")
    assert "20 s" in error["hint"]


def test_paths_outside_the_roots_are_refused(client: httpx.Client, server: Serving, data: Path) -> None:
    secret = server.outside / "secret.jpg"
    secret.write_bytes((data / "faces/people/signer_a/01.jpg").read_bytes())
    link = server.root / "link.jpg"
    link.symlink_to(secret)
    (server.root / "folder").symlink_to(server.outside)
    loop = server.root / "loop"
    loop.symlink_to(loop)
    tries = [
        secret,
        server.root / ".." / "outside" / "secret.jpg",
        f"{server.root}/../outside/secret.jpg",
        link,
        server.root / "folder" / "secret.jpg",
        "/etc/passwd",
        "/nowhere/at/all",
        "library/link.jpg",
        f"{server.root}-and-more/x.jpg",
        loop,
        "/" + "x" * 4000,
    ]
    for path in tries:
        for route in ("/identify", "/identify/image", "/identify/scene"):
            assert_error(client.post(route, json={"path": str(path)}), 403, "path_not_allowed")
        assert_error(client.post("/identify/gallery", json={"paths": [str(path)]}), 403, "path_not_allowed")


def test_paths_inside_the_roots(client: httpx.Client, server: Serving, data: Path) -> None:
    inside = server.root / "own.jpg"
    inside.symlink_to(data / "faces/people/signer_a/01.jpg")
    assert names(ok(client.post("/identify/image", json={"path": str(inside)}))) == {"signer_a"}
    assert_error(client.post("/identify/image", json={"path": str(server.root / "no.jpg")}), 404, "media_not_found")
    assert_error(client.post("/identify/image", json={"path": str(server.root)}), 404, "media_not_found")


def test_urls_on_other_hosts_are_refused(client: httpx.Client, server: Serving) -> None:
    photo = "/faces/people/signer_a/01.jpg"
    port = httpx.URL(server.media_url).port
    for url in (
        f"http://localhost:{port}{photo}",
        f"http://127.0.0.1:{port + 1}{photo}",
        f"https://127.0.0.1:{port}1{photo}",
        f"http://user@127.0.0.1:{port}{photo}",
        f"http://127.0.0.1:{port}@evil.example{photo}",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "http://[::1",
        "ftp://127.0.0.1/x",
    ):
        for route in ("/identify", "/identify/image", "/identify/scene"):
            assert_error(client.post(route, json={"url": url}), 403, "url_not_allowed")


def test_urls_that_redirect_miss_or_are_too_large(client: httpx.Client, server: Serving, data: Path) -> None:
    base = server.media_url
    for route in ("/identify", "/identify/image"):
        redirect = {"url": f"{base}/redirect/faces/people/signer_a/01.jpg"}
        assert_error(client.post(route, json=redirect), 502, "media_unreachable")
        assert_error(client.post(route, json={"url": f"{base}/nothing.jpg"}), 404, "media_not_found")
    large = max((p for p in data.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    if large.stat().st_size > 4_000_000:
        url = f"{base}/{large.relative_to(data)}"
        assert_error(client.post("/identify/image", json={"url": url}), 413, "limit_exceeded")


def test_many_at_once_are_all_right(client: httpx.Client, data: Path) -> None:
    """Requests share batches; every one gets its own answer."""
    people = ["signer_a", "signer_b", "signer_c", "barack_obama", "joe_biden", "headpose_male"]
    photos = {name: (data / f"faces/people/{name}/02.jpg").read_bytes() for name in people}
    found: list[tuple[str, set[str]]] = []

    def ask(name: str) -> None:
        found.append((name, names(ok(client.post("/identify/image", files={"file": photos[name]})))))

    threads = [threading.Thread(target=ask, args=(name,)) for name in people * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 18
    assert all(got == {name} for name, got in found)
