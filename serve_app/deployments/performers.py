"""What people may ask of the performer database besides faces: versions and who is enrolled. Everything here blocks."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Any

from pipelines.errors import PersonUnknown, SourceUnknown, StashSenseError, VersionPinned, VersionUnknown
from pipelines.settings import Settings
from pipelines.store.directory import Directory
from pipelines.store.face_crops import FaceCrops
from pipelines.store.performers import PerformerDatabase


class Performers:
    """The database of one data folder. Thread-safe; keeps the directory of one version at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = PerformerDatabase(settings.database_path)
        self._directory: Directory | None = None
        self._lock = Lock()

    def versions(self, serving: str | None) -> dict[str, Any]:
        """Returns all versions as `database_schemas.VersionList` has them."""
        names = self._database.versions()
        return {
            "current": self._database.current(),
            "serving": serving,
            "versions": [self._version(name) for name in names],
        }

    def use(self, version: str, pinned: str | None) -> None:
        """Makes a version the current one. Raises VersionUnknown, VersionPinned, DatabaseCorrupt, NotWritable."""
        if pinned is not None:
            raise VersionPinned(
                f"This server serves {pinned} only.", "Start it without database_version, or change that in its config."
            )
        self._require(version)
        self._database.use(version)

    def remove(self, version: str, pinned: str | None) -> None:
        """Removes an old version. Raises VersionUnknown; VersionPinned, InputError for the one that is in use."""
        self._require(version)
        if version == pinned:
            raise VersionPinned(f"{version} is what this server serves.", "Use another version first.")
        self._database.remove(version)

    def described(self, version: str) -> dict[str, Any]:
        """Returns what the manifest of a version says, as far as `DatabaseInfo` has it."""
        manifest = self._database.manifest(version)
        return {
            "created": manifest.created.isoformat(),
            "face_count": manifest.faces,
            "size_bytes": manifest.size_bytes,
            "sources": [source.model_dump(mode="json") for source in manifest.sources.values()],
            "left_out": manifest.left_out,
        }

    def page(self, version: str, **question: Any) -> dict[str, Any]:
        """Returns a page of the people of a version, see `Directory.page`."""
        page = self._of(version).page(**question)
        people = [{**person, "kept": self._kept(person.pop("entries"))} for person in page.people]
        return {"version": page.version, "total": page.total, "people": people}

    def person(self, version: str, universal_id: str) -> dict[str, Any]:
        """Returns one person, see `Directory.person`. Raises PersonUnknown."""
        person = self._of(version).person(universal_id)
        if person is None:
            raise PersonUnknown(f"Nobody of {universal_id[:200]!r} is enrolled.", "GET /people lists who is.")
        person["kept"] = self._kept(person.pop("entries"))
        return person

    def faces(self, version: str, universal_id: str) -> dict[str, Any]:
        """Returns one person like `person`, with what can be shown of each face.

        Each of `pictures` has `seen`, an `enrolled_faces.Seen` where its scan has it, and `kept`, whether a small
        picture of it is kept.
        """
        from pipelines.store.enrolled_faces import kept_pictures, seen_in
        from pipelines.store.templates import ScanDataset

        person = self.person(version, universal_id)
        template_id = self._database.manifest(version).template_id
        seen = seen_in(ScanDataset(self._settings.scans_path), template_id, person["pictures"])
        kept = kept_pictures(self._settings.enrolled_crops_path, person["pictures"])
        for face in person["pictures"]:
            face["seen"] = seen.get((face["source"], face["key"]))
            face["kept"] = (face["origin"], face["universal_id"], face["key"]) in kept
        return person

    def _kept(self, entries: Iterable[tuple[str, str]]) -> tuple[str, str, str] | None:
        """Returns source, universal id and key of a face of a person that a picture is kept of."""
        for source, universal_id in entries:
            keys = FaceCrops(self._settings.enrolled_crops_path, source).keys(universal_id)
            if keys:
                return source, universal_id, min(keys)
        return None

    def _of(self, version: str) -> Directory:
        with self._lock:
            if self._directory is None or self._directory.version != version:
                self._directory = Directory(self._database, version)
            return self._directory

    def _require(self, version: str) -> None:
        names = self._database.versions()
        if version not in names:
            there = ", ".join(names) or "none"
            raise VersionUnknown(f"There is no performer database version {version[:100]!r}.", f"There are: {there}.")

    def _version(self, version: str) -> dict[str, Any]:
        try:
            manifest = self._database.manifest(version)
        except StashSenseError as error:
            return {"version": version, "problem": str(error)}
        return {
            "version": version,
            "created": manifest.created.isoformat(),
            "pack": manifest.pack,
            "performers": manifest.performers,
            "faces": manifest.faces,
            "size_bytes": manifest.size_bytes,
            "sources": list(manifest.sources),
        }


def source_of(settings: Settings, source: str) -> dict[str, Any]:
    """Returns one source of the current version. Raises SourceUnknown, DatabaseMissing."""
    sources = PerformerDatabase(settings.database_path).manifest().sources
    if source not in sources:
        raise SourceUnknown(f"{source} is no source of the performer database.", f"There are: {', '.join(sources)}.")
    return sources[source].model_dump(mode="json")
