"""Only the lesion changes."""

from __future__ import annotations

import numpy as np
import pytest

from pseudohealthy.synthesis.blend import DILATION_MM, EDGE_MM, REACH_MM, blended, soft_mask


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.45, 0.45, 5.0), (1.0, 2.0, 3.0)])
def test_the_weight_is_that_of_the_distance_to_the_nearest_lesion_voxel(
    spacing: tuple[float, float, float],
) -> None:
    """Two lesions, one at the border; every distance measured one by one."""
    mask = np.zeros((24, 20, 9), dtype=np.bool_)
    mask[0, 0, 0] = mask[20, 15, 5] = mask[21, 15, 5] = True
    at = np.moveaxis(np.indices(mask.shape), 0, -1) * spacing
    away = np.min(
        [np.linalg.norm(at - np.array(one) * spacing, axis=-1) for one in np.argwhere(mask)], axis=0
    )
    expected = np.exp(-0.5 * (np.maximum(away - DILATION_MM, 0) / EDGE_MM) ** 2)
    expected[away > REACH_MM] = 0
    weight = soft_mask(mask, spacing)
    np.testing.assert_allclose(weight, expected, rtol=1e-6)
    assert (weight[away <= DILATION_MM] == 1).all()
    assert weight[away > DILATION_MM].max() < 1
    assert not weight[away > REACH_MM].any()


def test_without_a_lesion_there_is_no_weight() -> None:
    assert not soft_mask(np.zeros((4, 5, 6), dtype=np.bool_), (1.0, 1.0, 1.0)).any()


def test_a_weight_of_0_keeps_the_bits_and_one_of_1_takes_those_of_the_other() -> None:
    rng = np.random.default_rng(0)
    data, healthy = (rng.normal(0, 1e6, 1000).astype(np.float32) for _ in range(2))
    data[:3] = -0.0, 1e-40, 3e38  # bits that arithmetic would lose
    weight = np.repeat(np.array([0, 0.25, 1], dtype=np.float32), (400, 200, 400))
    mixed = blended(data, healthy, weight)
    assert mixed.dtype == np.float32
    assert mixed[:400].tobytes() == data[:400].tobytes()
    assert mixed[600:].tobytes() == healthy[600:].tobytes()
    np.testing.assert_allclose(
        mixed[400:600], 0.75 * data[400:600] + 0.25 * healthy[400:600], rtol=1e-4, atol=1
    )
