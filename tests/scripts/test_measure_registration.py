"""The experiment on registration: where voxels come to lie, and the sums over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from pseudohealthy.data.volume import volume_from_array
from pseudohealthy.phantom.anatomy import template
from pseudohealthy.phantom.fields import Frame
from pseudohealthy.phantom.subject import anatomy_of, phantom
from scripts.measure_registration import (
    LEFT_IN,
    MASKED,
    asymmetry,
    by_place,
    centred,
    coordinates,
    kept,
    measured,
    on_frame,
    registered,
    summary,
    template_image,
)

FRAME = Frame(8.0)


def brain() -> np.ndarray:
    """A ball in the middle of the template's frame."""
    far: np.ndarray = np.linalg.norm(coordinates(FRAME) - np.array([0, -18, 8]).reshape(3, 1, 1, 1), axis=0)
    return far < 60


@pytest.mark.slow
def test_a_registration_finds_back_how_the_template_was_moved_and_bent() -> None:
    frame = Frame(4.0)
    here = coordinates(frame)
    bent = 6 * np.sin(here[[1, 2, 0]] / 25)  # mm
    expected = here + bent - np.array([frame.spacing, 0, -frame.spacing]).reshape(3, 1, 1, 1)
    index = (expected - frame.affine[:3, 3].reshape(3, 1, 1, 1)) / frame.spacing
    image = ndimage.map_coordinates(template_image(frame), index, order=1)
    lesion = np.zeros(frame.shape, bool)
    lesion[16:20, 28:32, 24:28] = True
    found = dict(registered({LEFT_IN: image, MASKED: image}, lesion, frame))
    inside = ndimage.binary_erosion(image > 0, iterations=2)
    affinely, *_ = np.linalg.lstsq(
        np.vstack([here[:, inside], np.ones(np.count_nonzero(inside))]).T, expected[:, inside].T, rcond=None
    )
    left = (
        expected[:, inside].T - np.vstack([here[:, inside], np.ones(np.count_nonzero(inside))]).T @ affinely
    )
    for name in (LEFT_IN, MASKED):
        error = np.linalg.norm(found[name] - expected, axis=0)[inside]
        assert np.median(error) < np.median(np.linalg.norm(left, axis=1)) / 2, name


def test_means_are_of_the_lesion_its_surroundings_and_the_rest() -> None:
    lesion = np.zeros(FRAME.shape, bool)
    lesion[12, 13, 11] = True
    error = np.where(lesion, 3.0, 1.0)
    error[13, 13, 11] = np.nan  # a neighbour: 8 mm
    assert by_place(error, brain(), lesion, FRAME.spacing) == {"inside": 3.0, "near": 1.0, "far": 1.0}
    error[lesion] = np.nan
    assert np.isnan(by_place(error, brain(), lesion, FRAME.spacing)["inside"])


def test_a_turned_and_scaled_head_is_symmetric_and_a_shift_on_one_side_is_not() -> None:
    here, nothing = coordinates(FRAME), np.zeros(FRAME.shape, bool)
    turn = np.array([[0.98, -0.12, 0.0], [0.12, 0.95, 0.05], [0.0, -0.05, 1.1]])
    turned = np.tensordot(turn, here, 1) + np.array([3.0, -2.0, 1.0]).reshape(3, 1, 1, 1)
    assert np.nanmax(asymmetry(turned.astype(np.float32), brain(), nothing, FRAME)) < 1e-3
    lesion = brain() & (np.abs(here - np.array([30, -18, 8]).reshape(3, 1, 1, 1)).max(axis=0) < 15)
    pushed = here.copy()
    pushed[1][lesion] += 5.0
    error = asymmetry(pushed, brain(), lesion, FRAME)
    assert np.nanmedian(error[lesion]) == pytest.approx(5.0, abs=0.5)
    opposite = ndimage.binary_dilation(lesion[::-1])
    assert np.isnan(error[opposite]).all()  # nothing is expected of tissue opposite a lesion
    far = measured(error, pushed, brain(), lesion, FRAME)
    assert far["far"] < 0.5
    assert 3 < far["beyond_affine"] < 5.5
    assert measured(error, here, brain(), lesion, FRAME)["beyond_affine"] < 1e-3
    assert np.nanmedian(error[brain() & ~lesion]) < 0.5


def test_a_volume_is_laid_on_the_template_whatever_its_grid() -> None:
    source = template_image(Frame(4.0))  # of RAS; an array's axes are superior, posterior, left
    array = source.transpose(2, 1, 0)[:, ::-1, ::-1]
    volume = volume_from_array(np.ascontiguousarray(array, dtype=np.float32), (4.0, 4.0, 4.0))
    laid = on_frame(volume.data, volume, FRAME, centred(volume, FRAME))
    expected = ndimage.map_coordinates(
        ndimage.gaussian_filter(source, 0.8), np.indices(FRAME.shape) * 2.0 + 0.5, order=1
    )
    assert np.corrcoef(laid.ravel(), expected.ravel())[0, 1] > 0.98
    atlas = template(FRAME.spacing)
    centre = np.argwhere(atlas.brain > 0.5).mean(axis=0) + atlas.origin
    np.testing.assert_allclose(coordinates(FRAME)[:, laid > 0].mean(axis=1), centre, atol=4)


def test_the_anatomy_of_a_phantom_is_the_one_that_it_was_made_of() -> None:
    made, anatomy = phantom("patient", 2, spacing=8.0), anatomy_of("patient", 2, spacing=8.0)
    np.testing.assert_array_equal(made.truth > 0, anatomy.brain)


def test_differences_are_to_the_lesion_left_in_patient_by_patient() -> None:
    rows = [
        {"subject": subject, "image": image, "inside": value, "near": value, "far": 1.0, "beyond_affine": 2.0}
        for subject, image, value in (
            ("a", LEFT_IN, 3.0),
            ("b", LEFT_IN, 5.0),
            ("a", MASKED, 2.0),
            ("b", MASKED, 3.0),
        )
    ]
    found = summary(pd.DataFrame(rows))
    assert found[MASKED]["inside"]["mean"]["mean"] == pytest.approx(2.5)
    assert found[MASKED]["inside"]["difference"]["mean"] == pytest.approx(-1.5)
    assert found[MASKED]["far"]["difference"]["mean"] == 0


def test_a_patient_is_measured_once(tmp_path: Path) -> None:
    calls = []

    def made() -> Iterator[dict[str, Any]]:
        calls.append(1)
        yield {"image": LEFT_IN, "inside": 1.5, "far": float("nan")}

    expected = [{"subject": "7", "image": LEFT_IN, "inside": 1.5, "far": None}]
    assert [kept(tmp_path / "phantoms" / "7.json", made) for _ in range(2)] == [expected] * 2
    assert len(calls) == 1
