"""Libraries to play: large ones of facts alone, the sample library of tests/data, benches over a few media files.

Everything comes from a seed: the same call gives the same library, byte for byte.
"""

from __future__ import annotations

import csv
import random
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.fakes.stash.library import FANSDB, STASHDB, Library
from tests.fakes.stash.media_facts import image_facts, video_facts
from tests.fakes.stash.records import File, Performer, Scene, StashId
from tests.fakes.stash.scans import add_media

BEGIN = 1_672_531_200
"""2023-01-01T00:00:00Z: when the first generated row was made; each row is made some minutes after the one before."""

_STEP_S = 900
_FIRST = (
    *("Ada", "Bela", "Cleo", "Dora", "Edda", "Fay", "Gina", "Hana", "Ines", "Jana"),
    *("Kira", "Lena", "Mila", "Nora", "Olga", "Pia", "Rita", "Sara", "Tess", "Vera"),
)
_LAST = (
    *("Abel", "Berg", "Clark", "Dahl", "Eder", "Frost", "Gold", "Hart", "Iver", "Jung"),
    *("Klein", "Lund", "Moss", "Nagel", "Ott", "Park", "Reed", "Stone", "Thorn", "Vogel"),
)
_WORDS = (
    *("harbour", "garden", "river", "window", "market", "summer", "lantern", "orchard", "meadow", "station"),
    *("violin", "letter", "island", "morning"),
)
_PLACES = ("studio", "beach", "kitchen", "city", "forest", "stage", "office", "garage")


def box_id(endpoint: str, name: str) -> str:
    """Returns the id (a UUID) that `name` has at a stash-box of these libraries."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{endpoint}#{name}"))


def generate_library(
    scenes: int = 1000,
    *,
    images: int = 0,
    galleries: int = 0,
    performers: int = 50,
    media: Sequence[Path] = (),
    folder: Path | None = None,
    root: str = "/data",
    seed: int = 0,
    **options: Any,
) -> Library:
    """Returns a library of invented facts. `media` are the files of the first scenes; the others have no bytes.

    Args:
        media: one scene each, under a name of its own; may name a file several times.
        folder: where links with those names are made, so that `root` maps to it; without it the files can only be
            streamed.
        options: of Library.
    """
    library = Library(**options)
    library.roots[root] = folder
    chance = random.Random(seed)
    _add_surroundings(library, chance, performers)
    for number in range(1, galleries + 1):
        library.add("gallery", now=_time(library, number), title=_title(chance, number), folder=f"{root}/set_{number}")
    for number in range(1, scenes + 1):
        file = _media_file(library, media[number - 1], folder, root, number) if number <= len(media) else None
        _add_scene(library, chance, number, root, file)
    for number in range(1, images + 1):
        _add_image(library, chance, number, root, galleries)
    library.revision += 1
    return library


def bench_library(folder: Path, media: Sequence[Path], scenes: int = 200, *, seed: int = 0, **options: Any) -> Library:
    """Returns `scenes` scenes over the files of `media`, in turn, each linked under a name of its own in `folder`.

    Stash's path of a scene is /library/NAME and its local path `folder`/NAME: the path map is "/library=FOLDER".
    """
    if not media:
        raise ValueError("no media files are given")
    files = [media[number % len(media)] for number in range(scenes)]
    return generate_library(scenes, media=files, folder=folder, root="/library", seed=seed, **options)


def sample_library(data: Path, *, tagged: bool = False, root: str = "/data", **options: Any) -> Library:
    """Returns the media of tests/data as a library: clips are scenes, photos of people images, their folders galleries.

    Paths are `root` + the path below `data`. One performer a known identity, called as its folder, with stash ids of
    two boxes (`sample_stash_id`) and the first photo as picture.

    Args:
        tagged: whether scenes and images name their performers already, as the manifest knows them.
    """
    library = Library(**options)
    library.roots[root] = data
    people = _people_of(data / "manifest.csv")
    performers = {name: _sample_performer(library, data, name) for name in _identities(people)}
    for path in sorted((data / "video").rglob("*.*")):
        where = f"{root}/{path.relative_to(data).as_posix()}"
        ids = tuple(performers[name].id for name in people.get(path.relative_to(data).as_posix(), ()) if tagged)
        title = path.stem.replace("_", " ")
        add_media(library, where, path, video_facts(path), title=title, performer_ids=ids, has_sprite=True)
    for gallery_folder in sorted([*(data / "faces" / "people").iterdir(), data / "faces" / "groups"]):
        _add_sample_gallery(library, data, root, gallery_folder, people, performers if tagged else {})
    library.revision += 1
    return library


def odd_library(folder: Path, **options: Any) -> Library:
    """Returns one scene for each odd or broken file of `tests.bench.odd_files`, made in `folder`, called as its case.

    Stash's path is /odd/NAME. What cannot be opened has a file without facts; one is in the library and not on disk.
    """
    from tests.bench.odd_files import ODD_FILES, make_all

    library = Library(**options)
    library.roots["/odd"] = folder
    for odd, path in zip(ODD_FILES, make_all(folder), strict=True):
        facts = video_facts(path) if path.exists() else {"size": 1_000_000}
        file = library.add_file(kind="video", path=f"/odd/{path.name}", local=path, **facts)
        library.add("scene", title=odd.name, file_ids=(file.id,))
    return library


def sample_stash_id(identity: str, endpoint: str = STASHDB) -> str:
    """Returns the UUID that a person of `sample_library` has at a stash-box."""
    return box_id(endpoint, identity)


def _identities(people: dict[str, tuple[str, ...]]) -> list[str]:
    return sorted({name for names in people.values() for name in names})


def _people_of(manifest: Path) -> dict[str, tuple[str, ...]]:
    with manifest.open(newline="") as file:
        return {row["path"]: tuple(filter(None, row["people"].split("|"))) for row in csv.DictReader(file)}


def _sample_performer(library: Library, data: Path, name: str) -> Performer:
    photos = sorted((data / "faces" / "people" / name).glob("*.jp*g"))
    ids = tuple(StashId(box, sample_stash_id(name, box), library.now()) for box in (STASHDB, FANSDB))
    performer: Performer = library.add(
        "performer",
        name=name.replace("_", " ").title(),
        stash_ids=ids,
        image=photos[0].read_bytes() if photos else None,
    )
    return performer


def _add_sample_gallery(
    library: Library,
    data: Path,
    root: str,
    folder: Path,
    people: dict[str, tuple[str, ...]],
    performers: dict[str, Performer],
) -> None:
    where = f"{root}/{folder.relative_to(data).as_posix()}"
    gallery = library.add("gallery", folder=where)  # Stash names the gallery of a folder by the folder, without a title
    for path in sorted(folder.iterdir()):
        names = people.get(path.relative_to(data).as_posix(), ())
        ids = tuple(performers[name].id for name in names if name in performers)
        add_media(
            library, f"{where}/{path.name}", path, image_facts(path), gallery_ids=(gallery.id,), performer_ids=ids
        )


# --- invented facts


def _time(library: Library, number: int, later_s: int = 0) -> str:
    return library.text_time(BEGIN + number * _STEP_S + later_s)


def _title(chance: random.Random, number: int) -> str:
    return f"{chance.choice(_WORDS).title()} {chance.choice(_WORDS)} {number}"


def _add_surroundings(library: Library, chance: random.Random, performers: int) -> None:
    for number in range(1, 31):
        library.add("tag", now=_time(library, number), name=f"{_PLACES[number % len(_PLACES)]} {number}")
    for number in range(1, 13):
        name = f"{_LAST[number]} Pictures"
        ids = (StashId(STASHDB, box_id(STASHDB, name), _time(library, number)),)
        library.add("studio", now=_time(library, number), name=name, stash_ids=ids)
    for number, name in enumerate(_names(performers), start=1):
        boxes = [STASHDB] * (number % 10 != 0) + [FANSDB] * (number % 3 == 0)
        library.add(
            "performer",
            now=_time(library, number),
            name=name,
            gender=chance.choice(("FEMALE", "MALE", "NON_BINARY")),
            country=chance.choice(("DE", "FR", "CA", "BR", "JP")),
            height_cm=chance.randint(155, 195),
            birthdate=f"{chance.randint(1970, 2000)}-0{chance.randint(1, 9)}-{chance.randint(10, 28)}",
            alias_list=(f"{name.split()[0]} {number}",) if number % 4 == 0 else (),
            stash_ids=tuple(StashId(box, box_id(box, name), _time(library, number)) for box in boxes),
        )


def _names(count: int) -> Iterator[str]:
    for number in range(count):
        turn, rest = divmod(number, len(_FIRST) * len(_LAST))
        name = f"{_FIRST[rest % len(_FIRST)]} {_LAST[rest // len(_FIRST)]}"
        yield f"{name} {turn + 1}" if turn else name


def _some(chance: random.Random, count: int, most: int) -> tuple[int, ...]:
    """Returns up to `most` different ids from 1 to `count`."""
    if not count:
        return ()
    return tuple(dict.fromkeys(int(chance.random() * count) + 1 for _ in range(int(chance.random() * (most + 1)))))


def _add_scene(library: Library, chance: random.Random, number: int, root: str, media: File | None) -> None:
    created = _time(library, number)
    file = media or _facts_file(library, chance, number, root, created)
    title = _title(chance, number) if number % 5 else ""
    library.scenes.add(
        Scene(
            id=library.scenes.new_id(),
            created_at=created,
            updated_at=_time(library, number, int(chance.random() * 10_000_000)) if number % 3 == 0 else created,
            title=title,
            date=f"20{10 + number % 15}-{number % 12 + 1:02d}-{number % 28 + 1:02d}" if number % 4 else None,
            organized=number % 7 == 0,
            studio_id=int(chance.random() * len(library.studios)) + 1 if number % 2 else None,
            performer_ids=_some(chance, len(library.performers), 4),
            tag_ids=_some(chance, len(library.tags), 5),
            gallery_ids=(),
            urls=(f"https://example.org/scenes/{number}",) if number % 3 == 0 else (),
            stash_ids=(StashId(STASHDB, box_id(STASHDB, f"scene {number}"), created),) if number % 5 < 2 else (),
            file_ids=(file.id,),
            has_sprite=media is not None,
        )
    )


def _facts_file(library: Library, chance: random.Random, number: int, root: str, created: str) -> File:
    width, height = ((1920, 1080), (1280, 720), (3840, 2160), (640, 360))[number % 4]
    duration = round(60 + chance.random() * 3000, 2)
    size = int(duration * width * height * 0.4)
    return library.files.add(
        File(
            id=library.files.new_id(),
            kind="video",
            path=f"{root}/folder_{number % 100:02d}/scene_{number:06d}.mp4",
            size=size,
            mod_time=created,
            created_at=created,
            updated_at=created,
            fingerprints=(
                ("oshash", f"{chance.getrandbits(64):016x}"),
                ("phash", f"{chance.getrandbits(64 if number % 50 else 52):x}"),
            ),
            format="mp4",
            width=width,
            height=height,
            duration=duration,
            video_codec="h264" if number % 5 else "hevc",
            audio_codec="aac",
            frame_rate=25.0 if number % 2 else 29.97,
            bit_rate=int(size * 8 / duration),
        )
    )


def _media_file(library: Library, source: Path, folder: Path | None, root: str, number: int) -> File:
    """Adds the file of a scene with bytes; with a folder, a link to `source` stands there under the scene's name."""
    name = f"scene_{number:06d}{source.suffix}"
    local = source
    if folder is not None:
        local = _link(folder / name, source)
    created = _time(library, number)
    return library.add_file(
        kind="video",
        path=f"{root}/{name}",
        local=local,
        now=created,
        mod_time=library.text_time(source.stat().st_mtime),
        **video_facts(source),
    )


def _link(link: Path, source: Path) -> Path:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not (link.is_symlink() and link.readlink() == source.resolve()):
        link.unlink(missing_ok=True)
        link.symlink_to(source.resolve())
    return link


def _add_image(library: Library, chance: random.Random, number: int, root: str, galleries: int) -> None:
    created = _time(library, number)
    gallery = number % galleries + 1 if galleries else 0
    file = library.add_file(
        kind="image",
        path=f"{root}/set_{gallery}/image_{number:06d}.jpg",
        size=200_000 + number,
        now=created,
        fingerprints=(("md5", f"{chance.getrandbits(128):032x}"),),
        format="jpeg",
        width=1600,
        height=1200,
    )
    library.add(
        "image",
        now=created,
        file_ids=(file.id,),
        gallery_ids=(gallery,) if gallery else (),
        performer_ids=_some(chance, len(library.performers), 2),
    )
