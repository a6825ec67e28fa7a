"""What the frame hashes of a scan find among the labelled duplicates: recall by transform, other pairs by class.

The files of `tests.bench.duplicate_set` are sampled as a scan samples them (60 key frames or frames), without looking
for faces. A scene of the set lasts 110 s, so a frame is kept every 1.7 s; `10s` and `20s` keep every sixth and twelfth
of them, as of scenes of 10 and 20 minutes. Baselines: hashes of frames with the bars around them; and, as
`..._one_frame`, without pairs that a single frame makes. What hashes do not find is found by metadata or by Stash's
phash, or not at all.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np

from pipelines.duplicates import votes
from pipelines.duplicates.candidates_frames import frame_pairs
from pipelines.duplicates.frame_table import FLAT_QUALITY, FrameTable
from pipelines.faces.types import U8
from pipelines.machine import cores
from pipelines.media.frames import SamplingPlan, sample_frames
from pipelines.media.hashes import VideoHashes, frame_hashes
from tests.bench.duplicate_set import File, LabelledSet, labelled_set, takes
from tests.bench.report import Options, Report

STEPS = {"": 1, "_10s": 6, "_20s": 12}

Hashes = list[tuple[float, int, bytes]]


def run(report: Report, options: Options) -> None:
    folder = options.workdir / ("duplicates_quick" if options.quick else "duplicates")
    folder.mkdir(exist_ok=True)
    found = labelled_set(folder, takes(options.eval_data), quick=options.quick)
    wanted = {file.name: file for pair in found.pairs for file in (pair.a, pair.b)}
    files = sorted(wanted.values(), key=lambda file: file.name)
    paths = [found.make(file) for file in files]
    with ProcessPoolExecutor(cores()) as pool:
        hashes = list(pool.map(hashes_of, paths))
    for label, step in STEPS.items():
        tables = [_table([one[::step] for one in (both[kind] for both in hashes)]) for kind in (0, 1)]
        without, plain = (_found(files, frames) for frames in tables)
        with patch.object(votes, "MAX_SINGLE_PDQ", -1):
            several = _found(files, tables[0])
        _measure(report, found, {"": (without, plain), "_one_frame": (without, several)}, label)


def hashes_of(path: Path) -> tuple[Hashes, Hashes]:
    """Returns time, pHash64 and PDQ of the frames that a scan would keep: without bars, and as they are."""
    times_s, video, plain = list[float](), VideoHashes(), []
    for block in sample_frames(path, SamplingPlan()):
        for frame in block:
            times_s.append(frame.time_s)
            video.add(frame.image)
            plain.append(frame_hashes(frame.image))
    return _kept(times_s, video.result()), _kept(times_s, plain)


def _kept(times_s: list[float], hashes: list[tuple[int, U8, int]]) -> Hashes:
    """Returns the frames that show something."""
    found = zip(times_s, hashes, strict=True)
    return [(time_s, phash, pdq.tobytes()) for time_s, (phash, pdq, quality) in found if quality >= FLAT_QUALITY]


def _table(hashes: list[Hashes]) -> FrameTable:
    rows = [(place, *one) for place, own in enumerate(hashes) for one in own]
    return FrameTable(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.uint64),
        np.frombuffer(b"".join(row[3] for row in rows), np.uint64).reshape(-1, 4),
    )


def _found(files: list[File], frames: FrameTable) -> set[frozenset[str]]:
    """Returns the pairs of names that are candidates.

    No stop list: in a set of so few scenes, cut from so little footage, it would stop the footage itself.
    """
    names = [file.name for file in files]
    codes = frame_pairs(frames, len(files), threads=cores(), stop_scenes=len(files)).code
    return {frozenset((names[code // len(files)], names[code % len(files)])) for code in codes.tolist()}


def _measure(
    report: Report,
    labelled: LabelledSet,
    found: dict[str, tuple[set[frozenset[str]], set[frozenset[str]]]],
    label: str,
) -> None:
    for name, both in found.items():
        shares = [_shares(labelled, one) for one in both]
        for kind, (right, number) in shares[0].items():
            if not name or kind.startswith(("recall of", "others of")):
                share, base = right / number, shares[1][kind][0] / number
                metric = kind.replace(" of ", "_")
                report.add(f"{metric}{label}{name}", share, f"of {number}", baseline=base)


def _shares(labelled: LabelledSet, found: set[frozenset[str]]) -> dict[str, tuple[int, int]]:
    """Returns how many pairs of each kind were found, of how many."""
    hits: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for pair in labelled.pairs:
        whole = "recall of copies" if pair.duplicate else "others of all"
        for kind in (whole, f"{'recall' if pair.duplicate else 'others'} of {pair.kind}"):
            total[kind] += 1
            hits[kind] += frozenset((pair.a.name, pair.b.name)) in found
    return {kind: (hits[kind], number) for kind, number in sorted(total.items())}
