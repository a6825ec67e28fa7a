"""Verifying and replacing files."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import ModelChecksumMismatch
from pipelines.faces.catalogue import OPEN
from pipelines.models.files import copy_genuine, is_genuine, replacing, require_genuine
from pipelines.models.selfcheck import canonical_input

DETECTOR = OPEN.detector.file


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, DETECTOR.size_bytes - 1), st.integers(1, 255))
def test_a_flipped_byte_is_found_unless_it_computes_nothing(
    converted: Path, tmp_path: Path, position: int, flips: int
) -> None:
    content = bytearray((converted / DETECTOR.name).read_bytes())
    content[position] ^= flips
    damaged = tmp_path / DETECTOR.name
    damaged.write_bytes(content)
    if is_genuine(damaged, DETECTOR):  # a byte of a name or comment that no digest need cover
        image = {"input.1": canonical_input(DETECTOR.name)}
        answers = [
            ort.InferenceSession(p, providers=["CPUExecutionProvider"]).run(None, image)
            for p in (damaged, converted / DETECTOR.name)
        ]
        for found, expected in zip(*answers, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kept", [0, 1, 1000, DETECTOR.size_bytes - 1])
def test_a_cut_file_is_found(converted: Path, tmp_path: Path, kept: int) -> None:
    cut = tmp_path / DETECTOR.name
    cut.write_bytes((converted / DETECTOR.name).read_bytes()[:kept])
    assert not is_genuine(cut, DETECTOR)
    with pytest.raises(ModelChecksumMismatch, match=f"has {kept} bytes, expected {DETECTOR.size_bytes}"):
        require_genuine(cut, DETECTOR, "")


def test_a_folder_or_nothing_is_no_file(tmp_path: Path) -> None:
    assert not is_genuine(tmp_path, DETECTOR)
    assert not is_genuine(tmp_path / "absent", DETECTOR)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "record.json"
    with replacing(path, mode=0o600) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_a_copy_is_verified_before_it_gets_its_name(converted: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good" / DETECTOR.name, tmp_path / "bad" / DETECTOR.name
    steps: list[int] = []
    copy_genuine(converted / DETECTOR.name, good, DETECTOR, lambda _file, done, _total: steps.append(done))
    assert is_genuine(good, DETECTOR)
    assert steps[-1] == DETECTOR.size_bytes
    with pytest.raises(ModelChecksumMismatch):
        copy_genuine(converted / "rec_sface.onnx", bad, DETECTOR)
    assert list(bad.parent.iterdir()) == []
