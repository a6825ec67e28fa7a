"""Sampled frames are the right pictures at the right times, in every format, by every method."""

from __future__ import annotations

import itertools
import os
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import InputError, MediaUnsupported
from pipelines.media.frames import FrameSampler, SampledFrame, SamplingPlan, probe, sample_frames
from tests.bench.media_files import BITS, Clip, number_of, numbered_picture, ten_bit, write_clip
from tests.media.conftest import LONG, MakeClip

QUIET = {"x265-params": "log-level=none"}
FORMATS = {
    "h264.mp4": Clip(),
    "h264_10bit.mkv": ten_bit(Clip()),
    "h264_444_odd_size.mkv": Clip(width=321, height=181, pix_fmt="yuv444p"),
    "h264_interlaced.mp4": Clip(options={"x264-params": "interlaced=1"}),
    "h264.ts": Clip(gop=12),
    "h264_fragmented.mp4": Clip(gop=10, container_options={"movflags": "frag_keyframe+empty_moov"}),
    "h264_no_duration.mkv": Clip(container_options={"live": "1"}),
    "h264_longer_sound.mp4": Clip(sound_s=6.0),
    "h264_longer_sound.mkv": Clip(sound_s=6.0),
    "hevc.mp4": Clip("libx265", options=QUIET),
    "hevc_10bit.mp4": ten_bit(Clip("libx265", options=QUIET)),
    "av1.mp4": Clip("libsvtav1", options={"preset": "8"}),
    "av1_10bit.mkv": ten_bit(Clip("libsvtav1", options={"preset": "8"})),
    "vp9.webm": Clip("libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
    "vp8.webm": Clip("libvpx", options={"deadline": "realtime", "cpu-used": "8"}),
    "mpeg4.avi": Clip("mpeg4", gop=12, options={"qscale": "3"}),
    "mjpeg.avi": Clip("mjpeg", pix_fmt="yuvj420p"),
    "wmv2.wmv": Clip("wmv2", gop=12),
    "mpeg2.mpg": Clip("mpeg2video", gop=12),
    "flv1.flv": Clip("flv1", gop=12),
    "prores_10bit.mov": Clip("prores_ks", pix_fmt="yuv422p10le"),
    "gif.gif": Clip("gif", pix_fmt="rgb8"),
}


def sampled(path: Path, plan: SamplingPlan | None = None) -> list[SampledFrame]:
    return list(itertools.chain.from_iterable(sample_frames(path, plan)))


def assert_right_pictures(frames: list[SampledFrame], fps: float, tolerance: int = 1) -> None:
    numbers = [number_of(frame.image) for frame in frames]
    assert numbers == pytest.approx([frame.time_s * fps for frame in frames], abs=tolerance + 0.01)
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_frames_of_the_times_it_reports(clips: MakeClip, name: str) -> None:
    clip = FORMATS[name]
    path = clips(name, clip)
    with FrameSampler(path, SamplingPlan()) as sampler:
        frames = [frame for block in sampler.blocks() for frame in block]
    assert_right_pictures(frames, clip.fps)
    assert len(frames) == 9  # 1.8 s in steps of 0.2 s or more
    assert [f.time_s for f in frames] == pytest.approx(sampler.targets_s, abs=0.13)
    assert sampler.info.duration_s == pytest.approx(2.0, abs=0.05)
    assert (sampler.info.width, sampler.info.height) == (clip.width, clip.height)
    assert all(f.image.shape == (clip.height, clip.width, 3) and f.scale == 1.0 for f in frames)
    assert not sampler.report.partial, sampler.report


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads")
def test_no_encoder_gives_these_tests_another_priority(clips: MakeClip) -> None:
    for name, clip in FORMATS.items():
        clips(name, clip)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.parametrize("name", ["h264.mp4", "hevc_10bit.mp4", "av1.mp4", "vp9.webm", "mpeg4.avi", "gif.gif"])
def test_decord_gives_the_same_frames(clips: MakeClip, name: str) -> None:
    path = clips(name, FORMATS[name])
    frames = sampled(path, SamplingPlan(reader="decord"))
    assert_right_pictures(frames, 25)
    theirs, ours = ([f.time_s for f in s] for s in (frames, sampled(path)))
    assert theirs == pytest.approx(ours, abs=0.13)


@pytest.mark.parametrize("name", ["h264.ts", "mpeg2.mpg", "wmv2.wmv"])
def test_decord_is_kept_from_formats_whose_frames_it_loses(clips: MakeClip, name: str) -> None:
    with pytest.raises(MediaUnsupported, match="decord does not read"):
        sampled(clips(name, FORMATS[name]), SamplingPlan(reader="decord"))


@pytest.mark.parametrize("reader", ["pyav", "decord"])
@pytest.mark.parametrize("threads", [1, 3])
def test_long_video_is_sampled_at_key_frames(long_clip: Path, reader: str, threads: int) -> None:
    plan = SamplingPlan(frames=30, reader=reader, threads=threads)
    with FrameSampler(long_clip, plan) as sampler:
        frames = [frame for block in sampler.blocks() for frame in block]
    assert sampler.report.method == "key frames"
    assert len(frames) == 30
    assert_right_pictures(frames, LONG.fps)
    key_frames = [f for f in frames if number_of(f.image) % LONG.gop == 0]
    assert len(key_frames) == 30
    for frame, target_s in zip(frames, sampler.targets_s, strict=True):
        assert target_s - LONG.gop / LONG.fps <= frame.time_s <= target_s + 0.5 / LONG.fps


@pytest.mark.parametrize("reader", ["pyav", "decord"])
def test_times_that_share_a_key_frame_give_further_pictures(long_clip: Path, reader: str) -> None:
    plan = SamplingPlan(frames=120, reader=reader)
    with FrameSampler(long_clip, plan) as sampler:
        frames = [frame for block in sampler.blocks() for frame in block]
    assert sampler.report.method == "key frames"
    assert len(frames) == 120
    assert_right_pictures(frames, LONG.fps)
    late = [frame.time_s - target_s for frame, target_s in zip(frames, sampler.targets_s, strict=True)]
    assert max(late) < 0.11
    assert min(late) > -LONG.gop / LONG.fps


def test_sparse_key_frames_are_decoded_in_order(clips: MakeClip) -> None:
    clip = replace(LONG, gop=500)
    with FrameSampler(clips("sparse.mp4", clip), SamplingPlan(frames=30)) as sampler:
        frames = [frame for block in sampler.blocks() for frame in block]
    assert sampler.report.method == "in order"
    assert_right_pictures(frames, LONG.fps)
    assert [f.time_s for f in frames] == pytest.approx(sampler.targets_s, abs=0.41)


@pytest.mark.parametrize("name", ["long.mkv", "long.ts", "long.avi", "long_fragmented.mp4", "long.wmv"])
def test_key_frames_are_found_with_and_without_an_index(clips: MakeClip, name: str) -> None:
    codec = {"avi": "mpeg4", "wmv": "wmv2"}.get(name[-3:], "libx264")
    options = {"movflags": "frag_keyframe+empty_moov"} if "fragmented" in name else {}
    clip = replace(LONG, codec=codec, container_options=options, options=LONG.options if codec == "libx264" else {})
    if codec == "wmv2":
        clip = replace(clip, frames=1000, fps=10)
    with FrameSampler(clips(name, clip), SamplingPlan(frames=30)) as sampler:
        frames = [frame for block in sampler.blocks() for frame in block]
    assert sampler.report.method == "key frames"
    assert_right_pictures(frames, LONG.fps)
    assert len(frames) >= 28
    assert np.abs(np.array([f.time_s for f in frames[:28]]) - np.array(sampler.targets_s[:28])).max() < 8.0


@pytest.mark.parametrize(
    ("turn", "hflip"), [(0, False), (90, False), (180, False), (270, False), (0, True), (90, True)]
)
def test_rotation_and_mirror_are_undone(tmp_path: Path, turn: int, hflip: bool) -> None:
    clip = Clip(frames=3, rotation_deg=turn, hflip=hflip, width=320, height=180)
    path = write_clip(tmp_path / "turned.mp4", clip)
    stored = numbered_picture(1, clip.width, clip.height)
    shown = np.rot90(stored, turn // 90)
    shown = shown[:, ::-1] if hflip else shown
    frame = sampled(path, SamplingPlan(frames=1))[0]
    assert frame.image.shape == shown.shape
    assert np.abs(frame.image.astype(int) - shown).mean() < 6
    info = probe(path)
    assert (info.height, info.width) == shown.shape[:2]
    if not hflip:
        assert info.rotation_deg == turn


def test_wide_pixels_come_out_square(clips: MakeClip) -> None:
    path = clips("wide_pixels.mp4", Clip(pixel_aspect=Fraction(2, 1)))
    frame = sampled(path, SamplingPlan(frames=1))[0]
    assert frame.image.shape == (180, 640, 3)
    assert number_of(frame.image) == round(frame.time_s * 25)
    assert probe(path).width == 640


def test_large_pictures_are_scaled_and_small_ones_left(clips: MakeClip) -> None:
    path = clips("large.mp4", Clip(width=1920, height=1080, frames=4))
    frame = sampled(path, SamplingPlan(frames=1, max_side_px=640))[0]
    assert frame.image.shape == (360, 640, 3)
    assert frame.scale == pytest.approx(1 / 3)
    assert number_of(frame.image) == round(frame.time_s * 25)
    assert sampled(path, SamplingPlan(frames=1, max_side_px=4000))[0].image.shape == (1080, 1920, 3)


def test_uneven_frame_times_are_reported_as_they_are(clips: MakeClip) -> None:
    times_ms = [40 * i for i in range(20)] + [800 + 500 * i for i in range(20)]
    frames = sampled(clips("uneven.mp4", Clip(frames=40, times_ms=times_ms)))
    numbers = [number_of(f.image) for f in frames]
    assert [times_ms[n] / 1000 for n in numbers] == pytest.approx([f.time_s for f in frames], abs=0.002)
    assert len(numbers) == len(set(numbers)) >= 15


def test_colours_are_not_swapped(clips: MakeClip) -> None:
    image = sampled(clips("h264.mp4", Clip()), SamplingPlan(frames=1))[0].image
    red, green, blue = image[-20:, :40].astype(float).mean(axis=(0, 1))
    assert blue > 130
    assert max(red, green) < 60


@pytest.mark.parametrize("size", [(2, 2), (16, 16), (7680, 4320)])
def test_tiny_and_huge_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    clip = Clip("mpeg4" if size[0] > 100 else "libx264", frames=1, width=size[0], height=size[1])
    frame = sampled(write_clip(tmp_path / "one.mp4", clip))[0]
    assert frame.image.shape == (min(size[1], 720), min(size[0], 1280), 3)
    if size[0] > 100:
        assert number_of(frame.image) == 0


def test_one_frame_gives_one_frame(clips: MakeClip) -> None:
    with FrameSampler(clips("one.mp4", Clip(frames=1)), SamplingPlan()) as sampler:
        blocks = list(sampler.blocks())
    assert [len(block) for block in blocks] == [1]
    assert blocks[0][0].time_s == 0.0
    assert not sampler.report.partial


def test_blocks_are_small_and_in_time_order(long_clip: Path) -> None:
    for threads in (1, 2):
        blocks = list(sample_frames(long_clip, SamplingPlan(frames=30, block=4, threads=threads)))
        assert [len(block) for block in blocks] == [4] * 7 + [2]
        times = [frame.time_s for block in blocks for frame in block]
        assert times == sorted(times)


def test_sampling_may_be_left_early(long_clip: Path) -> None:
    for threads in (1, 2):
        stream = sample_frames(long_clip, SamplingPlan(frames=30, block=2, threads=threads))
        assert len(next(stream)) == 2
        stream.close()


@given(duration_s=st.floats(0, 1e5), frames=st.integers(1, 200), start=st.floats(0, 0.5), end=st.floats(0.5, 1.0))
def test_wanted_times_are_even_ascending_and_inside(duration_s: float, frames: int, start: float, end: float) -> None:
    plan = SamplingPlan(frames=frames, start_fraction=start, end_fraction=end)
    targets = plan.targets(duration_s)
    assert 1 <= len(targets) <= frames
    assert targets[0] >= start * duration_s - 1e-6
    assert targets[-1] <= end * duration_s + 1e-6
    steps = np.diff(targets)
    assert (steps >= plan.min_step_s - 1e-6).all()
    if len(steps):
        assert np.allclose(steps, steps[0])


@pytest.mark.parametrize(
    "wrong",
    [{"frames": 0}, {"start_fraction": 0.9, "end_fraction": 0.1}, {"max_side_px": 1}, {"timeout_s": 0}, {"block": 0}],
)
def test_a_plan_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        SamplingPlan(**wrong)  # type: ignore[arg-type]


def test_numbers_survive_drawing_and_reading() -> None:
    assert [number_of(numbered_picture(n, 320, 180)) for n in range(0, 1 << BITS, 37)] == list(range(0, 1 << BITS, 37))
    assert number_of(numbered_picture(5, 320, 180)[::-1]) == -1
