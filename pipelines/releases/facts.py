"""What is known of a released bundle before and after it is imported, and how an import speaks while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.errors import Stopped

ReleaseKind = Literal["stash-sense", "stash-sense2", "stash-sense2-delta", "stash-sense2-links", "stash-sense-ray"]
"""The first Stash Sense; its successor's full bundle, delta, and linked identities; this program's export."""

Stage = Literal["unpack", "verify", "read", "write"]

SOURCE_IDS: Mapping[ReleaseKind, str] = {
    "stash-sense": "release:stash-sense",
    "stash-sense2": "release:stash-sense2",
    "stash-sense2-delta": "release:stash-sense2",
    "stash-sense2-links": "release:stash-sense2",
    "stash-sense-ray": "release:stash-sense-ray",
}
PACK_IDS: Mapping[ReleaseKind, str] = {
    "stash-sense": "stash-sense-2026",
    "stash-sense2": "buffalo_l",
    "stash-sense2-delta": "buffalo_l",
    "stash-sense2-links": "buffalo_l",
}
"""The pack whose templates a bundle holds; an export says it itself."""


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """What a bundle says of itself; nothing of it is verified.

    Attributes:
        version: of the bundle; a delta's is the one it leads to; empty where the file does not say.
        from_version: what a delta builds on.
        pack: id of the pack that its templates belong to.
        performers, faces: as stated, None where they are not.
        size_bytes: of the zip, or of the files of the folder.
        unpacked_bytes: of its files.
        checksums: stated sha256 (lower-case hex) by file name.
        models: what its templates were made with, as stated.
    """

    kind: ReleaseKind
    version: str
    pack: str
    from_version: str | None = None
    performers: int | None = None
    faces: int | None = None
    size_bytes: int = 0
    unpacked_bytes: int = 0
    checksums: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Id of the database's source that it is imported as."""
        return SOURCE_IDS[self.kind]


@dataclass(frozen=True, slots=True)
class ImportStep:
    """`done` of `total` bytes (unpack, verify) or faces (read, write)."""

    stage: Stage
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of an import.

    Attributes:
        version: the database version that is current now.
        source: id of the database's source.
        release: version of the released bundle that the source is at now.
        performers, faces: given to the database; what it leaves out itself is in the version's manifest.
        skipped: what could not be taken over, by reason; a key of `SKIPPED`.
    """

    version: str
    source: str
    release: str
    performers: int
    faces: int
    skipped: Mapping[str, int]
    seconds: float


SKIPPED = {
    "no_owner": "faces that belong to nobody in faces.json",
    "unknown_performers": "faces of a performer whom neither performers.json nor performers.db knows",
    "local_ids": "faces of ids that only mean something in another installation",
    "bad_performers": "faces of a performer without a usable name or id",
    "missing_vectors": "faces without a vector in the index",
    "bad_vectors": "faces whose vector is empty or no number",
    "without_faces": "performers without a face",
    "unlisted_faces": "faces that performers.db knows nothing about; they are imported",
    "unknown_links": "linked groups of whom nobody is in the release",
    "unknown_removals": "removed faces or performers that were not there",
    "unknown_repairs": "corrected owners that are not known by the number given",
}
"""What is counted in `ImportReport.skipped`, and what it counts."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told how far an import is, and who may end it."""

    progress: Callable[[ImportStep], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False

    def step(self, stage: Stage, done: int, total: int) -> None:
        """Reports progress. Raises Stopped when the import is asked to end."""
        self.check()
        self.progress(ImportStep(stage, done, total))

    def check(self) -> None:
        """Raises Stopped when the import is asked to end."""
        if self.should_stop():
            raise Stopped("The import was stopped.", "The performer database is as it was.")
