"""A fake Stash with performers, scenes and images of the test data, and a data folder that holds their scans."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.enroll.local import LocalEnrolReport, LocalEnrolRequest, enroll_local
from pipelines.faces.catalogue import OPEN
from pipelines.media.video import SamplingPlan
from pipelines.scan_content import scan_content
from pipelines.settings import Settings
from pipelines.stash.connect import open_library
from pipelines.stash.library import StashLibrary
from pipelines.stash.limiter import RateLimiter
from pipelines.stash.retries import Retries
from pipelines.store.performers import PerformerDatabase
from pipelines.store.templates import ContentScan, ScanDataset, ScanKey, ScanRecipe
from tests.fakes.stash import FANSDB, STASHDB, FakeStash, StashId

RECIPE = ScanRecipe(OPEN.template_id, "home", "1")
QUICK = Retries(first_wait_s=0.01, longest_wait_s=0.02)
LISTINGS = {"findPerformers", "findScenes", "findImages", "findGalleries", "__type", "__schema"}


@asynccontextmanager
async def quick_library(settings: Settings) -> AsyncIterator[StashLibrary]:
    """The Stash of the settings without a limit."""
    async with open_library(settings, limiter=RateLimiter(1e6), retries=QUICK) as library:
        yield library


@dataclass
class Scans:
    """Looks at a file of the test data once a session."""

    data: Path
    engine: Any
    known: dict[Path, ContentScan] = field(default_factory=dict)

    def of(self, kind: Any, content_id: str, path: str) -> ContentScan:
        file = self.data / path
        key = ScanKey(kind, content_id, f"md5:{content_id}", RECIPE)
        if file not in self.known:
            self.known[file] = scan_content(key, file, self.engine, SamplingPlan(frames=12))
        return replace(self.known[file], key=key)


@dataclass
class Home:
    """One household: its Stash and its data folder."""

    stash: FakeStash
    settings: Settings
    scans: Scans

    @property
    def database(self) -> PerformerDatabase:
        return PerformerDatabase(self.settings.database_path)

    def performer(self, name: str, photo: str | None = None, *, boxes: Iterable[str] = (), **fields: Any) -> str:
        """Adds a performer with a photo of tests/data/faces/people and ids on stash-boxes; returns its id."""
        image = None if photo is None else (self.scans.data / "faces" / "people" / photo).read_bytes()
        links = tuple(StashId(box, f"{name}-uuid") for box in boxes)
        row = self.stash.library.add("performer", name=name, image=image, stash_ids=links, **fields)
        return str(row.id)

    def scene(self, video: str, *performers: str) -> str:
        """Adds a scanned scene; returns its id."""
        row = self.stash.library.add("scene", title=video, performer_ids=tuple(map(int, performers)))
        self.write(self.scans.of("scene", str(row.id), f"video/{video}"))
        return str(row.id)

    def gallery(self, photos: Sequence[str], *performers: str) -> str:
        """Adds a gallery of scanned images on which nobody is tagged; returns its id."""
        row = self.stash.library.add("gallery", title="set", performer_ids=tuple(map(int, performers)))
        for photo in photos:
            self.image(photo, galleries=(row.id,))
        return str(row.id)

    def image(self, photo: str, *performers: str, galleries: tuple[int, ...] = ()) -> str:
        """Adds a scanned image; returns its id."""
        fields: dict[str, Any] = {"performer_ids": tuple(map(int, performers)), "gallery_ids": galleries}
        row = self.stash.library.add("image", title=photo, **fields)
        self.write(self.scans.of("image", str(row.id), f"faces/{photo}"))
        return str(row.id)

    def write(self, scan: ContentScan) -> None:
        ScanDataset(self.settings.scans_path).write(scan)

    def touch(self, kind: Any, *ids: str) -> None:
        """Marks rows as changed, a minute after the last time."""
        library = self.stash.library
        with library.lock:
            at = library.clock() + 60
            library.clock = lambda: at
            library.touch(*(library.table(kind)[int(i)] for i in ids))

    def enroll(self, **request: Any) -> LocalEnrolReport:
        self.stash.requests.clear()
        options = {"library_opener": quick_library, "engine": self.scans.engine}
        options |= {k: request.pop(k) for k in ("engine", "on_progress", "should_stop") if k in request}
        return enroll_local(self.settings, LocalEnrolRequest(**request), **options)

    def enrolled(self) -> dict[str, list[str]]:
        """Returns where the faces of each performer of Stash come from, by universal id."""
        if self.database.current() is None:
            return {}
        table = self.database.source_faces("stash")
        found: dict[str, list[str]] = {}
        for row in [] if table is None else table.select(["universal_id", "source"]).to_pylist():
            found.setdefault(row["universal_id"], []).append(row["source"])
        return found

    def pictures_asked(self) -> list[str]:
        return sorted(one.path.split("/")[2] for one in self.stash.requests.named("/performer/"))

    def asked_listings_only(self) -> bool:
        return all(one.path == "/graphql" and set(one.fields) <= LISTINGS for one in self.stash.requests)


def stashdb(name: str) -> str:
    return f"stashdb.org:{name}-uuid"


__all__ = ["FANSDB", "LISTINGS", "STASHDB", "Home", "Scans", "quick_library", "stashdb"]
