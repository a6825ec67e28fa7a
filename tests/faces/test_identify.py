import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import InputError
from pipelines.faces.gallery import Gallery, Performer
from pipelines.faces.identify import Identifier, IdentifyOptions, SceneSightings
from pipelines.faces.ranges import SampleTimes, time_ranges
from pipelines.faces.sightings import SeenFace, Sightings
from tests.fakes.people import PACK, People, face, seen


def names(people):
    return [p.match.name if p.match else None for p in people]


@pytest.fixture
def people():
    return People(12)


@pytest.fixture
def identifier(people):
    return Identifier(people.gallery(10))


def test_image_gives_one_person_per_face_in_order(people, identifier):
    faces = [face(people.template(p), left=200.0 * i) for i, p in enumerate((3, 11, 0))]
    found = identifier.image(faces)
    assert names(found) == ["P3", None, "P0"]
    assert [p.best.face for p in found] == faces
    assert all((p.faces, p.frames, p.ranges) == (1, 1, ()) for p in found)


def test_candidates_are_different_performers_best_first(people, identifier):
    (person,) = identifier.image([face(people.mixed({1: 0.7, 4: 0.5, 6: 0.3}))])
    assert [c.name for c in person.candidates[:3]] == ["P1", "P4", "P6"]
    assert len(person.candidates) == identifier.options.top_k
    assert len({c.universal_id for c in person.candidates}) == len(person.candidates)
    first = person.candidates[0]
    assert first == person.match
    assert first.score == pytest.approx(0.7, abs=1e-4)
    assert first.distance == pytest.approx(0.3, abs=1e-4)
    assert first.confidence == pytest.approx(PACK.calibration.confidence(first.score, 10))


def test_threshold_is_the_packs_at_the_size_of_the_gallery(people, identifier):
    assert identifier.threshold == PACK.calibration.accept_score
    below, above = people.mixed({2: 0.39}), people.mixed({2: 0.41})
    assert names(identifier.image([face(below)])) == [None]
    assert names(identifier.image([face(above)])) == ["P2"]
    growing = dataclasses.replace(PACK.calibration, gallery_size=1, score_per_decade=0.2)
    gallery = people.gallery(10)
    strict = Gallery.build(
        dataclasses.replace(PACK, calibration=growing), list(gallery.performers), gallery.raw.templates, np.arange(10)
    )
    assert Identifier(strict).threshold == pytest.approx(0.6)


def test_max_distance_replaces_the_threshold(people):
    identifier = Identifier(people.gallery(10), IdentifyOptions(max_distance=0.2))
    assert names(identifier.image([face(people.mixed({2: 0.75}))])) == [None]
    assert names(identifier.image([face(people.mixed({2: 0.85}))])) == ["P2"]


def test_one_performer_is_not_two_faces_of_one_picture(people, identifier):
    first = face(people.mixed({5: 0.9}))
    second = face(people.mixed({5: 0.8, 7: 0.5}), left=300)
    third = face(people.mixed({5: 0.6}), left=600)
    found = identifier.image([third, second, first])
    assert names(found) == [None, "P7", "P5"]
    assert found[1].candidates[0].name == "P5"


def test_a_face_found_twice_keeps_its_name(people, identifier):
    found = identifier.image([face(people.template(5)), face(people.template(5), left=8)])
    assert names(found) == ["P5", "P5"]


def test_no_faces_no_people(identifier):
    assert identifier.image([]) == []
    assert identifier.scene([]) == []
    assert identifier.gallery([[], []]) == []


def test_an_empty_gallery_names_nobody(people):
    empty = Gallery.build(PACK, [], np.zeros((0, 64), np.float32), np.zeros(0, int))
    (person,) = Identifier(empty).image([face(people.template(0))])
    assert person.match is None
    assert person.candidates == ()


def test_scene_names_people_and_orders_them(people, identifier):
    sightings = [(f, 1) for f in range(10)] + [(f, 2) for f in range(4)] + [(f, 11) for f in range(6)]
    found = identifier.scene(seen(people, sightings), frame_times=range(10), duration_s=10.0)
    assert names(found) == ["P1", "P2", None]
    assert [p.frames for p in found] == [10, 4, 6]
    assert [p.faces for p in found] == [10, 4, 6]


def test_people_seen_in_one_frame_only_are_left_out_of_videos(people, identifier):
    sightings = [(f, 1) for f in range(5)] + [(2, 3), (4, 11)]
    faces = seen(people, sightings)
    assert names(identifier.scene(faces, frame_times=range(5))) == ["P1"]
    lenient = Identifier(identifier.enrolled, IdentifyOptions(min_unique_frames=1))
    assert sorted(map(str, names(lenient.scene(faces, frame_times=range(5))))) == ["None", "P1", "P3"]


def test_two_faces_in_one_frame_are_one_frame(people, identifier):
    """min_unique_frames counts frames, not faces."""
    doubled = [SeenFace(face(people.template(1), left=left), 0.0, 0) for left in (0, 5)]
    assert identifier.scene(doubled, frame_times=(0.0, 1.0)) == []


def test_a_video_of_one_frame_needs_one_frame(people, identifier):
    assert names(identifier.scene(seen(people, [(0, 1)]), frame_times=(0.0,), duration_s=0.04)) == ["P1"]


def test_tracks_of_one_performer_are_one_person(people, identifier):
    """Two views so different that they are two tracks, both nearest to P1."""
    front = people.mixed({1: 0.7, 10: 0.7})
    side = people.mixed({1: 0.7, 10: -0.7})
    faces = [SeenFace(face(front if f < 5 else side), float(f), f) for f in range(10)]
    (person,) = identifier.scene(faces, frame_times=range(10), duration_s=10)
    assert person.match.name == "P1"
    assert (person.frames, person.ranges) == (10, ((0.0, 9.5),))


def test_people_seen_side_by_side_get_different_names(people, identifier):
    faces = []
    for frame in range(6):
        faces.append(SeenFace(face(people.mixed({1: 0.8})), float(frame), frame))
        faces.append(SeenFace(face(people.mixed({1: 0.6, 2: 0.5}), left=400), float(frame), frame))
    found = identifier.scene(faces, frame_times=range(6))
    assert names(found) == ["P1", "P2"]


@given(st.integers(0, 1000), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_order_of_the_faces_changes_nothing(seed, shuffler):
    people = People(8, seed)
    identifier = Identifier(people.gallery(6))
    faces = seen(people, [(f, p) for f in range(6) for p in range(8) if (f * 7 + p * 3 + seed) % 3], noise=0.9)
    shuffled = list(faces)
    shuffler.shuffle(shuffled)
    times = range(6)
    before = identifier.scene(faces, frame_times=times, duration_s=6.0)
    after = identifier.scene(shuffled, frame_times=times, duration_s=6.0)
    assert [(p.match, p.candidates, p.faces, p.ranges, id(p.best)) for p in before] == [
        (p.match, p.candidates, p.faces, p.ranges, id(p.best)) for p in after
    ]


def test_tagged_performers_get_a_boost_on_the_score_alone(people, identifier):
    template = people.mixed({2: 0.39, 3: 0.38})
    (plain,) = identifier.image([face(template)])
    (boosted,) = identifier.image([face(template)], tagged={"local:3", "local:unknown"})
    assert plain.match is None
    assert boosted.match.universal_id == "local:3"
    assert boosted.match.already_tagged
    assert boosted.match.score == pytest.approx(0.41, abs=1e-4)
    assert boosted.match.distance == pytest.approx(0.62, abs=1e-4)
    assert not boosted.candidates[1].already_tagged


def test_any_id_of_a_performer_says_that_it_is_tagged(people):
    performers = [Performer(f"box.org:{i}", f"P{i}", ids=(f"stash:{i}", f"other.org:{i}")) for i in range(4)]
    gallery = Gallery.build(PACK, performers, people.centres[:4], np.arange(4), dtype="float32")
    for tagged in (["stash:3"], ["other.org:3"], ["box.org:3"], ["stash:3", "box.org:3", "other.org:3", "stash:77"]):
        (person,) = Identifier(gallery).image([face(people.mixed({2: 0.39, 3: 0.38}))], tagged=tagged)
        assert (person.match.universal_id, person.match.already_tagged) == ("box.org:3", True)
        assert person.match.score == pytest.approx(0.41, abs=1e-4)
        assert not person.candidates[1].already_tagged


def test_tagged_performers_are_looked_at_even_far_down_the_list():
    people = People(60)
    identifier = Identifier(people.gallery(60), IdentifyOptions(top_k=1, tagged_boost=0.5))
    template = people.mixed(dict.fromkeys(range(50), 0.13) | {55: 0.1})
    (person,) = identifier.image([face(template)], tagged=["local:55"])
    assert person.match.universal_id == "local:55"


def test_gallery_names_performers_seen_twice(people, identifier):
    images = [[face(people.mixed({1: 0.45}))], [face(people.mixed({1: 0.45}))], []]
    assert names(identifier.gallery(images)) == ["P1"]


def test_gallery_wants_a_clear_score_for_a_single_sighting(people, identifier):
    """Accepted distance 0.6, for a single image 0.8 x 0.6 = 0.48: score 0.52."""
    for score, name in ((0.5, None), (0.54, "P1")):
        (person,) = identifier.gallery([[face(people.mixed({1: score}))], []])
        assert (person.match.name if person.match else None) == name
        assert person.candidates[0].name == "P1"
        assert person.ranges == ()


def test_a_single_image_is_no_gallery_of_several(people, identifier):
    assert names(identifier.gallery([[face(people.mixed({1: 0.45}))]])) == ["P1"]


def test_unknown_people_never_seen_clearly_are_left_out(people, identifier):
    faces = [SeenFace(face(people.template(11), quality=0.1), float(f), f) for f in range(5)]
    assert identifier.scene(faces, frame_times=range(5)) == []
    assert names(identifier.image([faces[0].face])) == [None]


@pytest.mark.parametrize("bad", [{"top_k": 0}, {"min_unique_frames": 0}, {"max_distance": 0.0}, {"max_distance": 3.0}])
def test_bad_options_are_refused(bad):
    with pytest.raises(InputError):
        IdentifyOptions(**bad)


def test_ranges_reach_half_way_to_the_next_samples():
    times = SampleTimes.of([], [1.0, 2.0, 4.0, 8.0], 9.0)
    assert time_ranges({1}, times) == ((1.5, 3.0),)
    assert time_ranges({0, 1, 3}, times) == ((0.0, 3.0), (6.0, 9.0))
    assert time_ranges({0, 1, 3}, times, join_gap_s=3.0) == ((0.0, 9.0),)


def test_ranges_of_one_sample_are_the_whole_video():
    assert time_ranges({0}, SampleTimes.of([], [0.0], 0.0)) == ((0.0, 0.04),)
    assert time_ranges({0}, SampleTimes.of([], [2.0], 4.0)) == ((0.0, 4.0),)


def test_ranges_without_sample_times_use_the_median_interval():
    times = SampleTimes.of([(0, 0.0), (1, 2.0), (5, 10.0)], None, None)
    assert time_ranges({0, 1, 5}, times) == ((0.0, 3.0), (9.0, 11.0))


@given(
    st.lists(st.floats(0.01, 30), min_size=1, max_size=30),
    st.sets(st.integers(0, 29), min_size=1),
    st.floats(0, 5),
    st.floats(-2, 2),
)
@settings(max_examples=100, deadline=None)
def test_ranges_are_ordered_apart_inside_and_of_positive_length(steps, frames, gap, cut):
    sampled = np.cumsum(steps).tolist()
    duration = max(sampled[-1] + cut, 0.1)
    own = {f for f in frames if f < len(sampled)} or {0}
    ranges = time_ranges(own, SampleTimes.of([], sampled, duration), gap)
    assert ranges
    assert all(0 <= start < end for start, end in ranges)
    assert all(a[1] < b[0] for a, b in pairwise(ranges))
    assert ranges[-1][1] <= max(duration, sampled[-1]) + 0.05
    for frame in own:
        assert any(start - 0.06 <= sampled[frame] <= end + 0.06 for start, end in ranges)


def as_stored(seen):
    """The columns of a stored scan: half precision, boxes of a picture of another size."""
    columns = Sightings.of(seen)
    return dataclasses.replace(columns, templates=columns.templates.astype(np.float16), boxes=columns.boxes * 1.5)


def same_people(found, expected, faces):
    """Whether people found as rows are the people found as faces."""
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.match is None) == (b.match is None)
        assert [c.universal_id for c in a.candidates[:1]] == [c.universal_id for c in b.candidates[:1]]
        if a.match:
            assert a.match.universal_id == b.match.universal_id
            assert a.match.distance == pytest.approx(b.match.distance, abs=1e-3)
        assert (len(a.rows), a.frames, a.ranges) == (b.faces, b.frames, b.ranges)
        assert faces[a.best] is b.best


def test_many_scenes_at_once_are_named_like_each_alone(people, identifier):
    random = np.random.default_rng(4)
    scenes = []
    for number in range(9):
        frames, cast = 5 + number, random.choice(12, 3, replace=False).tolist()
        sightings = [(f, p) for f in range(frames) for p in cast if random.random() < 0.7]
        scenes.append((seen(people, sightings if number != 4 else []), [f * 1.5 for f in range(frames)]))
    batch = [
        SceneSightings(as_stored(faces) if faces else as_stored(scenes[0][0]).take(np.arange(0)), times, times[-1] + 1)
        for faces, times in scenes
    ]
    for found, (faces, times) in zip(identifier.scenes(batch), scenes, strict=True):
        same_people(found, identifier.scene(faces, frame_times=times, duration_s=times[-1] + 1), faces)


def test_many_images_at_once_are_named_like_each_alone(people, identifier):
    pictures = [
        [face(people.template(p), left=200.0 * i) for i, p in enumerate(cast)] for cast in ((3, 11), (0,), (3, 4))
    ]
    batch = [as_stored([SeenFace(f, None, 0) for f in faces]) for faces in pictures]
    for found, faces in zip(identifier.images(batch), pictures, strict=True):
        assert [p.match and p.match.name for p in found] == names(identifier.image(faces))
        assert [p.best for p in found] == list(range(len(faces)))


def test_nothing_seen_is_nobody(people, identifier):
    nothing = as_stored(seen(people, [(0, 0)])).take(np.arange(0))
    assert identifier.scenes([SceneSightings(nothing, [0.0], 1.0)]) == [[]]
    assert identifier.images([nothing, nothing]) == [[], []]
    assert identifier.scenes([]) == []


def test_a_stored_gallery_is_named_like_its_images(people, identifier):
    images = [[face(people.mixed({1: 0.45})), face(people.mixed({2: 0.5}), left=300)], [face(people.mixed({1: 0.45}))]]
    columns = as_stored([SeenFace(f, None, number) for number, faces in enumerate(images) for f in faces])
    found = identifier.gallery_of(columns, 2)
    assert [p.match and p.match.name for p in found] == names(identifier.gallery(images)) == ["P1", None]


def test_columns_of_different_lengths_are_refused(people):
    columns = as_stored(seen(people, [(0, 0), (1, 0)]))
    with pytest.raises(InputError, match="lengths"):
        dataclasses.replace(columns, qualities=columns.qualities[:1])
