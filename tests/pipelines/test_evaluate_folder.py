"""The accuracy report of a labelled folder: real photos, unusable files, JSON, plot and the command."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.errors import InputError
from pipelines.evaluate_folder import FolderReport, compared, evaluate_folder, labelled_photos, plot
from pipelines.faces.catalogue import OPEN, STASH_SENSE_2026
from serve_app.cli.evaluate import app

PEOPLE = ("signer_a", "headpose_female", "compreface_b")


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people with two photos each, one with a single photo, and files that cannot be used."""
    root = tmp_path_factory.mktemp("people")
    for name in PEOPLE:
        (root / name).mkdir()
        for file in sorted((data / "faces" / "people" / name).iterdir())[:2]:
            shutil.copy(file, root / name / file.name)
    (root / "single").mkdir()
    shutil.copy(data / "faces" / "people" / "compreface_c" / "01.jpg", root / "single")
    shutil.copy(data / "faces" / "formats" / "corrupted.png", root / "single" / "broken.png")
    shutil.copy(data / "faces" / "noface" / "eagle.jpg", root / "single" / "eagle.jpg")
    (root / "single" / ".hidden.jpg").write_bytes(b"not looked at")
    return root


@pytest.fixture(scope="module")
def report(folder: Path, open_models: Path) -> FolderReport:
    return evaluate_folder(folder, OPEN, open_models, threads=2)


def test_real_photos_are_named_and_strangers_are_not(report: FolderReport) -> None:
    assert (report.photos, report.people, report.enrolled_people) == (7, 4, 3)
    (plain, chosen) = report.accuracies
    assert (plain.method, chosen.method) == ("sface cosine", "open")
    assert chosen.rank1.value == chosen.tpir_fpir1.value == 1
    assert chosen.eer == 0
    assert chosen.searches == (6, 7)
    _, scores = report.scores
    assert scores.non_mated.max() < OPEN.calibration.accept_score < scores.mated[:6].min()


def test_unusable_files_are_listed_with_their_reason(report: FolderReport) -> None:
    reasons = {Path(path).name: reason for path, reason in report.unusable}
    assert reasons.keys() == {"broken.png", "eagle.jpg"}
    assert reasons["eagle.jpg"] == "no_face"
    assert reasons["broken.png"].startswith("media_")


def test_the_record_is_json(report: FolderReport) -> None:
    record = json.loads(json.dumps(report.to_dict()))
    assert record["pack"] == "open"
    assert record["photos"] == 7
    assert [r["method"] for r in record["results"]] == ["sface cosine", "open"]
    assert record["results"][-1]["conditions"][0]["name"] == "clean"
    assert record["results"][-1]["rank1"]["value"] == 1


def test_a_plot_is_written(report: FolderReport, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot(report, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(InputError, match=r"plot\.xyz"):
        plot(report, tmp_path / "plot.xyz")
    with pytest.raises(InputError, match="nowhere"):
        plot(report, tmp_path / "nowhere" / "plot.png")


def test_without_matplotlib_the_message_names_the_extra(
    report: FolderReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match="stash-sense-ray\\[eval\\]"):
        plot(report, tmp_path / "plot.png")


def test_a_few_clean_photos_are_too_few_for_a_calibration(report: FolderReport) -> None:
    with pytest.raises(InputError, match="Too few photos"):
        report.calibration("test")


def test_the_pack_itself_comes_last_and_every_embedder_alone_before_it() -> None:
    assert list(compared(OPEN)) == ["sface cosine", "open"]
    assert list(compared(replace(OPEN, centre=False))) == ["sface centred", "open"]
    two = compared(STASH_SENSE_2026)
    assert list(two)[-1] == "stash-sense-2026"
    assert len(two) == 5
    assert all(sum(e.weight for e in pack.embedders) == 1 for pack in two.values())


def test_folders_without_photos_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        labelled_photos(tmp_path / "missing")
    with pytest.raises(InputError, match="no photos"):
        labelled_photos(tmp_path)


def test_the_command_prints_tables_and_writes_json(
    folder: Path, open_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("STASH_SENSE_MODELS_DIR", str(open_models.parent))
    target = tmp_path / "report.json"
    result = CliRunner().invoke(app, ["folder", str(folder), "--json", str(target), "--pack", "open"])
    assert result.exit_code == 0, result.output
    assert "7 photos of 4 people" in result.output
    assert json.loads(target.read_text())["results"][-1]["eer"] == 0
    missing = CliRunner().invoke(app, ["folder", str(tmp_path / "nobody")])
    assert missing.exit_code == 1
