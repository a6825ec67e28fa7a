"""Pack records: what they refuse, and what a template's id depends on."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from pipelines.faces.catalogue import BUFFALO_L, OPEN, STASH_SENSE_2026
from pipelines.faces.packs import Calibration, ModelFile

SHA = "a" * 64


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x.onnx",
        "a/b.onnx",
        "/etc/passwd",
        "a\\b.onnx",
        ".hidden",
        "a\0b",
        "x\n",
        "a b",
        "-rf",
        "x" * 129,
    ],
)
def test_a_file_name_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="plain name"):
        ModelFile(name, 1, SHA)
    with pytest.raises(ValueError, match="plain name"):
        dataclasses.replace(OPEN, id=name)


@pytest.mark.parametrize("sha256", ["", "a" * 63, "A" * 64, "g" * 64, "a" * 65])
def test_a_digest_is_64_lower_case_hex_digits(sha256: str) -> None:
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        ModelFile("x.onnx", 1, sha256)
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        ModelFile("x.onnx", 1, SHA, graph_sha256=sha256)


def test_a_file_has_a_size() -> None:
    with pytest.raises(ValueError, match="size_bytes is 0"):
        ModelFile("x.onnx", 0, SHA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_px": 100}, "input_px is 100"),
        ({"input_px": 0}, "input_px is 0"),
        ({"min_score": 1.0}, "min_score is 1.0"),
        ({"nms_iou": 0.0}, "nms_iou is 0.0"),
    ],
)
def test_a_detector_with_impossible_values_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(OPEN.detector, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_px": 0}, "input_px 0"),
        ({"dimension": -1}, "dimension -1"),
        ({"weight": 1.5}, "weight is 1.5"),
        ({"std": 0.0}, "std is 0.0"),
    ],
)
def test_an_embedder_with_impossible_values_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(OPEN.embedders[0], **change)


def test_a_pack_has_one_or_two_different_embedders_with_weights_of_one() -> None:
    first, second = STASH_SENSE_2026.embedders
    for embedders, message in (
        ((), "one or two"),
        ((first, second, first), "one or two"),
        ((first, dataclasses.replace(second, name=first.name)), "names must differ"),
        ((first, dataclasses.replace(second, file=first.file)), "file names must differ"),
        ((first, dataclasses.replace(second, weight=0.6)), "must be 1"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(STASH_SENSE_2026, embedders=embedders)


def test_template_dimensions_add_up() -> None:
    assert OPEN.template_dim == 128 * len(OPEN.embedders)
    assert BUFFALO_L.template_dim == 512
    assert STASH_SENSE_2026.template_dim == 1024


def test_the_template_id_changes_with_what_changes_a_template_only() -> None:
    pack = STASH_SENSE_2026
    first, second = pack.embedders
    assert pack.template_id.startswith("stash-sense-2026-")

    def with_first(**change: object) -> str:
        return dataclasses.replace(pack, embedders=(dataclasses.replace(first, **change), second)).template_id

    changed = [
        with_first(flip=False),
        with_first(std=128.0),
        with_first(layout="nchw"),
        with_first(colour_order="bgr"),
        with_first(alignment="arcface"),
        with_first(file=dataclasses.replace(first.file, sha256=SHA)),
        dataclasses.replace(pack, embedders=(second, first)).template_id,
        dataclasses.replace(pack, detector=dataclasses.replace(pack.detector, colour_order="rgb")).template_id,
    ]
    assert len({pack.template_id, *changed}) == len(changed) + 1
    weights = (dataclasses.replace(first, weight=0.4), dataclasses.replace(second, weight=0.6))
    same = dataclasses.replace(pack, embedders=weights, centre=True, title="other")
    same = dataclasses.replace(same, detector=dataclasses.replace(pack.detector, min_score=0.7))
    assert same.template_id == pack.template_id


def test_packs_survive_pickling_between_processes() -> None:
    assert pickle.loads(pickle.dumps(OPEN)) == OPEN  # noqa: S301 - our own bytes


CALIBRATION = Calibration(0.4, 100, 0.05, 0.4, 20.0, 1.0, "test")


def test_the_accepting_score_grows_with_the_gallery_and_never_shrinks() -> None:
    assert CALIBRATION.accept_score_at(1) == pytest.approx(0.4)
    assert CALIBRATION.accept_score_at(100) == pytest.approx(0.4)
    assert CALIBRATION.accept_score_at(1000) == pytest.approx(0.45)
    assert CALIBRATION.accept_score_at(100_000) == pytest.approx(0.55)


def test_confidence_rises_from_0_to_1_and_never_overflows() -> None:
    values = [CALIBRATION.confidence(score, 100) for score in (-1e9, -1, 0, 0.4, 0.8, 1, 1e9)]
    assert values == sorted(values)
    assert all(0 <= v <= 1 for v in values)
    assert CALIBRATION.confidence(0.4, 100) == pytest.approx(1 / (1 + 2.718281828**-1.0), abs=1e-6)
