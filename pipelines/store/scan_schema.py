"""What one scanned scene or image leaves behind: records, and the columns they have in Parquet.

Lives here: `ContentScan` and its parts, the schemas, arrays to Arrow and back. Files are `scan_parts` and `templates`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.errors import InputError
from pipelines.faces.types import F32, I32, U8

ContentKind = Literal["scene", "image"]
ScanStatus = Literal["ok", "no_face", "partial", "failed"]
F16 = npt.NDArray[np.float16]
U64 = npt.NDArray[np.uint64]

_CONTENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ENOUGH_HEX = 12


@dataclass(frozen=True, slots=True)
class ScanRecipe:
    """Everything besides the file that decides what a scan finds.

    Attributes:
        pack: `ModelPack.template_id`.
        sampling: short digest over which frames are looked at and which faces are kept.
        hashes: version of the frame hashes.
    """

    pack: str
    sampling: str
    hashes: str

    @property
    def digest(self) -> str:
        """12 hex digits; equal recipes, equal digests."""
        text = f"{self.pack}\0{self.sampling}\0{self.hashes}"
        return hashlib.sha256(text.encode()).hexdigest()[:_ENOUGH_HEX]


@dataclass(frozen=True, slots=True)
class ScanKey:
    """Which file was scanned how. A content whose newest scan has the wanted key needs no other scan.

    Attributes:
        content_id: Stash's id: letters, digits, - and _, at most 64.
        file_fingerprint: see `pipelines.stash.records.content_fingerprint`.
    """

    kind: ContentKind
    content_id: str
    file_fingerprint: str
    recipe: ScanRecipe

    def __post_init__(self) -> None:
        if self.kind not in get_args(ContentKind):
            raise InputError(f"kind is {self.kind!r}.", "scene and image are allowed.")
        if not _CONTENT_ID.fullmatch(self.content_id):
            raise InputError(f"content id is {self.content_id!r}.", "Letters, digits, - and _ are allowed, at most 64.")

    @property
    def recipe_digest(self) -> str:
        return self.recipe.digest

    @property
    def digest(self) -> str:
        """12 hex digits over file and recipe, without the content's id."""
        text = f"{self.file_fingerprint}\0{self.recipe.digest}"
        return hashlib.sha256(text.encode()).hexdigest()[:_ENOUGH_HEX]


@dataclass(frozen=True, slots=True, eq=False)
class ScannedFaces:
    """The n faces of one content, in order of frame; boxes and landmarks in px of the source picture as it is shown.

    Attributes:
        frame: (n,) int32, number of the sampled frame; 0 for images.
        time_s: (n,) float32, NaN for images.
        box: (n, 4) float32, x1 y1 x2 y2.
        landmarks: (n, 5, 2) float32.
        score: (n,) float32, of the detector.
        yaw, roll: (n,) float32, degrees.
        quality: (n,) float32, 0..1.
        template: (n, template_dim) float16; template_dim may be 0 where n is 0.
    """

    frame: I32
    time_s: F32
    box: F32
    landmarks: F32
    score: F32
    yaw: F32
    roll: F32
    quality: F32
    template: F16

    def __post_init__(self) -> None:
        n = len(self.frame)
        shapes = {"box": (n, 4), "landmarks": (n, 5, 2), "template": (n, self.template.shape[-1])}
        for name, dtype in _FACE_DTYPES.items():
            array, shape = getattr(self, name), shapes.get(name, (n,))
            if array.dtype != dtype or array.shape != shape:
                raise ValueError(f"{name} is {array.dtype} {array.shape}, must be {np.dtype(dtype)} {shape}")

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def none(cls, template_dim: int = 0) -> ScannedFaces:
        """Returns no faces."""
        one = np.zeros(0, np.float32)
        box, marks = np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32)
        template = np.zeros((0, template_dim), np.float16)
        return cls(np.zeros(0, np.int32), one, box, marks, one, one, one, one, template)


_FACE_DTYPES: dict[str, type[np.generic]] = {
    "frame": np.int32,
    "time_s": np.float32,
    "box": np.float32,
    "landmarks": np.float32,
    "score": np.float32,
    "yaw": np.float32,
    "roll": np.float32,
    "quality": np.float32,
    "template": np.float16,
}


@dataclass(frozen=True, slots=True, eq=False)
class FrameHashes:
    """Perceptual hashes of the m sampled frames of one content, in order of time.

    Attributes:
        time_s: (m,) float32, NaN for images.
        phash: (m,) uint64.
        pdq: (m, 32) uint8, the 256 bits of PDQ, most significant bit first.
        pdq_quality: (m,) uint8, 0..100.
    """

    time_s: F32
    phash: U64
    pdq: U8
    pdq_quality: U8

    def __post_init__(self) -> None:
        m = len(self.time_s)
        wanted = {"time_s": ("float32", (m,)), "phash": ("uint64", (m,)), "pdq": ("uint8", (m, 32))}
        for name, (dtype, shape) in (wanted | {"pdq_quality": ("uint8", (m,))}).items():
            array = getattr(self, name)
            if array.dtype != dtype or array.shape != shape:
                raise ValueError(f"{name} is {array.dtype} {array.shape}, must be {dtype} {shape}")

    def __len__(self) -> int:
        return len(self.time_s)

    @classmethod
    def none(cls) -> FrameHashes:
        """Returns no hashes."""
        return cls(np.zeros(0, np.float32), np.zeros(0, np.uint64), np.zeros((0, 32), np.uint8), np.zeros(0, np.uint8))


@dataclass(frozen=True, slots=True, eq=False)
class ContentScan:
    """All that one scan of one scene or image found.

    Attributes:
        status: "partial" where the file gave fewer frames than it promises; "failed" where it gave none.
        reason: why it is partial or failed; `reason_code` of errors, then a colon and words.
        retryable: whether another try may go better though neither file nor recipe change.
        duration_s: of a scene; NaN for images and failures.
        width, height: px as shown; 0 when unknown.
        galleries: ids of the galleries that an image is in.
        faces: none for "no_face" and "failed".
        frames: hashes of every sampled frame, faces or not.
    """

    key: ScanKey
    status: ScanStatus
    reason: str = ""
    retryable: bool = False
    scanned_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    duration_s: float = float("nan")
    width: int = 0
    height: int = 0
    galleries: tuple[str, ...] = ()
    faces: ScannedFaces = field(default_factory=ScannedFaces.none)
    frames: FrameHashes = field(default_factory=FrameHashes.none)

    def __post_init__(self) -> None:
        if self.status not in get_args(ScanStatus):
            raise ValueError(f"status is {self.status!r}, must be one of {get_args(ScanStatus)}")
        if self.status in {"partial", "failed"} and not self.reason:
            raise ValueError(f"a scan that is {self.status} needs a reason")
        if self.status in {"no_face", "failed"} and len(self.faces):
            raise ValueError(f"a scan that is {self.status} cannot have {len(self.faces)} faces")
        if self.scanned_at.tzinfo is None:
            raise ValueError("scanned_at needs a time zone")

    @property
    def frame_times(self) -> tuple[float, ...]:
        """Time of every sampled frame of a scene, s; empty for images."""
        return tuple(float(t) for t in self.frames.time_s if not np.isnan(t))


# --- columns ---------------------------------------------------------------------------------------------------------

CONTENT_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("content_id", pa.string(), nullable=False),
        pa.field("file_fingerprint", pa.string(), nullable=False),
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("pack", pa.string(), nullable=False),
        pa.field("sampling", pa.string(), nullable=False),
        pa.field("hashes", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("retryable", pa.bool_(), nullable=False),
        pa.field("scanned_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("galleries", pa.list_(pa.string()), nullable=False),
        pa.field("face_count", pa.int32(), nullable=False),
        pa.field("frame_count", pa.int32(), nullable=False),
    ]
)
"""One row a content."""

REPEATED = ("kind", "content_id", "file_fingerprint", "pack", "sampling")
"""Columns of the content that every face and every frame repeats."""

_FRAME_FIELDS = [
    pa.field("frame", pa.int32(), nullable=False),
    pa.field("time_s", pa.float32(), nullable=False),
    pa.field("phash", pa.uint64(), nullable=False),
    pa.field("pdq", pa.binary(32), nullable=False),
    pa.field("pdq_quality", pa.uint8(), nullable=False),
]
_REPEATED_FIELDS = [pa.field(name, pa.string(), nullable=False) for name in REPEATED]
FRAME_SCHEMA = pa.schema(_REPEATED_FIELDS + _FRAME_FIELDS)
"""One row a sampled frame."""


def face_schema(template_dim: int) -> pa.Schema:
    """Returns the columns of faces, one row a face, for templates of that length."""
    return pa.schema(_REPEATED_FIELDS + _face_fields(template_dim))


def single_schema(template_dim: int) -> pa.Schema:
    """Returns the columns of a file that holds one content: its row, with faces and frames as lists."""
    lists = [
        pa.field("faces", pa.list_(pa.struct(_face_fields(template_dim))), nullable=False),
        pa.field("frames", pa.list_(pa.struct(_FRAME_FIELDS)), nullable=False),
    ]
    return pa.schema([*CONTENT_SCHEMA, *lists])


def _face_fields(template_dim: int) -> list[Any]:
    types = {
        "frame": pa.int32(),
        "box": pa.list_(pa.float32(), 4),
        "landmarks": pa.list_(pa.float32(), 10),
        "template": pa.list_(pa.float16(), max(1, template_dim)),
    }
    return [pa.field(name, types.get(name, pa.float32()), nullable=False) for name in _FACE_DTYPES]


# --- records to Arrow and back ---------------------------------------------------------------------------------------


def single_table(scan: ContentScan) -> pa.Table:
    """Returns `scan` as one row of `single_schema`."""
    schema = single_schema(scan.faces.template.shape[1])
    row = [pa.array([value], f.type) for f, value in zip(CONTENT_SCHEMA, _content_values(scan), strict=True)]
    faces = pa.StructArray.from_arrays(_face_arrays(scan.faces), fields=list(schema.field("faces").type.value_type))
    frames = pa.StructArray.from_arrays(_frame_arrays(scan.frames), fields=_FRAME_FIELDS)
    lists = [pa.ListArray.from_arrays(pa.array([0, len(a)], pa.int32()), a) for a in (faces, frames)]
    return pa.Table.from_arrays([*row, *lists], schema=schema)


def content_scan(row: dict[str, Any], faces: Any, frames: Any) -> ContentScan:
    """Returns the record of one row of `CONTENT_SCHEMA` as a dict.

    `faces` and `frames` are its rows: tables, record batches or struct arrays with the columns of the schemas above.
    """
    recipe = ScanRecipe(row["pack"], row["sampling"], row["hashes"])
    key = ScanKey(row["kind"], row["content_id"], row["file_fingerprint"], recipe)
    return ContentScan(
        key,
        row["status"],
        row["reason"],
        row["retryable"],
        row["scanned_at"],
        row["duration_s"],
        row["width"],
        row["height"],
        tuple(row["galleries"]),
        scanned_faces(faces),
        frame_hashes(frames),
    )


def scanned_faces(rows: Any) -> ScannedFaces:
    """Returns faces from a table, record batch or struct array with the columns of `face_schema`."""
    arrays = {name: _numpy(_column(rows, name), dtype) for name, dtype in _FACE_DTYPES.items()}
    arrays["landmarks"] = arrays["landmarks"].reshape(-1, 5, 2)
    return ScannedFaces(**arrays)


def frame_hashes(rows: Any) -> FrameHashes:
    """Returns hashes from a table, record batch or struct array with the columns of `FRAME_SCHEMA`."""
    names = {"time_s": np.float32, "phash": np.uint64, "pdq_quality": np.uint8}
    arrays: dict[str, Any] = {name: _numpy(_column(rows, name), dtype) for name, dtype in names.items()}
    return FrameHashes(pdq=pdq_values(_column(rows, "pdq")), **arrays)


def pdq_values(column: Any) -> U8:
    """Returns (m, 32) uint8 of a `pdq` column."""
    packed = b"".join(column.to_pylist())
    return np.frombuffer(packed, np.uint8).reshape(-1, 32).copy()


def template_matrix(column: Any) -> F16:
    """Returns (n, template_dim) float16 of a `template` column."""
    matrix: F16 = _numpy(column, np.float16)
    return matrix


def without_times(scan: ContentScan) -> ContentScan:
    """Returns the scan with `scanned_at` at the epoch: what two scans of the same file have in common."""
    return replace(scan, scanned_at=datetime.fromtimestamp(0, UTC))


def _content_values(scan: ContentScan) -> Sequence[Any]:
    key, recipe = scan.key, scan.key.recipe
    return (
        key.kind,
        key.content_id,
        key.file_fingerprint,
        recipe.digest,
        recipe.pack,
        recipe.sampling,
        recipe.hashes,
        scan.status,
        scan.reason,
        scan.retryable,
        scan.scanned_at,
        scan.duration_s,
        scan.width,
        scan.height,
        list(scan.galleries),
        len(scan.faces),
        len(scan.frames),
    )


def _face_arrays(faces: ScannedFaces) -> list[Any]:
    lengths = {"box": 4, "landmarks": 10, "template": max(1, faces.template.shape[1])}
    return [_arrow(getattr(faces, name), lengths.get(name)) for name in _FACE_DTYPES]


def _arrow(array: npt.NDArray[Any], length: int | None) -> Any:
    values = pa.array(np.ascontiguousarray(array).ravel())
    return values if length is None else pa.FixedSizeListArray.from_arrays(values, length)


def _frame_arrays(frames: FrameHashes) -> list[Any]:
    return [
        pa.array(np.arange(len(frames), dtype=np.int32)),
        pa.array(frames.time_s),
        pa.array(frames.phash),
        pa.array([row.tobytes() for row in frames.pdq], pa.binary(32)),
        pa.array(frames.pdq_quality),
    ]


def _column(rows: Any, name: str) -> Any:
    return rows.field(name) if isinstance(rows, pa.StructArray) else rows[name]


def _numpy(column: Any, dtype: Any) -> npt.NDArray[Any]:
    """Returns an array of one or, for lists of fixed size, two dimensions; always a copy that may be written."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_fixed_size_list(column.type):
        flat = column.flatten().to_numpy(zero_copy_only=False)
        return np.array(flat.reshape(len(column), column.type.list_size), dtype)
    return np.array(column.to_numpy(zero_copy_only=False), dtype)
