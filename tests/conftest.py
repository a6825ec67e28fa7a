"""Fixtures shared by all tests: where the test data and the models are."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = ["tests.workers"]

REPOSITORY = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"

# A busy machine is no fault of what is tested.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the committed test media."""
    return DATA


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Folder with one sub-folder per model pack."""
    data_dir = Path(os.environ.get("STASH_SENSE_DATA_DIR", REPOSITORY / ".data"))
    return Path(os.environ.get("STASH_SENSE_MODELS_DIR", data_dir / "models"))


@pytest.fixture(scope="session")
def open_models(models_dir: Path) -> Path:
    """Folder with the graphs of the `open` pack."""
    folder = models_dir / "open"
    if not (folder / "det_yunet.onnx").exists():
        pytest.fail(f"no models in {folder}: run `make setup`, then `.venv/bin/stash-sense models fetch open`")
    return folder


@pytest.fixture(scope="session")
def eval_data() -> Path:
    """Folder of the larger evaluation set; tests that need it are skipped without it."""
    value = os.environ.get("STASH_SENSE_EVAL_DATA")
    if not value:
        pytest.skip("STASH_SENSE_EVAL_DATA is not set")
    return Path(value)
