"""A real engine and the people of the test data, enrolled once per session; a Ray for each file that asks for one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """Ray on loopback with two CPUs."""
    import ray

    from serve_app.local import init_ray, processes_ended, temporary_folder
    from serve_app.ray_env import environment_set, ray_environment

    with temporary_folder() as folder, environment_set(ray_environment(folder, haproxy=False)), processes_ended():
        logging.getLogger("ray").setLevel(logging.ERROR)
        init_ray(folder, 2)
        try:
            yield
        finally:
            ray.shutdown()
