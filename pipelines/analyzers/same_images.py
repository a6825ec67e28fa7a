"""The images of a library that show the same picture, from what their scans kept.

Lives here: reading hashes of scanned images, groups of them, what each pair of a group is worth. The search is
`image_groups`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.analyzers.image_groups import (
    PDQ_LEAST_QUALITY,
    PDQ_SAME,
    ImageHashes,
    Pairs,
    equal_pairs,
    groups_of,
    similar_pairs,
)
from pipelines.store.scan_schema import pdq_values
from pipelines.store.templates import ScanDataset

SAME_SHAPE = 0.02
"""Largest relative difference of the aspect ratios of two copies: rounding of the sides of small previews."""
SAME_FILE, CLOSE, FAR = 100.0, 97.0, 55.0
"""Confidence of equal files, of equal hashes, and of hashes PDQ_SAME bits apart; in between it falls evenly."""
SERIES, SERIES_BITS = 30.0, 2
"""Pictures of exactly one size that differ in more bits may be two shots of a series, and lose so much confidence: no
hash tells them from copies. Of the photos of the tests, stills of one person some seconds apart are 4 to 34 bits apart,
with face templates alike by 0.77 to 0.96; JPEGs of one picture at quality 80, 50 and 25 at most 4, 6 and 10 bits, with
templates alike by 0.79 to 1; half the size at most 26 bits (own measurement, 60 copies, 8 such pairs, 2026-11-26)."""


@dataclass(frozen=True, slots=True, eq=False)
class ScannedImages:
    """n scanned pictures, in order of id as text.

    Attributes:
        fingerprints: of the files; `file_codes` (n,) are equal where they are.
        width, height: (n,) px as shown.
    """

    ids: list[str]
    fingerprints: list[str]
    file_codes: npt.NDArray[np.int64]
    width: npt.NDArray[np.int64]
    height: npt.NDArray[np.int64]
    hashes: ImageHashes

    def distances(self, row: int, others: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns the PDQ distance of one picture to others."""
        apart = np.bitwise_count(self.hashes.pdq[row] ^ self.hashes.pdq[others])
        return np.asarray(apart.sum(axis=1, dtype=np.int64))

    def same(self, row: int, others: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Returns whether others show the same picture as one: an equal file, or near hashes and one shape."""
        equal = (self.file_codes[others] == self.file_codes[row]) & (self.file_codes[row] >= 0)
        clear = self.hashes.quality[others] >= PDQ_LEAST_QUALITY
        near = clear & bool(self.hashes.quality[row] >= PDQ_LEAST_QUALITY) & (self.distances(row, others) <= PDQ_SAME)
        shape = self.width[others] * self.height[row], self.width[row] * self.height[others]
        alike = np.abs(shape[0] - shape[1]) <= SAME_SHAPE * np.maximum(shape[0], shape[1])
        return np.asarray(equal | (near & alike))

    def confidence(self, row: int, other: int) -> float:
        """Returns how sure it is, 0..100, that two pictures of one group are copies."""
        if self.file_codes[row] == self.file_codes[other] and self.file_codes[row] >= 0:
            return SAME_FILE
        bits = int(self.distances(row, np.array([other]))[0])
        sure = CLOSE - (CLOSE - FAR) * bits / PDQ_SAME
        same_size = self.width[row] == self.width[other] and self.height[row] == self.height[other]
        return round(sure - (SERIES if same_size and bits > SERIES_BITS else 0.0), 1)


@dataclass(frozen=True, slots=True)
class SameImages:
    """A group of images with the same picture.

    Attributes:
        ids: the one with most pixels first.
        confidences: of each other one, in the order of `ids`, that it is a copy of the first.
        bits: PDQ distances likewise.
        fingerprints: of the files, in the order of `ids`.
    """

    ids: tuple[str, ...]
    confidences: tuple[float, ...]
    bits: tuple[int, ...]
    fingerprints: tuple[str, ...]


def read_images(dataset: ScanDataset) -> ScannedImages:
    """Returns all scanned pictures; moving ones, which Stash lists among its images, are left out."""
    names = ["kind", "content_id", "file_fingerprint", "status", "width", "height", "frame_count"]
    done = dataset.done(names)
    wanted = pc.and_(pc.equal(done["kind"], "image"), pc.equal(done["frame_count"], 1))
    done = done.filter(pc.and_(wanted, pc.not_equal(done["status"], "failed")))
    parts = [
        batch.filter(pc.equal(batch.column("kind"), "image"))
        for batch in dataset.frames(["kind", "content_id", "phash", "pdq", "pdq_quality"])
    ]
    if not len(done) or not parts:
        none = np.zeros(0, np.int64)
        hashes = ImageHashes(np.zeros(0, np.uint64), np.zeros((0, 32), np.uint8), none)
        return ScannedImages([], [], none, none, none, hashes)
    frames = pa.Table.from_batches(parts)
    places = pc.index_in(done["content_id"], value_set=frames["content_id"].combine_chunks())
    done = done.filter(places.is_valid())
    frames = frames.take(places.drop_null())
    fingerprints = done["file_fingerprint"].combine_chunks()
    codes = fingerprints.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    # A size and a time are no proof of equal bytes.
    codes[pc.starts_with(fingerprints, "stat:").to_numpy(zero_copy_only=False)] = -1
    return ScannedImages(
        done["content_id"].to_pylist(),
        fingerprints.to_pylist(),
        codes,
        done["width"].to_numpy().astype(np.int64),
        done["height"].to_numpy().astype(np.int64),
        ImageHashes(
            frames["phash"].to_numpy(), pdq_values(frames["pdq"]), frames["pdq_quality"].to_numpy().astype(np.int64)
        ),
    )


def same_images(images: ScannedImages, *, should_stop: Callable[[], bool] = lambda: False) -> list[SameImages] | None:
    """Returns the groups of images with the same picture; None when it was asked to stop."""
    near = None if should_stop() else similar_pairs(images.hashes, should_stop=should_stop)
    if near is None:
        return None
    pairs = _together([near, equal_pairs(images.file_codes)])
    groups = groups_of(pairs, images.width * images.height, images.same)
    return [
        SameImages(
            tuple(images.ids[row] for row in group),
            tuple(images.confidence(group[0], row) for row in group[1:]),
            tuple(images.distances(group[0], np.array(group[1:])).tolist()),
            tuple(images.fingerprints[row] for row in group),
        )
        for group in groups
    ]


def _together(parts: Sequence[Pairs]) -> Pairs:
    return Pairs(
        np.concatenate([p.first for p in parts]),
        np.concatenate([p.second for p in parts]),
        np.concatenate([p.distance for p in parts]),
    )
