"""Through the networks and back, step by step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fixtures.brains import brain, write
from fixtures.models import saved
from pseudohealthy.data.skull_detection import SkullEvidence, brain_alone
from pseudohealthy.data.slice_selection import LEAST_AREA
from pseudohealthy.data.volume import Volume, read_volume
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.skull_stripping import Brain
from pseudohealthy.synthesis.slice_inference import SliceInference


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model.load(saved(tmp_path / "weights"), "cpu")


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return read_volume(write(tmp_path / "scan.nii", (brain() + 500).astype(np.float32)))


def test_the_networks_see_the_brain_in_slices_with_enough_of_it(model: Model, volume: Volume) -> None:
    inference = SliceInference.of(brain_alone(volume, SkullEvidence.of(volume)), model)
    inside = brain().transpose(2, 1, 0) > 0
    area = inside.sum(axis=(1, 2))
    np.testing.assert_array_equal(inference.brain, inside)
    np.testing.assert_array_equal(inference.processed, area > LEAST_AREA * area.max())
    np.testing.assert_array_equal(inference.x_tilde[~inside], 0)
    np.testing.assert_array_equal(inference.m_tilde[~inference.processed], 0)
    seen = inference.x[inference.processed]
    np.testing.assert_array_equal(
        inference.m_tilde[inference.processed], model.segment(seen) * inside[inference.processed]
    )


def test_the_background_comes_back(model: Model, volume: Volume) -> None:
    alone = brain_alone(volume, SkullEvidence.of(volume))
    inference = SliceInference.of(alone, model)
    healthy, probability = inference.on_grid_of(volume, Brain(alone, 500.0, "absent"))
    change = (inference.x_tilde - inference.x).transpose(2, 1, 0) * inference.intensity.ceiling
    low = volume.data - 500 <= inference.intensity.ceiling
    np.testing.assert_allclose(healthy[low], (volume.data + change)[low], atol=1e-3)
    np.testing.assert_array_equal(healthy[brain() == 0], 500)
    np.testing.assert_array_equal(probability, inference.m_tilde.transpose(2, 1, 0))


def test_putting_it_back_changes_nothing_that_was_there(model: Model, volume: Volume) -> None:
    alone = brain_alone(volume, SkullEvidence.of(volume))
    inference = SliceInference.of(alone, model)
    held = (volume.data, alone.data, inference.x, inference.x_tilde, inference.m_tilde)
    before = [each.copy() for each in held]
    for _ in range(2):
        healthy, probability = inference.on_grid_of(volume, Brain(alone, 500.0, "absent"))
        assert not any(np.shares_memory(made, each) for made in (healthy, probability) for each in held)
    for each, was in zip(held, before, strict=True):
        np.testing.assert_array_equal(each, was)


def test_torch_takes_what_comes_back_in_any_orientation(model: Model, volume: Volume) -> None:
    """It takes no array that runs backwards in memory."""
    turned = replace(volume, affine=np.diag([1.0, 1.0, -1.0, 1.0]))
    alone = brain_alone(turned, SkullEvidence.of(turned))
    inference = SliceInference.of(alone, model)
    assert inference.grid.flipped == (0, 1, 2)
    for made in inference.on_grid_of(turned, Brain(alone, 500.0, "absent")):
        np.testing.assert_array_equal(torch.from_numpy(made).numpy(), made)


def test_a_blend_is_shown_where_there_is_one(model: Model, volume: Volume) -> None:
    inference = SliceInference.of(brain_alone(volume, SkullEvidence.of(volume)), model)
    assert list(inference.pictures(None)) == ["input", "healthy", "difference", "lesion probability"]
    weight = np.zeros(volume.data.shape, dtype=np.float32)
    weight[:24] = 1
    shown = inference.pictures(weight)
    assert list(shown) == ["input", "healthy", "blend", "difference", "lesion probability"]
    np.testing.assert_allclose(shown["blend"][:, :, :24], inference.x_tilde[:, :, :24], atol=1e-6)
    np.testing.assert_array_equal(shown["blend"][:, :, 24:], inference.x[:, :, 24:])


def test_an_image_without_brain_is_refused(model: Model, volume: Volume) -> None:
    alone = brain_alone(volume, SkullEvidence.of(volume), np.zeros(volume.data.shape, dtype=np.bool_))
    with pytest.raises(InputError, match=r"scan\.nii: .*expected a brain above a background of 0"):
        SliceInference.of(alone, model)
