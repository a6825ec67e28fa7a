"""Frames per second of sampling 60 frames from a 5-minute 1080p video, against one ffmpeg process per frame.

Rows (baseline = the old way in the same run; ratio above 1 = faster than the old way):

- h264_1080p, hevc_1080p: the reader that "auto" takes, with the threads that `threads` says
- ..._one_thread, ..._decord: one decoding thread; the decord reader
- ..._cpu_s: CPU seconds of this process and its children (ratio = old / new)
- ..._key_frames: distinct key frames among the 60, the others are decoded on from them
- http_range: share of the file's bytes that travel when the same frames are read over HTTP (ratio = share of the file)
- small_h264_in_order: a 20-s clip of the same kind, decoded in order, both readers
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av

from pipelines.errors import StashSenseError
from pipelines.media.frames import HttpSource, SamplingPlan, VideoSource, sample_frames
from tests.bench.media_files import GrainyVideo, grainy_file
from tests.bench.old_way import ffmpeg_binary, old_way_frames
from tests.bench.report import Options, Report
from tests.fakes.media_server import serve_media

FRAMES = 60
H264 = GrainyVideo(options={"crf": "23.5"})
HEVC = GrainyVideo("libx265", options={"preset": "ultrafast", "crf": "24", "x265-params": "log-level=none"})


@dataclass(frozen=True)
class Timing:
    frames: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.frames / self.wall_s


def run(report: Report, options: Options) -> None:
    """Adds the rows above. `options.quick`: 30-second files at 480p, 12 frames."""
    ffmpeg_binary()
    frames = 12 if options.quick else FRAMES
    threads = min(2, os.cpu_count() or 1)
    report.add("threads", threads, "count")
    h264, hevc = (grainy_file(options.workdir, _sized(video, options)) for video in (H264, HEVC))
    for name, path in (("h264_1080p", h264), ("hevc_1080p", hevc)):
        _compare(report, name, path, frames, threads)
    _http(report, h264, frames)
    short = grainy_file(options.workdir, replace(_sized(H264, options), duration_s=H264.base_s))
    _in_order(report, short, frames)


def _sized(video: GrainyVideo, options: Options) -> GrainyVideo:
    return replace(video, width=854, height=480, base_s=10, duration_s=60) if options.quick else video


def _compare(report: Report, name: str, path: Path, frames: int, threads: int) -> None:
    report.add(f"{name}_bitrate", path.stat().st_size * 8 / 1e6 / _duration_s(path), "Mbit/s")
    plan = SamplingPlan(frames=frames)
    ways = {
        name: replace(plan, threads=threads),
        f"{name}_one_thread": plan,
        f"{name}_decord": replace(plan, reader="decord"),
    }
    for way in ways.values():  # the files in the page cache, the libraries loaded
        _sampled(path, replace(way, frames=2))
    old = _timed(lambda: len(old_way_frames(path, frames)))
    for way, chosen in ways.items():
        try:
            new = _best_of(2, lambda chosen=chosen: _sampled(path, chosen))
        except StashSenseError as error:
            print(f"{way}: {error}")
            continue
        report.add(way, new.rate, "frames/s", baseline=old.rate, ratio=new.rate / old.rate)
        report.add(f"{way}_cpu_s", new.cpu_s, "s", baseline=old.cpu_s, ratio=old.cpu_s / new.cpu_s)
    times = [f.time_s for block in sample_frames(path, plan) for f in block]
    report.add(f"{name}_frames", len(times), "count", baseline=old.frames)
    report.add(f"{name}_key_frames", _key_frames(path, times), "count")


def _http(report: Report, path: Path, frames: int) -> None:
    with serve_media(video=path) as server:
        new = _timed(lambda: _sampled(HttpSource(server.url("video")), SamplingPlan(frames=frames)))
        size, sent, requests = path.stat().st_size, server.sent_bytes, server.requests
    report.add("http_range", sent / size, "share of the file", baseline=1.0, ratio=sent / size)
    report.add("http_range_bytes", sent / 1e6, "MB", baseline=size / 1e6)
    report.add("http_range_requests", requests, "count")
    report.add("http_range_rate", new.rate, "frames/s")
    with serve_media(video=path) as server:
        by_ffmpeg = _timed(lambda: _sampled_by_ffmpegs_own_http(server.url("video"), frames, _duration_s(path)))
        share = server.sent_bytes / size
    report.add(
        "http_range_ffmpeg_client", share, "share of the file", baseline=sent / size, ratio=share / (sent / size)
    )
    report.add("http_range_ffmpeg_client_rate", by_ffmpeg.rate, "frames/s", baseline=new.rate)


def _sampled_by_ffmpegs_own_http(url: str, frames: int, duration_s: float) -> int:
    """Key frames only, through the HTTP client inside ffmpeg: what the client of this project is compared with."""
    seen: set[int | None] = set()
    with av.open(url, options={"multiple_requests": "1"}) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "NONE"
        for time_s in SamplingPlan(frames=frames).targets(duration_s):
            container.seek(round(time_s / float(stream.time_base or 1)), stream=stream, backward=True)
            packet = next(p for p in container.demux(stream) if p.is_keyframe)
            if packet.pts not in seen:
                seen.add(packet.pts)
                pictures = [*stream.codec_context.decode(packet), *stream.codec_context.decode(None)]
                pictures[0].reformat(1280, 720, "rgb24", interpolation="AREA").to_ndarray()
            stream.codec_context.flush_buffers()
    return len(seen)


def _in_order(report: Report, path: Path, frames: int) -> None:
    plan = SamplingPlan(frames=frames)
    pyav, decord = (_best_of(2, lambda p=p: _sampled(path, p)) for p in (plan, replace(plan, reader="decord")))
    report.add("short_h264_in_order", pyav.rate, "frames/s", baseline=decord.rate, ratio=pyav.rate / decord.rate)
    report.add("short_h264_in_order_cpu_s", pyav.cpu_s, "s", baseline=decord.cpu_s, ratio=decord.cpu_s / pyav.cpu_s)


def _sampled(source: VideoSource, plan: SamplingPlan) -> int:
    return sum(len(block) for block in sample_frames(source, plan))


def _timed(work: Callable[[], int]) -> Timing:
    started, cpu_s = time.perf_counter(), _cpu_s()
    frames = work()
    return Timing(frames, time.perf_counter() - started, _cpu_s() - cpu_s)


def _best_of(times: int, work: Callable[[], int]) -> Timing:
    return min((_timed(work) for _ in range(times)), key=lambda timing: timing.wall_s)


def _cpu_s() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _duration_s(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(container.duration or 0) / av.time_base


def _key_frames(path: Path, times: list[float]) -> int:
    """Returns how many of the times are those of key frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base_s = float(stream.time_base or 1)
        keys = [p.pts * base_s for p in container.demux(stream) if p.is_keyframe and p.pts is not None]
    return sum(any(abs(time_s - key_s) < 1e-3 for key_s in keys) for time_s in times)
