"""People as JSON: one shape for pictures, galleries and videos, that of `schemas.Identification`."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from pipelines.faces.identify import FoundPerson, Match
from pipelines.faces.types import U8
from pipelines.identify_media import match_record

if TYPE_CHECKING:
    from serve_app.deployments.evidence import Evidence

CROP_QUALITY = 90

About = Mapping[str, Mapping[str, str]]
"""What else is known of performers, by universal id: country, image_url."""


def people_answer(people: Sequence[FoundPerson], evidence: Evidence, about: About) -> dict[str, list[dict[str, Any]]]:
    """Returns {"people", "unknown"}: the named and the others, in the order they came in."""
    answers = [(p.match is not None, person_answer(p, evidence, about)) for p in people]
    return {"people": [a for named, a in answers if named], "unknown": [a for named, a in answers if not named]}


def person_answer(person: FoundPerson, evidence: Evidence, about: About) -> dict[str, Any]:
    """Returns one person; the keys of the performer come first when there is one."""
    return {
        **(match_answer(person.match, about) if person.match else {}),
        "faces": len(person.rows),
        "frames": person.frames,
        "ranges": [[round(start, 3), round(end, 3)] for start, end in person.ranges],
        "best": best_answer(person.best, evidence),
        "candidates": [match_answer(match, about) for match in person.candidates],
        **({"images": np.unique(evidence.faces.frames[person.rows]).tolist()} if evidence.gallery else {}),
    }


def match_answer(match: Match, about: About) -> dict[str, Any]:
    """Returns one candidate."""
    return {
        **match_record(match),
        "score": round(match.score, 4),
        "already_tagged": match.already_tagged,
        **about.get(match.universal_id, {}),
    }


def best_answer(row: int, evidence: Evidence) -> dict[str, Any]:
    """Returns where and when the best face of a person is."""
    faces = evidence.faces
    x1, y1, x2, y2 = faces.boxes[row].tolist()
    time_s = float(evidence.times[row])
    return {
        "box": {"x": round(x1, 1), "y": round(y1, 1), "width": round(x2 - x1, 1), "height": round(y2 - y1, 1)},
        "frame": int(faces.frames[row]),
        "time_s": None if np.isnan(time_s) else round(time_s, 3),
        "quality": round(float(faces.qualities[row]), 4),
        "detection_score": round(float(faces.scores[row]), 4),
    }


def jpeg(picture: U8) -> bytes:
    """Returns an RGB picture as JPEG."""
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, CROP_QUALITY])
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} cannot be written as JPEG")
    return np.asarray(data).tobytes()


def jpeg_base64(picture: U8) -> str:
    """Returns an RGB picture as a base64 JPEG."""
    return base64.b64encode(jpeg(picture)).decode("ascii")
