"""One released bundle, or a full one and the deltas that follow it, into the performer database.

Unpack, verify, read, write: each step works on files of its own in the work folder, the database changes in the last
one, as a whole. Whatever fails leaves it as it was, and the work folder empty.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

from pipelines.durable import check_space
from pipelines.errors import InputError, NotWritable, PackMismatch, ReleaseGap
from pipelines.faces.index import IndexDtype
from pipelines.faces.packs import ModelPack
from pipelines.releases import delta, stash_sense, stash_sense2, stash_sense_ray, vectors
from pipelines.releases.archive import unpack
from pipelines.releases.bundle import Bundle, stored_bundle
from pipelines.releases.facts import ImportReport, ImportStep, ReleaseFacts, Watch
from pipelines.releases.files import bundle_root, inspect, verify
from pipelines.releases.links import linked
from pipelines.store.performers import PerformerDatabase, SourceInfo

_WORK = ".import-"
_INDEX_BYTES = 1000
"""Of a performer in a version, beside its mean template: names, ids, neighbours."""


def import_release(
    path: Path | Sequence[Path],
    database: PerformerDatabase,
    pack: ModelPack,
    *,
    dtype: IndexDtype = "float16",
    only: bool = False,
    workdir: Path,
    checksums: Mapping[str, str] | None = None,
    progress: Callable[[ImportStep], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ImportReport:
    """Imports a bundle (zip or folder) in place of what its source gave before; returns what became of it.

    Args:
        path: one bundle; or several that follow each other, written as one version: a full one or none, deltas, links.
        only: drop what all other sources gave, for another pack.
        workdir: where files are unpacked; made, and emptied afterwards.
        checksums: sha256 (hex) by file name that must hold too, such as a release's notes state them.
        should_stop: asked several times a second.

    Raises:
        InputError: no such file, or bundles that do not belong together.
        ReleaseCorrupt, ReleaseUnsupported, ReleaseGap, ImporterMissing: see `pipelines.errors`.
        PackMismatch: templates of another pack than the given one, or than the database's (without `only`).
        NoSpace, NotWritable: the work folder or the database cannot be written.
        Stopped: `should_stop` said so.
    """
    started = time.monotonic()
    watch = Watch(progress, should_stop)
    paths = [path] if isinstance(path, Path) else list(path)
    releases = [inspect(p) for p in paths]
    releases = [replace(r, checksums={**r.checksums, **(checksums or {})}) for r in releases]
    _check_pack(releases, pack, database, only=only)
    release = _check_order(releases, database)
    with _work_folder(workdir) as folder:
        bundle, details = _read(paths, releases, database, pack, folder, watch)
        bundle = bundle.with_faces_only()
        _check_room(database.root, bundle, pack)
        source = releases[0].source
        version = database.put(
            pack,
            SourceInfo(
                id=source,
                kind="release",
                label=_TITLES[source].format(release),
                release=release,
                updated=datetime.now(UTC),
                details={**details, "skipped": bundle.skipped},
            ),
            bundle.people,
            bundle.batches(pack.template_dim, watch),
            dtype=dtype,
            only=only,
        )
    return ImportReport(
        version, source, release, len(bundle.people), bundle.faces, bundle.skipped, time.monotonic() - started
    )


_TITLES = {
    "release:stash-sense": "Stash Sense {}",
    "release:stash-sense2": "Stash Sense 2 {}",
    "release:stash-sense-ray": "Export {}",
}


def _check_pack(releases: list[ReleaseFacts], pack: ModelPack, database: PerformerDatabase, *, only: bool) -> None:
    for release in releases:
        if release.pack != pack.id:
            raise PackMismatch(
                f"The release holds templates of the pack {release.pack}, the pack in use is {pack.id}.",
                f"Choose the pack {release.pack}.",
            )
        if release.kind == "stash-sense":
            vectors.require("voyager")
        elif release.kind == "stash-sense2":
            vectors.require("usearch")
    if not only and database.current() is not None:
        manifest = database.manifest()
        others = set(manifest.sources) - {releases[0].source}
        if others and manifest.template_id != pack.template_id:
            raise PackMismatch(
                f"The performer database holds templates {manifest.template_id}, the release {pack.template_id}.",
                f"Choose the pack {manifest.pack}, or import with `--replace` to drop {', '.join(sorted(others))}.",
            )


def _check_order(releases: list[ReleaseFacts], database: PerformerDatabase) -> str:
    """Returns the version that the source is at afterwards. Raises ReleaseGap, InputError."""
    if not releases:
        raise InputError("There is nothing to import.")
    if len({release.source for release in releases}) > 1:
        raise InputError("The bundles are of different programs.", "Import them one after another.")
    imported = _imported(database, releases[0].source)
    for number, release in enumerate(releases):
        if release.kind == "stash-sense2-delta":
            delta.check_chain(release, imported)
        elif release.kind == "stash-sense2-links":
            if imported is None:
                raise ReleaseGap("These are links, but no full release is imported.", "Import a full release first.")
            continue
        elif number:
            raise InputError("Only the first of several bundles can be a full one.", "Import them one after another.")
        imported = release.version
    return str(imported)


def _imported(database: PerformerDatabase, source: str) -> str | None:
    """Returns the release that a source is at, None when nothing of it is imported."""
    if database.current() is None:
        return None
    info = database.manifest().sources.get(source)
    return info.release if info else None


def _read(
    paths: list[Path],
    releases: list[ReleaseFacts],
    database: PerformerDatabase,
    pack: ModelPack,
    folder: Path,
    watch: Watch,
) -> tuple[Bundle, dict[str, object]]:
    """Returns what the bundles make together, and how that came about."""
    bundle: Bundle | None = None
    details: dict[str, object] = {}
    for number, (path, facts) in enumerate(zip(paths, releases, strict=True)):
        files = _verified(path, facts, folder / str(number), watch)
        if facts.kind == "stash-sense":
            check_space(folder, _vector_bytes(facts, pack))
            bundle = stash_sense.read_bundle(files, facts, pack, folder / "vectors", watch)
        elif facts.kind == "stash-sense2":
            check_space(folder, _vector_bytes(facts, pack))
            bundle = stash_sense2.read_bundle(files, facts, pack, folder / "vectors", watch)
        elif facts.kind == "stash-sense-ray":
            check_space(folder, _vector_bytes(facts, pack))
            bundle = stash_sense_ray.read_bundle(files, facts, pack, folder / "vectors", watch)
        else:
            if bundle is None:
                bundle, details = _stored(database, facts.source)
            bundle = delta.apply_delta(bundle, files, pack, watch) if facts.from_version else linked(bundle, files)
        details = _with_step(details, facts)
    if bundle is None:
        raise InputError("There is nothing to import.")
    return bundle, details


def _with_step(details: dict[str, object], facts: ReleaseFacts) -> dict[str, object]:
    """Returns the details with one more bundle: {"full": version, "deltas": [versions], "links": version}."""
    if facts.kind == "stash-sense2-delta":
        before = details.get("deltas")
        return {**details, "deltas": [*(before if isinstance(before, list) else []), facts.version]}
    if facts.kind == "stash-sense2-links":
        return {**details, "links": facts.version}
    return {"full": facts.version}


def _stored(database: PerformerDatabase, source: str) -> tuple[Bundle, dict[str, object]]:
    bundle = stored_bundle(database, source)
    if bundle is None:
        raise ReleaseGap("No full release is imported.", "Import a full release first.")
    details = dict(database.manifest().sources[source].details)
    details.pop("skipped", None)
    return bundle, details


def _verified(path: Path, facts: ReleaseFacts, folder: Path, watch: Watch) -> Path:
    """Returns the folder of a bundle's files after comparing their checksums; zips are unpacked into `folder`."""
    if path.is_file():
        unpack(path, folder, progress=watch.progress, should_stop=watch.should_stop)
        files = bundle_root(folder)
    else:
        files = bundle_root(path)
    verify(files, facts, watch)
    return files


def _vector_bytes(facts: ReleaseFacts, pack: ModelPack) -> int:
    return (facts.faces or 0) * pack.template_dim * 2


def _check_room(root: Path, bundle: Bundle, pack: ModelPack) -> None:
    """Raises NoSpace before anything is written, rather than when the disk is full."""
    of_faces = bundle.faces * pack.template_dim * 2
    of_people = len(bundle.people) * (pack.template_dim * 2 + _INDEX_BYTES)
    check_space(root, of_faces + of_people)


@contextmanager
def _work_folder(workdir: Path) -> Iterator[Path]:
    """Gives an empty folder that is removed afterwards; what killed imports left is removed before."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        for old in workdir.glob(f"{_WORK}*"):
            _remove_if_unused(old)
        folder = Path(mkdtemp(prefix=_WORK, dir=workdir))
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise NotWritable(f"{workdir} cannot be written: {error}.", "Choose another folder.") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_if_unused(folder: Path) -> None:
    """Removes the folder of an import that is not running any more: nobody holds its lock."""
    try:
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return
