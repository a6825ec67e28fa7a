"""Images that show the same picture: equal files, and copies in other sizes or qualities.

What the scans kept of images decides; nothing is decoded. The one to keep has most pixels, then the larger file, then
more of what somebody entered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.analyzers.base import BaseAnalyzer, Failed, OfferedAction, Scope
from pipelines.analyzers.scene_details import Details
from pipelines.analyzers.sources import MatchChanges, StashChanges
from pipelines.stash.records import Image
from pipelines.store.recommendation_records import Finding, digest

if TYPE_CHECKING:
    from pipelines.analyzers.same_images import SameImages
    from pipelines.analyzers.tools import Tools

_IMAGES_AT_ONCE = 500
MOST_SHOWN = 200
"""Copies of one picture in one finding: as many as one action may delete and a page can show."""


class ImageSummary(Details):
    """An image; `galleries` are ids."""

    id: str
    title: str
    path: str
    width: int
    height: int
    size_bytes: int
    galleries: tuple[str, ...]


class KeptImage(Details):
    """Which image is kept, and why."""

    id: str
    reasons: tuple[str, ...]


class DuplicateImagesDetails(Details):
    """What the page shows of a group, the one to keep first."""

    images: tuple[ImageSummary, ...]
    keeper: KeptImage
    reasons: tuple[str, ...]
    actions: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ImageGroup:
    """Images of Stash that are copies of each other; `bits` and `confidences` by id, without the group's first."""

    images: tuple[Image, ...]
    bits: dict[str, int]
    confidences: dict[str, float]
    fingerprints: tuple[str, ...]


class DuplicateImages(BaseAnalyzer[ImageGroup, float]):
    """Groups of images with the same picture."""

    id = "duplicate_images"
    title = "Duplicate images"
    description = "Images that show the same picture, and which of them to keep."
    target_type = "image"
    reads = (StashChanges("image"), MatchChanges("image"))
    details = DuplicateImagesDetails
    actions = (OfferedAction("delete_images", "Keep the best image, delete the others", destructive=True),)
    whole = True
    closing = "The images are not there any more, or are not copies of each other any more."

    async def candidates(self, tools: Tools, scope: Scope) -> AsyncIterator[Sequence[ImageGroup | Failed]]:  # noqa: ARG002 - always everything
        from pipelines.analyzers.same_images import read_images, same_images

        def found() -> list[SameImages] | None:
            return same_images(read_images(tools.scans), should_stop=tools.should_stop)

        waiting: list[SameImages] = []
        for group in await tools.in_thread(found) or []:
            waiting.append(group)
            if sum(len(one.ids[:MOST_SHOWN]) for one in waiting) >= _IMAGES_AT_ONCE:
                yield await _of_stash(tools, waiting)
                waiting = []
        yield await _of_stash(tools, waiting)

    def score(self, tools: Tools, candidates: Sequence[ImageGroup]) -> Sequence[float | Failed | None]:  # noqa: ARG002 - nothing is read
        return [min(group.confidences.values()) for group in candidates]

    def explain(self, candidate: ImageGroup, score: float) -> Finding:
        keeper, *others = candidate.images
        why = tuple(keeper_reasons(keeper, others))
        ids = sorted((image.id for image in candidate.images), key=int)
        details = DuplicateImagesDetails(
            images=tuple(_summary(image) for image in candidate.images),
            keeper=KeptImage(id=keeper.id, reasons=why),
            reasons=(_said(candidate),),
            actions={
                "delete_images": {
                    "keep_id": keeper.id,
                    "delete_ids": [image.id for image in others],
                    "delete_file": False,
                    "merge_metadata": True,
                }
            },
        )
        return Finding(
            target_type="image",
            target_id=ids[0],
            finding=digest(ids),
            evidence=digest(sorted(candidate.fingerprints)),
            title=_title(keeper),
            summary=f"{len(ids)} images show one picture. {_said(candidate)} Keep {_title(keeper)}: {', '.join(why)}.",
            confidence=score,
            details=details.model_dump(mode="json"),
            keywords=tuple(image.primary_file.path for image in candidate.images if image.primary_file),
            entities=tuple(ids),
        )


async def _of_stash(tools: Tools, groups: Sequence[SameImages]) -> list[ImageGroup]:
    """Returns the groups with those of their images that Stash has, without those of which one is left."""
    wanted = [one for group in groups for one in group.ids[:MOST_SHOWN]]
    known = {image.id: image async for image in tools.library.images(ids=wanted)} if wanted else {}
    found = []
    for group in groups:
        images = [known[one] for one in group.ids[:MOST_SHOWN] if one in known]
        if len(images) < 2 or group.ids[0] not in known:
            continue
        others = dict(zip(group.ids[1:], group.confidences, strict=True))
        bits = dict(zip(group.ids[1:], group.bits, strict=True))
        here = [image.id for image in images if image.id != group.ids[0]]
        found.append(
            ImageGroup(
                tuple(sorted(images, key=worth, reverse=True)),
                {one: bits[one] for one in here},
                {one: others[one] for one in here},
                tuple(f for one, f in zip(group.ids, group.fingerprints, strict=True) if one in known),
            )
        )
    return found


def worth(image: Image) -> tuple[int, ...]:
    """Returns what an image is worth to keep, compared place by place; the one that was there first of equal ones."""
    file = image.primary_file
    pixels, size = (file.width * file.height, file.size_bytes) if file else (0, 0)
    return (pixels, size, _entered(image), -int(image.id))


def keeper_reasons(keeper: Image, others: Sequence[Image]) -> list[str]:
    """Returns what the keeper has more of than any other."""
    best, second = worth(keeper), max(worth(other) for other in others)
    file = keeper.primary_file
    if best[0] > second[0] and file:
        return [f"has most pixels ({file.width} x {file.height})"]
    if best[1] > max(worth(other)[1] for other in others):
        return ["has as many pixels in a larger file"]
    if best[2] > max(worth(other)[2] for other in others):
        return ["has more tags, performers and other facts"]
    return ["was there first"]


def _entered(image: Image) -> int:
    """Returns how much somebody entered of an image."""
    single = (image.title, image.date, image.details, image.code, image.photographer, image.studio, image.rating)
    lists = len(image.urls) + len(image.performers) + len(image.tags) + len(image.galleries)
    return sum(map(bool, single)) + lists + 2 * image.organized


def _said(group: ImageGroup) -> str:
    from pipelines.analyzers.same_images import SERIES_BITS

    worst = max(group.bits.values())
    equal = min(group.confidences.values()) == 100.0
    if equal:
        return "The files are equal."
    said = f"Their perceptual hashes (PDQ) differ in at most {worst} of 256 bits."
    if len({(f.width, f.height) for image in group.images if (f := image.primary_file)}) == 1 and worst > SERIES_BITS:
        said += " All have one size: they may be shots of a series instead of copies."
    return said


def _title(image: Image) -> str:
    file = image.primary_file
    return image.title or (file.basename or file.path.rsplit("/", 1)[-1] if file else "") or f"Image {image.id}"


def _summary(image: Image) -> ImageSummary:
    file = image.primary_file
    return ImageSummary(
        id=image.id,
        title=_title(image),
        path=file.path if file else "",
        width=file.width if file else 0,
        height=file.height if file else 0,
        size_bytes=file.size_bytes if file else 0,
        galleries=image.galleries,
    )
