"""SIGKILL before and after every write to Stash and every commit: nothing is lost, and the log says what was done."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.actions import resume_all, undo
from pipelines.stash.library import StashLibrary
from pipelines.store.actions import ActionRecord, ActionStore
from pipelines.store.sql import Store, open_store
from tests.actions.conftest import act, everything, rich_library, run, take_back
from tests.fakes.stash import FakeStash

REPOSITORY = Path(__file__).parents[2]
MOST_MARKS = 60


class Nursery:
    """Forks processes that die at a mark."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.actions.killed"]
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, stash: FakeStash, url: str, call: list[Any], number: int) -> int:
        order = {"url": stash.url, "store": url, "call": call, "number": number}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    opened = Nursery()
    yield opened
    opened.close()


def resumed(stash: FakeStash, store: Store) -> list[ActionRecord]:
    async def use(library: StashLibrary) -> list[ActionRecord]:
        return await resume_all(library, store)

    return run(stash, use)


SOME, EVERY = 7, 1
"""Every seventh mark or so by default, each of them in the slow tests."""
CASES = [
    ("0.31", "merge_scenes", {"destination_id": "1", "source_ids": ["2"]}),
    ("0.31", "merge_performers", {"destination_id": "1", "source_ids": ["2"]}),
    ("0.30", "merge_performers", {"destination_id": "1", "source_ids": ["2"]}),
    ("0.31", "delete_scene_files", {"scene_id": "2", "keep_file_id": "3", "delete_file_ids": ["2"]}),
    ("0.31", "delete_images", {"keep_id": "1", "delete_ids": ["2"]}),
    ("0.31", "create_performer", {"name": "Dora", "tag": {"entity": "scene", "entity_id": "3"}}),
]


def whole(version: str, action: str, params: dict[str, Any], folder: Path) -> tuple[Any, Any]:
    """Returns the library before the action and after it, undisturbed."""
    with FakeStash(rich_library(), version=version) as stash:
        store = open_store(f"sqlite:///{folder / 'whole.db'}")
        before = everything(stash.library)
        act(stash, store, action, **params)
        store.close()
        return before, everything(stash.library)


@pytest.mark.parametrize(
    ("version", "action", "params", "step"),
    [
        (*CASES[0], SOME),
        (*CASES[2], 2 * SOME),
        *(pytest.param(*case, EVERY, marks=pytest.mark.slow) for case in CASES),
    ],
)
def test_an_action_that_is_killed_anywhere_is_whole_or_not_begun(
    nursery: Nursery, tmp_path: Path, version: str, action: str, params: dict[str, Any], step: int
):
    before, after = whole(version, action, params, tmp_path)
    killed = 0
    for number in range(step, MOST_MARKS, step):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        with FakeStash(rich_library(), version=version) as stash:
            status = nursery.run(stash, url, ["perform", action, params], number)
            assert status in {0, -9}
            if status == 0:
                assert everything(stash.library) == after
                break
            killed += 1
            store = open_store(url)
            left = resumed(stash, store)
            assert resumed(stash, store) == []
            records = ActionStore(store).newest()
            now = everything(stash.library)
            if records and records[0].state == "done":
                assert now == after
                if records[0].undoable:
                    assert take_back(stash, store, records[0].id).undo_state in {"undone", "partly"}
            else:
                assert now == before, (number, [r.error_message for r in left])
                assert not records or "Nothing was changed" in (records[0].error_message or "")
            store.close()
    else:
        pytest.fail("it never came through")
    assert killed >= 8 // step


@pytest.mark.parametrize(
    ("action", "step"),
    [
        ("merge_scenes", 2 * SOME),
        pytest.param("merge_scenes", EVERY, marks=pytest.mark.slow),
        pytest.param("merge_performers", EVERY, marks=pytest.mark.slow),
    ],
)
def test_an_undo_that_is_killed_anywhere_goes_on_when_it_is_asked_again(
    nursery: Nursery, tmp_path: Path, action: str, step: int
):
    for number in range(step, MOST_MARKS, step):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        library = rich_library()
        library.scenes[1].cover = library.performers[1].image = b"\xff\xd8 own"
        before = everything(library)
        with FakeStash(library) as stash:
            store = open_store(url)
            record = act(stash, store, action, destination_id="1", source_ids=["2"])
            status = nursery.run(stash, url, ["undo", record.id], number)
            assert status in {0, -9}
            if status == -9 and ActionStore(store).get(record.id).undo_state != "undone":

                async def again(opened: StashLibrary, store: Store = store, action_id: int = record.id) -> None:
                    await undo(opened, store, action_id)

                run(stash, again)
            ended = ActionStore(store).get(record.id)
            assert ended.undo_state == "undone", (number, ended.undo_report)
            ((what, made),) = ended.undo_made.items()
            table = f"{what.split(':')[0]}s"
            assert everything(stash.library, {(table, int(made)): 2}) == before, number
            store.close()
        if status == 0:
            break
    else:
        pytest.fail("it never came through")
