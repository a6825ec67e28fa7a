"""Full bundles of the maintained successor: one usearch index whose keys are entries of faces.json, with holes.

A template is what the pack `buffalo_l` makes of a face, stored in half precision. The key stays with the face
(`bundle`), because deltas call faces by it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.errors import ReleaseCorrupt
from pipelines.faces.packs import ModelPack
from pipelines.releases.bundle import I64, Bundle
from pipelines.releases.facts import ReleaseFacts, Watch
from pipelines.releases.files import as_list, read_json
from pipelines.releases.links import linked
from pipelines.releases.people import Owners, read_owners
from pipelines.releases.performers_db import read_faces
from pipelines.releases.vectors import read_vectors

INDEX = "face_embeddings.usearch"
YAW_FILE = "face_yaw.json"


def read_bundle(folder: Path, facts: ReleaseFacts, pack: ModelPack, scratch: Path, watch: Watch) -> Bundle:
    """Returns the verified bundle in `folder`, with its links and aliases; its vectors lie in `scratch`.

    Raises:
        ReleaseCorrupt: a file cannot be read, or the numbers of faces disagree.
        ReleaseUnsupported: vectors of another length than the pack's.
        ImporterMissing: the library usearch is not installed.
    """
    owners = read_owners(folder, facts)
    slots, owned = len(owners.code), int((~owners.null).sum())
    watch.step("read", 0, owned)
    vectors = read_vectors("usearch", folder / INDEX, scratch / "usearch", pack.template_dim, watch)
    count = len(vectors.keys)
    if count and (int(vectors.keys[0]) < 0 or int(vectors.keys[-1]) >= slots or (np.diff(vectors.keys) <= 0).any()):
        raise ReleaseCorrupt(f"{INDEX} numbers its faces up to {vectors.keys[-1]}, faces.json has {slots} entries.")
    # Releases state the faces, or the length of faces.json with its holes.
    if facts.faces is not None and facts.faces not in {count, owned, slots}:
        raise ReleaseCorrupt(
            f"There are {count} faces in {INDEX} and {owned} in faces.json, the manifest states {facts.faces}.",
            "Download the release again.",
        )
    known = read_faces(folder / "performers.db", ("embedding_index",))
    bundle = owners.bundle(vectors.keys, vectors.good, known, lambda rows: vectors.values[rows], keyed=True)
    _count_holes(bundle, owners, vectors.keys)
    _read_yaw(bundle, folder / YAW_FILE)
    watch.step("read", owned, owned)
    return linked(bundle, folder)


def _count_holes(bundle: Bundle, owners: Owners, keys: I64) -> None:
    """Counts as without an owner what has a vector, not the holes of faces.json, and what has an owner alone."""
    stored = np.zeros(len(owners.code), dtype=np.bool_)
    stored[keys] = True
    counts = {
        "no_owner": int((owners.null & stored).sum()),
        "missing_vectors": int(((owners.code >= 0) & ~stored).sum()),
    }
    for reason, count in counts.items():
        bundle.skipped.pop(reason, None)
        if count:
            bundle.skipped[reason] = count


def _read_yaw(bundle: Bundle, path: Path) -> None:
    """Fills in the yaw of faces whose row has none from the optional list by key."""
    if not path.is_file():
        return
    listed = as_list(read_json(path), path.name)
    values = np.array([v if isinstance(v, int | float) else np.nan for v in listed], dtype=np.float32)
    within = bundle.key < len(values)
    unknown = np.isnan(bundle.yaw_deg) & within
    bundle.yaw_deg[unknown] = values[bundle.key[unknown]]
