"""Videos behind a URL: few bytes, right frames, named errors, no secrets in messages."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import (
    InputError,
    MediaCorrupt,
    MediaEmpty,
    MediaError,
    MediaNotFound,
    MediaTimeout,
    MediaUnreachable,
    MediaUnsupported,
)
from pipelines.media.deadline import Deadline
from pipelines.media.frames import FrameSampler, HttpSource, SamplingPlan, probe, sample_frames
from pipelines.media.http_file import HttpFile
from tests.bench.media_files import Clip, number_of
from tests.fakes.media_server import MediaServer, serve_media
from tests.media.conftest import LONG, MakeClip

KEY = "a-very-secret-key"


@pytest.fixture(scope="session")
def jpeg_clip(clips: MakeClip) -> Path:
    """100 s, 5 MB, every frame a key frame."""
    return clips("jpeg.mp4", replace(LONG, codec="mjpeg", pix_fmt="yuvj420p", width=640, height=384))


@pytest.fixture
def server(clips: MakeClip, jpeg_clip: Path, tmp_path: Path) -> Iterator[MediaServer]:
    empty, text = tmp_path / "empty", tmp_path / "text"
    empty.touch()
    text.write_text("text " * 1000)
    with serve_media(clip=clips("h264.mp4", Clip()), large=jpeg_clip, empty=empty, text=text) as running:
        yield running


def source_of(server: MediaServer, name: str = "clip") -> HttpSource:
    return HttpSource(f"{server.url(name)}?apikey={KEY}", {"ApiKey": KEY})


def test_frames_are_those_of_the_file(server: MediaServer, clips: MakeClip) -> None:
    server.required_key = KEY
    theirs = list(itertools.chain.from_iterable(sample_frames(source_of(server))))
    ours = list(itertools.chain.from_iterable(sample_frames(clips("h264.mp4", Clip()))))
    assert [f.time_s for f in theirs] == [f.time_s for f in ours]
    assert all((a.image == b.image).all() for a, b in zip(theirs, ours, strict=True))
    assert probe(source_of(server)).size_bytes == clips("h264.mp4", Clip()).stat().st_size


def test_key_frames_need_a_part_of_the_bytes(server: MediaServer, jpeg_clip: Path) -> None:
    with FrameSampler(source_of(server, "large"), SamplingPlan(frames=30)) as sampler:
        frames = [frame for block in sampler.blocks() for frame in block]
    assert len(frames) == 30
    assert [number_of(f.image) for f in frames] == pytest.approx([f.time_s * LONG.fps for f in frames], abs=1)
    assert server.sent_bytes < 0.6 * jpeg_clip.stat().st_size


def test_reading_in_many_ways_gives_the_bytes_of_the_file(server: MediaServer, jpeg_clip: Path) -> None:
    whole = jpeg_clip.read_bytes()
    file = HttpFile(source_of(server, "large"), Deadline(60, "x"))
    assert file.seek(0, 2) == len(whole) == file.size_bytes
    assert file.read(10) == b""
    for start in (0, 5, 2_000_000, len(whole) - 7, 300_000, 1_000_000):
        file.seek(start)
        data = b""
        while len(data) < 400_000 and (piece := file.read(32_768)):
            data += piece
        assert data == whole[start : start + len(data)]
        assert len(data) >= min(400_000, len(whole) - start)
    assert file.tell() > 0
    file.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"ranges": False}, MediaUnsupported),
        ({"files": {}}, MediaNotFound),
        ({"required_key": "another"}, MediaUnreachable),
        ({"redirect_to": "http://127.0.0.1:1/elsewhere"}, MediaUnreachable),
        ({"fail_requests": 99}, MediaUnreachable),
        ({"cut_after": 100}, MediaUnreachable),
        ({"content_range": "bytes 5-9/nonsense"}, MediaUnsupported),
    ],
)
def test_servers_that_do_not_serve_are_named(
    server: MediaServer, fault: dict[str, object], error: type[MediaError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name, value in fault.items():
        setattr(server, name, value)
    source = source_of(server)
    with pytest.raises(MediaError) as raised:
        list(sample_frames(source))
    assert type(raised.value) is error
    assert source.name in raised.value.message
    assert KEY not in f"{raised.value} {source!r} {caplog.text}"


def test_files_that_are_no_video_are_named(server: MediaServer) -> None:
    with pytest.raises(MediaEmpty):
        probe(source_of(server, "empty"))
    with pytest.raises(MediaCorrupt):
        probe(source_of(server, "text"))


def test_nobody_there() -> None:
    with pytest.raises(MediaUnreachable):
        probe(HttpSource("http://127.0.0.1:9/x.mp4"))


def test_short_faults_are_tried_again(server: MediaServer) -> None:
    server.fail_requests = 1
    assert probe(source_of(server)).width == 320
    server.cut_after, server.cut_requests = 1000, 1
    assert probe(source_of(server)).width == 320


def test_server_that_dies_midway_leaves_a_partial_result(server: MediaServer) -> None:
    with FrameSampler(source_of(server, "large"), SamplingPlan(frames=30, block=1)) as sampler:
        blocks = sampler.blocks()
        frames = list(itertools.chain.from_iterable(itertools.islice(blocks, 5)))
        server.fail_requests = 10**6
        frames += itertools.chain.from_iterable(blocks)
    assert 5 <= len(frames) < 30
    assert sampler.report.partial
    assert "answered 503" in sampler.report.reason


def test_file_that_changes_midway_is_named(server: MediaServer, clips: MakeClip) -> None:
    server.etag = '"one"'
    with FrameSampler(source_of(server, "large"), SamplingPlan(frames=30, block=1)) as sampler:
        blocks = sampler.blocks()
        next(blocks)
        server.files["large"] = clips("h264.mp4", Clip())
        assert len(list(blocks)) < 29
    assert "changed" in sampler.report.reason


@pytest.mark.parametrize("fault", [{"delay_s": 30.0}, {"bytes_per_s": 20_000}])
def test_slow_servers_run_into_the_time_limit(server: MediaServer, fault: dict[str, float]) -> None:
    for name, value in fault.items():
        setattr(server, name, value)
    started = time.monotonic()
    with pytest.raises(MediaTimeout):
        list(sample_frames(source_of(server, "large"), SamplingPlan(timeout_s=1.5)))
    assert time.monotonic() - started < 6
    server.delay_s = server.bytes_per_s = 0


def test_several_threads_read_the_same_frames(server: MediaServer) -> None:
    one, two = (
        [f.time_s for b in sample_frames(source_of(server, "large"), SamplingPlan(frames=30, threads=n)) for f in b]
        for n in (1, 2)
    )
    assert one == two


def test_only_web_addresses() -> None:
    for url in ("file:///etc/passwd", "ftp://host/x", "concat:a|b", "/etc/passwd"):
        with pytest.raises(InputError):
            HttpSource(url)


def test_decord_is_for_local_files(server: MediaServer) -> None:
    with pytest.raises(MediaUnsupported):
        list(sample_frames(source_of(server), SamplingPlan(reader="decord")))
