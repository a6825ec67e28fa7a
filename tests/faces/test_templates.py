import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import DatabaseCorrupt, InputError
from pipelines.faces.catalogue import OPEN
from pipelines.faces.templates import (
    PRIOR_STRENGTH,
    PackMean,
    TemplateSpace,
    load_pack_mean,
    measure_pack_mean,
    performer_means,
    unit,
)

TWO = dataclasses.replace(
    OPEN,
    id="two",
    embedders=(
        dataclasses.replace(OPEN.embedders[0], name="one", dimension=128, weight=0.7),
        dataclasses.replace(
            OPEN.embedders[0],
            name="other",
            file=dataclasses.replace(OPEN.embedders[0].file, name="other.onnx"),
            dimension=128,
            weight=0.3,
        ),
    ),
)
DIM = 256


def raw(count: int, seed: int = 0) -> np.ndarray:
    """Raw templates: two unit vectors side by side."""
    values = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return np.concatenate([unit(values[:, :128]), unit(values[:, 128:])], axis=1)


def with_weights(*weights: float):
    embedders = tuple(dataclasses.replace(e, weight=w) for e, w in zip(TWO.embedders, weights, strict=True))
    return dataclasses.replace(TWO, embedders=embedders)


def test_inner_product_is_the_weighted_cosine_of_centred_parts():
    space = TemplateSpace.for_gallery(TWO, raw(40))
    a, b = raw(5, 1), raw(5, 2)
    expected = np.zeros((5, 5))
    for part, spec in zip((slice(0, 128), slice(128, 256)), TWO.embedders, strict=True):
        ca, cb = a[:, part] - space.centre[part], b[:, part] - space.centre[part]
        cosine = ca @ cb.T / np.linalg.norm(ca, axis=1)[:, None] / np.linalg.norm(cb, axis=1)
        expected += spec.weight * cosine
    np.testing.assert_allclose(space.project(a) @ space.project(b).T, expected, atol=1e-5)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_projected_templates_have_unit_length_whatever_the_scale(seed):
    space = TemplateSpace.for_gallery(TWO, raw(3, seed + 1))
    templates = raw(4, seed)
    projected = space.project(templates)
    np.testing.assert_allclose(np.linalg.norm(projected, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(space.project(templates * 3.5), projected, atol=1e-5)


def test_embedders_without_weight_are_left_out():
    space = TemplateSpace.for_gallery(with_weights(1.0, 0.0), raw(40))
    assert space.projected_dim == 128
    templates = raw(3)
    changed = templates.copy()
    changed[:, 128:] = raw(3, 9)[:, 128:]
    np.testing.assert_array_equal(space.project(templates), space.project(changed))


def test_a_gallery_of_one_is_centred_on_the_prior_and_not_on_the_person():
    person = raw(1)[:, : OPEN.template_dim]
    person /= np.linalg.norm(person)
    space = TemplateSpace.for_gallery(OPEN, person)
    prior = load_pack_mean(OPEN)
    assert prior is not None
    np.testing.assert_allclose(
        space.centre, (person[0] + PRIOR_STRENGTH * prior.mean) / (1 + PRIOR_STRENGTH), atol=1e-6
    )
    photo = person + 0.03 * np.random.default_rng(5).standard_normal(person.shape).astype(np.float32)
    assert float((space.project(photo) @ space.project(person).T)[0, 0]) > 0.8


def test_without_a_prior_a_small_gallery_is_centred_little():
    space = TemplateSpace.for_gallery(TWO, raw(1))
    np.testing.assert_allclose(space.centre, raw(1)[0] / (1 + PRIOR_STRENGTH), atol=1e-6)


def test_a_large_gallery_outweighs_the_prior():
    means = raw(2000)
    np.testing.assert_allclose(TemplateSpace.for_gallery(TWO, means).centre, means.mean(axis=0), atol=0.01)


def test_an_empty_gallery_is_centred_on_the_prior():
    space = TemplateSpace.for_gallery(OPEN, np.zeros((0, OPEN.template_dim), np.float32))
    np.testing.assert_allclose(space.centre, load_pack_mean(OPEN).mean, atol=1e-6)


def test_packs_that_are_not_centred_stay_so():
    space = TemplateSpace.for_gallery(dataclasses.replace(TWO, centre=False), raw(40))
    assert not space.centre.any()


def test_prior_is_for_this_template_format_and_of_no_single_person():
    prior = load_pack_mean(OPEN)
    assert prior.template_id == OPEN.template_id
    assert prior.people >= 20
    assert prior.provenance
    # The mean of many people is much shorter than the template of one.
    assert np.linalg.norm(prior.mean[:128]) < 0.7


def test_prior_of_other_model_files_is_not_used():
    file = dataclasses.replace(OPEN.detector.file, sha256="0" * 64)
    assert load_pack_mean(dataclasses.replace(OPEN, detector=dataclasses.replace(OPEN.detector, file=file))) is None


def test_pack_mean_is_written_as_it_is_read():
    record = json.loads(PackMean("x", np.arange(4, dtype=np.float32) / 7, 9, "own").to_json())
    assert record["mean"] == [0.0, 0.142857, 0.285714, 0.428571]
    assert (record["template_id"], record["people"], record["provenance"]) == ("x", 9, "own")


def test_measured_mean_is_the_mean_of_unit_parts():
    means = raw(30) * np.repeat([2.0, 0.5], 128).astype(np.float32)
    measured = measure_pack_mean(TWO, means, "own")
    np.testing.assert_allclose(measured.mean, raw(30).mean(axis=0), atol=1e-6)
    assert (measured.people, measured.template_id) == (30, TWO.template_id)


def test_space_survives_json_exactly():
    space = TemplateSpace.for_gallery(TWO, raw(7))
    again = TemplateSpace.from_dict(json.loads(json.dumps(space.to_dict())))
    np.testing.assert_array_equal(again.project(raw(3)), space.project(raw(3)))
    assert again.fits(TWO)
    assert not again.fits(with_weights(0.5, 0.5))
    assert not again.fits(dataclasses.replace(TWO, centre=False))


@pytest.mark.parametrize("missing", ["centre", "weights", "template_id"])
def test_damaged_space_is_a_named_error(missing):
    record = TemplateSpace.for_gallery(TWO, raw(2)).to_dict()
    del record[missing]
    with pytest.raises(DatabaseCorrupt):
        TemplateSpace.from_dict(record)


def test_wrong_shape_is_refused():
    with pytest.raises(InputError, match="256"):
        TemplateSpace.for_gallery(TWO, raw(2)).project(np.zeros((2, 128), np.float32))


def test_performer_means_are_plain_means_and_zero_without_templates():
    templates = raw(6).astype(np.float16)
    rows = np.array([0, 0, 0, 2, 2, 3])
    means = performer_means(templates, rows, 5)
    assert means.dtype == np.float32
    np.testing.assert_allclose(means[0], templates[:3].astype(np.float32).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(means[2], templates[3:5].astype(np.float32).mean(axis=0), atol=1e-6)
    assert not means[[1, 4]].any()
    assert performer_means(templates[:0], rows[:0], 2).shape == (2, DIM)
