"""Zips from elsewhere: what is unpacked, and every way in which one is refused."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections import namedtuple
from contextlib import nullcontext
from pathlib import Path

import pytest

from pipelines import durable
from pipelines.errors import NoSpace, NotWritable, ReleaseCorrupt, Stopped
from pipelines.releases import archive
from pipelines.releases.archive import read_entry, unpack
from pipelines.releases.facts import ImportStep

LOCAL_HEADER, CENTRAL_HEADER = b"PK\x03\x04", b"PK\x01\x02"


def write_zip(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            file.writestr(name, content)
    return path


def patched(path: Path, signature: bytes, offset: int, value: bytes) -> Path:
    """Overwrites bytes of every header of one kind."""
    content = bytearray(path.read_bytes())
    start = content.find(signature)
    while start >= 0:
        content[start + offset : start + offset + len(value)] = value
        start = content.find(signature, start + 4)
    path.write_bytes(content)
    return path


def link(name: str, kind: int = stat.S_IFLNK) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def refused(path: Path, folder: Path, *words: str, **limits: int) -> None:
    """Checks that a zip is refused with a message of these words, and that nothing got outside the folder."""
    before = {p for p in path.parent.rglob("*") if not p.is_relative_to(folder)}
    with pytest.raises(ReleaseCorrupt) as caught:
        unpack(path, folder, **limits)
    for word in words:
        assert word in str(caught.value)
    assert {p for p in path.parent.rglob("*") if not p.is_relative_to(folder)} == before


def test_files_come_back_and_progress_ends_at_the_total(tmp_path: Path):
    path = write_zip(tmp_path / "a.zip", ("a.txt", b"a" * 10), ("sub/", b""), ("sub/b.txt", b"b" * 3_000_000))
    steps: list[ImportStep] = []
    unpack(path, tmp_path / "out", progress=steps.append)
    assert (tmp_path / "out/a.txt").read_bytes() == b"a" * 10
    assert (tmp_path / "out/sub/b.txt").read_bytes() == b"b" * 3_000_000
    assert steps[-1] == ImportStep("unpack", 3_000_010, 3_000_010)
    assert [s.done for s in steps] == sorted(s.done for s in steps)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "C:/evil", "..\\evil", "a/..", ".."])
def test_a_path_outside_the_folder_is_refused(tmp_path: Path, name: str):
    refused(write_zip(tmp_path / "a.zip", ("ok", b"1"), (name, b"2")), tmp_path / "out", "outside the folder")


def test_a_zero_byte_in_a_name_is_refused(tmp_path: Path):
    path = write_zip(tmp_path / "a.zip", ("nameXofevil", b"1"))
    path.write_bytes(path.read_bytes().replace(b"nameXofevil", b"name\0ofevil"))
    refused(path, tmp_path / "out", "outside the folder")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int):
    path = write_zip(tmp_path / "a.zip", (link("performers.db", kind), b"/etc/passwd"))
    refused(path, tmp_path / "out", "performers.db", "link or a device")


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("a", "A"), ("\u00e9.db", "e\u0301.db")])
def test_doubled_names_are_refused(tmp_path: Path, first: str, second: str):
    with pytest.warns(UserWarning, match="Duplicate") if first == second else nullcontext():
        path = write_zip(tmp_path / "a.zip", (first, b"1"), (second, b"2"))
    refused(path, tmp_path / "out", "twice")


def test_a_file_that_is_another_ones_folder_is_refused(tmp_path: Path):
    refused(write_zip(tmp_path / "a.zip", ("a", b"1"), ("a/b", b"2")), tmp_path / "out", "a/b")


def test_an_encrypted_entry_is_refused(tmp_path: Path):
    path = write_zip(tmp_path / "a.zip", ("a", b"1"))
    patched(path, LOCAL_HEADER, 6, struct.pack("<H", 1))
    refused(patched(path, CENTRAL_HEADER, 8, struct.pack("<H", 1)), tmp_path / "out", "'a'", "encrypted")


def test_a_bomb_that_says_so_is_refused_before_anything_is_written(tmp_path: Path):
    path = write_zip(tmp_path / "a.zip", ("a", bytes(3_000_000)), ("b", bytes(3_000_000)))
    refused(path, tmp_path / "out", "6000000", max_bytes=5_000_000)
    assert not (tmp_path / "out").exists()


def test_a_bomb_by_its_ratio_is_stopped_while_it_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive, "RATIO_FREE_BYTES", 2_000_000)
    path = write_zip(tmp_path / "a.zip", ("fine", b"1"), ("bomb", bytes(20_000_000)))
    refused(path, tmp_path / "out", "'bomb'", "100 times the zip")
    assert (tmp_path / "out/bomb").stat().st_size <= 4_000_000


def test_a_bomb_that_hides_its_size_does_not_unpack_beyond_it(tmp_path: Path):
    path = write_zip(tmp_path / "a.zip", ("bomb", bytes(20_000_000)))
    patched(path, LOCAL_HEADER, 22, struct.pack("<I", 1000))
    patched(path, CENTRAL_HEADER, 24, struct.pack("<I", 1000))
    refused(path, tmp_path / "out", "'bomb'")
    assert (tmp_path / "out/bomb").stat().st_size <= 1000


def test_too_many_entries_are_refused(tmp_path: Path):
    path = write_zip(tmp_path / "a.zip", *((str(i), b"") for i in range(20)))
    refused(path, tmp_path / "out", "20 entries", max_files=19)
    unpack(path, tmp_path / "out", max_files=20)


def test_a_damaged_entry_is_named(tmp_path: Path):
    path = write_zip(tmp_path / "a.zip", ("good", b"1" * 100), ("bad", bytes(range(256)) * 100))
    content = bytearray(path.read_bytes())
    content[content.find(b"bad") + 20] ^= 0xFF
    path.write_bytes(content)
    refused(path, tmp_path / "out", "'bad'")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_zip_is_refused(tmp_path: Path, share: float):
    path = write_zip(tmp_path / "a.zip", ("a", bytes(range(256)) * 400))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, tmp_path / "out", "a.zip", "no zip")


def test_an_unknown_compression_is_refused(tmp_path: Path):
    path = write_zip(tmp_path / "a.zip", ("a", b"1" * 100))
    patched(path, LOCAL_HEADER, 8, struct.pack("<H", 99))
    refused(patched(path, CENTRAL_HEADER, 10, struct.pack("<H", 99)), tmp_path / "out", "'a'")


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_zip(tmp_path / "a.zip", ("a", bytes(1_000_000)))
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(durable.shutil, "disk_usage", lambda _: usage(10, 10, 999_999))
    with pytest.raises(NoSpace):
        unpack(path, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable):
        unpack(write_zip(tmp_path / "a.zip", ("a", b"1")), tmp_path / "file/out")


def test_it_stops_when_asked(tmp_path: Path):
    path = write_zip(tmp_path / "a.zip", ("a", bytes(5_000_000)))
    asked = iter([False, True])
    with pytest.raises(Stopped):
        unpack(path, tmp_path / "out", should_stop=lambda: next(asked))
    assert (tmp_path / "out/a").stat().st_size < 5_000_000


def test_one_entry_is_read_up_to_a_limit(tmp_path: Path):
    path = write_zip(tmp_path / "a.zip", ("manifest.json", b"{}" * 50))
    assert read_entry(path, "manifest.json", 100) == b"{}" * 50
    with pytest.raises(ReleaseCorrupt, match=r"manifest\.json"):
        read_entry(path, "manifest.json", 99)
