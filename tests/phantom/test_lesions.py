import numpy as np
import pytest
from scipy import ndimage

from pseudohealthy.phantom.anatomy import Anatomy, healthy
from pseudohealthy.phantom.fields import Frame
from pseudohealthy.phantom.lesions import Diseased, diseased

FRAME = Frame(4.0)
SEEDS = range(24)


@pytest.fixture(scope="module")
def brain() -> Anatomy:
    return healthy(np.random.default_rng(0), FRAME)


@pytest.fixture(scope="module")
def cases(brain: Anatomy) -> list[Diseased]:
    return [diseased(np.random.default_rng(seed), FRAME, brain) for seed in SEEDS]


def test_lesions_are_bright(brain: Anatomy, cases: list[Diseased]) -> None:
    for case in cases:
        rise = case.signal[case.mask] - brain.signal[case.mask]
        assert np.median(rise) > 0.15
    assert np.mean([(c.signal > brain.signal)[c.mask].mean() for c in cases]) > 0.9


def _changed_beyond_the_border(brain: Anatomy, case: Diseased) -> int:
    """Voxels that differ from the healthy brain and do not touch the mask."""
    touching = ndimage.binary_dilation(case.mask, np.ones((3, 3, 3), bool))
    return int(np.count_nonzero((case.signal != brain.signal) & ~touching))


def test_lesions_lie_in_the_brain_and_their_borders_are_soft(brain: Anatomy, cases: list[Diseased]) -> None:
    for case in cases:
        assert not (case.mask & ~brain.brain).any()
        np.testing.assert_array_equal(case.signal[~brain.brain], brain.signal[~brain.brain])
        assert ((case.signal != brain.signal) & ~case.mask).any()
        if not case.mass_effect:
            assert _changed_beyond_the_border(brain, case) < 20


def test_mass_effect_moves_tissue_around_the_lesion(brain: Anatomy, cases: list[Diseased]) -> None:
    pushed = [case for case in cases if case.mass_effect]
    assert 0 < len(pushed) < len(cases)
    for case in pushed:
        assert _changed_beyond_the_border(brain, case) > 100
        assert (case.signal == brain.signal).mean() > 0.5  # what is far away stays


def test_sizes_and_numbers_vary(cases: list[Diseased]) -> None:
    millilitres = np.array([case.mask.sum() for case in cases]) * FRAME.spacing**3 / 1000
    assert millilitres.min() > 2
    assert millilitres.max() < 250
    assert millilitres.max() > 4 * millilitres.min()
    assert {case.lesions for case in cases} >= {1, 2, 3}


def test_lesions_are_not_balls(cases: list[Diseased]) -> None:
    for case in cases:
        pieces, _ = ndimage.label(case.mask)
        points = np.argwhere(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)
        radius = (3 * len(points) / (4 * np.pi)) ** (1 / 3)
        in_ball = (np.linalg.norm(points - points.mean(axis=0), axis=1) <= radius).mean()
        assert in_ball < 0.95


def test_every_patient_keeps_slices_without_lesion(brain: Anatomy, cases: list[Diseased]) -> None:
    area = np.count_nonzero(brain.brain, axis=(0, 1))
    for case in cases:
        lesion = np.count_nonzero(case.mask, axis=(0, 1))
        assert (lesion[area >= area.max() / 2] == 0).mean() >= 0.25


def test_same_stream_same_lesion(brain: Anatomy, cases: list[Diseased]) -> None:
    again = diseased(np.random.default_rng(SEEDS[1]), FRAME, brain)
    np.testing.assert_array_equal(again.signal, cases[1].signal)
    np.testing.assert_array_equal(again.mask, cases[1].mask)
