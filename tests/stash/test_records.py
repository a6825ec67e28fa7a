"""Records, what tells files apart, times, and what a merge keeps."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import StashRejected
from pipelines.stash.merging import merged_performer, merged_stash_ids
from pipelines.stash.parse import parser_of, read
from pipelines.stash.records import (
    Fingerprint,
    Performer,
    PerformerRef,
    StashBox,
    StashId,
    TagRef,
    VideoFile,
    content_fingerprint,
)
from pipelines.stash.watermark import instant, latest, updated_since

STASHDB = "https://stashdb.org/graphql"
FANSDB = "https://FansDB.cc/graphql"


def test_universal_ids_are_host_and_uuid_of_every_link():
    links = (StashId(STASHDB, "a-1"), StashId(FANSDB, "b-2"), StashId("nonsense", "c-3"), StashId(STASHDB, "a-1"))
    assert PerformerRef("1", "Ada", links).universal_ids == ("stashdb.org:a-1", "fansdb.cc:b-2")
    assert Performer("1", stash_ids=links).universal_ids == ("stashdb.org:a-1", "fansdb.cc:b-2")
    assert StashId("https://[broken", "x").domain == ""


def test_fingerprints_prefer_oshash_then_md5_then_size_and_time():
    file = VideoFile("1", "/a.mp4", size_bytes=12, mod_time="2024-05-01T10:00:00+02:00")
    assert content_fingerprint(file) == "stat:12:2024-05-01T10:00:00+02:00"
    md5, oshash, phash = Fingerprint("md5", "aa"), Fingerprint("oshash", "bb"), Fingerprint("phash", "f")
    assert content_fingerprint(VideoFile("1", "/a", fingerprints=(phash, md5))) == "md5:aa"
    assert content_fingerprint(VideoFile("1", "/a", fingerprints=(phash, md5, oshash))) == "oshash:bb"


def test_phash_is_unsigned_64_bits_without_leading_zeros():
    assert Fingerprint("phash", "f").phash64 == 15
    assert Fingerprint("phash", "ffffffffffffffff").phash64 == 2**64 - 1
    assert Fingerprint("md5", "ff").phash64 is None
    assert Fingerprint("phash", "nonsense").phash64 is None


def test_no_picture_is_told_from_a_silhouette():
    assert Performer("1", image_url="http://stash/performer/1/image?t=1").has_image
    assert not Performer("1", image_url="http://stash/performer/1/image?t=1&default=true").has_image
    assert not Performer("1").has_image


def test_keys_stay_out_of_representations():
    assert "hush" not in repr(StashBox(STASHDB, "hush", "box"))
    assert "hush" not in repr(Performer("1", image_url="http://stash/performer/1/image?apikey=hush"))


def test_an_answer_of_another_shape_is_refused_by_name():
    with pytest.raises(StashRejected, match="shape"):
        read(parser_of("scene", "full"), {"title": "no id"})


@pytest.mark.parametrize(
    ("watermark", "expected"),
    [
        ("2024-03-10T03:30:00-04:00", "2024-03-10T01:29:59-04:00"),
        ("2024-01-01T01:00:00Z", "2023-12-31T22:59:59Z"),
        ("2024-01-01T01:00:00.123456789+11:00", "2023-12-31T22:59:59+11:00"),
    ],
)
def test_a_watermark_goes_back_in_its_own_offset(watermark: str, expected: str):
    assert updated_since(watermark) == {"updated_at": {"value": expected, "modifier": "GREATER_THAN"}}


@given(st.datetimes(), st.integers(-12 * 4, 14 * 4))
def test_a_watermark_is_at_least_the_overlap_before(moment, quarters: int):
    if moment.year < 1900:
        moment = moment.replace(year=1900)
    hours, minutes = divmod(abs(quarters) * 15, 60)
    text = moment.replace(microsecond=0).isoformat() + f"{'-' if quarters < 0 else '+'}{hours:02}:{minutes:02}"
    since = updated_since(text)["updated_at"]["value"]
    assert instant(text) - instant(since) == timedelta(hours=2, seconds=1)
    assert since[-6:] == text[-6:] or quarters == 0


def test_the_latest_time_is_by_instant_and_returned_as_it_came():
    assert latest(["2024-01-01T10:00:00+11:00", "2024-01-01T05:00:00Z", ""]) == "2024-01-01T05:00:00Z"
    assert latest([]) is None
    with pytest.raises(StashRejected):
        latest(["2024-01-01 10:00"])


def test_links_of_other_boxes_survive_a_change():
    mine, other, more = StashId(STASHDB, "a"), StashId(FANSDB, "b"), StashId(STASHDB, "c")
    assert merged_stash_ids([mine, other], add=[more]) == (mine, other, more)
    assert merged_stash_ids([mine, other], add=[more], remove=[mine]) == (other, more)
    assert merged_stash_ids([mine, other], add=[mine], remove=[mine]) == (mine, other)
    dated = StashId(STASHDB, "a", "2024-01-01T00:00:00Z")
    assert merged_stash_ids([dated], add=[mine])[0].updated_at == "2024-01-01T00:00:00Z"


def test_a_merged_performer_keeps_what_either_knows():
    kept = Performer(
        "1",
        name="Ada Abel",
        aliases=("Ada A.",),
        urls=("https://a",),
        country="DE",
        tags=(TagRef("3"),),
        stash_ids=(StashId(STASHDB, "a"),),
        custom_fields={"x": 1},
    )
    gone = Performer(
        "2",
        name="Ada B",
        disambiguation="dancer",
        aliases=("ADA ABEL", "ada a."),
        urls=("https://a", "https://b"),
        country="FR",
        height_cm=170,
        favorite=True,
        stash_ids=(StashId(FANSDB, "b"),),
        custom_fields={"x": 2, "y": 3},
    )
    assert merged_performer(kept, [gone]) == {
        "alias_list": ["Ada A.", "Ada B"],
        "urls": ["https://a", "https://b"],
        "tag_ids": ["3"],
        "stash_ids": (StashId(STASHDB, "a"), StashId(FANSDB, "b")),
        "favorite": True,
        "height_cm": 170,
        "custom_fields": {"partial": {"y": 3}},
    }
