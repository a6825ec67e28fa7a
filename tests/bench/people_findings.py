"""Unknown people of 200,000 scenes in groups, and 500,000 image hashes in groups; both invented, with planted truth.

Unknown people are templates of 128 numbers: two thirds strangers who are in one scene, one third people who are in 3 to
40, each scene at a random offset, so that two scenes of one person score 0.8 on average. The accepting score is that of
the pack `open` for so many people. Beside it, on 5,000 of them, scipy's linkage of all distances: the same groups.

Image hashes are random bits; a tenth of the pictures has one to three copies, 0 to 26 bits away, as far as copies of
real photos at half the size are at most. pHash bits of a copy differ by up to 6. Beside it, on 10,000 of them, all
pairs.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from pipelines.analyzers.image_groups import ImageHashes, similar_pairs
from pipelines.analyzers.same_images import ScannedImages, same_images
from pipelines.analyzers.unknown_faces import LEAST_SCENES
from pipelines.faces.catalogue import OPEN
from pipelines.faces.clusters import average_linkage
from pipelines.faces.templates import unit
from pipelines.machine import cores
from tests.bench.process_memory import watch_memory
from tests.bench.report import Options, Report

SCENES, QUICK_SCENES, FEW_SCENES = 200_000, 4_000, 5_000
IMAGES, QUICK_IMAGES, FEW_IMAGES = 500_000, 20_000, 10_000
DIMENSION = 128
SPREAD = 0.5
"""Length of a scene's offset to a person's length of 1: scores of 1 / (1 + 0.25)."""
MOST_BITS = 26


def run(report: Report, options: Options) -> None:
    _people(report, QUICK_SCENES if options.quick else SCENES)
    _images(report, QUICK_IMAGES if options.quick else IMAGES)


def _people(report: Report, count: int) -> None:
    vectors, truth = people(count)
    cut = OPEN.calibration.accept_score_at(count)
    with watch_memory(interval_s=0.1) as memory:
        began = time.perf_counter()
        labels = average_linkage(vectors, cut, threads=cores())
        seconds = time.perf_counter() - began
    assert labels is not None
    precision, recall, found, planted = quality(labels, truth)
    report.add("people_s", seconds, f"s, {count} unknown people, cut {cut:.3f}")
    report.add("people_peak_mb", memory.peak_mb, f"MB, of which vectors {vectors.nbytes / 1e6:.0f}")
    report.add("people_pair_precision", precision, f"of pairs in groups of {LEAST_SCENES} and more")
    report.add("people_pair_recall", recall, "of planted pairs")
    report.add("people_groups", found, f"of {LEAST_SCENES} and more", baseline=planted, ratio=found / planted)
    few = np.arange(min(FEW_SCENES, count))
    began = time.perf_counter()
    ours = average_linkage(vectors[few], cut, threads=cores())
    own_s = time.perf_counter() - began
    began = time.perf_counter()
    distances = 1.0 - vectors[few].astype(np.float64) @ vectors[few].T.astype(np.float64)
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), method="average")
    theirs = fcluster(tree, 1.0 - cut, criterion="distance")
    all_s = time.perf_counter() - began
    report.add(f"people_{len(few)}_s", own_s, "s; baseline: all distances", baseline=all_s, ratio=all_s / own_s)
    report.add("people_same_groups", float(same_partition(ours, theirs)), "1 = the same groups as from all distances")


def _images(report: Report, count: int) -> None:
    images, truth = pictures(count)
    with watch_memory(interval_s=0.1) as memory:
        began = time.perf_counter()
        groups = same_images(images)
        seconds = time.perf_counter() - began
    assert groups is not None
    labels = np.arange(count)
    for group in groups:
        labels[[int(one) for one in group.ids]] = int(group.ids[0])
    precision, recall, found, planted = quality(labels, truth, least=2)
    report.add("images_s", seconds, f"s, {count} hashes to groups")
    report.add("images_peak_mb", memory.peak_mb, "MB")
    report.add("images_pair_precision", precision, "of pairs in groups")
    report.add("images_pair_recall", recall, "of planted pairs, two copies of one picture included")
    report.add("images_groups", found, "groups", baseline=planted, ratio=found / planted)
    few = ImageHashes(*(part[:FEW_IMAGES] for part in (images.hashes.phash, images.hashes.pdq, images.hashes.quality)))
    began = time.perf_counter()
    ours = similar_pairs(few)
    own_s = time.perf_counter() - began
    began = time.perf_counter()
    words = np.ascontiguousarray(few.pdq).view(np.uint64).reshape(-1, 4)
    every = 0
    for row in range(len(words) - 1):
        every += int((np.bitwise_count(words[row] ^ words[row + 1 :]).sum(axis=1) <= 31).sum())
    all_s = time.perf_counter() - began
    assert ours is not None
    report.add(f"images_{len(few)}_s", own_s, "s; baseline: all pairs", baseline=all_s, ratio=all_s / own_s)
    report.add(
        f"images_{len(few)}_pairs", len(ours), "pairs; baseline: all pairs", baseline=every, ratio=len(ours) / every
    )


def people(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns (count, DIMENSION) templates and whose they are, in a random order."""
    chance = np.random.default_rng(seed)
    sizes: list[int] = []
    while sum(sizes) < count // 3:
        sizes.append(int(min(40, LEAST_SCENES + chance.pareto(1.2) * 3)))
    persons = np.repeat(np.arange(len(sizes)), sizes)[: count // 3]
    centres = unit(chance.standard_normal((len(sizes), DIMENSION)).astype(np.float32))
    offsets = unit(chance.standard_normal((len(persons), DIMENSION)).astype(np.float32))
    strangers = unit(chance.standard_normal((count - len(persons), DIMENSION)).astype(np.float32))
    vectors = np.concatenate([unit(centres[persons] + SPREAD * offsets), strangers])
    truth = np.concatenate([persons, len(sizes) + np.arange(len(strangers))])
    order = chance.permutation(count)
    return vectors[order], truth[order]


def pictures(count: int, seed: int = 2) -> tuple[ScannedImages, np.ndarray]:
    """Returns hashes and of which picture they are, in a random order."""
    chance = np.random.default_rng(seed)
    copies = np.where(chance.random(count) < 0.1, chance.integers(2, 5, count), 1)
    truth = np.repeat(np.arange(count), copies)[:count]
    first = np.concatenate([[True], truth[1:] != truth[:-1]])
    bits = chance.integers(0, 256, (count, 32), dtype=np.uint8)[truth]
    phash = chance.integers(0, 2**64, count, dtype=np.uint64)[truth]
    for row in np.flatnonzero(~first):
        places = chance.choice(256, chance.integers(0, MOST_BITS + 1), replace=False)
        np.bitwise_xor.at(bits[row], places // 8, (1 << (places % 8)).astype(np.uint8))
        for place in chance.choice(64, chance.integers(0, 7), replace=False):
            phash[row] ^= np.uint64(1) << np.uint64(place)
    order = chance.permutation(count)
    width = np.where(first, 2000, 1000)[order]
    hashes = ImageHashes(phash[order], bits[order], np.full(count, 100))
    codes = np.arange(count, dtype=np.int64)
    names = [str(n) for n in range(count)]
    return ScannedImages(names, names, codes, width, width, hashes), truth[order]


def quality(labels: np.ndarray, truth: np.ndarray, least: int = LEAST_SCENES) -> tuple[float, float, int, int]:
    """Returns precision and recall of pairs in groups of `least` and more, and how many were found and planted."""
    found, planted = np.unique(labels, return_inverse=True)[1], np.unique(truth, return_inverse=True)[1]
    sizes, true_sizes = np.bincount(found), np.bincount(planted)
    kept = sizes[found] >= least
    both, shared = np.unique(np.stack([found[kept], planted[kept]]), axis=1, return_counts=True)
    del both
    right = float((shared * (shared - 1) // 2).sum())
    said = float((sizes[sizes >= least] * (sizes[sizes >= least] - 1) // 2).sum())
    true = float((true_sizes[true_sizes >= least] * (true_sizes[true_sizes >= least] - 1) // 2).sum())
    groups, wanted = int((sizes >= least).sum()), int((true_sizes >= least).sum())
    return right / max(said, 1), right / max(true, 1), groups, max(wanted, 1)


def same_partition(ours: np.ndarray | None, theirs: np.ndarray) -> bool:
    """Returns whether two labellings are the same groups."""
    if ours is None:
        return False
    pairs = np.unique(np.stack([ours, theirs]), axis=1).shape[1]
    return pairs == len(np.unique(ours)) == len(np.unique(theirs))
