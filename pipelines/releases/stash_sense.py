"""Full bundles of the first Stash Sense: two Voyager indices whose item i is the face i of faces.json.

A template is FaceNet's vector and ArcFace's beside each other, as the pack `stash-sense-2026` makes them; both come
back from Voyager scaled to unit length, which is what the pack compares.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.errors import ReleaseCorrupt, ReleaseUnsupported
from pipelines.faces.packs import ModelPack
from pipelines.releases.bundle import Bundle
from pipelines.releases.facts import ReleaseFacts, Watch
from pipelines.releases.files import require_count
from pipelines.releases.people import read_owners
from pipelines.releases.performers_db import read_faces
from pipelines.releases.vectors import Vectors, read_vectors

INDICES = ("face_facenet.voy", "face_arcface.voy")
"""In the order of the pack's embedders."""


def read_bundle(folder: Path, facts: ReleaseFacts, pack: ModelPack, scratch: Path, watch: Watch) -> Bundle:
    """Returns the verified bundle in `folder`; its vectors lie in `scratch`.

    Raises:
        ReleaseCorrupt: a file cannot be read, or the numbers of faces disagree.
        ReleaseUnsupported: made with other models than the pack's.
        ImporterMissing: the library voyager is not installed.
    """
    _check_models(facts, pack)
    owners = read_owners(folder, facts)
    count = len(owners.code)
    require_count("entries in faces.json", count, facts.faces)
    found = [_index(folder / name, count, scratch, pack, watch) for name in INDICES]
    good = found[0].good & found[1].good
    known = read_faces(folder / "performers.db", ("facenet_index", "arcface_index"))
    return owners.bundle(
        np.arange(count),
        good,
        known,
        lambda rows: np.concatenate([vectors.values[rows] for vectors in found], axis=1),
        keyed=False,
    )


def _index(path: Path, count: int, scratch: Path, pack: ModelPack, watch: Watch) -> Vectors:
    number = INDICES.index(path.name)
    watch.step("read", number * count, len(INDICES) * count)
    vectors = read_vectors("voyager", path, scratch / path.stem, pack.embedders[number].dimension, watch)
    if len(vectors.keys) != count:
        raise ReleaseCorrupt(
            f"{path.name} holds {len(vectors.keys)} faces, faces.json {count}.", "Download the release again."
        )
    if count and (int(vectors.keys[0]) != 0 or int(vectors.keys[-1]) != count - 1):
        raise ReleaseCorrupt(f"{path.name} does not number its faces from 0 to {count - 1}.")
    watch.step("read", (number + 1) * count, len(INDICES) * count)
    return vectors


def _check_models(facts: ReleaseFacts, pack: ModelPack) -> None:
    """Raises ReleaseUnsupported when the manifest names what the pack does otherwise."""
    wanted = {
        "facenet_dim": pack.embedders[0].dimension,
        "arcface_dim": pack.embedders[1].dimension,
        "flip_averaging": all(e.flip for e in pack.embedders),
        "detector": "retinaface_buffalo_sc",
        "alignment": "insightface_norm_crop_5point",
    }
    for name, value in wanted.items():
        stated = facts.models.get(name, value)
        if stated != value:
            raise ReleaseUnsupported(
                f"The release was made with {name} {stated!r}, the pack {pack.id} has {value!r}.",
                "Its templates could not be compared with new ones.",
            )
