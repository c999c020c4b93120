import numpy as np
import pytest
from scipy import ndimage

from pseudohealthy.phantom.anatomy import Anatomy, healthy, template
from pseudohealthy.phantom.fields import Array, Frame

FRAME = Frame(4.0)


def _brain(seed: int) -> Anatomy:
    return healthy(np.random.default_rng(seed), FRAME)


def _flip_correlation(m: Array) -> float:
    """Correlation of a map (I, J, K), left to right, with its mirror image, where either shows brain."""
    either = (m > 0) | (m[::-1] > 0)
    return float(np.corrcoef(m[either], m[::-1][either])[0, 1])


@pytest.fixture(scope="module")
def brains() -> list[Anatomy]:
    return [_brain(seed) for seed in range(3)]


def test_grey_is_brighter_than_white_and_white_than_fluid(brains: list[Anatomy]) -> None:
    for brain in brains:
        csf, white, grey = (
            np.median(brain.signal[share > 0.8]) for share in (brain.csf, brain.white, brain.grey)
        )
        assert 0.2 < csf < 0.4
        assert 0.9 < white < 1.1
        assert 1.15 < grey < 1.45


def test_shares_sum_to_1_inside_the_brain_and_0_outside(brains: list[Anatomy]) -> None:
    for brain in brains:
        np.testing.assert_allclose(brain.csf + brain.grey + brain.white, brain.brain, atol=1e-5)
        assert not brain.signal[~brain.brain].any()
        assert brain.signal[brain.brain].min() > 0


def test_a_brain_has_the_size_and_parts_of_a_brain(brains: list[Anatomy]) -> None:
    for brain in brains:
        litres = brain.brain.sum() * FRAME.spacing**3 / 1e6
        assert 1.4 < litres < 2.3
        shares = [float(m.sum() / brain.brain.sum()) for m in (brain.csf, brain.grey, brain.white)]
        assert 0.04 < shares[0] < 0.35
        assert min(shares[1:]) > 0.2
        edge = np.pad(np.zeros(np.array(FRAME.shape) - 2, bool), 1, constant_values=True)
        assert not (brain.brain & edge).any()
        assert ndimage.label(brain.brain)[1] <= 3


def test_no_brain_is_symmetric_as_the_template_is(brains: list[Anatomy]) -> None:
    atlas = template(FRAME.spacing)
    flat = ndimage.zoom(atlas.t1 * (atlas.brain > 0.5), 0.25, order=1)
    assert _flip_correlation(flat) > 0.95
    for brain in brains:
        assert _flip_correlation(brain.signal) < 0.7


def test_brains_differ_and_a_seed_gives_the_same_one(brains: list[Anatomy]) -> None:
    np.testing.assert_array_equal(_brain(0).signal, brains[0].signal)
    both = brains[0].brain & brains[1].brain
    assert np.corrcoef(brains[0].signal[both], brains[1].signal[both])[0, 1] < 0.7


def test_template_maps_agree_with_the_atlas() -> None:
    atlas = template(FRAME.spacing)

    def at(m: Array, *mm: float) -> float:
        i, j, k = (round(a - float(b)) for a, b in zip(mm, atlas.origin, strict=True))
        return float(m[i, j, k])

    assert at(atlas.csf, 8, 0, 20) > 3  # body of the lateral ventricle
    assert at(atlas.white, 26, -20, 32) > 3  # centrum semiovale
    assert at(atlas.white, -28, 0, 0) < 3  # putamen
    assert at(atlas.depth, 26, -20, 32) > 20
    assert at(atlas.brain, 60, 60, 60) == 0
