"""Which files lead from the installed release to another one."""

from __future__ import annotations

import pytest

from pipelines.errors import ReleaseUnknown
from pipelines.releases.plan import make_plan
from pipelines.releases.source import Release, ReleaseFile


def release(version: str, *names: str) -> Release:
    """A release of files that are named with their size behind a `*`."""
    files = [name.partition("*") for name in names]
    return Release(
        version=version,
        files=tuple(ReleaseFile(name=n, url=f"http://host/{n}", size=int(s) if s else None) for n, _, s in files),
    )


def delta(start: str, end: str, size: int = 1) -> str:
    return f"stash-sense2-delta-{start}-to-{end}.zip*{size}"


FULL = "stash-sense2-data-{}.zip*100"
RELEASES = [
    release("5", delta("4", "5"), "performer_links.json*1", "aliases.json*1"),
    release("4", delta("3", "4"), FULL.format(4)),
    release("3", delta("2", "3")),
    release("2", delta("1", "2"), delta("1", "3", 9)),
    release("1", FULL.format(1)),
]


def names(releases: list[Release], installed: str | None, wanted: str | None = None, **how: bool) -> list[str] | None:
    plan = make_plan(releases, installed, wanted, **how)
    return None if plan is None else [p.file.name.removeprefix("stash-sense2-") for p in plan.files]


def test_nothing_installed_takes_the_newest_full_bundle_and_what_follows():
    assert names(RELEASES, None) == ["data-4.zip", "delta-4-to-5.zip"]


def test_an_unbroken_chain_of_deltas_is_preferred():
    assert names(RELEASES, "4") == ["delta-4-to-5.zip"]
    assert names(RELEASES, "3") == ["delta-3-to-4.zip", "delta-4-to-5.zip"]
    assert names(RELEASES, "1") == ["delta-1-to-3.zip", "delta-3-to-4.zip", "delta-4-to-5.zip"], "the fewest"


def test_a_gap_takes_a_full_bundle():
    assert names(RELEASES, "3.5") == ["data-4.zip", "delta-4-to-5.zip"]
    assert names(RELEASES, "4", full=True) == ["data-4.zip", "delta-4-to-5.zip"]


def test_deltas_that_are_larger_than_the_bundle_are_not_taken():
    releases = [release("3", FULL.format(3), delta("2", "3", 60)), release("2", delta("1", "2", 60))]
    assert names(releases, "1") == ["data-3.zip"]
    assert names(releases, "2") == ["delta-2-to-3.zip"]


def test_what_is_installed_is_up_to_date():
    assert make_plan(RELEASES, "5") is None
    assert make_plan(RELEASES, "6") is None, "nor is anything older taken by itself"


def test_a_release_that_nothing_leads_to_is_passed_over():
    assert names([release("7", "notes.txt*1"), *RELEASES], "4") == ["delta-4-to-5.zip"]
    assert make_plan([release("7", "notes.txt*1"), *RELEASES], "5") is None


def test_a_wanted_release_is_taken_older_or_not():
    assert names(RELEASES, "5", "1") == ["data-1.zip"]
    assert names(RELEASES, None, "3") == ["data-1.zip", "delta-1-to-3.zip"]
    for wanted in ("9", "7"):
        with pytest.raises(ReleaseUnknown, match=wanted):
            make_plan([release("7", "notes.txt*1"), *RELEASES], None, wanted)


def test_no_release_at_all_is_said():
    for releases in ([], [release("7", "notes.txt*1")]):
        with pytest.raises(ReleaseUnknown, match="no release"):
            make_plan(releases, None)


def test_links_and_sizes_are_part_of_the_plan():
    plan = make_plan(RELEASES, "4")
    assert plan is not None
    assert [f.name for f in plan.extras] == ["performer_links.json", "aliases.json"]
    assert (plan.download_bytes, plan.delta, plan.pack) == (3, True, "buffalo_l")
    first = make_plan([release("1", "bundle.zip*5")], None)
    assert first is not None
    assert (first.download_bytes, first.delta, first.pack) == (5, False, None)
