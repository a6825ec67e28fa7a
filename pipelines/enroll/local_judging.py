"""Which stored scans have to be looked at for an enrolment from Stash, and what all of them show.

Lives here: `judge_places`: what is remembered of a place counts as long as its scans are the same. What a place shows
is for `enroll_local_places` to say.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.enroll.local_places import ONE_PERSON, Judge, Judged, Place, PlaceKey
from pipelines.enroll.local_state import LocalState
from pipelines.store.scan_schema import ContentScan
from pipelines.store.templates import ScanDataset

ENOUGH_PLACES = 24
"""Good places of one performer after which no more scans are looked at for it: 20 faces are enrolled at most."""
IMAGES_AT_ONCE = 3000
"""Scans of gallery images in memory."""
SAVE_EVERY_S = 30.0

Stamps = Mapping[tuple[str, str], str]
"""When each content was scanned, by kind and id."""


def scan_stamps(dataset: ScanDataset, template_id: str) -> dict[tuple[str, str], str]:
    """Returns when each content with faces of the pack was scanned, by kind and id."""
    done = dataset.done(("kind", "content_id", "pack", "scanned_at", "face_count"))
    own = done.filter(pc.and_(pc.equal(done["pack"], template_id), pc.greater(done["face_count"], 0)))
    times = own["scanned_at"].cast(pa.int64()).to_pylist()
    kinds, ids = own["kind"].to_pylist(), own["content_id"].to_pylist()
    return {(kind, i): str(at) for kind, i, at in zip(kinds, ids, times, strict=True)}


def stamp_of(place: Place, stamps: Stamps) -> str:
    """Returns what changes whenever a scan of the place does, or which images there are."""
    if place.kind != "gallery":
        return stamps[place.key]
    text = " ".join(f"{i}={stamps['image', i]}" for i in place.images)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class JudgedPlaces:
    """What places show.

    Attributes:
        judged: by key; without those whose performers have enough good ones.
        merged: of the performers that are gone, who took over their places.
        looked_at: number of places that were new.
    """

    judged: dict[PlaceKey, Judged]
    merged: dict[str, str]
    looked_at: int


def judge_places(
    state: LocalState,
    dataset: ScanDataset,
    judge: Judge,
    places: Sequence[Place],
    stamps: Stamps,
    gone: Iterable[str],
    *,
    on_progress: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> JudgedPlaces:
    """Looks at the scans of places that are new or were scanned anew, and remembers what they show.

    Args:
        stamps: of `scan_stamps`.
        gone: ids of performers that Stash has no more.
        on_progress: is given how many are done of how many, now and then.
    """
    before = state.read_judged()
    wanted = {place.key: stamp_of(place, stamps) for place in places}
    owners = {place.key: place.performer_id for place in places}
    judged = {key: j for key in wanted if (j := before.get(key)) is not None and j.stamp == wanted[key]}
    good = Counter(owners[key] for key, j in judged.items() if j.reason == ONE_PERSON)
    todo = [place for place in places if place.key not in judged]
    saved, done = time.monotonic(), 0

    def remember() -> None:
        state.write_judged({key: replace(j, performer_id=owners[key]) for key, j in judged.items()})

    for place, scans in _scans(dataset, state.pack.template_id, todo, good):
        if should_stop():
            break
        judged[place.key] = judge.judge(place.kind, scans, wanted[place.key])
        good[place.performer_id] += judged[place.key].reason == ONE_PERSON
        done += 1
        if time.monotonic() - saved > SAVE_EVERY_S:
            saved = time.monotonic()
            remember()
        if done % 100 == 0:
            on_progress(done, len(todo))
    if done or before.keys() != judged.keys() or any(before[k].performer_id != owners[k] for k in judged):
        remember()
    return JudgedPlaces(judged, _merged(gone, before, owners), done)


def _scans(
    dataset: ScanDataset, template_id: str, todo: Sequence[Place], good: Counter[str]
) -> Iterator[tuple[Place, list[ContentScan]]]:
    """Yields places with their scans, without those whose performer has enough of them already."""
    single = {place.key: place for place in todo if place.kind != "gallery"}
    if single:
        for scan in dataset.scans(pack=template_id, keys=set(single)):
            place = single[scan.key.kind, scan.key.content_id]
            if good[place.performer_id] < ENOUGH_PLACES:
                yield place, [scan]
    for part in _parts([place for place in todo if place.kind == "gallery"]):
        wanted = [place for place in part if good[place.performer_id] < ENOUGH_PLACES]
        keys = {("image", i) for place in wanted for i in place.images}
        if keys:
            scans = {scan.key.content_id: scan for scan in dataset.scans(pack=template_id, keys=keys)}
            for place in wanted:
                yield place, [scans[i] for i in place.images if i in scans]


def _merged(gone: Iterable[str], before: Mapping[PlaceKey, Judged], owners: Mapping[PlaceKey, str]) -> dict[str, str]:
    """Returns who took over the places of performers that are gone, by id of the gone one."""
    heirs: dict[str, Counter[str]] = {performer_id: Counter() for performer_id in gone}
    for key, judged in before.items():
        if judged.performer_id in heirs and key in owners:
            heirs[judged.performer_id][owners[key]] += 1
    return {performer_id: found.most_common(1)[0][0] for performer_id, found in heirs.items() if found}


def _parts(places: Sequence[Place]) -> Iterator[list[Place]]:
    """Yields galleries in parts of about IMAGES_AT_ONCE images."""
    part: list[Place] = []
    images = 0
    for place in places:
        if part and images + len(place.images) > IMAGES_AT_ONCE:
            yield part
            part, images = [], 0
        part.append(place)
        images += len(place.images)
    if part:
        yield part
