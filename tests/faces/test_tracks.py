import time
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from pipelines.faces import tracks as tracks_module
from pipelines.faces.sightings import SeenFace, Sightings, same_frame_pairs
from pipelines.faces.templates import TemplateSpace, unit
from pipelines.faces.tracks import MAX_FACES, group_faces, overlap, seen_side_by_side, side_by_side
from tests.fakes.people import PACK, People, face, seen

SPACE = TemplateSpace.for_gallery(PACK, np.zeros((0, PACK.template_dim), np.float32))
SAME = PACK.calibration.same_person_score


@dataclass(frozen=True, eq=False)
class Track:
    """One of the tracks that were found, as the faces that were given."""

    seen: list
    template: np.ndarray
    best: SeenFace

    @property
    def frames(self):
        return {s.frame for s in self.seen}


def find_tracks(faces, space, same, max_faces=MAX_FACES):
    if not faces:
        return []
    sightings = Sightings.of(faces)
    found = tracks_module.find_tracks(sightings, space.project(sightings.templates), same, max_faces=max_faces)
    rows = [found.rows([t]) for t in range(len(found))]
    return [
        Track([faces[i] for i in own], template, faces[sightings.best(own)])
        for own, template in zip(rows, found.templates, strict=True)
    ]


def partition(faces, tracks):
    """Which faces belong together, as indices into `faces`."""
    number = {id(s): i for i, s in enumerate(faces)}
    return {frozenset(number[id(s)] for s in t.seen) for t in tracks}


def test_faces_of_three_people_become_three_tracks():
    people = People(3)
    sightings = [(frame, person) for frame in range(8) for person in range(3)]
    faces = seen(people, sightings)
    tracks = find_tracks(faces, SPACE, SAME)
    assert partition(faces, tracks) == {frozenset(range(p, 24, 3)) for p in range(3)}
    for track in tracks:
        assert len(track.frames) == 8
        assert np.linalg.norm(track.template) == pytest.approx(1, abs=1e-5)


def test_no_faces_no_tracks():
    assert find_tracks([], SPACE, SAME) == []


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=25, unique=True),
    st.integers(0, 10_000),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_order_of_the_faces_is_irrelevant(sightings, seed, shuffler):
    faces = seen(People(4, seed), sightings, noise=1.2)
    shuffled = list(faces)
    shuffler.shuffle(shuffled)
    before, after = find_tracks(faces, SPACE, SAME), find_tracks(shuffled, SPACE, SAME)
    assert partition(faces, before) == partition(faces, after)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a.template, b.template)
        assert a.best is b.best


@given(st.integers(0, 500), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_order_is_irrelevant_in_crowds_too(seed, shuffler):
    faces = seen(People(6, seed), [(frame, person) for frame in range(12) for person in range(6)])
    shuffled = list(faces)
    shuffler.shuffle(shuffled)
    groups = [partition(faces, find_tracks(f, SPACE, SAME, max_faces=20)) for f in (faces, shuffled)]
    assert groups[0] == groups[1]
    assert groups[0] == {frozenset(range(p, 72, 6)) for p in range(6)}


def lookalikes(people, frames, lefts):
    """Two people with a score of 0.6, more than `SAME`: alone they would be one."""
    templates = [people.mixed({0: 0.77, 1: 0.63}), people.mixed({0: 0.77})]
    return [
        SeenFace(face(unit((templates[i] + 0.05 * people.template(2))[None])[0], left=left), float(frame), frame)
        for frame in frames
        for i, left in enumerate(lefts)
    ]


def test_lookalikes_side_by_side_are_two_people():
    people = People(3)
    side_by_side = lookalikes(people, range(10), (0.0, 300.0))
    assert partition(side_by_side, find_tracks(side_by_side, SPACE, SAME)) == {
        frozenset(range(0, 20, 2)),
        frozenset(range(1, 20, 2)),
    }


def test_one_stray_face_does_not_split_a_person():
    people = People(1)
    faces = [SeenFace(face(people.template(0)), float(f), f) for f in range(20)]
    faces.append(SeenFace(face(people.template(0), left=500), 7.0, 7))
    tracks = find_tracks(faces, SPACE, SAME)
    assert max(len(t.frames) for t in tracks) == 20


def test_a_face_found_twice_is_one_person():
    people = People(1)
    doubled = [
        SeenFace(face(people.template(0), left=left), float(frame), frame) for frame in range(6) for left in (0.0, 10.0)
    ]
    tracks = find_tracks(doubled, SPACE, SAME)
    assert len(tracks) == 1
    assert len(tracks[0].frames) == 6


def test_good_faces_weigh_more_than_poor_ones():
    people = People(2)
    good = SeenFace(face(people.mixed({0: 0.9}), quality=0.9), 0.0, 0)
    poor = [SeenFace(face(people.mixed({0: 0.5, 1: 0.5}), quality=0.1), float(i), i) for i in range(1, 4)]
    (track,) = find_tracks([good, *poor], SPACE, 0.1)
    plain = unit(np.mean([SPACE.project(s.face.template[None])[0] for s in track.seen], axis=0)[None])[0]
    assert track.template @ people.centres[0] > 0.85 > plain @ people.centres[0]
    assert track.best is good


def test_overlap_is_of_the_smaller_box():
    a = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 5, 5], [20, 0, 30, 10], [5, 0, 15, 10]], np.float32)
    np.testing.assert_allclose(overlap(a, b), [1, 0, 0.5])


def test_a_crowd_of_strangers_is_bounded():
    """6,000 faces of 6,000 people: more groups than are compared at once; none may be lost or joined."""
    random = np.random.default_rng(0)
    vectors = unit(random.standard_normal((6000, 64)).astype(np.float32))
    frames = np.repeat(np.arange(60), 100)
    left = np.tile(np.arange(100) * 200.0, 60)
    boxes = np.stack([left, left * 0, left + 100, left * 0 + 100], axis=1).astype(np.float32)
    started = time.process_time()
    labels = group_faces(vectors, frames, boxes, 0.95, max_faces=1000)
    assert time.process_time() - started < 60
    assert len(np.unique(labels)) == 6000


def test_a_crowd_seen_again_and_again_is_grouped_across_stretches():
    people = People(40)
    vectors = np.stack([people.template(p) for _ in range(60) for p in range(40)])
    frames = np.repeat(np.arange(60), 40)
    left = np.tile(np.arange(40) * 200.0, 60)
    boxes = np.stack([left, left * 0, left + 100, left * 0 + 100], axis=1).astype(np.float32)
    labels = group_faces(vectors, frames, boxes, SAME, max_faces=300)
    np.testing.assert_array_equal(labels, np.tile(np.arange(40), 60))


@given(st.lists(st.integers(0, 5), max_size=30))
def test_pairs_of_one_frame_are_all_there_once(frames):
    frames = np.array(sorted(frames), dtype=np.int32)
    first, second = same_frame_pairs(frames)
    expected = {(i, j) for i in range(len(frames)) for j in range(i + 1, len(frames)) if frames[i] == frames[j]}
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    assert set(pairs) == expected
    assert len(pairs) == len(expected)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=25), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_side_by_side_is_what_the_definition_says(places, seed):
    """Against the plain double loop: faces, then tracks."""
    places = sorted(places)
    frames = np.array([f for f, _ in places], dtype=np.int32)
    left = np.array([40.0 * x for _, x in places], dtype=np.float32)
    boxes = np.stack([left, left * 0, left + 100, left * 0 + 100], axis=1)
    count = len(places)
    apart = np.array(
        [
            [frames[i] == frames[j] and i != j and overlap(boxes[i : i + 1], boxes[j : j + 1])[0] < 0.5
             for j in range(count)]
            for i in range(count)
        ]
    )  # fmt: skip
    np.testing.assert_array_equal(side_by_side(frames, boxes), apart)
    labels = np.unique(np.random.default_rng(seed).integers(0, 4, count), return_inverse=True)[1]
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(labels.max() + 2))
    tracks = tracks_module.Tracks(order, starts, np.zeros((labels.max() + 1, 2), np.float32))
    rest = np.zeros(count, np.float32)
    found = seen_side_by_side(tracks, Sightings(frames, boxes, rest, rest, np.zeros((count, 2), np.float32)))
    for a in range(len(tracks)):
        for b in range(len(tracks)):
            met = {frames[i] for i in range(count) for j in range(count)
                   if a != b and labels[i] == a and labels[j] == b and apart[i, j]}  # fmt: skip
            shorter = min(len(set(frames[labels == a])), len(set(frames[labels == b])))
            assert found[a, b] == (len(met) > 0.1 * shorter)


@given(st.integers(2, 40), st.integers(0, 200), st.floats(0.05, 1.5))
@settings(max_examples=60, deadline=None)
def test_the_tree_is_cut_where_scipy_cuts_it(count, seed, cut):
    vectors = unit(np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32))
    tree = linkage(vectors.astype(np.float64), method="average")
    ours, theirs = tracks_module._flat(tree, cut), fcluster(tree, t=cut, criterion="distance")
    assert len(set(zip(ours.tolist(), theirs.tolist(), strict=True))) == ours.max() + 1 == theirs.max()
