"""`sprites`: does it pay to look at Stash's sprite first and to decode only the moments that show faces there?

A sprite is one JPEG of 81 pictures, 160 px wide, evenly over the scene (Stash's pkg/scene/generate/sprite.go); the fake
Stash makes it from the file. The scenes are 5 minutes of 1080p in which people are seen in a quarter, in half or in
all of the time, large or small; pictures without a face fill the rest. Two ways, in turn, in one process:

- plain: 60 frames, detect, embed, group, search (what the scan does);
- sprite: faces are looked for in the sprite, tile by tile at four times its size; only those of the 60 wanted times are
  decoded beside which a tile shows a face.

`*_cpu_s` has the CPU seconds of the sprite way, plain as baseline, and plain / sprite as ratio (above 1: it pays);
`*_found` the frames with faces that the sprite way kept, of those that plain found; `*_named` the people named by both.
A way that decodes less also keeps fewer frame hashes, which the search for duplicates lives on: `*_hashes`.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.faces.gallery import Gallery
from pipelines.faces.identify import Identifier
from pipelines.faces.types import Frame
from pipelines.identify_media import VideoFaces, analyze_video
from pipelines.media.images import load_image
from pipelines.media.video import SamplingPlan
from tests.bench.media_files import repeat_packets
from tests.bench.report import Options, Report
from tests.bench.scene import CAST, PEOPLE, as_gallery, enrolled_faces
from tests.fakes.stash.pictures import SPRITE_SIDE, PictureShop

NO_FACES = Path(__file__).parents[1] / "data" / "faces" / "noface"
WIDTH, HEIGHT, FPS, GOP = 1920, 1080, 25, 250
SLIDE_S = 10
REPEATS = 5
ENROLLED_FACES = 3_000
TILE_SCALE = 4
TILE_MIN_SCORE = 0.5
LARGE, SMALL = 1.0, 0.3
"""Height of a photo beside that of the frame."""


@dataclass(frozen=True)
class ChosenTimes(SamplingPlan):
    """A plan whose wanted times are given."""

    times: tuple[float, ...] = ()

    def targets(self, duration_s: float, first_s: float = 0.0) -> tuple[float, ...]:  # noqa: ARG002 - as the plan has it
        return self.times


def run(report: Report, options: Options) -> None:
    engine = FaceEngine(OPEN, options.models, EngineOptions(threads=2))
    templates, names = enrolled_faces(engine, ENROLLED_FACES)
    gallery = as_gallery(templates, names)
    shop = PictureShop(options.workdir / "pictures")
    kinds = [(0.5, LARGE)] if options.quick else [(0.25, LARGE), (0.5, LARGE), (0.5, SMALL), (1.0, LARGE)]
    for share, size in kinds:
        name = f"{share:.0%}".replace("%", "pct") + ("_small" if size == SMALL else "")
        video = _scene(options.workdir, share, size, quick=options.quick)
        _compare(report, name, video, shop.sprite(video), engine, gallery)


def _compare(report: Report, name: str, video: Path, sprite: bytes, engine: FaceEngine, gallery: Gallery) -> None:
    plan = SamplingPlan()
    plain_s, plain = _cpu(lambda: analyze_video(video, engine, plan))
    sprite_s, (looked_s, chosen) = _cpu(lambda: _by_sprite(video, sprite, engine, plan))
    again_s, _ = _cpu(lambda: analyze_video(video, engine, plan))
    baseline = min(plain_s, again_s)
    report.add(f"{name}_cpu_s", sprite_s, "CPU s", baseline=baseline, ratio=baseline / sprite_s)
    report.add(f"{name}_sprite_alone_cpu_s", looked_s, "CPU s", baseline=baseline, ratio=looked_s / baseline)
    before, after = _face_times(plain), _face_times(chosen)
    report.add(
        f"{name}_found", len(before & after), "frames", baseline=len(before), ratio=len(before & after) / len(before)
    )
    people, kept = _named(plain, gallery), _named(chosen, gallery)
    report.add(
        f"{name}_named", len(people & kept), "people", baseline=len(people), ratio=len(people & kept) / len(people)
    )
    frames = len(chosen.frame_times)
    report.add(
        f"{name}_hashes", frames, "frames", baseline=len(plain.frame_times), ratio=frames / len(plain.frame_times)
    )


def _by_sprite(video: Path, sprite: bytes, engine: FaceEngine, plan: SamplingPlan) -> tuple[float, VideoFaces]:
    looked_s, shown = _cpu(lambda: _tiles_with_faces(sprite, engine))
    with av.open(str(video)) as container:
        duration_s = float(container.duration or 0) / 1e6
    step_s = duration_s / len(shown)
    wide = np.convolve(shown, (1, 1, 1), "same") > 0
    times = tuple(t for t in plan.targets(duration_s) if wide[min(int(t / step_s), len(shown) - 1)])
    return looked_s, analyze_video(video, engine, ChosenTimes(times=times or plan.targets(duration_s)))


def _tiles_with_faces(sprite: bytes, engine: FaceEngine) -> npt.NDArray[np.int64]:
    """Returns (81,) with 1 where a tile shows a face of any size."""
    sheet = np.asarray(Image.open(io.BytesIO(sprite)).convert("RGB"))
    height, width = sheet.shape[0] // SPRITE_SIDE, sheet.shape[1] // SPRITE_SIDE
    tiles = [
        cv2.resize(
            sheet[y * height : (y + 1) * height, x * width : (x + 1) * width], None, fx=TILE_SCALE, fy=TILE_SCALE
        )
        for y in range(SPRITE_SIDE)
        for x in range(SPRITE_SIDE)
    ]
    found = engine.detect([np.ascontiguousarray(tile) for tile in tiles], retry=False)
    return np.array([int(bool(len(f)) and float(f.scores.max()) >= TILE_MIN_SCORE) for f in found])


def _face_times(video: VideoFaces) -> set[int]:
    """Returns the times of frames with faces, in tenths of a second."""
    return {round(seen.time_s * 10) for seen in video.seen if seen.time_s is not None}


def _named(video: VideoFaces, gallery: Gallery) -> set[str]:
    people = Identifier(gallery).scene(video.seen, frame_times=video.frame_times, duration_s=video.info.duration_s)
    return {person.match.name for person in people if person.match is not None}


def _cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def _scene(folder: Path, share: float, size: float, *, quick: bool) -> Path:
    """Returns a scene in which people are seen in that share of the slides, made if it is not there yet."""
    repeats = 2 if quick else REPEATS
    path = folder / f"sprites_{share:g}_{size:g}_x{repeats}.mp4"
    if not path.exists():
        base, part = path.with_suffix(".base.mp4"), path.with_suffix(".part.mp4")
        _write_slides(base, _slides(share), size)
        repeat_packets(base, part, repeats)
        base.unlink()
        part.rename(path)
    return path


def _slides(share: float) -> list[Frame]:
    """Returns 8 pictures; those with people come first, so that they are seen in one piece, as in a real scene."""
    people = [load_image(max((PEOPLE / name).iterdir())) for name in CAST]
    empty = [load_image(file) for file in sorted(NO_FACES.iterdir())]
    count = round(8 * share)
    return [people[i % len(people)] for i in range(count)] + [empty[i % len(empty)] for i in range(8 - count)]


def _write_slides(path: Path, photos: list[Frame], size: float) -> None:
    rng = np.random.default_rng(5)
    grains = [rng.normal(0, 6, (HEIGHT, WIDTH, 1)).astype(np.float32) for _ in range(5)]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "24"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = GOP
        for number, photo in enumerate(photos):
            scale = size * HEIGHT / photo.shape[0]
            for index in range(SLIDE_S * FPS):
                left = (WIDTH - scale * photo.shape[1]) / 2 + index / 5
                place = np.array([[scale, 0, left], [0, scale, (1 - size) * HEIGHT / 2]])
                still = cv2.warpAffine(photo, place, (WIDTH, HEIGHT), borderValue=(60, 60, 60))
                picture = np.clip(still + grains[index % len(grains)], 0, 255).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = number * SLIDE_S * FPS + index
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
