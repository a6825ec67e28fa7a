"""`scene`: a 5-minute 1080p scene end to end, against the way the system before took, with the same models.

The scene is a slide show of sample people (slow zoom, film grain, GOP 250). Both ways search the same number of
enrolled faces, those of the sample people's other photos and random ones, and accept the same distance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa

from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.faces.gallery import Gallery, Performer, performer_table
from pipelines.faces.identify import Identifier, IdentifyOptions
from pipelines.faces.types import F32, U8, Frame
from pipelines.identify_media import identify_media
from pipelines.media.images import load_image
from tests.bench.media_files import repeat_packets
from tests.bench.old_identify import MAX_DISTANCE, OldIndex, old_identify
from tests.bench.report import Options, Report

PEOPLE = Path(__file__).parents[1] / "data" / "faces" / "people"
CAST = ("barack_obama", "compreface_a", "joe_biden", "compreface_b", "azure_family1_dad", "headpose_male")
"""Sample people with two photos or more: the last one is shown, the others are enrolled."""
ENROLLED_FACES = 366_794
"""Faces of the largest database released for the system before."""
FACES_PER_PERFORMER = 3
WIDTH, HEIGHT, FPS, GOP = 1920, 1080, 25, 250
SLIDE_S, REPEATS = 10, 5
GRAIN = 8
BITS_PER_S = 6_000_000


def run(report: Report, options: Options) -> None:
    engine = FaceEngine(OPEN, options.models, EngineOptions(threads=2))
    video = scene_file(options.workdir, quick=options.quick)
    count = 3_000 if options.quick else ENROLLED_FACES
    templates, names = enrolled_faces(engine, count)
    old_index = OldIndex.build(OPEN, templates, names, options.workdir)
    gallery = as_gallery(templates, names)
    new_s, new_names = _timed(lambda: _new_way(video, engine, gallery))
    old_s, old_names = _timed(lambda: old_identify(video, engine, old_index))
    print(f"new way: {new_s:.1f} s, {sorted(new_names)}\nold way: {old_s:.1f} s, {sorted(old_names)}")
    report.add("end_to_end", new_s, "s", baseline=old_s, ratio=old_s / new_s)
    report.add("end_to_end_people_named", len(new_names & set(CAST)), "people", baseline=len(old_names & set(CAST)))
    report.add("end_to_end_names_differ", len(new_names ^ old_names), "names")


def _new_way(video: Path, engine: FaceEngine, gallery: Gallery) -> set[str]:
    result = identify_media(video, engine, Identifier(gallery, IdentifyOptions(max_distance=MAX_DISTANCE)))
    if result.error:
        raise SystemExit(f"the scene could not be identified: {result.error}")
    return {p.match.name for p in result.people if p.match is not None}


def _timed(work: Callable[[], set[str]]) -> tuple[float, set[str]]:
    started = time.perf_counter()
    names = work()
    return time.perf_counter() - started, names


def enrolled_faces(engine: FaceEngine, count: int) -> tuple[F32, list[str]]:
    """Returns (count, template_dim) raw templates and names: the cast's photos that are not shown, then random."""
    photos = [(name, file) for name in CAST for file in sorted((PEOPLE / name).iterdir())[:-1]]
    known = np.stack([engine.analyze([load_image(file)])[0][0].template for _, file in photos])
    random = np.random.default_rng(11).normal(size=(count - len(known), OPEN.template_dim)).astype(np.float32)
    start = 0
    for embedder in OPEN.embedders:
        part = random[:, start : start + embedder.dimension]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
        start += embedder.dimension
    names = [name for name, _ in photos] + [f"nobody {i // FACES_PER_PERFORMER}" for i in range(len(random))]
    return np.concatenate([known, random]), names


def as_gallery(templates: F32, names: list[str]) -> Gallery:
    unique = list(dict.fromkeys(names))
    row_of = {name: row for row, name in enumerate(unique)}
    cast = performer_table([Performer(f"local:{n}", n) for n in unique if not n.startswith("nobody")])
    rest = [n for n in unique if n.startswith("nobody")]
    empty = {name: [None] * len(rest) for name in cast.schema.names}
    columns = empty | {
        "universal_id": [f"local:{n.replace(' ', '-')}" for n in rest],
        "name": rest,
        "aliases": [[]] * len(rest),
    }
    table = pa.concat_tables([cast, pa.table(columns, schema=cast.schema)])
    return Gallery.build(OPEN, table, templates, np.array([row_of[n] for n in names]))


def scene_file(folder: Path, *, quick: bool) -> Path:
    """Returns the scene in `folder`, made if it is not there yet: the cast one after the other, several times over."""
    cast, seconds, repeats = (CAST[:2], 4, 8) if quick else (CAST, SLIDE_S, REPEATS)
    path = folder / f"scene_{WIDTH}x{HEIGHT}_{len(cast)}x{seconds}s_x{repeats}_gop{GOP}_grain{GRAIN}_6M.mp4"
    if not path.exists():
        base, part = path.with_suffix(".base.mp4"), path.with_suffix(".part.mp4")
        _write_slides(base, [load_image(max((PEOPLE / name).iterdir())) for name in cast], seconds)
        repeat_packets(base, part, repeats)
        base.unlink()
        part.rename(path)
    return path


def _write_slides(path: Path, photos: list[Frame], seconds: int) -> None:
    rng = np.random.default_rng(5)
    grains = [rng.normal(0, GRAIN, (HEIGHT, WIDTH, 1)).astype(np.float32) for _ in range(5)]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = GOP
        stream.bit_rate = BITS_PER_S
        for number, photo in enumerate(photos):
            for index in range(seconds * FPS):
                picture = _zoomed(photo, 1 + 0.15 * index / (seconds * FPS)) + grains[index % len(grains)]
                frame = av.VideoFrame.from_ndarray(np.clip(picture, 0, 255).astype(np.uint8), format="rgb24")
                frame.pts = number * seconds * FPS + index
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _zoomed(photo: Frame, zoom: float) -> U8:
    """Returns the photo in the middle of a 1080p frame, its height `zoom` times the frame's."""
    height, width = photo.shape[:2]
    scale = zoom * HEIGHT / height
    place = np.array([[scale, 0, (WIDTH - scale * width) / 2], [0, scale, (HEIGHT - scale * height) / 2]])
    return np.asarray(cv2.warpAffine(photo, place, (WIDTH, HEIGHT), borderValue=(40, 40, 40)), np.uint8)
