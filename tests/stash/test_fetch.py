"""Pictures and tags from the fake Stash: bytes that are known are not sent, the key stays with Stash."""

from __future__ import annotations

import pytest

from pipelines.errors import InputError, LimitExceeded, MediaNotFound, StashUnauthorized
from pipelines.media.access import MediaAccess
from tests.fakes.stash import FakeStash, generate_library
from tests.stash.conftest import listed, using

PICTURE = b"\xff\xd8" + b"x" * 5000
MOST = 1 << 20


@pytest.fixture
def pictured():
    library = generate_library(20, images=12, galleries=3, performers=3)
    library.performers[1].image = PICTURE
    with FakeStash(library, api_key="hush-key") as stash:
        yield stash


def test_a_picture_comes_once_and_again_when_its_bytes_change(pictured: FakeStash):
    async def use(library):
        performer = await library.performer("1")
        url = MediaAccess((), library.client.address).rebase(performer.image_url)
        first = await library.client.fetch(url, most_bytes=MOST)
        same = await library.client.fetch(url, etag=first.etag, most_bytes=MOST)
        pictured.library.performers[1].image = PICTURE + b"y"
        other = await library.client.fetch(url, etag=first.etag, most_bytes=MOST)
        return first, same, other

    first, same, other = using(pictured, use, api_key="hush-key")
    assert first.data == PICTURE
    assert first.etag
    assert (same.data, same.etag) == (None, first.etag)
    assert other.data == PICTURE + b"y"
    assert other.etag != first.etag
    asked = pictured.requests.named("/performer/")
    assert [one.status for one in asked] == [200, 304, 200]
    assert {one.keyed for one in asked} == {"header"}


def test_what_cannot_be_fetched_is_named(pictured: FakeStash):
    def fetch(url: str, most: int = MOST, key: str | None = "hush-key"):
        return using(pictured, lambda library: library.client.fetch(url, most_bytes=most), api_key=key)

    with pytest.raises(MediaNotFound):
        fetch(f"{pictured.url}/performer/99/image")
    with pytest.raises(LimitExceeded, match="larger"):
        fetch(f"{pictured.url}/performer/1/image", most=100)
    with pytest.raises(StashUnauthorized):
        fetch(f"{pictured.url}/performer/1/image", key=None)
    asked = len(pictured.requests)
    with pytest.raises(InputError):
        fetch(f"{pictured.url}0/performer/1/image")
    assert len(pictured.requests) == asked


def test_a_fault_that_passes_is_waited_for(pictured: FakeStash):
    pictured.knobs.fail_next(2)
    url = f"{pictured.url}/performer/1/image"
    assert (
        using(pictured, lambda library: library.client.fetch(url, most_bytes=MOST), api_key="hush-key").data == PICTURE
    )


@pytest.mark.parametrize("kind", ["scene", "image", "gallery"])
def test_who_is_tagged_on_everything(pictured: FakeStash, kind: str):
    rows = pictured.library.table(kind)
    found = using(pictured, lambda library: listed(library.tagged(kind, page_size=7)), api_key="hush-key")
    assert [one.id for one in found] == [str(i) for i in rows]
    for one in found:
        row = rows[int(one.id)]
        assert one.performers == tuple(map(str, row.performer_ids))
        assert one.galleries == tuple(map(str, getattr(row, "gallery_ids", ())))
