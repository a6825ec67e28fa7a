"""A folder of labelled photos to an accuracy report: JSON record, plot and calibration.

Lives here: reading DIR/<identity>/*, choosing the methods that are compared, and writing results. The protocol is
`faces.evaluate`, the rates `faces.accuracy`, the thresholds `faces.calibrate`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.errors import InputError, MediaError
from pipelines.faces.accuracy import CURVE_FPIRS, Accuracy, accuracies
from pipelines.faces.calibrate import calibrate
from pipelines.faces.degrade import CLEAN, CONDITIONS
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.faces.evaluate import Photo, Samples, Scores, collect, score
from pipelines.faces.packs import Calibration, ModelPack
from pipelines.media.images import load_image

MIN_PROBE_FACE_PX = 16
"""Smallest face box of a probe: the smallest condition has 27 px, below what identification accepts by default."""


@dataclass(frozen=True, slots=True, eq=False)
class FolderReport:
    """What a pack makes of a labelled folder.

    Attributes:
        photos: usable ones; `people` of whom `enrolled_people` have two or more.
        unusable: path and reason of the others.
        accuracies: by set of conditions and method; the pack as it is comes last in each set.
        scores: the pack's own samples and scores, for calibration.
    """

    pack: ModelPack
    photos: int
    people: int
    enrolled_people: int
    unusable: tuple[tuple[str, str], ...]
    accuracies: tuple[Accuracy, ...]
    scores: tuple[Samples, Scores]
    duration_s: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready values; rates are 0..1."""
        return {
            "pack": self.pack.id,
            "template_id": self.pack.template_id,
            "photos": self.photos,
            "people": self.people,
            "enrolled_people": self.enrolled_people,
            "unusable": [{"path": path, "reason": reason} for path, reason in self.unusable],
            "results": [asdict(a) for a in self.accuracies],
            "duration_s": round(self.duration_s, 1),
        }

    def calibration(self, provenance: str) -> Calibration:
        """Returns the pack's thresholds measured on this folder. Raises InputError with too few impostors."""
        samples, scores = self.scores
        return calibrate(
            samples, scores, same_person_score=self.pack.calibration.same_person_score, provenance=provenance
        )


def evaluate_folder(
    folder: Path,
    pack: ModelPack,
    models: Path,
    *,
    degrade: bool = False,
    threads: int = 1,
    max_megapixels: float = 100,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> FolderReport:
    """Measures a pack on DIR/<identity>/*.

    Args:
        models: folder of the pack's files.
        degrade: also measure the 12 degradations and the 3 hard combinations.
        progress: told how many of how many photos are done.

    Raises:
        InputError: no such folder, or fewer than two people with two usable photos.
        ModelMissing, ModelContractMismatch.
    """
    started = time.monotonic()
    reader = _Reader(labelled_photos(folder), max_megapixels, progress)
    options = EngineOptions(threads=threads)
    samples = collect(
        reader,
        FaceEngine(pack, models, options),
        FaceEngine(pack, models, replace(options, min_face_px=MIN_PROBE_FACE_PX)),
        CONDITIONS if degrade else (CLEAN,),
    )
    methods = {name: (samples, score(samples, variant)) for name, variant in compared(pack).items()}
    no_face = [(str(folder / key), "no_face") for key in samples.unusable]
    return FolderReport(
        pack=pack,
        photos=len(samples.keys),
        people=len(samples.people),
        enrolled_people=len(samples.enrolled_people),
        unusable=tuple(sorted([*reader.unreadable, *no_face])),
        accuracies=tuple(accuracies(methods)),
        scores=(samples, methods[pack.id][1]),
        duration_s=time.monotonic() - started,
    )


def compared(pack: ModelPack) -> dict[str, ModelPack]:
    """Returns the ways of comparing templates that a report shows: name to pack, the pack itself last, by its id."""
    methods = {}
    for embedder in pack.embedders:
        alone = tuple(replace(e, weight=1.0 if e is embedder else 0.0) for e in pack.embedders)
        for centre, name in ((False, "cosine"), (True, "centred")):
            variant = replace(pack, embedders=alone, centre=centre)
            if variant != pack:
                methods[f"{embedder.name} {name}"] = variant
    return methods | {pack.id: pack}


def labelled_photos(folder: Path) -> list[Path]:
    """Returns the files of DIR/<identity>/*, sorted; hidden ones are left out. Raises InputError when there is none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", "Give a folder with one folder of photos per person.")
    files = [f for f in sorted(folder.glob("*/*")) if f.is_file() and not f.name.startswith(".")]
    if not files:
        raise InputError(f"{folder} has no photos.", "Photos are expected as DIR/<identity>/*.")
    return files


@dataclass(slots=True)
class _Reader:
    """Decodes photos one by one and remembers which it could not read."""

    files: Sequence[Path]
    max_megapixels: float
    progress: Callable[[int, int], None]
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    def __iter__(self) -> Iterator[Photo]:
        for done, file in enumerate(self.files):
            self.progress(done, len(self.files))
            try:
                image = load_image(file, max_megapixels=self.max_megapixels)
            except (MediaError, InputError) as error:
                self.unreadable.append((str(file), error.code))
                continue
            yield Photo(file.parent.name, file.name, image)
        self.progress(len(self.files), len(self.files))


def plot(report: FolderReport, path: Path) -> None:
    """Writes a picture (format by the file's suffix): TPIR over FPIR by method, and TPIR by condition at FPIR 1 %.

    Raises:
        InputError: matplotlib is not installed, or it cannot write such a file.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise InputError(
            "Plots need matplotlib.", "Install the extra `eval`: pip install 'stash-sense-ray[eval]'."
        ) from error
    conditions_set = report.accuracies[-1].conditions_set
    shown = [a for a in report.accuracies if a.conditions_set == conditions_set]
    figure = Figure(figsize=(12, 5), layout="constrained")
    curves, bars = figure.subplots(1, 2, width_ratios=(2, 3))
    for accuracy in shown:
        curves.plot(CURVE_FPIRS, [100 * t for t in accuracy.curve], label=accuracy.method)
    curves.set(xscale="log", xlabel="FPIR", ylabel="TPIR %", title=f"{report.pack.id}, {conditions_set} conditions")
    curves.legend(loc="lower right")
    width = 0.8 / len(shown)
    for place, accuracy in enumerate(shown):
        names = [c.name for c in accuracy.conditions]
        at = [i + (place - (len(shown) - 1) / 2) * width for i in range(len(names))]
        bars.bar(at, [100 * c.tpir_fpir1 for c in accuracy.conditions], width, label=accuracy.method)
    bars.set(ylim=(0, 101), ylabel="TPIR % at FPIR 1 %", title=f"{report.photos} photos, {report.people} people")
    bars.set_xticks(range(len(names)), names, rotation=60, ha="right")
    try:
        figure.savefig(path)
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path}: {error}", "Name a file ending in .png, .svg or .pdf in a folder that exists."
        ) from error
