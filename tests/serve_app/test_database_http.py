"""Routes of the performer database and of people, against the real server: versions, search, exclusion, erasure."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.faces.catalogue import OPEN
from pipelines.faces.gallery import Performer
from pipelines.faces.templates import unit
from pipelines.store.face_crops import FaceCrops, face_key, forget_faces
from pipelines.store.performers import PerformerDatabase, SourceInfo
from pipelines.store.tables import face_table, template_values
from tests.fakes.releases import release_server
from tests.serve_app.conftest import Serving, until

GHOST = "stashdb.org:00000000-0000-4000-8000-00000000beef"
ALSO = "theporndb.net:ghost"


def add_ghosts(database: PerformerDatabase) -> str:
    """Publishes a version with two invented people beside those who are enrolled."""
    people = [
        Performer(GHOST, "Zoë Ghost", ("Casper",), country="NL", ids=(ALSO,), birth_date="1980"),
        Performer("stashdb.org:other", "Other Ghost", image_url="http://127.0.0.1:9/ghost.jpg"),
    ]
    templates = unit(np.random.default_rng(5).standard_normal((3, OPEN.template_dim)).astype(np.float32))
    columns = {
        "universal_id": [GHOST, GHOST, "stashdb.org:other"],
        "source": [f"https://cdn.invalid/{n}.jpg" for n in range(3)],
        "source_sha256": [f"{n}" for n in range(3)],
        "quality": [0.5, 0.9, 0.7],
        "yaw_deg": [1.0] * 3,
        "detection_score": [0.9] * 3,
    }
    source = SourceInfo(
        id="stashdb.org", kind="stashbox", label="https://stashdb.org/graphql", updated=datetime.now(UTC)
    )
    return database.put(OPEN, source, people, face_table(columns, templates))


@pytest.fixture(scope="module")
def versions(server: Serving) -> Iterator[tuple[str, str]]:
    """The version of the enrolled people, and one with ghosts, which is in use; the enrolled are alone afterwards."""
    database = server.database
    first = database.current()
    assert first is not None
    enrolled = (database.manifest().sources["folder"], database.performers(), database.faces().drop_columns(["origin"]))
    second = add_ghosts(database)
    yield first, second
    database.include([GHOST, "local:signer_a"])
    database.put(OPEN, *enrolled, only=True)
    with httpx.Client(base_url=server.url, headers={"ApiKey": server.key}) as client:
        client.post("/database/reload")


@pytest.fixture
def ghosts(client: httpx.Client, versions: tuple[str, str]) -> str:
    """Waits until the server serves the version with ghosts; returns its id."""
    until(lambda: client.get("/database/info").json()["version"] == versions[1], 30, "following the new version")
    return versions[1]


def test_without_a_database_identification_says_so_and_when_to_try_again(server: Serving):
    before = server.before_enrolment
    assert before["identify"].status_code == before["info"].status_code == 503
    assert int(before["identify"].headers["Retry-After"]) >= 1
    assert before["identify"].json()["error"] == "database_missing"
    assert before["health"].json()["status"] == "no performer database"


def test_info_says_what_is_in_the_version(client: httpx.Client, ghosts: str, server: Serving):
    info = client.get("/database/info").json()
    manifest = server.database.manifest(ghosts)
    assert (info["version"], info["performer_count"], info["face_count"]) == (
        ghosts,
        manifest.performers,
        manifest.faces,
    )
    assert [(s["id"], s["kind"], s["faces"]) for s in info["sources"]] == [
        (s.id, s.kind, s.faces) for s in manifest.sources.values()
    ]
    assert info["size_bytes"] == manifest.size_bytes
    assert (info["pinned"], info["left_out"]) == (False, manifest.left_out)


def test_versions_are_listed_used_and_identified_with(client: httpx.Client, versions, ghosts: str, data):
    first, second = versions
    listed = client.get("/database/versions").json()
    assert (listed["current"], listed["serving"]) == (second, second)
    assert {first, second} <= {v["version"] for v in listed["versions"]}
    photo = (data / "faces" / "people" / "signer_a" / "02.jpg").read_bytes()
    for version in (first, second):
        used = client.post("/database/use", json={"version": version})
        assert used.json()["version"] == version, used.text
        answer = client.post("/identify/image", files={"file": photo}).json()
        assert answer["database_version"] == version
        assert [p["universal_id"] for p in answer["people"]] == ["local:signer_a"]
    unknown = client.post("/database/use", json={"version": "20200101T000000.000000Z-0000"})
    assert (unknown.status_code, unknown.json()["error"]) == (404, "version_unknown")
    assert client.post("/database/use", json={"version": "../../etc"}).status_code == 404


def test_old_versions_are_removed_and_the_current_one_is_not(client: httpx.Client, server: Serving, ghosts: str):
    extra = add_ghosts(server.database)
    client.post("/database/use", json={"version": ghosts})
    assert extra in {v["version"] for v in client.get("/database/versions").json()["versions"]}
    left = client.delete(f"/database/versions/{extra}")
    assert extra not in {v["version"] for v in left.json()["versions"]}, left.text
    assert client.delete(f"/database/versions/{ghosts}").status_code == 422
    assert client.delete(f"/database/versions/{extra}").status_code == 404
    assert client.get("/database/info").json()["version"] == ghosts


def test_a_damaged_version_is_named(client: httpx.Client, server: Serving, ghosts: str):
    good = client.post("/database/verify", json={})
    assert good.json() == {
        "version": ghosts,
        "files": len(server.database.manifest().files),
        "size_bytes": server.database.manifest().size_bytes,
    }
    extra = add_ghosts(server.database)
    client.post("/database/use", json={"version": ghosts})
    path = server.database.root / extra / "performers.parquet"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    bad = client.post("/database/verify", json={"version": extra})
    assert (bad.status_code, bad.json()["error"]) == (503, "database_corrupt")
    assert "performers.parquet" in bad.json()["message"]
    client.delete(f"/database/versions/{extra}")


def test_people_are_paged_in_order_of_name(client: httpx.Client, ghosts: str):
    everybody = client.get("/people", params={"limit": 500}).json()
    names = [p["name"] for p in everybody["people"]]
    assert everybody["total"] == len(names) == client.get("/database/info").json()["performer_count"]
    assert names == sorted(names, key=str.lower)
    second = client.get("/people", params={"limit": 2, "offset": 2}).json()
    assert second["people"] == everybody["people"][2:4]
    assert second["total"] == everybody["total"]


@pytest.mark.parametrize("text", ["zoe", "ZOË G", "casp", GHOST, ALSO])
def test_people_are_found_by_name_alias_and_any_id(client: httpx.Client, ghosts: str, text: str):
    found = client.get("/people", params={"text": text}).json()
    (person,) = found["people"]
    assert found["version"] == ghosts
    assert (person["universal_id"], person["faces"], person["sources"], person["excluded"]) == (
        GHOST,
        2,
        ["stashdb.org"],
        False,
    )
    assert person["ids"] == [GHOST, ALSO]


def test_those_whose_name_begins_with_it_come_first(client: httpx.Client, ghosts: str):
    names = [p["name"] for p in client.get("/people", params={"text": "ghost"}).json()["people"]]
    assert names == ["Other Ghost", "Zoë Ghost"]
    assert client.get("/people", params={"text": "o"}).json()["people"][0]["name"] == "Other Ghost"


def test_people_of_one_source(client: httpx.Client, ghosts: str):
    of_box = client.get("/people", params={"source": "stashdb.org"}).json()
    assert {p["name"] for p in of_box["people"]} == {"Zoë Ghost", "Other Ghost"}
    of_folder = client.get("/people", params={"source": "folder"}).json()
    assert of_box["total"] + of_folder["total"] == client.get("/people").json()["total"]
    source = client.get("/database/sources/stashdb.org").json()
    assert (source["kind"], source["performers"], source["faces"]) == ("stashbox", 2, 3)
    assert client.get("/database/sources/nowhere.org").status_code == 404


def test_one_person_with_the_pictures_of_the_faces(client: httpx.Client, ghosts: str):
    for universal_id in (GHOST, ALSO):
        person = client.get(f"/people/{universal_id}").json()
        assert (person["universal_id"], person["aliases"], person["birth_date"]) == (GHOST, ["Casper"], "1980")
        assert [p["source"] for p in person["pictures"]] == ["https://cdn.invalid/1.jpg", "https://cdn.invalid/0.jpg"]
        assert "template" not in json.dumps(person)
        assert [p["crop_url"] for p in person["pictures"]] == [None, None]
        assert (person["crop_url"], person["portrait_kept"]) == (None, False)
        assert person["coverage"]["missing"] == ["few_faces", "no_left", "no_right"]
    unknown = client.get("/people/stashdb.org:nobody")
    assert (unknown.status_code, unknown.json()["error"]) == (404, "person_unknown")
    assert client.get("/people/nonsense").status_code == 422


def test_enrolled_faces_are_shown_and_portraits_come_from_nowhere_private(
    client: httpx.Client, ghosts: str, server: Serving
):
    (template,) = template_values(
        server.database.source_faces("stashdb.org", ghosts, owner="stashdb.org:other")["template"]
    )
    crops = FaceCrops(server.data_dir / "enrolled-crops", "stashdb.org")
    crops.put("stashdb.org:other", face_key(template), b"jpeg of a face")
    (found,) = client.get("/people", params={"text": "Other Ghost"}).json()["people"]
    person = client.get("/people/stashdb.org:other").json()
    assert found["crop_url"] == person["crop_url"] == person["pictures"][0]["crop_url"]
    shown = httpx.get(server.url + found["crop_url"])
    assert (shown.content, shown.headers["Content-Type"]) == (b"jpeg of a face", "image/jpeg")
    assert forget_faces(server.data_dir / "enrolled-crops", ["stashdb.org:other"]) == 1
    assert httpx.get(server.url + found["crop_url"]).status_code == 404
    refused = httpx.get(server.url + person["portrait_url"], timeout=60)
    assert (refused.status_code, refused.json()["error"]) == (403, "url_not_allowed")


def test_export_as_zip_and_into_a_folder(client: httpx.Client, ghosts: str, server: Serving):
    answer = client.get("/database/export", params={"id": GHOST, "templates": True})
    assert answer.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert set(archive.namelist()) == {
            *(f"{n}.parquet" for n in ("performers", "members", "faces")),
            "manifest.json",
        }
        faces = pq.read_table(io.BytesIO(archive.read("faces.parquet")))
    assert faces["universal_id"].to_pylist() == [GHOST, GHOST]
    assert len(faces["template"][0]) == OPEN.template_dim
    exports = server.data_dir / "exports"
    until(lambda: not list(exports.glob(".download-*")), 10, "removing the zip")
    written = client.post("/database/export", json={"folder": "mine", "format": "csv", "templates": False}).json()
    assert {p.split("/")[-1] for p in written["files"]} == {"performers.csv", "members.csv", "faces.csv"}
    assert "Zoë Ghost" in (exports / "mine" / "performers.csv").read_text()
    for outside in ("../x", "/etc/x", ".hidden", ""):
        assert client.post("/database/export", json={"folder": outside}).status_code == 422


def test_updates_ask_the_configured_sources_only(client: httpx.Client):
    assert client.get("/database/updates").json() == {"updates": []}
    unknown = client.get("/database/updates", params={"source": "nowhere"})
    assert (unknown.status_code, unknown.json()["error"]) == (404, "release_unknown")
    with release_server() as served:
        assert served.http.requests == []


def test_an_import_job_names_why_it_cannot_run(client: httpx.Client, server: Serving, ghosts: str):
    (server.root / "bundle.zip").write_bytes(b"no zip")
    for path, code in ((str(server.root / "bundle.zip"), "release_corrupt"), ("/etc/passwd", "path_not_allowed")):
        job = client.post("/queue", json={"type": "database_import", "params": {"path": path}}).json()
        done = until(lambda job=job: _ended(client, job["id"]), 60, "the end of the import")
        assert (done["state"], done["error_code"]) == ("failed", code)
    assert client.get("/database/info").json()["version"] == ghosts


def _ended(client: httpx.Client, job_id: int) -> dict | None:
    job = client.get(f"/queue/{job_id}").json()
    return job if job["state"] in {"done", "failed", "stopped"} else None


def test_an_excluded_person_is_not_answered_until_included(client: httpx.Client, ghosts: str, server: Serving, data):
    photo = (data / "faces" / "people" / "signer_a" / "02.jpg").read_bytes()

    def named() -> list[str]:
        answer = client.post("/identify/image", files={"file": photo}).json()
        return [c["universal_id"] for p in answer["people"] + answer["unknown"] for c in p["candidates"]]

    assert "local:signer_a" in named()
    made = client.post("/people/excluded", json={"ids": ["local:signer_a"], "reason": "asked"})
    assert made.status_code == 201
    (entry,) = made.json()["excluded"]
    assert (entry["universal_id"], entry["reason"]) == ("local:signer_a", "asked")
    assert "local:signer_a" not in named()
    assert client.get("/people", params={"text": "local:signer_a"}).json()["total"] == 0
    client.post("/database/use", json={"version": ghosts})
    assert "local:signer_a" not in named(), "nor with the version before"
    (hidden,) = client.get("/people", params={"excluded": True}).json()["people"]
    assert hidden["universal_id"] == "local:signer_a"
    assert client.get("/people/excluded").json()["excluded"][0]["name"] == entry["name"] != ""
    left = client.delete("/people/excluded", params={"id": "local:signer_a"})
    assert left.json() == {"excluded": []}
    assert "local:signer_a" in named()
    assert client.post("/people/excluded", json={"ids": ["nonsense"]}).status_code == 422


def test_erasing_somebody_asks_for_confirmation_and_says_what_it_removed(client: httpx.Client, ghosts, server: Serving):
    for body in ({}, {"confirm": "yes"}, {"confirm": ALSO}):
        assert client.post(f"/people/{GHOST}/erase", json=body).status_code == 422
    assert client.get(f"/people/{GHOST}").status_code == 200
    answer = client.post(f"/people/{GHOST}/erase", json={"confirm": GHOST})
    assert answer.status_code == 200, answer.text
    removed = answer.json()
    assert removed["ids"] == [GHOST, ALSO]
    assert removed["faces"] == 2
    assert ghosts in removed["versions"]
    assert client.get(f"/people/{GHOST}").status_code == 404
    assert client.get("/database/info").json()["version"] == removed["current"] == server.database.current()
    for version in server.database.versions():
        assert GHOST not in server.database.faces(version, ["universal_id"])["universal_id"].to_pylist()
    again = client.post(f"/people/{GHOST}/erase", json={"confirm": GHOST})
    assert (again.status_code, again.json()["error"]) == (404, "person_unknown")


def test_a_source_is_removed(client: httpx.Client, server: Serving):
    began = time.monotonic()
    answer = client.delete("/database/sources/stashdb.org")
    assert answer.json()["version"] == server.database.current(), answer.text
    assert [s["id"] for s in client.get("/database/info").json()["sources"]] == ["folder"]
    assert client.delete("/database/sources/stashdb.org").status_code == 404
    assert time.monotonic() - began < 60
