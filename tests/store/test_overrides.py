"""Overrides of settings in the SQL store: all or none, any JSON value, kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import StoreUnreachable
from pipelines.store.overrides import SettingOverrides, kept_overrides
from pipelines.store.sql import open_store

VALUES = {"top_k": 7, "path_map": ["/a=/b"], "stash_url": None, "pack": "open", "start_fraction": 0.1}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def overrides(url: str) -> Iterator[SettingOverrides]:
    store = open_store(url)
    yield SettingOverrides(store)
    store.close()


def test_values_come_back_as_they_were(overrides: SettingOverrides, url: str) -> None:
    assert overrides.all() == {}
    assert overrides.put(VALUES) == VALUES
    assert overrides.all() == kept_overrides(url) == VALUES
    assert overrides.put({"top_k": 8}) == VALUES | {"top_k": 8}


def test_removing_what_is_not_there_is_no_error(overrides: SettingOverrides) -> None:
    overrides.put(VALUES)
    assert overrides.remove({"top_k", "nothing"}) == {k: v for k, v in VALUES.items() if k != "top_k"}
    assert overrides.remove(set(VALUES)) == overrides.all() == {}


def test_all_or_none(overrides: SettingOverrides) -> None:
    overrides.put({"top_k": 1})
    with pytest.raises((SQLAlchemyError, TypeError)):
        overrides.put({"top_k": 2, "pack": object()})
    assert overrides.all() == {"top_k": 1}


def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnreachable):
        kept_overrides(f"sqlite:///{tmp_path / 'file' / 'state.db'}")
