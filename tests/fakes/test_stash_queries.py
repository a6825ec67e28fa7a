"""Pages, sorts and filters: the traps of the real server included."""

from __future__ import annotations

import pytest

from tests.fakes.conftest import Asker
from tests.fakes.stash import FANSDB, STASHDB, FakeStash, Library, generate_library
from tests.fakes.stash.criteria import like
from tests.fakes.stash.filters import parse_search
from tests.fakes.stash.find import natural

EVERY = list(range(1, 121))


def test_a_page_has_25_rows_by_default_and_all_with_minus_one(ask: Asker) -> None:
    assert len(ask("{ findScenes { scenes { id } } }")["findScenes"]["scenes"]) == 25
    assert ask.scene_ids() == EVERY


def test_no_rows_when_only_the_count_is_wanted(ask: Asker) -> None:
    data = ask("{ findScenes(filter: {per_page: 0}) { count scenes { id } } }")["findScenes"]
    assert data == {"count": 120, "scenes": []}


def test_pages_follow_each_other_and_end(ask: Asker) -> None:
    pages = [ask.scene_ids(per_page=50, page=page) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [50, 50, 20, 0]
    assert [i for page in pages for i in page] == EVERY
    assert ask.scene_ids(per_page=50, page=0) == pages[0]


def test_without_a_sort_there_is_no_order(ask: Asker) -> None:
    ids = ask.scene_ids(sort=None)
    assert ids != sorted(ids)
    assert ids != sorted(ids, reverse=True)
    assert sorted(ids) == EVERY
    assert ask.scene_ids(sort="") == ids


def test_offset_pages_drift_when_a_row_goes(stash: FakeStash, ask: Asker) -> None:
    first = ask.scene_ids(per_page=10, page=1)
    stash.vanish([3])
    second = ask.scene_ids(per_page=10, page=2)
    assert 11 not in first + second


def test_id_keyed_pages_do_not_drift(stash: FakeStash, ask: Asker) -> None:
    seen: list[int] = []
    while True:
        criterion = {"id": {"value": seen[-1] if seen else 0, "modifier": "GREATER_THAN"}}
        page = ask.scene_ids(criterion, per_page=10)
        if not page:
            break
        seen += page
        stash.vanish([page[0]])
    assert seen == EVERY


def test_aggregates_only_when_selected(ask: Asker, library: Library) -> None:
    data = ask("{ findScenes(filter: {per_page: 1}) { duration filesize scenes { id } } }")["findScenes"]
    assert data["duration"] == pytest.approx(sum(file.duration for file in library.files.values()))
    assert data["filesize"] == sum(file.size for file in library.files.values() if file.kind == "video")


@pytest.mark.parametrize("kind", ["Scenes", "Images", "Galleries", "Performers", "Studios", "Tags"])
def test_unknown_sorts_are_errors(ask: Asker, kind: str) -> None:
    assert ask.failure(f'{{ find{kind}(filter: {{sort: "colour"}}) {{ count }} }}') == "invalid sort: colour"


def test_sorts(ask: Asker, library: Library) -> None:
    scenes = library.scenes
    assert ask.scene_ids(direction="DESC") == EVERY[::-1]
    dates = [scenes[i].date for i in ask.scene_ids(sort="date")]
    assert dates == sorted(dates, key=lambda date: (date is not None, date or ""))
    durations = [
        library.files[scenes[i].file_ids[0]].duration for i in ask.scene_ids(sort="duration", direction="DESC")
    ]
    assert durations == sorted(durations, reverse=True)
    assert ask.scene_ids(sort="random_7") == ask.scene_ids(sort="random_7") != ask.scene_ids(sort="random_8")
    assert ask.failure('{ findScenes(filter: {sort: "random_x"}) { count } }') == "invalid random seed: x"


def test_names_sort_naturally() -> None:
    assert sorted(["scene 10", "Scene 9", "scene 1"], key=natural) == ["scene 1", "Scene 9", "scene 10"]


def test_ids_keep_their_order_and_one_missing_id_fails_all(ask: Asker) -> None:
    data = ask("{ findScenes(ids: [7, 3, 5]) { count scenes { id } } }")["findScenes"]
    assert data == {"count": 3, "scenes": [{"id": "7"}, {"id": "3"}, {"id": "5"}]}
    for plural, name in (("Images", "image"), ("Galleries", "gallery"), ("Performers", "performer"), ("Tags", "tag")):
        assert ask.failure(f"{{ find{plural}(ids: [1, 999]) {{ count }} }}") == f"{name} with id 999 not found"
    assert ask.failure("{ findScenes(ids: [3, 3]) { count } }") == "validating ids: duplicate id found: 3"


def test_a_missing_single_row_is_null(ask: Asker) -> None:
    data = ask("{ findScene(id: 999) { id } findPerformer(id: 999) { id } findImage(id: 999) { id } }")
    assert data == {"findScene": None, "findPerformer": None, "findImage": None}
    assert 'parsing "x"' in ask.failure('{ findScene(id: "x") { id } }')


def test_times_are_text_in_the_servers_own_offset(ask: Asker, library: Library) -> None:
    """The same moment with another offset is another text, and compares as one."""
    scene = library.scenes[60]
    assert scene.updated_at.endswith("-05:00")
    newer = {"updated_at": {"value": scene.updated_at, "modifier": "GREATER_THAN"}}
    expected = [row.id for row in library.scenes.values() if row.updated_at > scene.updated_at]
    assert ask.scene_ids(newer) == expected
    same_moment = library.text_time(0)  # 1969-12-31T19:00:00-05:00
    assert same_moment == "1969-12-31T19:00:00-05:00"
    scene.updated_at = same_moment
    as_utc = {"updated_at": {"value": "1970-01-01T00:00:00Z", "modifier": "EQUALS"}}
    assert ask.scene_ids(as_utc) == []
    assert ask.scene_ids({"updated_at": {"value": same_moment, "modifier": "EQUALS"}}) == [60]


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [
        ("Beach Day", "beach day", True),
        ("Beach Day", "beach", False),
        ("Beach Day", "b%y", True),
        ("Beach Day", "beach_day", True),
        ("Ärger", "ärger", False),
        (None, "%", None),
        ("a.b", "a.b", True),
        ("axb", "a.b", False),
    ],
)
def test_like(value: str | None, pattern: str, expected: bool | None) -> None:
    assert like(value, pattern) is expected


class TestTextCriteria:
    def titles(self, stash: FakeStash, ask: Asker, modifier: str, value: str) -> list[int]:
        for number, title in enumerate(("Red boat", "blue Boat house", "", "green"), start=1):
            stash.library.scenes[number].title = title
        few = {"id": {"value": 5, "modifier": "LESS_THAN"}, "title": {"value": value, "modifier": modifier}}
        return ask.scene_ids(few)

    @pytest.mark.parametrize(
        ("modifier", "value", "expected"),
        [
            ("EQUALS", "red BOAT", [1]),
            ("EQUALS", "%boat%", [1, 2]),
            ("NOT_EQUALS", "green", [1, 2]),
            ("INCLUDES", "red house", [1, 2]),
            ("INCLUDES", '"boat house"', [2]),
            ("EXCLUDES", "red house", [4]),
            ("IS_NULL", "", [3]),
            ("NOT_NULL", "", [1, 2, 4]),
            ("MATCHES_REGEX", "^[Rg]", [1, 4]),
            ("NOT_MATCHES_REGEX", "oat", [3, 4]),
        ],
    )
    def test_modifier(self, stash: FakeStash, ask: Asker, modifier: str, value: str, expected: list[int]) -> None:
        assert self.titles(stash, ask, modifier, value) == expected

    def test_broken_regexp(self, ask: Asker) -> None:
        query = '{ findScenes(scene_filter: {title: {value: "(", modifier: MATCHES_REGEX}}) { count } }'
        assert "error parsing regexp" in ask.failure(query)


def test_operators(ask: Asker) -> None:
    low = {"id": {"value": 4, "modifier": "LESS_THAN"}}
    high = {"id": {"value": 118, "modifier": "GREATER_THAN"}}
    assert ask.scene_ids({**low, "OR": high}) == [1, 2, 3, 119, 120]
    assert ask.scene_ids({**low, "AND": {"id": {"value": 2, "modifier": "NOT_EQUALS"}}}) == [1, 3]
    assert ask.scene_ids({**low, "NOT": {"id": {"value": 2, "modifier": "EQUALS"}}}) == [1, 3]
    assert ask.scene_ids({"NOT": low}) == list(range(4, 121))
    query = "query($s: SceneFilterType) { findScenes(scene_filter: $s) { count } }"
    assert ask.failure(query, s={"AND": low, "OR": high}) == "cannot have AND and OR in the same filter"


def test_not_of_an_unknown_value_is_not_true(ask: Asker, library: Library) -> None:
    dated = {"date": {"value": "2015-01-01", "modifier": "GREATER_THAN"}}
    missing = {row.id for row in library.scenes.values() if row.date is None}
    assert missing
    assert not missing & set(ask.scene_ids(dated))
    assert not missing & set(ask.scene_ids({"NOT": dated}))
    assert ask.scene_ids({"is_missing": "date"}) == sorted(missing)


def test_performers_by_modifier(ask: Asker, library: Library) -> None:
    for number, ids in enumerate(((1,), (1, 2), (2,), ()), start=1):
        library.scenes[number].performer_ids = ids

    def found(modifier: str, *ids: int, **more: object) -> list[int]:
        few = {"id": {"value": 5, "modifier": "LESS_THAN"}}
        return ask.scene_ids({**few, "performers": {"value": [str(i) for i in ids], "modifier": modifier, **more}})

    assert found("INCLUDES", 1, 2) == [1, 2, 3]
    assert found("INCLUDES_ALL", 1, 2) == [2]
    assert found("EXCLUDES", 1) == [3, 4]
    assert found("EQUALS", 1) == [1]
    assert found("INCLUDES", 1, excludes=["2"]) == [1]
    assert found("IS_NULL") == [4]
    assert found("NOT_NULL") == [1, 2, 3]


def test_stash_ids_by_endpoint(ask: Asker, library: Library) -> None:
    def ids(endpoint: str, modifier: str, stash_id: str | None = None) -> list[int]:
        criterion = {"endpoint": endpoint, "modifier": modifier, "stash_id": stash_id}
        query = """query($p: PerformerFilterType) {
            findPerformers(performer_filter: $p, filter: {per_page: -1, sort: "id"}) { performers { id } } }"""
        rows = ask(query, p={"stash_id_endpoint": criterion})["findPerformers"]["performers"]
        return [int(row["id"]) for row in rows]

    at_fansdb = [row.id for row in library.performers.values() if any(s.endpoint == FANSDB for s in row.stash_ids)]
    assert ids(FANSDB, "NOT_NULL") == at_fansdb
    assert ids(FANSDB, "IS_NULL") == [i for i in library.performers if i not in at_fansdb]
    one = library.performers[3].stash_ids[0]
    assert ids(STASHDB, "EQUALS", one.stash_id) == [3]
    assert ids(FANSDB, "EQUALS", one.stash_id) == []


def test_files_flags_and_missing(ask: Asker, library: Library) -> None:
    extra = library.add_file(kind="video", path="/data/second.mkv", size=1)
    library.scenes[2].file_ids += (extra.id,)
    library.touch(library.scenes[2])
    assert ask.scene_ids({"file_count": {"value": 1, "modifier": "GREATER_THAN"}}) == [2]
    assert ask.scene_ids({"path": {"value": "second.mkv", "modifier": "INCLUDES"}}) == [2]
    assert ask.scene_ids({"path": {"value": "/data/%_000007.mp4", "modifier": "EQUALS"}}) == [7]
    assert ask.scene_ids({"organized": True}) == list(range(7, 121, 7))
    assert ask.scene_ids({"is_missing": "performers"}) == [s.id for s in library.scenes.values() if not s.performer_ids]
    query = '{ findScenes(scene_filter: {is_missing: "colour"}) { count } }'
    assert ask.failure(query) == "no such column: colour"


def test_images_of_a_gallery(ask: Asker, library: Library) -> None:
    query = """query($i: ImageFilterType) {
        findImages(image_filter: $i, filter: {per_page: -1, sort: "id"}) { count images { id galleries { id } } } }"""
    data = ask(query, i={"galleries": {"value": ["2"], "modifier": "INCLUDES"}})["findImages"]
    assert [int(i["id"]) for i in data["images"]] == library.members(2, "images")
    gallery = ask("{ findGallery(id: 2) { image_count cover { id } image(index: 1) { id } } }")["findGallery"]
    assert (gallery["image_count"], gallery["image"]["id"]) == (data["count"], data["images"][1]["id"])
    assert "index must >= 0" in ask.failure("{ findGallery(id: 2) { image(index: -1) { id } } }")


def test_search_words() -> None:
    assert parse_search('one -two "three four" five OR six') == (["one", "three four"], ["two"], [["five", "six"]])


def test_search_in_performers(ask: Asker) -> None:
    query = "query($q: String) { findPerformers(filter: {q: $q, per_page: -1}) { performers { name } } }"
    found = {row["name"] for row in ask(query, q="ada")["findPerformers"]["performers"]}
    assert found == {"Ada Abel"}
    assert len(ask(query, q="ada OR bela")["findPerformers"]["performers"]) == 2
    assert len(ask(query, q="-ada")["findPerformers"]["performers"]) == 19


def test_the_same_seed_gives_the_same_library() -> None:
    def facts(seed: int) -> list[tuple[object, ...]]:
        library = generate_library(30, seed=seed)
        return [
            (s.title, s.updated_at, s.performer_ids, s.stash_ids, library.files[s.file_ids[0]].fingerprints)
            for s in library.scenes.values()
        ]

    assert facts(1) == facts(1)
    assert facts(1) != facts(2)
