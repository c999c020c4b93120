import numpy as np
import pytest

from pseudohealthy.phantom.subject import Phantom, phantom


@pytest.fixture(scope="module")
def patients() -> list[Phantom]:
    return [phantom("patient", number, seed=2, spacing=4.0) for number in range(1, 9)]


def test_image_equals_truth_beyond_the_lesion(patients: list[Phantom]) -> None:
    for made in patients:
        changed = made.image != made.truth
        assert changed[made.mask].mean() > 0.95
        if not made.mass_effect:
            assert (changed & ~made.mask).sum() < 4 * made.mask.sum()
        assert changed.mean() < 0.2


def test_lesion_is_brighter_than_truth(patients: list[Phantom]) -> None:
    for made in patients:
        rise = made.image[made.mask].astype(float) - made.truth[made.mask]
        assert np.median(rise) > 0.15 * np.median(made.truth[made.truth > 0])


def test_image_and_truth_share_one_brain(patients: list[Phantom]) -> None:
    for made in patients:
        np.testing.assert_array_equal(made.image > 0, made.truth > 0)
        assert not (made.mask & (made.image == 0)).any()


def test_controls_are_healthy() -> None:
    made = phantom("control", 1, seed=2, spacing=4.0)
    np.testing.assert_array_equal(made.image, made.truth)
    assert not made.mask.any()
    assert made.lesions == 0


def test_subjects_differ_by_number_group_and_seed(patients: list[Phantom]) -> None:
    np.testing.assert_array_equal(phantom("patient", 1, seed=2, spacing=4.0).image, patients[0].image)
    others = (
        patients[1],
        phantom("control", 1, seed=2, spacing=4.0),
        phantom("patient", 1, seed=3, spacing=4.0),
    )
    for other in others:
        assert (other.truth != patients[0].truth).mean() > 0.2


def test_spacing_shows_the_same_subject() -> None:
    fine, coarse = (phantom("control", 3, spacing=spacing).truth for spacing in (2.0, 4.0))
    averaged = fine.reshape(44, 2, 54, 2, 44, 2).mean(axis=(1, 3, 5))
    both = (averaged > 0) & (coarse > 0)
    assert both.sum() > 0.9 * (coarse > 0).sum()
    assert np.corrcoef(averaged[both], coarse[both])[0, 1] > 0.75
