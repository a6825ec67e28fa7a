"""The labelled set of duplicates: which scenes there are, which pairs of them are copies, and which are not.

    python -m tests.bench.duplicate_set FOLDER [--footage VIDEOS] [--quick] [--part 1/2]

makes the files (those that are there already are kept). Scenes of `CONTENT_S` + 10 s are cut together from real clips
(tests/data/video and the videos of the evaluation data, or a folder of other videos); 14 transforms make copies of some
of them. Negatives, hardest last:

- easy: other footage; both scenes begin with the intro of one studio
- room: same room, other people
- people: same people, clothes and room, other takes
- static: one fixed camera, other takes
- sync: same people and room, other takes, the same cuts, crops and speeds

The scenes come in two halves without a frame in common, intros included: what is fitted on one is tested on the other.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import av

from tests.bench.duplicate_render import (
    BLACK_S,
    END_CARD_S,
    H264,
    INTRO_S,
    TRANSFORMS,
    Copy,
    Source,
    copy_of,
    encode,
    load,
    scene,
    seeded,
    shots,
)

REAL = Path(__file__).parents[1] / "data" / "video"
CONTENT_S = 100.0
QUICK_CONTENT_S = 55.0
MOST = {"easy": 180, "room": 140, "people": 130, "static": 80, "sync": 110}
QUICK_TRANSFORMS = ("low", "mirror", "trim")


@dataclass(frozen=True)
class Take:
    """Footage that no other take shares a frame with.

    Attributes:
        half: 0 or 1.
        room: takes of one room show the same place.
        people: who is in it, or what.
        fixed: the camera does not move.
    """

    name: str
    half: int
    room: str
    people: str
    sources: tuple[Source, ...]
    fixed: bool


@dataclass(frozen=True)
class File:
    """One file of the set.

    Attributes:
        takes: names of all takes that are in it.
        transform: "" for a scene as it was cut.
        edit: whose cuts it has.
    """

    name: str
    take: Take
    edit: str
    fixed_edit: bool = False
    transform: str = ""
    filler: File | None = None
    takes: frozenset[str] = field(default_factory=frozenset)

    @property
    def suffix(self) -> str:
        return ".avi" if self.transform == "mpeg4_30fps" else ".mp4"


@dataclass(frozen=True)
class Pair:
    """Two files and the truth about them. `kind` is a transform for a copy, else a class of negatives."""

    a: File
    b: File
    duplicate: bool
    kind: str


def takes(eval_data: Path | None) -> list[Take]:
    """Returns the takes of which the footage is on this machine."""
    folders = [REAL] + ([eval_data / "video"] if eval_data else [])
    found: list[Take] = []

    def add(
        name: str, half: int, room: str, people: str, parts: Sequence[tuple[str, float, float]], *, fixed: bool
    ) -> None:
        paths = [next((d / p for d in folders if (d / p).exists()), None) for p, _, _ in parts]
        sources = [
            Source(path, start, end or duration_s(path))
            for path, (_, start, end) in zip(paths, parts, strict=True)
            if path is not None
        ]
        if sources:
            found.append(Take(name, half, room, people, tuple(sources), fixed))

    signers = {
        "signer_a1": "again brother help",
        "signer_a2": "no student yes",
        "signer_b1": "bird milk",
        "signer_b2": "please sorry thanks",
        "signer_c1": "book learn",
        "signer_c2": "school walk",
    }
    for name, words in signers.items():
        parts = [(f"real/asl_{word}.mkv", 0.0, 0.0) for word in words.split()]
        add(name, 0, "signers", name[:-1], parts, fixed=True)
    for number in range(4):
        span = (number * 10.0, min(number * 10.0 + 9.5, 39.5))
        add(f"bottles{number + 1}", 0, "bottles", "bottles", [("real/noface_bottles.mp4", *span)], fixed=True)
    add("photos1", 0, "photos", "photos_a", [("derived/slideshow1.mp4", 0.0, 0.0)], fixed=False)
    add("photos2", 0, "photos2", "photos_b", [("derived/slideshow2.mp4", 0.0, 0.0)], fixed=False)
    slides3 = "derived/slideshow3_same_people_other_photos.mp4"
    add("photos3", 0, "photos", "photos_a", [(slides3, 0.0, 0.0)], fixed=False)
    # One take: the man turns his head and turns it back, so that both halves show the same.
    add("pose_male1", 1, "pose", "male", [("real/head_pose_male.mp4", 0.0, 0.0)], fixed=True)
    add("pose_female", 1, "pose", "female", [("real/head_pose_female.mp4", 0.0, 0.0)], fixed=True)
    add("pose_both", 1, "pose", "both", [("real/head_pose_female_and_male.mp4", 0.0, 0.0)], fixed=True)
    halves = (
        ("stage", "real/short_hamilton_clip.mp4", 5.0, False),
        ("film", "real/chaplin.mp4", 4.8, False),
        ("dark", "real/noface_nasa_dark.mp4", 6.5, False),
        ("street", "real/street_crowd_1080p.mp4", 2.1, True),
    )
    for name, path, middle, fixed in halves:
        add(f"{name}1", 1, name, name, [(path, 0.0, middle - 0.05)], fixed=fixed)
        add(f"{name}2", 1, name, name, [(path, middle + 0.05, 0.0)], fixed=fixed)
    return found


HARD_TRANSFORMS = ("low", "crop_logo", "speed", "clip", "inside", "combo")
"""Those of which copies were missed on one of two sets of footage (2026-11-26)."""
LONG_CONTENT_S = 600.0
LONG_TRANSFORMS = ("low", "crop_logo", "trim", "speed", "clip")


def long_takes(every: Sequence[Take]) -> list[Take]:
    """Returns two takes of all real clips, one of the first and one of the second takes, and one of other footage."""
    parts = {
        number: tuple(
            s for t in every if t.name.endswith(str(number)) for s in t.sources if "derived" not in s.path.parts
        )
        for number in (1, 2)
    }
    other = tuple(s for t in every if not t.name.endswith(("1", "2")) for s in t.sources)
    return [
        *(Take(f"long{number}", 0, "long", "long", sources, fixed=False) for number, sources in parts.items()),
        Take("other", 0, "other", "other", other, fixed=False),
    ]


def takes_of_videos(folder: Path) -> Iterator[Take]:
    """Yields takes of any videos: each is a room of its own with one fixed camera, cut into takes of up to 30 s."""
    for index, path in enumerate(sorted(folder.iterdir())):
        length = duration_s(path)
        count = 4 if length > 60 else 2
        for number in range(count):
            start, end = length * number / count + 0.05, length * (number + 1) / count - 0.05
            source = Source(path, start, min(end, start + 30))
            yield Take(f"{path.stem}{number + 1}", index % 2, path.stem, path.stem, (source,), fixed=True)


@cache
def duration_s(path: Path) -> float:
    """Returns the time of the last picture; the containers of some clips state the sound's."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [float(p.pts * p.time_base) for p in container.demux(stream) if p.pts is not None and p.size]
    return max(times) - min(times)


@dataclass(frozen=True)
class LabelledSet:
    """The files and pairs, and where they are."""

    folder: Path
    files: tuple[File, ...]
    pairs: tuple[Pair, ...]
    content_s: float

    def path(self, file: File) -> Path:
        return self.folder / f"{file.name}{file.suffix}"

    @property
    def scene_s(self) -> float:
        return INTRO_S + BLACK_S + self.content_s + BLACK_S + END_CARD_S

    def copy(self, file: File) -> Copy:
        """Returns what the transform of `file` does to its scene (the truth about its alignment)."""
        assert file.filler is not None
        scene_path = self.folder / f"{file.name.rpartition('__')[0]}.mp4"
        return copy_of(file.transform, scene_path, self.scene_s, self.path(file.filler))

    def make(self, file: File) -> Path:
        """Makes the file unless it is there."""
        path = self.path(file)
        if path.exists():
            return path
        if file.transform and file.filler is not None:
            self.make(self.scene_of(file))
            self.make(file.filler)
            copy = self.copy(file)
            encode(path, copy.frames, copy.encoding)
        else:
            edit = shots(file.edit, self.content_s, fixed=file.fixed_edit)
            encode(path, scene(edit, load(file.take.sources), f"studio{file.take.half}"), H264)
        return path

    def scene_of(self, file: File) -> File:
        name = file.name.rpartition("__")[0]
        return next(f for f in self.files if f.name == name)


def labelled_set(
    folder: Path,
    every: Sequence[Take],
    *,
    quick: bool = False,
    content_s: float = CONTENT_S,
    transforms: Sequence[str] = TRANSFORMS,
) -> LabelledSet:
    """Returns what the set consists of; makes nothing yet."""
    if quick:
        every = [t for t in every if t.name in {"signer_a1", "signer_b1", "bottles1", "bottles2", "stage1", "stage2"}]
        transforms, content_s = QUICK_TRANSFORMS, QUICK_CONTENT_S
    scenes = {t.name: File(t.name, t, t.name, takes=frozenset({t.name})) for t in every}
    originals = [scenes[t.name] for t in every if t.name.endswith("1")]
    copies = [_copy(original, transform, scenes) for original in originals for transform in transforms]
    pairs = [Pair(c_of, c, duplicate=True, kind=c.transform) for c_of, c in _with_scene(copies, scenes)]
    static = {
        t.name: File(f"{t.name}_static", t, f"{t.room}_static", fixed_edit=True, takes=frozenset({t.name}))
        for t in every
        if t.fixed
    }
    sync = [
        File(f"{other.name}_as_{o.name}", other, o.name, takes=frozenset({other.name}))
        for o in originals
        for other in every
        if other.people == o.take.people and other.name != o.name
    ]
    static_copies = [
        _copy(static[t.name], k, scenes) for t in every if t.fixed and t.name.endswith("1") for k in ("low", "trim")
    ]
    files = [*scenes.values(), *copies, *static.values(), *sync, *static_copies]
    pairs += _negatives(files, sync)
    return LabelledSet(folder, tuple(files), tuple(pairs), content_s)


def _copy(original: File, transform: str, scenes: dict[str, File]) -> File:
    others = [f for f in scenes.values() if f.take.half == original.take.half and f.take.room != original.take.room]
    others = others or [f for f in scenes.values() if f.take.room != original.take.room]
    filler = others[int(seeded(original.name).integers(len(others)))]
    inside = original.takes | (filler.takes if transform == "inside" else frozenset())
    return File(
        f"{original.name}__{transform}", original.take, original.edit, original.fixed_edit, transform, filler, inside
    )


def _with_scene(copies: Sequence[File], scenes: dict[str, File]) -> Iterator[tuple[File, File]]:
    for copy in copies:
        yield scenes[copy.take.name], copy


def _negatives(files: Sequence[File], sync: Sequence[File]) -> list[Pair]:
    """Returns pairs of each class, at most MOST of it, spread evenly over the scenes and transforms."""
    classes: dict[str, list[Pair]] = {kind: [] for kind in MOST}
    synced = {f.name for f in sync}
    plain = [f for f in files if not f.transform]
    for a in files:
        for b in plain:
            if (
                a.name == b.name
                or a.take.half != b.take.half
                or a.takes & b.takes
                or (not a.transform and a.name > b.name)
            ):
                continue
            kind = _negative_kind(a, b, synced)
            if kind:
                classes[kind].append(Pair(b, a, duplicate=False, kind=kind))
    chosen = []
    for kind, most in MOST.items():
        pairs = classes[kind]
        order = seeded("pairs " + kind).permutation(len(pairs))
        chosen += [pairs[i] for i in sorted(order[:most])]
    return chosen


def _negative_kind(a: File, b: File, synced: set[str]) -> str:
    if a.take.room != b.take.room:
        return "" if {a.name, b.name} & synced or a.fixed_edit or b.fixed_edit else "easy"
    if a.fixed_edit and b.fixed_edit:
        return "static"
    if a.fixed_edit or b.fixed_edit:
        return ""
    if b.name in synced:
        return "sync" if a.edit == b.edit else ""
    if a.name in synced:
        return "sync" if a.edit == b.edit else ""
    return "people" if a.take.people == b.take.people else "room"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.duplicate_set", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--footage", type=Path, help="a folder of videos to make the scenes of instead")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", default="1/1", help="2/3: the second third of the scenes")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    evaluation = os.environ.get("STASH_SENSE_EVAL_DATA")
    every = takes(Path(evaluation) if evaluation else None)
    if arguments.footage:
        every = list(takes_of_videos(arguments.footage))
    found = labelled_set(arguments.folder, every, quick=arguments.quick)
    part, parts = (int(n) for n in arguments.part.split("/"))
    roots = sorted({f.take.name for f in found.files})
    for file in found.files:
        if roots.index(file.take.name) % parts == part - 1:
            found.make(file)
    kinds = [p.kind for p in found.pairs]
    print(f"{len(found.files)} files, {sum(p.duplicate for p in found.pairs)} copies")
    print({kind: kinds.count(kind) for kind in dict.fromkeys(kinds)})


if __name__ == "__main__":
    main()
