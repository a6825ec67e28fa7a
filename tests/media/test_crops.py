"""Faces cut out of pictures, and frames of a video by their time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import MediaError
from pipelines.media.crops import cut_face, frame_at
from pipelines.media.frames import FrameSampler, SamplingPlan
from tests.bench.media_files import Clip, number_of, write_clip


@pytest.mark.parametrize("gop", [5, 250])
def test_the_very_frame_of_a_time(tmp_path: Path, gop: int) -> None:
    path = write_clip(tmp_path / "a.mp4", Clip(frames=75, gop=gop))
    for number in (0, 1, 24, 49, 74):
        assert number_of(frame_at(path, number / 25).image) == number
    assert number_of(frame_at(path, 99.0).image) == 74


def test_the_frames_that_sampling_gave(tmp_path: Path) -> None:
    """A sampled frame's own time leads back to it, also from single precision."""
    path = write_clip(tmp_path / "a.mp4", Clip(frames=1700, gop=50, width=160, height=96))
    with FrameSampler(path, SamplingPlan(frames=12)) as sampler:
        for block in sampler.blocks():
            for frame in block:
                again = frame_at(path, float(np.float32(frame.time_s)))
                assert number_of(again.image) == number_of(frame.image)


def test_no_frame_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"nothing")
    with pytest.raises(MediaError):
        frame_at(tmp_path / "x.mp4", 1.0)


def test_cut_is_square_around_the_box_and_black_outside() -> None:
    image = np.full((100, 200, 3), 200, np.uint8)
    inside = cut_face(image, (90, 40, 110, 60), margin=0.5)
    assert inside.shape == (40, 40, 3)
    assert inside.min() == 200
    corner = cut_face(image, (0, 0, 20, 20), margin=0.5)
    assert corner.shape == (40, 40, 3)
    assert corner[:10].max() == corner[:, :10].max() == 0
    assert corner[10:, 10:].min() == 200
    large = cut_face(image, (0, 0, 199, 99), largest_px=64)
    assert large.shape == (64, 64, 3)
    assert cut_face(image, (500, 500, 520, 520)).max() == 0
