"""Whatever is given: right frames, or an error by name, and always soon."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import (
    MediaCorrupt,
    MediaEmpty,
    MediaError,
    MediaNotFound,
    MediaNoVideo,
    MediaTimeout,
    MediaUnsupported,
)
from pipelines.media.container import open_video
from pipelines.media.deadline import Deadline
from pipelines.media.frames import FrameSampler, SamplingPlan, probe, sample_frames
from tests.bench.media_files import Clip, cut_short, flip_bits, number_of, write_clip, write_sound
from tests.media.conftest import LONG, MakeClip


def names_the_fault(path: Path, error: type[MediaError]) -> str:
    """Both doors raise exactly `error` and name the file; returns the message."""
    started = time.monotonic()
    with pytest.raises(MediaError) as sampled:
        list(sample_frames(path))
    with pytest.raises(MediaError) as probed:
        probe(path)
    assert type(sampled.value) is type(probed.value) is error
    assert path.name in sampled.value.message
    assert time.monotonic() - started < 10
    return sampled.value.message


def test_missing_file(tmp_path: Path) -> None:
    names_the_fault(tmp_path / "nothing.mp4", MediaNotFound)


def test_folder(tmp_path: Path) -> None:
    assert "folder" in names_the_fault(tmp_path, MediaNoVideo)


def test_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    names_the_fault(tmp_path / "pipe.mp4", MediaNoVideo)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(clips: MakeClip, tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(clips("h264.mp4", Clip()).read_bytes())
    path.chmod(0)
    assert "permission" in names_the_fault(path, MediaNotFound)


def test_no_permission_is_said_whoever_asks(clips: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips("h264.mp4", Clip())
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "permission" in names_the_fault(path, MediaNotFound)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    names_the_fault(tmp_path / name, MediaEmpty)


def test_text_with_a_video_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("These are notes.\n" * 1000)
    names_the_fault(path, MediaCorrupt)


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "noise.mkv"
    path.write_bytes(random.Random(seed).randbytes(200_000))
    with pytest.raises((MediaCorrupt, MediaUnsupported, MediaEmpty, MediaNoVideo)):
        list(sample_frames(path))


@pytest.mark.parametrize(("name", "codec"), [("sound.m4a", "aac"), ("sound.mp3", "libmp3lame"), ("sound.mkv", "aac")])
def test_sound_only(tmp_path: Path, name: str, codec: str) -> None:
    assert "audio" in names_the_fault(write_sound(tmp_path / name, codec=codec), MediaNoVideo)


@pytest.mark.parametrize("name", ["einstein.jpeg", "einstein.png", "einstein.webp"])
def test_still_picture(data: Path, name: str) -> None:
    names_the_fault(data / "faces" / "formats" / name, MediaUnsupported)


def test_play_list_is_not_followed(clips: MakeClip, tmp_path: Path) -> None:
    (tmp_path / "inner.ts").write_bytes(clips("h264.ts", Clip(gop=12)).read_bytes())
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\ninner.ts\n#EXT-X-ENDLIST\n")
    names_the_fault(path, MediaUnsupported)
    concat = tmp_path / "concat.mp4"
    concat.write_text("ffconcat version 1.0\nfile inner.ts\n")
    names_the_fault(concat, MediaUnsupported)


def test_index_cut_off(clips: MakeClip, tmp_path: Path) -> None:
    names_the_fault(cut_short(tmp_path / "cut.mp4", clips("h264.mp4", Clip()), 0.5), MediaCorrupt)


@pytest.mark.parametrize("threads", [1, 2])
def test_cut_short_with_its_index_gives_what_is_there_and_says_so(
    clips: MakeClip, tmp_path: Path, threads: int
) -> None:
    clip = replace(LONG, container_options={"movflags": "+faststart"})
    path = cut_short(tmp_path / "cut.mp4", clips("faststart.mp4", clip), 0.4)
    with FrameSampler(path, SamplingPlan(frames=30, threads=threads)) as sampler:
        frames = [frame for block in sampler.blocks() for frame in block]
    assert 5 <= len(frames) <= 15
    assert [number_of(f.image) for f in frames] == pytest.approx([f.time_s * LONG.fps for f in frames], abs=1)
    assert sampler.report.partial
    assert "of 30 wanted frames are not there" in sampler.report.reason


def test_short_clip_cut_short_says_so(clips: MakeClip, tmp_path: Path) -> None:
    clip = Clip(frames=250, gop=25, container_options={"movflags": "+faststart"})
    path = cut_short(tmp_path / "cut.mp4", clips("short_faststart.mp4", clip), 0.5)
    with FrameSampler(path, SamplingPlan()) as sampler:
        frames = [frame for block in sampler.blocks() for frame in block]
    assert sampler.report.method == "in order"
    assert 10 <= len(frames) <= 40
    assert sampler.report.partial


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")])
@pytest.mark.parametrize("frames", [100, 1000])
def test_flipped_bits_keep_the_sound_frames(tmp_path: Path, name: str, codec: str, frames: int) -> None:
    options = LONG.options if codec == "libx264" else {}
    clip = replace(LONG, codec=codec, frames=frames, options=options, container_options={"movflags": "+faststart"})
    source = write_clip(tmp_path / name, clip if name.endswith("mp4") else replace(clip, container_options={}))
    path = flip_bits(tmp_path / f"flipped_{name}", source)
    with FrameSampler(path, SamplingPlan(frames=30)) as sampler:
        delivered = [frame for block in sampler.blocks() for frame in block]
    assert len(delivered) >= 3
    intact = sum(abs(number_of(f.image) - f.time_s * LONG.fps) <= 1 for f in delivered)
    assert intact >= 3


@pytest.mark.parametrize("seed", range(4))
def test_damage_anywhere_ends_soon_with_frames_or_a_name(clips: MakeClip, tmp_path: Path, seed: int) -> None:
    """The header and the index are damaged too."""
    formats = {
        "mp4": {},
        "mkv": {},
        "ts": {},
        "webm": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    }
    for kind, changes in formats.items():
        source = clips(f"whole.{kind}", replace(Clip(frames=75, gop=15), **changes))
        data = bytearray(source.read_bytes())
        chance = random.Random(seed)
        for _ in range(40):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = tmp_path / f"damaged.{kind}"
        path.write_bytes(data)
        started = time.monotonic()
        try:
            blocks = list(sample_frames(path, SamplingPlan(timeout_s=20)))
        except MediaError:
            continue
        assert all(frame.image.ndim == 3 for block in blocks for frame in block)
        assert time.monotonic() - started < 25


def test_time_limit_ends_the_work_and_keeps_what_was_decoded(long_clip: Path) -> None:
    with FrameSampler(long_clip, SamplingPlan(frames=30, block=1, timeout_s=1.0)) as sampler:
        frames = []
        for block in sampler.blocks():
            frames += block
            time.sleep(0.25)
    assert 1 <= len(frames) < 10
    assert sampler.report.partial
    assert "longer than 1 s" in sampler.report.reason


def test_time_limit_before_the_first_frame_is_an_error(clips: MakeClip) -> None:
    with pytest.raises(MediaTimeout, match=r"longer than 0\.001 s"):
        list(sample_frames(clips("h264.mp4", Clip()), SamplingPlan(timeout_s=0.001)))


def test_errors_inside_an_open_video_are_named(clips: MakeClip) -> None:
    path = clips("h264.mp4", Clip())
    with pytest.raises(MediaCorrupt, match="bad index"), open_video(path, Deadline(5, "x")):
        raise ValueError("bad index")
    with pytest.raises(MediaTimeout), open_video(path, Deadline(5, "x")):
        raise TimeoutError
