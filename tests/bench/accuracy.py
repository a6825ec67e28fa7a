"""`accuracy`: photos clean and degraded, people of videos, and pictures without people, on the evaluation set.

Needs $STASH_SENSE_EVAL_DATA: a folder with faces/people/<identity>/*, faces/noface/*, video/real/*, video/derived/* and
video/manifest.csv (columns path, performers separated by |, source). The figures to beat are measured in the same run:
the first embedder's plain cosine to the mean template, on faces as one pass of the detector at 320 px finds them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from pipelines.evaluate_folder import MIN_PROBE_FACE_PX, compared, labelled_photos
from pipelines.faces.accuracy import Accuracy, accuracies
from pipelines.faces.catalogue import OPEN
from pipelines.faces.degrade import CLEAN, CONDITIONS
from pipelines.faces.detector import Detections, FaceDetector
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.faces.evaluate import Photo, Samples, collect, gallery_scores, score
from pipelines.faces.gallery import Gallery, Performer
from pipelines.faces.identify import Identifier, IdentifyOptions
from pipelines.faces.packs import ModelPack
from pipelines.faces.types import F32, Frame
from pipelines.identify_media import VideoFaces, analyze_video
from pipelines.media.images import load_image
from serve_app.cli.evaluate import conditions_table, methods_table
from tests.bench.report import Options, Report

ONE_PASS_PX = 320
ALSO_VISIBLE = {"real/short_hamilton_clip.mp4": {"barack_obama"}}
"""People who are truly there though the manifest does not name them: he sits in the audience."""
CLIP_TEMPLATES = 5
"""Best faces of a clip that are enrolled for its person."""


class OnePassEngine(FaceEngine):
    """The engine without second looks and without refined landmarks, as the figures to beat were measured."""

    def __init__(self, pack: ModelPack, folder: Path, options: EngineOptions) -> None:
        super().__init__(pack, folder, options)
        spec = replace(pack.detector, input_px=ONE_PASS_PX, min_score=0.5, refine=False)
        self._one_pass = FaceDetector(spec, folder / spec.file.name, threads=options.threads)

    def detect(self, images: Sequence[Frame], *, retry: bool = True) -> list[Detections]:  # noqa: ARG002
        return self._one_pass.detect(images)


def run(report: Report, options: Options) -> None:
    if options.eval_data is None:
        raise SystemExit("accuracy needs the evaluation set: set STASH_SENSE_EVAL_DATA to its folder.")
    data = options.eval_data
    engine = FaceEngine(OPEN, options.models, EngineOptions(threads=2))
    samples = _photos(report, options, data / "faces" / "people", engine)
    videos = _Videos.read(data / "video", engine, quick=options.quick)
    _videos(report, videos, samples)
    _noface(report, data / "faces" / "noface", engine, samples)


def _photos(report: Report, options: Options, folder: Path, engine: FaceEngine) -> Samples:
    """Reports clean photos and both degraded tables; returns the clean samples, whose templates are enrolled below."""
    settings = replace(engine.options, min_face_px=MIN_PROBE_FACE_PX, min_quality=0.0)
    conditions = CONDITIONS[::5] if options.quick else CONDITIONS
    files = labelled_photos(folder)
    methods = {}
    for prefix, probes in (
        ("one pass, ", OnePassEngine(OPEN, options.models, settings)),
        ("", FaceEngine(OPEN, options.models, replace(settings, min_quality=engine.options.min_quality))),
    ):
        samples = collect(_read(files), engine, probes, conditions)
        methods |= {prefix + name: (samples, score(samples, pack)) for name, pack in compared(OPEN).items()}
    results = accuracies(methods, draws=100 if options.quick else 500)
    _print(results)
    clean = replace(samples, conditions=(CLEAN,), probes=samples.probes[:, :1], found=samples.found[:, :1])
    (photos,) = accuracies({OPEN.id: (clean, score(clean, OPEN))}, draws=10)
    report.add("photos_rank1", 100 * photos.rank1.value, "%")
    report.add("photos_eer", 100 * photos.eer, "%")
    for name in ("single", "hard"):
        in_set = {a.method: a for a in results if a.conditions_set == name}
        plain, *_, chosen = in_set.values()
        for method, accuracy in in_set.items():
            _report_set(
                report,
                f"{name}_{'chosen' if accuracy is chosen else method.replace(', ', ' ').replace(' ', '_')}",
                accuracy,
                plain,
            )
    return samples


def _report_set(report: Report, metric: str, accuracy: Accuracy, plain: Accuracy) -> None:
    baseline = 100 * plain.tpir_fpir1.value
    value = 100 * accuracy.tpir_fpir1.value
    report.add(f"{metric}_tpir_fpir1", value, "%", baseline=baseline, ratio=value / baseline)
    report.add(f"{metric}_tpir_fpir5", 100 * accuracy.tpir_fpir5.value, "%", baseline=100 * plain.tpir_fpir5.value)
    report.add(f"{metric}_rank1", 100 * accuracy.rank1.value, "%", baseline=100 * plain.rank1.value)
    report.add(f"{metric}_eer", 100 * accuracy.eer, "%", baseline=100 * plain.eer)


def _print(results: Sequence[Accuracy]) -> None:
    console = Console(width=140)
    for name in ("single", "hard"):
        in_set = [a for a in results if a.conditions_set == name]
        console.print(methods_table(name, in_set))
        console.print(conditions_table(in_set[0]))
        console.print(conditions_table(in_set[-1]))


def _read(files: Sequence[Path]) -> Iterator[Photo]:
    for file in files:
        yield Photo(file.parent.name, file.name, load_image(file))


@dataclass(frozen=True)
class _Video:
    """A labelled video. `made_of`: the photos (identity/number) or clips (name) that it was cut from."""

    path: str
    people: frozenset[str]
    made_of: frozenset[str]
    faces: VideoFaces


@dataclass(frozen=True)
class _Videos:
    videos: tuple[_Video, ...]
    clips: dict[str, list[tuple[str, F32]]]
    """Person to (clip name, templates), from real clips."""

    @classmethod
    def read(cls, folder: Path, engine: FaceEngine, *, quick: bool) -> _Videos:
        with (folder / "manifest.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        videos = [_video(row, analyze_video(folder / row["path"], engine)) for row in (rows[::5] if quick else rows)]
        clips: dict[str, list[tuple[str, F32]]] = {}
        for video in videos:
            if video.path.startswith("real/") and len(video.people) == 1:
                (person,) = video.people
                clips.setdefault(person, []).append((_clip_name(video.path), _best_templates(video.faces)))
        for video in videos:
            if video.path.startswith("real/") and len(video.people) > 1 and video.people <= set(clips):
                for person, templates in _told_apart(video, clips).items():
                    clips[person].append((_clip_name(video.path), templates))
        return cls(tuple(videos), clips)


def _video(row: dict[str, str], faces: VideoFaces) -> _Video:
    people = frozenset(p for p in row["performers"].split("|") if p)
    words = row["source"].replace(",", " ").split() if row["path"].startswith("derived/") else []
    return _Video(row["path"], people, frozenset(words) | {_clip_name(row["path"])}, faces)


def _clip_name(path: str) -> str:
    """`real/asl_book.mkv` is `book` in the manifest's sources; a GIF and its MP4 have one name."""
    return Path(path).stem.removeprefix("asl_")


def _best_templates(video: VideoFaces) -> F32:
    """Returns the templates of the best faces, one a frame: the largest face of a frame is its person."""
    largest = {}
    for seen in video.seen:
        largest.setdefault(seen.frame, seen.face)
    best = sorted(largest.values(), key=lambda face: -face.quality)[:CLIP_TEMPLATES]
    return np.stack([face.template for face in best])


def _told_apart(video: _Video, clips: dict[str, list[tuple[str, F32]]]) -> dict[str, F32]:
    """Returns the templates of each person of a clip of several, told apart by the clips in which they are alone."""
    people = sorted(video.people)
    means = np.stack([np.concatenate([t for _, t in clips[p]]).mean(axis=0) for p in people])
    faces = sorted((s.face for s in video.faces.seen), key=lambda face: -face.quality)
    templates = np.stack([face.template for face in faces])
    nearest = gallery_scores(OPEN, means, templates).argmax(axis=1)
    return {p: templates[nearest == i][:CLIP_TEMPLATES] for i, p in enumerate(people) if (nearest == i).any()}


def _gallery(samples: Samples, videos: _Videos, probe: _Video, without: frozenset[str] = frozenset()) -> Gallery:
    """Everybody, but no photo and no clip that the video was made of where the person has others."""
    templates: dict[str, list[F32]] = {}
    for row, (person, key) in enumerate(zip(samples.person, samples.keys, strict=True)):
        name = samples.people[person]
        if key.rsplit(".", 1)[0] not in probe.made_of:
            templates.setdefault(name, []).append(samples.enrolled[row])
    for name in samples.people:
        if name not in templates:
            templates[name] = [samples.enrolled[i] for i, p in enumerate(samples.person) if samples.people[p] == name]
    for name, clips in videos.clips.items():
        own = [t for clip, found in clips if clip not in probe.made_of for t in found]
        if own:
            templates.setdefault(name, []).extend(own)
    names = sorted(set(templates) - without)
    rows = np.concatenate([np.full(len(templates[n]), i) for i, n in enumerate(names)])
    performers = [Performer(f"local:{n}", n) for n in names]
    return Gallery.build(OPEN, performers, np.concatenate([np.stack(templates[n]) for n in names]), rows)


def _names(gallery: Gallery, video: _Video) -> set[str]:
    people = Identifier(gallery, IdentifyOptions()).scene(
        video.faces.seen, frame_times=video.faces.frame_times, duration_s=video.faces.info.duration_s
    )
    return {p.match.name for p in people if p.match is not None}


def _videos(report: Report, videos: _Videos, samples: Samples) -> None:
    found = expected = 0
    wrong: list[str] = []
    wrong_without: list[str] = []
    for video in videos.videos:
        gallery = _gallery(samples, videos, video)
        there = video.people | ALSO_VISIBLE.get(video.path, set())
        enrolled = {p.name for p in gallery.performers}
        names = _names(gallery, video)
        expected += len(video.people & enrolled)
        found += len(video.people & names)
        missed = (video.people & enrolled) - names
        wrong += [f"{video.path}: {name}" for name in sorted(names - there)]
        strangers = _names(_gallery(samples, videos, video, without=frozenset(there)), video)
        wrong_without += [f"{video.path}: {name}" for name in sorted(strangers)]
        if missed:
            print(f"missed in {video.path}: {', '.join(sorted(missed))}")
    for line in wrong + wrong_without:
        print(f"wrong name in {line}")
    report.add("videos_people_found", 100 * found / max(expected, 1), "%")
    report.add("videos_people_expected", expected, "people")
    report.add("videos_wrong_names", len(wrong), "names")
    report.add("videos_wrong_names_when_not_enrolled", len(wrong_without), "names")


def _noface(report: Report, folder: Path, engine: FaceEngine, samples: Samples) -> None:
    performers = [Performer(f"local:{n}", n) for n in samples.people]
    identifier = Identifier(Gallery.build(OPEN, performers, samples.enrolled, samples.person))
    faces = [engine.analyze([load_image(file)])[0] for file in sorted(folder.iterdir())]
    people = [p for found in faces for p in identifier.image(found)]
    report.add("noface_pictures", len(faces), "pictures")
    report.add("noface_people_named", sum(p.match is not None for p in people), "names")
    report.add("noface_boxes", len(people), "faces")
