"""Pictures come out upright, RGB, 8 bits; bad ones with an error by name."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipelines.errors import (
    LimitExceeded,
    MediaCorrupt,
    MediaEmpty,
    MediaError,
    MediaNotFound,
    MediaNoVideo,
    MediaUnsupported,
    StashSenseError,
)
from pipelines.media.images import load_image, media_kind
from tests.bench.media_files import Clip, write_clip, write_sound

QUARTERS = np.zeros((60, 80, 3), np.uint8)
QUARTERS[:30, :40], QUARTERS[:30, 40:], QUARTERS[30:, :40] = (220, 30, 30), (30, 200, 30), (30, 30, 210)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def assert_close(image: np.ndarray, expected: np.ndarray, within: float = 6) -> None:
    assert image.dtype == np.uint8
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < within


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}),
        ("PNG", {}),
        ("WEBP", {"quality": 95}),
        ("AVIF", {"quality": 90}),
        ("BMP", {}),
        ("TIFF", {}),
        ("GIF", {}),
        ("JPEG2000", {}),
        ("PPM", {}),
    ],
)
def test_every_format_gives_the_picture(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    data = encoded(Image.fromarray(QUARTERS), kind, **options)
    assert_close(load_image(data), QUARTERS)
    path = tmp_path / "picture.bin"
    path.write_bytes(data)
    assert_close(load_image(path), QUARTERS)


@pytest.mark.parametrize("orientation", range(9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_orientation_is_applied_as_pillow_does(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(QUARTERS), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    assert_close(load_image(data), expected, within=1)


def test_grey_sixteen_bit_and_palette_keep_their_levels() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    rgb = np.repeat(ramp[:, :, None], 3, axis=2)
    assert_close(load_image(encoded(Image.fromarray(ramp), "PNG")), rgb, 0.01)
    deep = (ramp.astype(np.uint16) * 257).astype(np.uint16)
    assert_close(load_image(encoded(Image.fromarray(deep), "PNG")), rgb, 0.01)
    assert_close(load_image(encoded(Image.fromarray(deep), "TIFF")), rgb, 0.01)
    assert_close(load_image(encoded(Image.fromarray(ramp.astype(np.int32) * 257), "TIFF")), rgb, 0.6)
    assert_close(load_image(encoded(Image.fromarray(ramp.astype(np.float32) / 255), "TIFF")), rgb, 0.01)
    assert_close(load_image(encoded(Image.fromarray(QUARTERS).quantize(8), "PNG")), QUARTERS)
    assert_close(load_image(encoded(Image.fromarray(ramp > 127), "PNG")), np.where(rgb > 127, 255, 0), 0.01)


def test_dark_sixteen_bit_grey_stays_dark() -> None:
    dark = np.full((4, 4), 200, np.uint16)
    assert load_image(encoded(Image.fromarray(dark), "PNG")).max() == 1


def test_cmyk_looks_as_it_did() -> None:
    data = encoded(Image.fromarray(QUARTERS).convert("CMYK"), "JPEG", quality=95)
    assert_close(load_image(data), QUARTERS, 8)


def test_transparent_pixels_are_white() -> None:
    layers = np.dstack([QUARTERS, np.full((60, 80), 255, np.uint8)])
    layers[:30, :40, 3] = 0
    expected = QUARTERS.copy()
    expected[:30, :40] = 255
    assert_close(load_image(encoded(Image.fromarray(layers), "PNG")), expected, 0.01)
    half = layers.copy()
    half[..., 3] = 128
    assert_close(load_image(encoded(Image.fromarray(half), "PNG")), (QUARTERS.astype(int) + 255) / 2, 1.5)
    palette = Image.fromarray(layers).convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert (load_image(encoded(palette, "PNG", transparency=palette.info["transparency"]))[5, 5] == 255).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_give_their_first_frame(kind: str) -> None:
    later = [Image.fromarray(255 - QUARTERS)] * 3
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(QUARTERS), kind, save_all=True, append_images=later, duration=100, **options)
    assert_close(load_image(data), QUARTERS)


def test_pixels_are_those_of_pillow_for_real_photos(data: Path) -> None:
    for path in sorted((data / "faces" / "groups").glob("*.jpg")):
        with Image.open(path) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        assert np.abs(load_image(path).astype(int) - expected).max() <= 1


def test_too_many_pixels_are_refused_before_decoding() -> None:
    """The file states 60,000 x 60,000 px and holds none of them."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    side = (60_000).to_bytes(4, "big")
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", side + side + b"\x08\x02\x00\x00\x00") + chunk(b"IEND", b"")
    with pytest.raises(LimitExceeded):
        load_image(bomb)
    with pytest.raises(LimitExceeded, match="megapixels"):
        load_image(encoded(Image.fromarray(QUARTERS), "PNG"), max_megapixels=0.001)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MediaEmpty),
        (b"hello, this is text", MediaUnsupported),
        (b"\xff\xd8\xff\xe0rubbish", MediaCorrupt),
        (b"\x89PNG\r\n\x1a\nrubbish", MediaCorrupt),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", MediaCorrupt),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", MediaUnsupported),
    ],
)
def test_bad_bytes_are_named(data: bytes, error: type[MediaError]) -> None:
    with pytest.raises(error):
        load_image(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_pictures_cut_short_are_damaged(data: Path, kind: str, share: float) -> None:
    with Image.open(data / "faces" / "groups" / "obama_biden_1.jpg") as photo:
        whole = encoded(photo.convert("RGB").resize((300, 200)), kind)
    with pytest.raises(MediaCorrupt):
        load_image(whole[: int(len(whole) * share)])


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(MediaNoVideo):
        load_image(tmp_path)


EXPECTED_FAULTS = {
    "corrupted.png": MediaCorrupt,
    "empty.png": MediaUnsupported,  # five bytes of text
    "truncated.jpg": MediaCorrupt,
}


def outcome(path: Path) -> object:
    try:
        return load_image(path).shape[2]
    except StashSenseError as error:
        return type(error)


@pytest.mark.parametrize("folder", ["formats", "hard"])
def test_the_committed_oddities(data: Path, folder: str) -> None:
    for path in sorted((data / "faces" / folder).iterdir()):
        assert outcome(path) == EXPECTED_FAULTS.get(path.name, 3), path.name


@pytest.mark.parametrize("folder", ["formats", "hard"])
def test_all_oddities_of_the_evaluation_set(eval_data: Path, folder: str) -> None:
    for path in sorted((eval_data / "faces" / folder).iterdir()):
        assert outcome(path) == EXPECTED_FAULTS.get(path.name, 3), path.name


def test_turned_photo_equals_the_photo_it_was_made_of(data: Path) -> None:
    turned = load_image(data / "faces" / "formats" / "obama_exif_orientation6.jpg")
    assert_close(turned, load_image(data / "faces" / "people" / "barack_obama" / "01.jpg"), 3)


def test_kind_is_told_by_content(tmp_path: Path, data: Path) -> None:
    photo = data / "faces" / "formats" / "einstein.jpeg"
    disguised = tmp_path / "photo.mp4"
    disguised.write_bytes(photo.read_bytes())
    assert media_kind(disguised) == media_kind(photo.read_bytes()) == "image"
    for name in ("a.mp4", "a.mkv", "a.avi", "a.wmv", "a.ts", "a.mpg", "a.webm", "a.flv"):
        codec = {"avi": "mpeg4", "wmv": "wmv2", "mpg": "mpeg2video", "webm": "libvpx", "flv": "flv1"}.get(name[2:])
        path = write_clip(tmp_path / name, Clip(codec or "libx264", frames=5, width=64, height=48))
        assert media_kind(path.rename(tmp_path / "film.jpg")) == "video", name
    assert media_kind(encoded(Image.fromarray(QUARTERS), "AVIF")) == "image"


def test_only_gifs_that_play_for_a_second_are_videos(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8), level, np.uint8)) for level in range(0, 200, 20)]
    for duration_ms, kind in ((50, "image"), (150, "video")):
        path = tmp_path / f"{duration_ms}.gif"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=duration_ms)
        assert media_kind(path) == media_kind(path.read_bytes()) == kind
    frames[0].save(tmp_path / "still.gif")
    assert media_kind(tmp_path / "still.gif") == "image"


def test_what_is_neither_is_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("notes " * 100)
    with pytest.raises(MediaUnsupported, match="neither"):
        media_kind(text)
    with pytest.raises(MediaUnsupported):
        media_kind(b"notes")
    with pytest.raises(MediaEmpty):
        media_kind(b"")
    with pytest.raises(MediaNoVideo, match="audio"):
        media_kind(write_sound(tmp_path / "sound.mp3", codec="libmp3lame"))
    with pytest.raises(MediaCorrupt):
        media_kind(b"GIF89a\x01")
