"""What there is room for, and what is said when there is none."""

from __future__ import annotations

from pipelines.jobs import JobType
from serve_app.deployments.job_room import SETTLING_S, Room


def kind(resources: dict[str, float] | None = None, workers: dict[str, float] | None = None) -> JobType:
    return JobType("a", "A", "", "a:b", resources=resources or {}, workers=workers or {})


def test_room_is_taken_once():
    room = Room({"CPU": 2.0}, {"CPU": 4.0})
    assert room.take(kind({"CPU": 1}, {"CPU": 1})) == ""
    assert room.take(kind({"CPU": 1})) == "Waits for 1 CPU: 0 of 4 are free"
    assert room.take(kind()) == ""


def test_a_later_job_does_not_get_what_an_earlier_one_waits_for():
    room = Room({"CPU": 1.0, "GPU": 1.0}, {"CPU": 4.0, "GPU": 1.0})
    assert room.take(kind({"CPU": 2})) == "Waits for 2 CPU: 1 of 4 are free"
    assert room.take(kind({"CPU": 1})).startswith("Waits for 1 CPU")
    assert room.take(kind({"GPU": 0.5})) == ""


def test_what_the_cluster_does_not_have_blocks_nobody():
    room = Room({"CPU": 1.0}, {"CPU": 1.0})
    assert room.take(kind({"GPU": 1, "CPU": 1})) == "Needs 1 GPU, and the cluster has 0"
    assert room.take(kind({"CPU": 1})) == ""


def test_running_jobs_keep_room_until_their_workers_are_there():
    for placed, age_s, free in ((False, 0.0, 0), (True, 1.0, 1), (True, SETTLING_S + 1, 2)):
        room = Room({"CPU": 2.0}, {"CPU": 2.0})
        room.expect(kind({"CPU": 1}, {"CPU": 1}), placed=placed, age_s=age_s)
        assert [room.take(kind({"CPU": 1})) == "" for _ in range(3)].count(True) == free
