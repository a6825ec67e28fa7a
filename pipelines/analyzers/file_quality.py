"""Which of several files of the same content is the best: resolution, bits per pixel, codec, length.

Scores count 0 to 100 and compare the files given, nothing else: the same file has another score among others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.stash.records import VideoFile

GENERATIONS: Mapping[str, int] = {
    "av1": 4,
    "vvc": 4,
    "h266": 4,
    "hevc": 3,
    "h265": 3,
    "vp9": 3,
    "h264": 2,
    "avc": 2,
    "avc1": 2,
    "vp8": 2,
}
"""Codec by ffprobe's name -> generation; whatever came before H.264 (MPEG-4 part 2, WMV, MPEG-2, ...) is 1."""
EFFICIENCY: Mapping[int, float] = {1: 0.7, 2: 1.0, 3: 1.5, 4: 2.0}
"""Picture for the same bits, in H.264. HEVC needs about 35 % less bits than H.264 (Ohm et al., IEEE TCSVT 22/12, 2012),
AV1 about 30 % less than VP9 (Chen et al., PCS 2018), MPEG-4 part 2 about 1.5 times as many; rounded down."""
ENOUGH_BITS = 0.12
"""Bits per pixel and frame in H.264 above which more bits are hardly seen: 7.5 Mbit/s at 1080p30, about what streaming
services send at most (own choice, 2026-11-26)."""
SAME_LENGTH = 0.98
WEIGHTS = {"resolution": 45.0, "bits": 30.0, "codec": 25.0}
DEFAULT_FRAME_RATE = 30.0


@dataclass(frozen=True, slots=True)
class FileScore:
    """How good a file is among others, 0..100, and why."""

    file_id: str
    score: float
    reasons: tuple[str, ...]


def generation(codec: str) -> int:
    """Returns 1 to 4, the larger the newer."""
    return GENERATIONS.get(codec.casefold().replace(".", ""), 1)


def bits_per_pixel(file: VideoFile) -> float:
    """Returns bits per pixel and frame as H.264 would need them for the same picture; 0.0 while unknown."""
    rate = file.bit_rate or (8 * file.size_bytes / file.duration_s if file.duration_s > 0 else 0.0)
    pixels = file.width * file.height * (file.frame_rate or DEFAULT_FRAME_RATE)
    return EFFICIENCY[generation(file.video_codec)] * rate / pixels if pixels else 0.0


def score_files(files: Sequence[VideoFile]) -> list[FileScore]:
    """Returns a score for each file. What is shorter than the longest by more than 2 % falls behind all that is not."""
    longest_s = max(file.duration_s for file in files)
    all_pixels = [file.width * file.height for file in files]
    all_bits = [min(bits_per_pixel(file), ENOUGH_BITS) for file in files]
    generations = [generation(file.video_codec) for file in files]
    most_pixels, most_bits, newest = max(all_pixels), max(all_bits), max(generations)
    scores = []
    for file in files:
        pixels, bits = file.width * file.height, min(bits_per_pixel(file), ENOUGH_BITS)
        length = file.duration_s / longest_s if longest_s > 0 else 1.0
        score = (
            WEIGHTS["resolution"] * (pixels / most_pixels if most_pixels else 0.0)
            + WEIGHTS["bits"] * (bits / most_bits if most_bits else 0.0)
            + WEIGHTS["codec"] * generation(file.video_codec) / newest
        )
        if length < SAME_LENGTH:
            score *= 0.3 * length  # below what the worst whole file usually has: a cut is no copy
        best = {  # what all have speaks for none
            "resolution": pixels == most_pixels > min(all_pixels),
            "bits": bits == most_bits > min(all_bits),
            "codec": generation(file.video_codec) == newest > min(generations),
        }
        scores.append(FileScore(file.id, round(score, 1), _reasons(file, length, best)))
    return scores


def best_file(files: Sequence[VideoFile], scores: Sequence[FileScore]) -> VideoFile:
    """Returns the file to keep: the best score; among equals the primary one (the first) unless another is smaller."""
    longest_s = max(file.duration_s for file in files)
    whole = [file.duration_s >= SAME_LENGTH * longest_s for file in files]
    ranked = sorted(
        zip(files, scores, whole, range(len(files)), strict=True),
        key=lambda one: (-one[2], -one[1].score, one[0].size_bytes, one[3]),
    )
    return ranked[0][0]


def _reasons(file: VideoFile, length: float, best: Mapping[str, bool]) -> tuple[str, ...]:
    said = [f"{file.width} x {file.height}" + (", the highest resolution" if best["resolution"] else "")]
    said.append((file.video_codec or "unknown codec") + (", the newest codec" if best["codec"] else ""))
    said.append(f"{bits_per_pixel(file):.3f} bits per pixel" + (", the most that is seen" if best["bits"] else ""))
    if length < SAME_LENGTH:
        said.append(f"{100 * (1 - length):.0f} % shorter than the longest")
    return tuple(said)
