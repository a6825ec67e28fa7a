"""The records that candidates, proof and score hand to each other.

Times are seconds of the file they belong to. A pair is (a, b), a being the scene with the smaller number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from pipelines.media.video import VideoSource

Relation = Literal["copy", "trim", "clip", "other_intro", "same_set", "different", "undecided"]
"""What the pictures of two scenes say.

copy: the same from start to end. trim: one lacks a part of the start or the end of the other. clip: one is a small part
of the other. other_intro: the same but for an opening or an ending of its own. same_set: another take in the same room,
never a duplicate. different: not the same footage. undecided: too little could be seen, such as less than 20 s.
"""
WORKER_FAILED = "worker_failed"
"""Code of the failure of a proof that ended its process, or raised what nobody expected."""
DUPLICATE_RELATIONS: frozenset[Relation] = frozenset({"copy", "trim", "clip", "other_intro"})


@dataclass(frozen=True, slots=True)
class SceneVideo:
    """The file of one scene that is looked at.

    Attributes:
        scene_id: Stash's id.
        fingerprint: `content_fingerprint` of the file: proofs of other files do not count for this one.
        source: where it is read.
        duration_s: as Stash has it; 0 when it does not know.
    """

    scene_id: str
    fingerprint: str
    source: VideoSource = field(repr=False)
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ProofHints:
    """What the candidates know of how two scenes lie on each other; every hint may be wrong.

    Attributes:
        offsets_s: likely values of (time in b) - (time in a), the likeliest first.
        mirrored: whether b is a mirror image of a; None when unknown.
    """

    offsets_s: tuple[float, ...] = ()
    mirrored: bool | None = None


@dataclass(frozen=True, slots=True)
class ProofRequest:
    """One pair to look at. Raises ValueError when both sides are one scene."""

    a: SceneVideo
    b: SceneVideo
    hints: ProofHints = ProofHints()

    def __post_init__(self) -> None:
        if self.a.scene_id == self.b.scene_id:
            raise ValueError(f"scene {self.a.scene_id} is compared with itself")


@dataclass(frozen=True, slots=True)
class Alignment:
    """How two scenes lie on each other where they are the same.

    Attributes:
        offset_s: (time in b) - speed * (time in a).
        speed: seconds of b that a second of a takes; 1 without a change of speed.
        mirrored: b is a mirror image of a.
        a, b: start and end of the common part in each, s.
    """

    offset_s: float
    speed: float
    mirrored: bool
    a: tuple[float, float]
    b: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Proof:
    """What the pictures of a pair say.

    Attributes:
        relation: see `Relation`.
        d: mean number of differing bits of PDQ (of 256) over the best window; None when nothing could be compared.
        r: correlation of the motion in that window, -1..1; None where there is too little motion or evidence.
        evidence_s: length of what was compared, s.
        alignment: of the best window and what continues it; None when nothing could be compared.
        failure: why a file could not be read, as `code: words`; "" otherwise. `relation` is then "undecided".
        retryable: whether a failure may pass.
        version: of the method; proofs of another version are made again.
    """

    relation: Relation
    d: float | None = None
    r: float | None = None
    evidence_s: float = 0.0
    alignment: Alignment | None = None
    failure: str = ""
    retryable: bool = False
    version: int = 1

    def __post_init__(self) -> None:
        if self.relation not in get_args(Relation):
            raise ValueError(f"relation is {self.relation!r}, must be one of {get_args(Relation)}")
        if self.failure and self.relation != "undecided":
            raise ValueError(f"a proof that failed is undecided, not {self.relation}")

    @property
    def duplicate(self) -> bool:
        return self.relation in DUPLICATE_RELATIONS
