"""The packs that exist, against what is known about their graphs."""

from __future__ import annotations

import pytest

from pipelines.errors import PackUnknown
from pipelines.faces.catalogue import BUFFALO_L, OPEN, OPEN_DLIB, PACKS, STASH_SENSE_2026, get_pack


def test_the_open_packs_are_free_and_the_others_ask_for_a_licence() -> None:
    assert list(PACKS) == ["open", "open-dlib", "buffalo_l", "stash-sense-2026"]
    assert {p.id for p in PACKS.values() if p.licence.must_accept} == {"buffalo_l", "stash-sense-2026"}
    assert all(get_pack(pack_id) is pack for pack_id, pack in PACKS.items())


@pytest.mark.parametrize("pack_id", ["", "OPEN", "../open", "antelope"])
def test_an_unknown_pack_is_named_with_those_that_exist(pack_id: str) -> None:
    with pytest.raises(PackUnknown, match="open, open-dlib, buffalo_l, stash-sense-2026"):
        get_pack(pack_id)


def test_each_licence_names_authors_terms_and_files() -> None:
    terms = {
        "det_yunet.onnx": ("Shiqi Yu", "MIT License", "MIT"),
        "rec_sface.onnx": ("Yaoyao Zhong", "Apache License, Version 2.0", "Apache-2.0"),
        "dlib_resnet.onnx": ("Davis E. King", "CC0 1.0", "CC0-1.0"),
    }
    for pack in (OPEN, OPEN_DLIB):
        for file in pack.files:
            author, licence, short = terms[file.name]
            for words in (file.name, author, licence):
                assert words in pack.licence.text
            assert short in pack.licence.name
    for pack in (BUFFALO_L, STASH_SENSE_2026):
        assert "non-commercial research" in pack.licence.text
        assert "non-commercial" in pack.licence.name
    assert "Sefik Ilkin Serengil" in STASH_SENSE_2026.licence.text


def test_only_converted_graphs_pin_their_meaning_too() -> None:
    assert all(f.graph_sha256 for f in OPEN_DLIB.files)
    assert not any(f.graph_sha256 for p in (BUFFALO_L, STASH_SENSE_2026) for f in p.files)


def test_buffalo_l_is_preprocessed_as_insightface_does() -> None:
    detector, (embedder,) = BUFFALO_L.detector, BUFFALO_L.embedders
    assert (detector.mean, detector.std, detector.colour_order, detector.input_px) == (127.5, 128.0, "rgb", 640)
    assert (embedder.input_px, embedder.alignment, embedder.layout) == (112, "arcface", "nchw")
    assert (embedder.mean, embedder.std, embedder.colour_order, embedder.dimension) == (127.5, 127.5, "rgb", 512)


def test_stash_sense_2026_reproduces_how_its_databases_were_built() -> None:
    pack = STASH_SENSE_2026
    facenet, arcface = pack.embedders
    assert pack.detector.colour_order == "bgr", "the first Stash Sense gave RGB to a detector of BGR"
    assert (facenet.alignment, facenet.input_px, facenet.mean, facenet.std) == ("arcface112_padded", 160, 127.5, 127.5)
    assert (arcface.alignment, arcface.input_px, arcface.mean, arcface.std) == ("arcface", 112, 127.5, 128.0)
    for embedder in pack.embedders:
        assert (embedder.layout, embedder.colour_order, embedder.flip) == ("nhwc", "rgb", True)
        assert (embedder.dimension, embedder.weight) == (512, 0.5)
    assert not pack.centre


@pytest.mark.parametrize("gallery_size", [1, 1000, 120_000, 10**6])
def test_stash_sense_2026_keeps_its_distance_and_confidence(gallery_size: int) -> None:
    calibration = STASH_SENSE_2026.calibration
    assert calibration.accept_score_at(gallery_size) == 0.5
    for score in (0.4, 0.5, 0.6):
        assert calibration.confidence(score, gallery_size) == pytest.approx(score, abs=0.002)


def test_every_calibration_says_where_it_comes_from() -> None:
    for pack in PACKS.values():
        assert len(pack.calibration.provenance) > 10
        assert 0 < pack.calibration.accept_score < 1
