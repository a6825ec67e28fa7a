"""Images with the same picture: real photos, copies of them made here, a fake Stash."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from pipelines.analyzers.duplicate_images import DuplicateImages, keeper_reasons, worth
from pipelines.analyzers.image_groups import ImageHashes
from pipelines.analyzers.same_images import ScannedImages, same_images
from pipelines.stash.records import Image, ImageFile, TagRef
from pipelines.store.scan_schema import ScanKey
from pipelines.store.templates import ScanDataset
from tests.analyzers.people_home import PeopleHome
from tests.fakes.stash.media_facts import image_facts
from tests.fakes.stash.scans import add_media
from tests.pipelines.local_home import RECIPE

PHOTO, OTHER, SERIES = (
    "groups/azure_restaurant.jpg",
    "groups/compreface_014_5.jpg",
    ("people/headpose_male/01.jpg", "people/headpose_male/02.jpg", "people/headpose_male/03.jpg"),
)


def add(home: PeopleHome, path: Path, fingerprint: str = "", **fields: Any) -> str:
    """Adds a scanned image of a file with its facts; returns its id."""
    row = add_media(home.stash.library, f"/images/{path.name}", path, image_facts(path), title=path.stem, **fields)
    scan = home.scans.of("image", str(row.id), str(path))
    home.write(replace(scan, key=ScanKey("image", str(row.id), fingerprint or f"md5:{row.id}", RECIPE)))
    return str(row.id)


def copies(photo: Path, folder: Path) -> list[Path]:
    """Returns half the size, a poor JPEG, and a PNG of a photo."""
    with Picture.open(photo) as opened:
        picture = opened.convert("RGB")
    half = picture.resize((picture.width // 2, picture.height // 2))
    paths = [folder / "half.jpg", folder / "poor.jpg", folder / "whole.png"]
    half.save(paths[0], quality=85)
    picture.save(paths[1], quality=25)
    picture.save(paths[2])
    return paths


def scanned(pdq: np.ndarray, codes: list[int], sizes: list[tuple[int, int]], quality: int = 100) -> ScannedImages:
    count = len(codes)
    width, height = (np.array(side, dtype=np.int64) for side in zip(*sizes, strict=True))
    hashes = ImageHashes(np.arange(count, dtype=np.uint64), pdq, np.full(count, quality))
    ids = [str(n) for n in range(count)]
    return ScannedImages(ids, [f"md5:{c}" for c in codes], np.array(codes, dtype=np.int64), width, height, hashes)


def flipped(bits: int) -> np.ndarray:
    """Returns a hash that differs from that of zeros in so many bits."""
    own = np.zeros(256, np.uint8)
    own[:bits] = 1
    return np.packbits(own)


def test_copies_in_other_sizes_and_qualities_are_one_group(people_home: PeopleHome, data: Path, tmp_path: Path):
    home, folder = people_home, data / "faces"
    whole = add(home, folder / PHOTO)
    small, poor, png = (add(home, path) for path in copies(folder / PHOTO, tmp_path))
    add(home, folder / OTHER)
    shots = {add(home, folder / name) for name in SERIES}
    found, *series = home.looked(DuplicateImages)
    assert {image["id"] for image in found.details["images"]} == {whole, small, poor, png}
    assert all("shots of a series" in one.summary and one.confidence < 70 for one in series)
    assert {image["id"] for one in series for image in one.details["images"]} <= shots
    assert found.target_id == whole
    assert found.details["keeper"]["id"] == png  # as many pixels, and the larger file
    assert set(found.details["actions"]["delete_images"]["delete_ids"]) == {whole, small, poor}
    assert found.confidence > 50
    assert found.details["images"][0]["id"] == png

    with home.stash.library.lock:
        for one in (small, poor, png):
            home.stash.library.images.remove(int(one))
    assert found.id not in {one.id for one in home.looked(DuplicateImages, full=True)}


def test_equal_files_are_copies_whatever_they_show(people_home: PeopleHome, data: Path, tmp_path: Path):
    home = people_home
    flat = tmp_path / "flat.png"
    Picture.new("RGB", (640, 480), (90, 90, 90)).save(flat)
    shutil.copy(flat, tmp_path / "again.png")
    first, second = (add(home, tmp_path / name, "md5:flat") for name in ("flat.png", "again.png"))
    add(home, data / "faces" / OTHER)
    (found,) = home.looked(DuplicateImages)
    assert (found.target_id, found.confidence) == (min(first, second, key=int), 100.0)
    assert found.details["reasons"] == ["The files are equal."]
    assert ScanDataset(home.settings.scans_path).counts().images == 3


def test_flat_pictures_other_shapes_and_far_hashes_are_no_copies():
    pdq = np.stack([flipped(0), flipped(0)])
    alike = [(800, 600), (400, 300)]
    assert len(same_images(scanned(pdq, [0, 1], alike)) or []) == 1
    assert same_images(scanned(pdq, [0, 1], alike, quality=30)) == []
    assert same_images(scanned(pdq, [0, 1], [(800, 600), (600, 600)])) == []
    assert same_images(scanned(np.stack([flipped(0), flipped(60)]), [0, 1], alike)) == []
    assert same_images(scanned(pdq, [0, 1], alike), should_stop=lambda: True) is None


@pytest.mark.parametrize(
    ("bits", "sizes", "least", "most"),
    [
        (0, [(800, 600), (400, 300)], 97, 97),
        (2, [(800, 600), (800, 600)], 90, 97),
        (6, [(800, 600), (800, 600)], 55, 65),
        (15, [(800, 600), (400, 300)], 70, 80),
        (15, [(800, 600), (800, 600)], 40, 50),
    ],
)
def test_confidence_falls_with_the_distance_and_for_shots_of_a_series(bits, sizes, least, most):
    (group,) = same_images(scanned(np.stack([flipped(0), flipped(bits)]), [0, 1], sizes)) or []
    assert group.bits == (bits,)
    assert least <= group.confidences[0] <= most


def test_the_keeper_has_most_pixels_then_bytes_then_facts():
    def image(own: str, side: int, size: int, **more: Any) -> Image:
        file = ImageFile(own, f"/{own}.jpg", width=side, height=side, size_bytes=size)
        return Image(own, files=(file,), **more)

    large, heavy = image("4", 200, 10), image("3", 100, 90)
    known, first, last = image("2", 100, 50, tags=(TagRef("1"),)), image("1", 100, 50), image("5", 100, 50)
    order = [large, heavy, known, first, last]
    assert sorted([first, last, known, large, heavy], key=worth, reverse=True) == order
    assert [keeper_reasons(order[n], order[n + 1 :])[0].split()[0] for n in range(4)] == ["has", "has", "has", "was"]
