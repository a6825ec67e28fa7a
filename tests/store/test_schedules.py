"""Schedules with a clock of the test's own: first run, downtime, changes, several supervisors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from pipelines.store.schedules import ScheduleStore
from pipelines.store.sql import Store
from tests.store.test_jobs import FakeClock

HOUR_S = 3600


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def schedules(store: Store, clock: FakeClock) -> ScheduleStore:
    return ScheduleStore(store, clock)


def test_the_first_run_is_one_interval_away_and_then_every_interval(schedules: ScheduleStore, clock: FakeClock):
    start = clock()
    schedule = schedules.set("scan", enabled=True, interval_hours=6)
    assert schedule.next_run_at == start + timedelta(hours=6)
    assert schedules.take_due() == []
    clock.pass_s(6 * HOUR_S + 30)
    assert schedules.take_due() == ["scan"]
    assert schedules.take_due() == []
    now = schedules.all()["scan"]
    assert (now.last_run_at, now.next_run_at) == (clock(), start + timedelta(hours=12))


def test_after_a_downtime_it_runs_once(schedules: ScheduleStore, clock: FakeClock):
    start = clock()
    schedules.set("scan", enabled=True, interval_hours=6)
    clock.pass_s(100 * HOUR_S)
    assert schedules.take_due() == ["scan"]
    assert schedules.take_due() == []
    assert schedules.all()["scan"].next_run_at == start + timedelta(hours=102)


def test_exactly_on_time_counts_as_due(schedules: ScheduleStore, clock: FakeClock):
    schedules.set("scan", enabled=True, interval_hours=1)
    clock.pass_s(HOUR_S)
    assert schedules.take_due() == ["scan"]
    assert schedules.take_due() == []


def test_what_is_off_does_not_run(schedules: ScheduleStore, clock: FakeClock):
    schedules.set("scan", enabled=True, interval_hours=1)
    off = schedules.set("scan", enabled=False, interval_hours=1)
    assert (off.enabled, off.next_run_at) == (False, None)
    clock.pass_s(10 * HOUR_S)
    assert schedules.take_due() == []
    on = schedules.set("scan", enabled=True, interval_hours=1)
    assert on.next_run_at == clock() + timedelta(hours=1)


def test_setting_the_same_again_changes_nothing_and_another_interval_does(schedules: ScheduleStore, clock: FakeClock):
    first = schedules.set("scan", enabled=True, interval_hours=6)
    clock.pass_s(HOUR_S)
    assert schedules.set("scan", enabled=True, interval_hours=6) == first
    assert schedules.set("scan", enabled=True, interval_hours=1).next_run_at == clock() + timedelta(hours=1)


def test_of_several_supervisors_one_gets_it(store: Store, clock: FakeClock):
    ScheduleStore(store, clock).set("scan", enabled=True, interval_hours=6)
    clock.pass_s(7 * HOUR_S)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: ScheduleStore(store, clock).take_due(), range(8)))
    assert sorted(taken) == [[]] * 7 + [["scan"]]
