"""Updates from a server of releases: what is asked for, what is kept, and that a failure changes nothing."""

from __future__ import annotations

import io
import shutil
import struct
import zipfile
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from minisign import KeyPair

from pipelines.errors import (
    InputError,
    NoSpace,
    PackMismatch,
    PathNotAllowed,
    ReleaseCorrupt,
    ReleaseUnknown,
    ReleaseUnreachable,
    ReleaseUnsigned,
    StashSenseError,
    Stopped,
)
from pipelines.jobs import JobContext, job_type
from pipelines.match_options import options_digest
from pipelines.releases.update import UpdateStep, check, import_file, import_job, update, update_job
from pipelines.rematch_due import MatchMarker, due, write_marker
from pipelines.settings import Settings
from pipelines.store.performers import PerformerDatabase
from pipelines.transfer import FetchOptions
from tests.fakes.releases import ReleaseServer, release_server
from tests.releases.served import FIRST_PACK, SUCCESSOR_PACK, first_folder, first_zip, successor_delta, successor_zip

QUICK = FetchOptions(attempts=2, connect_timeout_s=2, read_timeout_s=2, first_wait_s=0.01, longest_wait_s=0.02)
OLD, NEW = "2026.02.18", "2026.10.1"


@pytest.fixture(scope="module")
def zips(tmp_path_factory) -> dict[str, bytes]:
    """Two releases of the first Stash Sense, with three and four people."""
    folder = tmp_path_factory.mktemp("zips")
    return {OLD: first_zip(folder, OLD, 3), NEW: first_zip(folder, NEW, 4)}


@pytest.fixture
def server(zips) -> Iterator[ReleaseServer]:
    with release_server() as served:
        served.publish(OLD, {"stash-sense-data.zip": zips[OLD]})
        yield served


@pytest.fixture(scope="module")
def installed(zips, tmp_path_factory) -> Path:
    """A data folder with the older release."""
    data_dir: Path = tmp_path_factory.mktemp("installed") / "data"
    with release_server() as served:
        served.publish(OLD, {"stash-sense-data.zip": zips[OLD]})
        update(settings_for(data_dir, served.document_url), "mine")
    return data_dir


@pytest.fixture
def settings(tmp_path, server) -> Settings:
    return settings_for(tmp_path / "data", server.document_url)


def settings_for(data_dir: Path, url: str, **more: Any) -> Settings:
    return Settings(data_dir=data_dir, **{"pack": FIRST_PACK, "release_sources": (f"mine={url}",), **more})


def enrolled(settings: Settings) -> tuple[str | None, int, str | None]:
    """The current version, its people, and the release that it is of; everything in it verified."""
    database = PerformerDatabase(settings.database_path)
    if database.current() is None:
        return None, 0, None
    manifest = database.verify()
    (source,) = manifest.sources.values()
    return manifest.version, len(database.load().performers), source.release


def left_over(settings: Settings) -> list[str]:
    """What lies in the staging folder beside its lock and notes."""
    root = settings.releases_path
    found = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()] if root.is_dir() else []
    return sorted(set(found) - {".lock", "mine/taken.json"})


# --- what goes well --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["document_url", "github_url"])
def test_a_release_is_checked_downloaded_imported_and_found_installed(tmp_path, server, zips, shape):
    settings = settings_for(tmp_path / "data", getattr(server, shape))
    (before,) = check(settings)
    assert (before.installed, before.newest, before.available) == (None, OLD, True)
    assert before.download_bytes == len(zips[OLD])
    steps: list[UpdateStep] = []
    report = update(settings, "mine", progress=steps.append)
    version, people, release = enrolled(settings)
    assert (report.changed, report.version, report.release) == (True, version, OLD)
    assert (people, release, report.faces) == (3, OLD, 3)
    assert list(dict.fromkeys(s.stage for s in steps)) == ["download", "unpack", "verify", "read", "write"]
    assert all(0 <= step.percent <= 100 for step in steps)
    (after,) = check(settings)
    assert (after.installed, after.newest, after.available) == (OLD, OLD, False)
    assert not update(settings, "mine").changed
    assert enrolled(settings)[0] == version
    assert left_over(settings) == []


def test_a_newer_release_replaces_the_older_one_which_stays_as_a_version(settings, server, zips):
    first = update(settings, "mine").version
    server.publish(NEW, {"stash-sense-data.zip": zips[NEW]})
    (available,) = check(settings)
    assert (available.installed, available.newest, available.available) == (OLD, NEW, True)
    second = update(settings, "mine")
    assert enrolled(settings) == (second.version, 4, NEW)
    assert PerformerDatabase(settings.database_path).versions() == [first, second.version]
    back = update(settings, "mine", OLD)
    assert enrolled(settings) == (back.version, 3, OLD), "an older one only when it is asked for"


def test_an_update_makes_a_re_match_due(settings, server, zips):
    settings.scans_path.mkdir(parents=True)
    (settings.scans_path / "dataset.json").write_text("{}")
    assert due(settings) is None
    for version in (OLD, NEW):
        server.publish(version, {"stash-sense-data.zip": zips[version]})
        report = update(settings, "mine")
        assert str(report.version) in (due(settings) or "")
        settings.matches_path.mkdir(exist_ok=True)
        (settings.matches_path / "one.parquet").write_bytes(b"")
        marker = MatchMarker(
            database_version=str(report.version), options_digest=options_digest(settings), file="one.parquet"
        )
        write_marker(settings.matches_path, marker)
        assert due(settings) is None


def test_what_a_release_calls_itself_is_remembered(settings, server, zips):
    server.publish("2026.11.1-hotfix", {"stash-sense-data.zip": zips[NEW]})
    assert update(settings, "mine").release == "2026.11.1-hotfix"
    assert enrolled(settings)[2] == NEW, "what the bundle itself says"
    (available,) = check(settings)
    assert (available.installed, available.available) == ("2026.11.1-hotfix", False)


def test_deltas_are_taken_where_they_lead_on_and_a_gap_takes_the_full_bundle(tmp_path):
    with release_server() as server:
        settings = settings_for(tmp_path / "data", server.github_url, pack=SUCCESSOR_PACK)
        server.publish("1.0", {"stash-sense2-data-1.0.zip": successor_zip(tmp_path, "1.0", 3)})
        update(settings, "mine")
        for start, end, number in (("1.0", "1.1", 4), ("1.1", "1.2", 5)):
            name = f"stash-sense2-delta-{start}-to-{end}.zip"
            server.publish(end, {name: successor_delta(tmp_path, start, end, number), "aliases.json": b"{}"})
        (available,) = check(settings)
        assert (available.delta, available.newest) == (True, "1.2")
        versions = len(PerformerDatabase(settings.database_path).versions())
        server.http.requests.clear()
        update(settings, "mine")
        assert enrolled(settings)[1:] == (5, "1.2")
        assert not any("data-1.0.zip" in path for path, _ in server.http.requests)
        assert len(PerformerDatabase(settings.database_path).versions()) == versions + 1, "one version for the chain"
        server.publish("1.4", {"stash-sense2-delta-1.3-to-1.4.zip": successor_delta(tmp_path, "1.3", "1.4", 6)})
        assert not update(settings, "mine").changed, "nothing leads there"
        server.publish("1.3", {"stash-sense2-data-1.3.zip": successor_zip(tmp_path, "1.3", 6)})
        assert update(settings, "mine").release == "1.4"
        assert left_over(settings) == []


def test_a_delta_that_does_not_fit_falls_back_to_the_full_bundle(tmp_path):
    """The release was imported, but says another version of itself than its tag."""
    with release_server() as server:
        settings = settings_for(tmp_path / "data", server.github_url, pack=SUCCESSOR_PACK)
        server.publish("1.0", {"stash-sense2-data-1.0.zip": successor_zip(tmp_path, "0.9", 3)})
        update(settings, "mine")
        full = successor_zip(tmp_path, "1.1", 4)
        server.publish(
            "1.1",
            {
                "stash-sense2-delta-1.0-to-1.1.zip": successor_delta(tmp_path, "1.0", "1.1", 4),
                "stash-sense2-data-1.1.zip": full + bytes(0),
            },
        )
        assert check(settings)[0].delta
        assert update(settings, "mine").release == "1.1"
        assert enrolled(settings)[1:] == (4, "1.1")


def test_a_stopped_download_goes_on_where_it_was(settings, server, zips):
    server.http.chunk_bytes, server.http.pause_s = 2048, 0.02
    stop = False

    def late(step: UpdateStep) -> None:
        nonlocal stop
        stop = step.done > len(zips[OLD]) // 2

    with pytest.raises(Stopped):
        update(settings, "mine", progress=late, should_stop=lambda: stop)
    assert enrolled(settings)[0] is None
    assert left_over(settings) == [
        f"mine/{OLD}/stash-sense-data.zip.part",
        f"mine/{OLD}/stash-sense-data.zip.part.json",
    ]
    server.http.pause_s = 0
    update(settings, "mine")
    (wanted,) = [r for path, r in server.http.requests if path.endswith(".zip") and r]
    assert int(wanted.removeprefix("bytes=").rstrip("-")) > len(zips[OLD]) // 3
    assert enrolled(settings)[1] == 3


def test_signed_releases_are_taken_with_the_right_key(tmp_path, zips):
    with release_server(signed=True) as server:
        server.publish(OLD, {"data.zip": zips[OLD]})
        for url in (server.document_url, server.github_url):
            settings = settings_for(tmp_path / url[-4:].strip("/"), url, release_public_key=server.public_key)
            assert update(settings, "mine").changed
            assert left_over(settings) == []


def test_downloads_of_dead_runs_are_removed(settings, server):
    for name in ("gone/1.0/a.zip", "mine/0.1/a.zip.part", "work/x/y"):
        (settings.releases_path / name).parent.mkdir(parents=True)
        (settings.releases_path / name).write_bytes(b"x")
    update(settings, "mine")
    assert left_over(settings) == []


# --- what goes wrong -------------------------------------------------------------------------------------------------

Change = Callable[[ReleaseServer, dict[str, bytes]], dict[str, Any] | None]


def cut(server: ReleaseServer, zips: dict[str, bytes]) -> None:
    server.http.ranges = False
    server.http.cuts = [len(zips[NEW])] + [1000] * 20  # the list of releases is shorter than the first entry


def wrong_bytes(server: ReleaseServer, zips: dict[str, bytes]) -> None:
    server.http.files[f"/data/{NEW}/stash-sense-data.zip"] = zips[NEW][:-1] + b"x"


def wrong_size(server: ReleaseServer, zips: dict[str, bytes]) -> None:
    server.http.files[f"/data/{NEW}/stash-sense-data.zip"] = zips[NEW] + b"more"


def withdrawn(server: ReleaseServer, _: dict[str, bytes]) -> None:
    del server.http.files[f"/data/{NEW}/stash-sense-data.zip"]


def replaced(server: ReleaseServer, content: bytes) -> None:
    server.withdraw(NEW)
    server.publish(NEW, {"stash-sense-data.zip": content})


def rewritten(content: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target.getvalue()


def damaged_file_inside(server: ReleaseServer, zips: dict[str, bytes]) -> None:
    replaced(server, rewritten(zips[NEW], lambda n, c: c[:-1] + b"x" if n == "performers.db" else c))


def bad_voyager_file(server: ReleaseServer, zips: dict[str, bytes]) -> None:
    """Its checksum is right: it was never a Voyager index."""
    import hashlib

    nonsense = bytes(range(256)) * 40
    digest = hashlib.sha256(nonsense).hexdigest()
    with zipfile.ZipFile(io.BytesIO(zips[NEW])) as archive:
        old = hashlib.sha256(archive.read("face_arcface.voy")).hexdigest()

    def change(name: str, content: bytes) -> bytes:
        if name == "face_arcface.voy":
            return nonsense
        return content.replace(old.encode(), digest.encode()) if name == "manifest.json" else content

    replaced(server, rewritten(zips[NEW], change))


def zip_bomb(server: ReleaseServer, zips: dict[str, bytes]) -> None:
    """An entry that says it is small and unpacks to 200 MB."""
    target = io.BytesIO(zips[NEW])
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(200 << 20))
    content = bytearray(target.getvalue())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 1000)
    replaced(server, bytes(content))


def path_traversal(server: ReleaseServer, zips: dict[str, bytes]) -> None:
    target = io.BytesIO(zips[NEW])
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("../../current", "x")
    replaced(server, target.getvalue())


def no_zip(server: ReleaseServer, _: dict[str, bytes]) -> None:
    replaced(server, b"PK" * 1000)


def other_pack(_: ReleaseServer, __: dict[str, bytes]) -> dict[str, Any]:
    return {"pack": "open"}


def unsigned(_: ReleaseServer, __: dict[str, bytes]) -> dict[str, Any]:
    return {"release_public_key": KeyPair.generate().public_key.to_base64().decode()}


def other_signature(server: ReleaseServer, zips: dict[str, bytes]) -> dict[str, Any]:
    server.key = KeyPair.generate()
    replaced(server, zips[NEW])
    return unsigned(server, zips)


def damaged_signature(server: ReleaseServer, zips: dict[str, bytes]) -> dict[str, Any]:
    server.key = KeyPair.generate()
    replaced(server, zips[NEW])
    server.http.files[f"/data/{NEW}/stash-sense-data.zip.minisig"] = b"untrusted comment: x\nabc\n"
    return {"release_public_key": server.public_key}


def signature_of_other_bytes(server: ReleaseServer, zips: dict[str, bytes]) -> dict[str, Any]:
    server.key = KeyPair.generate()
    replaced(server, zips[NEW])
    signature = bytes(server.key.secret_key.sign(zips[OLD]))
    server.http.files[f"/data/{NEW}/stash-sense-data.zip.minisig"] = signature
    return {"release_public_key": server.public_key}


def too_large(_: ReleaseServer, __: dict[str, bytes]) -> dict[str, Any]:
    return {"max_release_gb": 1e-6}


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (cut, ReleaseUnreachable, "peer closed connection"),
        (withdrawn, ReleaseUnreachable, "404"),
        (wrong_bytes, ReleaseCorrupt, "another sha256"),
        (wrong_size, ReleaseCorrupt, "expected"),
        (no_zip, ReleaseCorrupt, "no zip"),
        (damaged_file_inside, ReleaseCorrupt, r"performers\.db is damaged"),
        (bad_voyager_file, ReleaseCorrupt, r"face_arcface\.voy"),
        (zip_bomb, ReleaseCorrupt, "zeros"),
        (path_traversal, ReleaseCorrupt, "outside the folder"),
        (other_pack, PackMismatch, "stash-sense-2026"),
        (unsigned, ReleaseUnsigned, "no signature"),
        (other_signature, ReleaseUnsigned, "not valid"),
        (damaged_signature, ReleaseUnsigned, "not valid"),
        (signature_of_other_bytes, ReleaseUnsigned, "not valid"),
        (too_large, ReleaseCorrupt, "at most"),
    ],
)
def test_a_failure_names_its_cause_and_leaves_the_version_that_there_was(
    settings, server, zips, installed, change: Change, error: type[StashSenseError], says: str
):
    shutil.copytree(installed, settings.data_dir)
    before = enrolled(settings)
    server.publish(NEW, {"stash-sense-data.zip": zips[NEW]})
    more = change(server, zips) or {}
    with pytest.raises(error, match=says) as raised:
        update(settings.model_copy(update=more), "mine", options=QUICK)
    assert raised.value.hint
    assert enrolled(settings) == before
    assert not (settings.data_dir / "current").exists()
    if error in {ReleaseCorrupt, ReleaseUnsigned}:
        assert left_over(settings) == [], "what is of no use is not kept"
    server.http.cuts.clear()
    replaced(server, zips[NEW])
    update(settings, "mine")
    assert enrolled(settings)[1:] == (4, NEW), "the next try succeeds"


def test_no_space_is_said_before_anything_is_downloaded(settings, server, zips, installed, monkeypatch):
    shutil.copytree(installed, settings.data_dir)
    before = enrolled(settings)
    server.publish(NEW, {"stash-sense-data.zip": zips[NEW]})
    server.http.requests.clear()
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil has it
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12 - 20_000, 20_000))
    with pytest.raises(NoSpace, match=r"needs .*free"):
        update(settings, "mine")
    assert not [path for path, _ in server.http.requests if path.endswith(".zip")]
    assert enrolled(settings) == before


def test_a_release_without_checksums_is_verified_by_its_own_manifest(settings, server, zips):
    content = rewritten(zips[NEW], lambda name, content: content + b"x" * (name == "performers.db"))
    server.publish(NEW, {"stash-sense-data.zip": content}, checksums=False)
    with pytest.raises(ReleaseCorrupt, match=r"performers\.db is damaged"):
        update(settings, "mine")
    assert enrolled(settings)[0] is None


def test_unknown_sources_and_releases_are_named(settings):
    with pytest.raises(ReleaseUnknown, match="other"):
        update(settings, "other")
    with pytest.raises(ReleaseUnknown, match=r"1\.2\.3"):
        update(settings, "mine", "1.2.3")
    with pytest.raises(ReleaseUnknown):
        check(settings, "other")


def test_a_source_that_cannot_be_asked_does_not_hide_the_others(tmp_path, server):
    sources = ("dead=http://127.0.0.1:9/", f"mine={server.document_url}")
    dead, alive = check(settings_for(tmp_path, "", release_sources=sources))
    assert dead.error is not None
    assert dead.error["error"] == "release_unreachable"
    assert alive.available


# --- files that lie here, and the jobs -------------------------------------------------------------------------------


def test_a_bundle_that_lies_here_is_imported(settings, zips, tmp_path):
    (tmp_path / "bundle.zip").write_bytes(zips[OLD])
    assert import_file(settings, tmp_path / "bundle.zip").release == OLD
    assert import_file(settings, first_folder(tmp_path / "folder", NEW, 4)).release == NEW
    assert enrolled(settings)[1:] == (4, NEW)
    assert (tmp_path / "bundle.zip").exists()
    assert left_over(settings) == []


def context(settings: Settings, type_id: str, **params: Any) -> tuple[JobContext, list[tuple[int, int | None]]]:
    seen: list[tuple[int, int | None]] = []
    kind = job_type(type_id)
    return JobContext(settings, kind.parse(params), lambda d, t, _: seen.append((d, t)), lambda: False), seen


def test_the_update_job_takes_every_source_and_its_progress_never_goes_back(tmp_path, server):
    sources = (f"one={server.document_url}", f"two={server.github_url}")
    settings = settings_for(tmp_path, "", release_sources=sources)
    given, seen = context(settings, "database_update")
    result = update_job(given)
    assert [(u["source"], u["changed"]) for u in result["updates"]] == [("one", True), ("two", False)]
    assert seen == sorted(seen)
    assert seen[-1] == (200, 200)
    with pytest.raises(ReleaseUnknown, match="No source"):
        update_job(context(settings.model_copy(update={"release_sources": ()}), "database_update")[0])


def test_the_import_job_takes_what_requests_may_name_only(settings, zips, tmp_path):
    uploads = settings.data_dir / "uploads"
    uploads.mkdir(parents=True)
    (uploads / "bundle.zip").write_bytes(zips[OLD])
    (tmp_path / "secret.zip").write_bytes(zips[NEW])
    (uploads / "link.zip").symlink_to(tmp_path / "secret.zip")
    for refused in (
        "../../secret.zip",
        str(tmp_path / "secret.zip"),
        "link.zip",
        "a\0b",
        str(tmp_path / "nothing.zip"),
    ):
        with pytest.raises(PathNotAllowed):
            import_job(context(settings, "database_import", path=refused)[0])
    with pytest.raises(InputError, match=r"nothing\.zip"):
        import_job(context(settings, "database_import", path="nothing.zip")[0])
    given, seen = context(settings, "database_import", path="bundle.zip")
    assert import_job(given)["release"] == OLD
    assert seen[-1] == (100, 100)
    allowed = settings.model_copy(update={"allowed_roots": (tmp_path,)})
    assert import_job(context(allowed, "database_import", path=str(tmp_path / "secret.zip"))[0])["release"] == NEW
