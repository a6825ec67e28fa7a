"""The work of Stash's jobs: looking for new files, making sprites and phashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.fakes.stash.find import whole_number
from tests.fakes.stash.library import Library
from tests.fakes.stash.media_facts import image_facts, media_type, video_facts
from tests.fakes.stash.pictures import phash
from tests.fakes.stash.records import Scene

Tell = Callable[[float], bool]
"""Takes the progress (0..1); returns whether the job is to stop."""


def scan_folders(library: Library, given: Mapping[str, Any], tell: Tell) -> None:
    """Adds what is new under the library's folders, refreshes what changed on disk."""
    found = list(_files(library, given.get("paths") or list(library.roots)))
    with library.lock:
        known = {file.path: file.id for file in library.files.values()}
    for number, (path, local) in enumerate(found):
        if tell(number / len(found)):
            return
        facts = video_facts(local) if media_type(local) == "video" else image_facts(local)
        with library.lock:
            if path in known:
                _refresh(library, known[path], local, facts, rescan=bool(given.get("rescan")))
            else:
                add_media(library, path, local, facts)


def add_media(library: Library, path: str, local: Path, facts: Mapping[str, Any], **fields: Any) -> Any:
    """Adds a file and its scene or image; returns the scene or image."""
    kind = media_type(local)
    mod_time = library.text_time(local.stat().st_mtime)
    now = fields.get("now", "")
    file = library.add_file(kind=kind, path=path, local=local, mod_time=mod_time, now=now, **facts)
    return library.add("scene" if kind == "video" else "image", file_ids=(file.id,), **fields)


def _refresh(library: Library, file_id: int, local: Path, facts: Mapping[str, Any], *, rescan: bool) -> None:
    file = library.files[file_id]
    mod_time = library.text_time(local.stat().st_mtime)
    if mod_time == file.mod_time and facts["size"] == file.size and not rescan:
        return
    kept = tuple(one for one in file.fingerprints if one[0] not in {"oshash", "md5", "phash"})
    for name, value in facts.items():
        setattr(file, name, value)
    file.fingerprints = (*facts.get("fingerprints", ()), *kept)
    file.mod_time, file.local = mod_time, local
    library.touch(file)


def _files(library: Library, paths: list[str]) -> Iterator[tuple[str, Path]]:
    for root, folder in library.roots.items():
        for local in sorted(folder.rglob("*")) if folder is not None else ():
            path = f"{root.rstrip('/')}/{local.relative_to(folder).as_posix()}" if folder is not None else ""
            wanted = any(path == one or path.startswith(f"{one.rstrip('/')}/") for one in paths)
            if wanted and local.is_file() and media_type(local):
                yield path, local


def generate(library: Library, given: Mapping[str, Any], tell: Tell) -> None:
    """Makes sprites and phashes of the named scenes, of all without names. The times of scenes do not move."""
    with library.lock:
        ids = [whole_number(i) for i in given.get("sceneIDs") or library.scenes.ids]
    for number, scene_id in enumerate(ids):
        if tell(number / len(ids)):
            return
        scene = library.scenes.get(scene_id)
        local = library.local_file(scene) if scene is not None else None
        if scene is None or local is None:
            continue
        if given.get("sprites"):
            scene.has_sprite = True
        if given.get("phashes"):
            _add_phash(library, scene, local, overwrite=bool(given.get("overwrite")))


def _add_phash(library: Library, scene: Scene, local: Path, *, overwrite: bool) -> None:
    file = library.files[scene.file_ids[0]]
    if file.fingerprint("phash") is None or overwrite:
        value = phash(local)
        with library.lock:
            others = tuple(one for one in file.fingerprints if one[0] != "phash")
            file.fingerprints = (*others, ("phash", value)) if value else others
            library.touch(file)
