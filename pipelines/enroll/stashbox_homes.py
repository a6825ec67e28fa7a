"""Where what was seen of stash-boxes is kept, and with which gates; erasing people from it."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipelines.enroll.stashbox_ledger import Ledger
from pipelines.faces.gates import Gates
from pipelines.faces.packs import ModelPack
from pipelines.settings import Settings


def box_gates(pack: ModelPack) -> Gates:
    """Returns what a picture of a stash-box must be like: what the first Stash Sense asked of pictures.

    Its least detection score, 0.7, is one of InsightFace's detectors; YuNet's score means something else, so packs with
    that one keep their own least score.
    """
    return Gates(
        min_image_side_px=300,
        min_face_px=80,
        min_detection_score=None if "yunet" in pack.detector.file.name else 0.7,
        max_yaw_deg=45.0,
        max_faces=20,
    )


def box_folder(settings: Settings, domain: str, pack: ModelPack) -> Path:
    """Returns where what was seen of a box is kept, for one kind of template."""
    return settings.enrolments_path / domain / pack.template_id.replace(":", "@").replace("/", "_")


def erase_seen(settings: Settings, universal_ids: list[str]) -> int:
    """Removes what was seen of performers of stash-boxes, of every pack; returns the number of faces removed.

    They are looked at again when they change, or when everything is listed again.
    """
    faces = 0
    for folder in sorted(settings.enrolments_path.glob("*/*")):
        own = [i.partition(":")[2] for i in universal_ids if i.partition(":")[0] == folder.parent.name]
        if own and (folder / "pictures").is_dir():
            faces += Ledger(folder, 0).erase(own)
            shutil.rmtree(folder / "run" / "examples", ignore_errors=True)
    return faces
