"""Which files lead from the release that is installed to a newer one: a chain of deltas, or a full bundle.

Files are known by their names, as the makers of releases name them: NAME-delta-FROM-to-TO.zip, any other .zip is a full
bundle, and performer_links.json and aliases.json stand beside it. Nothing is downloaded here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.errors import ReleaseUnknown
from pipelines.releases.facts import PACK_IDS, ReleaseKind
from pipelines.releases.source import Release, ReleaseFile, version_key

LINKS = ("performer_links.json", "aliases.json")
_LINKS_ZIP = re.compile(r"stash-sense2-links-.+\.zip")
_DELTA = re.compile(r"(?:.*[-_])?delta-v?(?P<start>.+?)-to-v?(?P<end>.+)\.zip")


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file to download and import.

    Attributes:
        version: the release that the database is at once it is imported.
        kind: what the name says it is; None where that may be either full bundle.
    """

    file: ReleaseFile
    version: str
    delta: bool
    kind: ReleaseKind | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What leads to one release, in the order in which it is imported.

    Attributes:
        extras: files of the release that say who is the same person; they come last.
    """

    release: Release
    files: tuple[PlannedFile, ...]
    extras: tuple[ReleaseFile, ...]

    @property
    def all_files(self) -> tuple[ReleaseFile, ...]:
        return (*(planned.file for planned in self.files), *self.extras)

    @property
    def download_bytes(self) -> int:
        """What is to be downloaded, as far as it is known."""
        return sum(file.size_bytes or 0 for file in self.all_files)

    @property
    def delta(self) -> bool:
        return all(planned.delta for planned in self.files)

    @property
    def pack(self) -> str | None:
        """The pack that the files belong to, where their names say it."""
        return next((PACK_IDS[planned.kind] for planned in self.files if planned.kind), None)


def make_plan(
    releases: Sequence[Release], installed: str | None, wanted: str | None = None, *, full: bool = False
) -> Plan | None:
    """Returns what leads to a release, None when the newest one that can be reached is installed.

    A chain of deltas from what is installed is preferred to a full bundle unless it is the larger download.

    Args:
        releases: newest first.
        installed: version of the release that is installed; None for none.
        wanted: version to go to, newer or not; the newest that can be reached when unset.
        full: never by a delta from what is installed.

    Raises ReleaseUnknown when there is no release of the wanted version, or no way to it.
    """
    for release in releases:
        if wanted is not None and release.version != wanted:
            continue
        newer = installed is None or version_key(release.version) > version_key(installed)
        if wanted is None and not newer:
            return None
        files = _way(releases, release, None if full else installed)
        if files:
            extras = tuple(f for f in release.files if f.name in LINKS or _LINKS_ZIP.fullmatch(f.name))
            return Plan(release, files, extras)
        if wanted is not None:
            raise ReleaseUnknown(
                f"The release {wanted} has neither a full bundle nor deltas that lead to it.", "Choose another one."
            )
    if wanted is None and installed is not None and releases:
        return None
    there = ", ".join(release.version for release in releases[:5])
    said = f"There is no release {wanted[:80]!r}." if wanted else "The source has no release of a performer database."
    raise ReleaseUnknown(said, f"The newest are: {there}." if there else "Check its URL in `release_sources`.")


def _way(releases: Sequence[Release], target: Release, installed: str | None) -> tuple[PlannedFile, ...]:
    """Returns the files to import for one release; empty when nothing leads to it."""
    chain = _chain(releases, installed, target.version) if installed is not None else ()
    full = _full(target)
    if full is not None:
        smaller = chain and _bytes(chain) < (full.file.size_bytes or float("inf"))
        return chain if smaller else (full,)
    if chain:
        return chain
    for base in releases:
        start = _full(base)
        if start is None or version_key(base.version) > version_key(target.version):
            continue
        if rest := _chain(releases, base.version, target.version):
            return (start, *rest)
    return ()


def _bytes(files: Sequence[PlannedFile]) -> int:
    return sum(planned.file.size_bytes or 0 for planned in files)


def _full(release: Release) -> PlannedFile | None:
    """Returns the full bundle of a release: its first .zip that is no delta."""
    for file in release.files:
        if file.name.endswith(".zip") and not (_DELTA.fullmatch(file.name) or _LINKS_ZIP.fullmatch(file.name)):
            kind: ReleaseKind | None = "stash-sense2" if file.name.startswith("stash-sense2-") else None
            return PlannedFile(file, release.version, delta=False, kind=kind)
    return None


def _chain(releases: Sequence[Release], start: str, end: str) -> tuple[PlannedFile, ...]:
    """Returns the fewest deltas from one version to another; empty when there is a gap."""
    deltas = _deltas(releases)
    ways: dict[str, tuple[PlannedFile, ...]] = {start: ()}
    frontier = [start]
    while frontier and end not in ways:
        reached = []
        for version in frontier:
            for planned in deltas.get(version, ()):
                if planned.version not in ways:
                    ways[planned.version] = (*ways[version], planned)
                    reached.append(planned.version)
        frontier = reached
    return ways.get(end, ())


def _deltas(releases: Sequence[Release]) -> Mapping[str, list[PlannedFile]]:
    """Returns all deltas by the version that they build on."""
    found: dict[str, list[PlannedFile]] = {}
    for file in (file for release in releases for file in release.files):
        if named := _DELTA.fullmatch(file.name):
            planned = PlannedFile(file, named["end"], delta=True, kind="stash-sense2-delta")
            found.setdefault(named["start"], []).append(planned)
    return found
