"""A real engine and the people of the test data, enrolled once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.enroll.folder import EnrolmentReport, enroll_folder
from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.faces.identify import Identifier
from pipelines.store.performers import PerformerDatabase

SMALL_FACE_PX = 24
"""In the 320 x 240 test video the faces are 26 to 34 px wide."""


@pytest.fixture(scope="session")
def engine(open_models: Path) -> FaceEngine:
    return FaceEngine(OPEN, open_models, EngineOptions(threads=2, min_face_px=SMALL_FACE_PX))


@pytest.fixture(scope="session")
def enrolled(
    engine: FaceEngine, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PerformerDatabase, EnrolmentReport]:
    database = PerformerDatabase(tmp_path_factory.mktemp("performer-db"))
    return database, enroll_folder(data / "faces" / "people", engine, database)


@pytest.fixture(scope="session")
def identifier(enrolled: tuple[PerformerDatabase, EnrolmentReport]) -> Identifier:
    return Identifier(enrolled[0].load())
