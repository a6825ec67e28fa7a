"""The small pictures of enrolled faces, and what the faces of a person cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.store.coverage import coverage
from pipelines.store.face_crops import FaceCrops, face_key, forget_faces

ANN, BEA = "stashdb.org:ann", "stashdb.org:bea"


def test_pictures_are_kept_by_source_and_person(tmp_path: Path) -> None:
    box, own = FaceCrops(tmp_path, "stashdb.org"), FaceCrops(tmp_path, "stash")
    assert box.get(ANN, "1") is None
    assert box.keys(ANN) == set()
    for key in ("1", "2", "3"):
        box.put(ANN, key, f"ann {key}".encode())
    box.put(BEA, "1", b"bea")
    own.put(ANN, "1", b"other source")
    assert (box.get(ANN, "2"), own.get(ANN, "1"), own.get(ANN, "2")) == (b"ann 2", b"other source", None)
    box.keep_only(ANN, {"1", "3", "never kept"})
    assert box.keys(ANN) == {"1", "3"}
    box.keep_people([ANN])
    assert (box.keys(ANN), box.keys(BEA), own.keys(ANN)) == ({"1", "3"}, set(), {"1"})
    assert forget_faces(tmp_path, [ANN, "stash:nobody"]) == 3
    assert not list(tmp_path.rglob("*.jpg"))
    assert forget_faces(tmp_path / "never", [ANN]) == 0


def test_a_face_is_known_by_its_template_as_it_is_stored() -> None:
    template = np.random.default_rng(1).standard_normal(128).astype(np.float32)
    assert face_key(template) == face_key(template.astype(np.float16).astype(np.float32))
    assert face_key(template) != face_key(-template)


@pytest.mark.parametrize(
    ("yaws", "qualities", "missing"),
    [
        ([0.0], [0.9], ("one_face", "no_left", "no_right")),
        ([-30.0, 0.0, 25.0], [0.1, 0.2, 0.1], ("few_faces", "no_clear")),
        ([-30.0, -20.0, 0.0, 5.0, 40.0], [0.9] * 5, ()),
        ([None] * 6, [None] * 6, ()),
    ],
)
def test_what_is_missing_is_said_as_far_as_it_is_known(
    yaws: list[float | None], qualities: list[float | None], missing: tuple[str, ...]
) -> None:
    faces = [{"yaw_deg": y, "quality": q, "origin": "stash"} for y, q in zip(yaws, qualities, strict=True)]
    found = coverage(faces)
    assert found.missing == missing
    assert found.left + found.front + found.right + found.unknown == found.faces == len(yaws)
    assert found.sources == {"stash": len(yaws)}
