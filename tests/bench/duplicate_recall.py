"""What the frame hashes of a scan find among the labelled duplicates: recall by transform, other pairs by class.

The files of `tests.bench.duplicate_set` are sampled as a scan samples them (60 key frames or frames), without looking
for faces. A scene of the set lasts 110 s, so a frame is kept every 1.7 s; `sparse` keeps every sixth of them, as of a
scene of 11 minutes. What hashes do not find is found by metadata or by Stash's phash, or not at all.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from pipelines.duplicates.candidates_frames import frame_pairs
from pipelines.duplicates.frame_table import FLAT_QUALITY, FrameTable
from pipelines.machine import cores
from pipelines.media.frames import SamplingPlan, sample_frames
from pipelines.media.hashes import frame_hashes
from tests.bench.duplicate_set import File, LabelledSet, labelled_set, takes
from tests.bench.report import Options, Report

SPARSE = 6

Hashes = list[tuple[float, int, bytes]]


def run(report: Report, options: Options) -> None:
    folder = options.workdir / ("duplicates-quick" if options.quick else "duplicates")
    folder.mkdir(exist_ok=True)
    found = labelled_set(folder, takes(options.eval_data), quick=options.quick)
    wanted = {file.name: file for pair in found.pairs for file in (pair.a, pair.b)}
    files = sorted(wanted.values(), key=lambda file: file.name)
    paths = [found.make(file) for file in files]
    with ProcessPoolExecutor(cores()) as pool:
        hashes = list(pool.map(hashes_of, paths))
    for label, step in (("", 1), ("_sparse", SPARSE)):
        _measure(report, found, files, [one[::step] for one in hashes], label)


def hashes_of(path: Path) -> Hashes:
    """Returns time, pHash64 and PDQ of the frames that a scan would keep, without those that show nothing."""
    found = []
    for block in sample_frames(path, SamplingPlan()):
        for frame in block:
            phash, pdq, quality = frame_hashes(frame.image)
            if quality >= FLAT_QUALITY:
                found.append((frame.time_s, phash, pdq.tobytes()))
    return found


def _measure(report: Report, labelled: LabelledSet, files: list[File], hashes: list[Hashes], label: str) -> None:
    rows = [(place, *one) for place, own in enumerate(hashes) for one in own]
    frames = FrameTable(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.uint64),
        np.frombuffer(b"".join(row[3] for row in rows), np.uint64).reshape(-1, 4),
    )
    # No stop list: in a set of so few scenes, cut from so little footage, it would stop the footage itself.
    codes = frame_pairs(frames, len(files), threads=cores(), stop_scenes=len(files)).code
    names = [file.name for file in files]
    found = {frozenset((names[code // len(files)], names[code % len(files)])) for code in codes.tolist()}
    hits: Counter[tuple[bool, str]] = Counter()
    total: Counter[tuple[bool, str]] = Counter()
    for pair in labelled.pairs:
        total[pair.duplicate, pair.kind] += 1
        hits[pair.duplicate, pair.kind] += frozenset((pair.a.name, pair.b.name)) in found
    for (duplicate, kind), number in sorted(total.items()):
        metric = f"{'recall' if duplicate else 'others'}{label}_{kind}"
        report.add(metric, hits[duplicate, kind] / number, f"of {number} {'copies' if duplicate else 'pairs'}")
    copies = sum(number for (duplicate, _), number in total.items() if duplicate)
    right = sum(number for (duplicate, _), number in hits.items() if duplicate)
    report.add(f"recall{label}", right / copies, f"of {copies} copies")
