"""Links to crops and the crops that are kept, without a server."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

import serve_app.crops
from pipelines.errors import MediaNotFound
from serve_app.contents import Content, Medium
from serve_app.crops import LIVES_S, CropName, Crops, of_content

NAME = CropName("scene", "12", "abcdef012345", 3.48, (10.0, 20.5, 110.0, 140.0))
NOW = 1_800_000_000.0


def token(link: str) -> str:
    return link.removeprefix("/crops/").removesuffix(".jpg")


def test_links_say_what_they_show_until_they_expire(tmp_path: Path) -> None:
    crops = Crops("digest", tmp_path)
    link = crops.link(NAME, NOW)
    assert crops.read(token(link), NOW + LIVES_S) == NAME
    assert crops.link(NAME, NOW + 60) == link
    with pytest.raises(MediaNotFound, match="expired"):
        crops.read(token(link), NOW + 2 * LIVES_S + 1)
    kept = CropName("kept", "0123")
    assert crops.read(token(crops.link(kept, NOW)), NOW) == kept


def test_links_of_another_key_are_nothing(tmp_path: Path) -> None:
    link = Crops("digest", tmp_path).link(NAME, NOW)
    with pytest.raises(MediaNotFound, match="no such crop"):
        Crops("another digest", tmp_path).read(token(link), NOW)
    assert "digest" not in link


@pytest.mark.parametrize("nonsense", ["", "x", "AAAA", "A" * 400, "../../api-key", "ä", "=", "\0"])
def test_nonsense_is_nothing(tmp_path: Path, nonsense: str) -> None:
    with pytest.raises(MediaNotFound):
        Crops("digest", tmp_path).read(nonsense)


def test_the_oldest_crops_give_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_app.crops, "MOST_BYTES", 10_000)
    crops = Crops("digest", tmp_path)
    names = [CropName("kept", str(number)) for number in range(12)]

    def age(name: CropName, seconds: int) -> None:
        (path,) = [p for p in tmp_path.rglob("*.jpg") if p.stem == name.cache_key]
        os.utime(path, (seconds, seconds))

    async def scenario() -> list[bool]:
        for number, name in enumerate(names):
            await crops.keep(name, bytes(1000))
            age(name, number)
        return [await crops.get(name) is not None for name in names]

    there = asyncio.run(scenario())
    assert there[-1]
    assert not there[0]
    assert sum(p.stat().st_size for p in tmp_path.rglob("*.jpg")) <= 10_000


def test_a_person_of_a_gallery_is_shown_from_its_own_image(tmp_path: Path) -> None:
    crops = Crops("digest", tmp_path)
    media = [Medium(Path("/a"), Content("image", str(n), f"md5:{n}")) for n in (7, 8)]
    best = {"frame": 1, "time_s": None, "box": {"x": 1.0, "y": 2.0, "width": 30.0, "height": 40.0}}
    answer = {"people": [{"best": best}], "unknown": []}
    asyncio.run(crops.add_links(answer, media))
    shown = crops.read(token(best["crop_url"]))  # type: ignore[arg-type]
    assert (shown.kind, shown.name, shown.box) == ("image", "8", (1.0, 2.0, 31.0, 42.0))
    assert shown == of_content(media[1].content, best)  # type: ignore[arg-type]


def test_faces_in_details_get_links_wherever_they_are(tmp_path: Path) -> None:
    crops = Crops("digest", tmp_path)
    box = {"x": 10.0, "y": 20.5, "width": 100.0, "height": 119.5}
    face = {"scene_id": "12", "time_s": 3.48, "box": box, "file_fingerprint": "oshash:1"}
    details = {"scenes": [{"id": "12", "best": face}, {"id": "13", "best": None}], "faces": 4}
    linked = crops.linked(details)
    content = Content("scene", "12", "oshash:1")
    same = of_content(content, {"box": box, "time_s": 3.48})
    assert crops.read(token(linked["scenes"][0]["best"].pop("crop_url"))) == same
    assert linked == details, "nothing else is changed"
