"""Fetching a model pack as a job, from a place that the settings name: the real files of the pack `open`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import LicenceNotAccepted, ModelChecksumMismatch, ModelFetchFailed, Stopped
from pipelines.faces.catalogue import BUFFALO_L, OPEN
from pipelines.fetch_models import fetch, pack_states, run_job
from pipelines.jobs import REGISTRY, JobContext
from pipelines.models.library import ModelLibrary
from pipelines.settings import Settings
from tests.fakes.file_server import FileServer

NAMES = [file.name for file in OPEN.files]


@pytest.fixture
def served(open_models: Path) -> Iterator[FileServer]:
    with FileServer({f"/open/{name}": (open_models / name).read_bytes() for name in NAMES}).running() as server:
        yield server


@pytest.fixture
def settings(served: FileServer, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, model_sources=(f"open={served.url}/open",))


def job(settings: Settings, steps: list[tuple[int, int | None]], **params: Any) -> dict[str, Any]:
    kind = REGISTRY["fetch_models"]
    return run_job(JobContext(settings, kind.parse(params), lambda d, t, _: steps.append((d, t)), lambda: False))


def test_a_stopped_job_goes_on_where_it_was(settings: Settings, served: FileServer) -> None:
    steps: list[tuple[int, int | None]] = []
    with pytest.raises(Stopped):
        fetch(settings, OPEN, progress=lambda d, t, _: steps.append((d, t)), should_stop=lambda: steps[-1:] > [(9, 0)])
    assert ModelLibrary(settings.models_path).status()[1].state == "missing"
    served.requests.clear()
    assert steps[-1] == (9, 39)
    steps.clear()
    result = job(settings, steps, pack="open")
    assert [file["state"] for file in result["files"]] == ["installed", "installed"]
    ((path, wanted),) = served.requests
    assert path == "/open/rec_sface.onnx"
    assert int(wanted.removeprefix("bytes=").removesuffix("-")) > 5_000_000
    assert steps[-1] == (39, 39)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    served.requests.clear()
    job(settings, steps, pack="open")
    assert served.requests == [], "what is there and right stays"


def test_other_bytes_are_refused(settings: Settings, served: FileServer) -> None:
    served.files["/open/det_yunet.onnx"] = bytes(len(served.files["/open/det_yunet.onnx"]))
    with pytest.raises(ModelChecksumMismatch):
        job(settings, [], pack="open")
    assert {file.state for file in ModelLibrary(settings.models_path).verify("open")} == {"missing"}


def test_what_cannot_be_fetched_here_says_why(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.fetch_models.find_spec", lambda _: None)  # insightface may be installed here
    library = ModelLibrary(settings.models_path)
    states = {state.id: state for state in pack_states(library, settings.model_sources)}
    assert {state.state for state in states.values()} == {"missing"}
    assert (states["open"].why_not, states["open"].source) == ("", "127.0.0.1")
    assert "model_sources: buffalo_l=URL" in states["buffalo_l"].why_not
    with pytest.raises(ModelFetchFailed, match="cannot be fetched here"):
        fetch(settings, BUFFALO_L, accept_licence=True)
    rules = (*settings.model_sources, "buffalo_l=https://models.example/b")
    (known,) = (state for state in pack_states(library, rules) if state.id == "buffalo_l")
    assert (known.why_not, known.source, known.licence_accepted) == ("", "models.example", False)
    with pytest.raises(LicenceNotAccepted):
        fetch(settings.model_copy(update={"model_sources": rules}), BUFFALO_L)
