"""The pictures of faces that enrolments keep beside the database, see `store.face_crops`."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pipelines.faces.engine import Face
from pipelines.faces.types import Frame
from pipelines.media.crops import cut_face
from pipelines.settings import Settings
from pipelines.store.face_crops import FaceCrops, face_key
from pipelines.store.performers import PerformerDatabase

QUALITY = 80


class CropWriter:
    """Cuts and keeps the faces of one source, `Settings.enrolled_crop_px` a side; none when that is 0."""

    def __init__(self, settings: Settings, source: str) -> None:
        self._side_px = settings.enrolled_crop_px
        self._database = PerformerDatabase(settings.database_path)
        self._source = source
        self.crops = FaceCrops(settings.enrolled_crops_path, source)

    def cut(self, frame: Frame, boxes: Sequence[Sequence[float]]) -> list[bytes]:
        """Returns a JPEG of each box (x1, y1, x2, y2 px), empty ones when none are kept."""
        if not self._side_px:
            return [b""] * len(boxes)
        return [_jpeg(cut_face(frame, box, largest_px=self._side_px)) for box in boxes]

    def keep(self, universal_id: str, face: Face, jpeg: bytes) -> None:
        """Keeps the picture of a face of somebody; nothing for no bytes. Raises NotWritable."""
        if jpeg:
            self.crops.put(universal_id, face_key(face.template), jpeg)

    def tidy(self) -> None:
        """Removes the pictures of everybody whom no version has from this source. Raises NotWritable."""
        self.crops.keep_people(self._database.entries(self._source))


def _jpeg(picture: Frame) -> bytes:
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes() if done else b""
