from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fixtures.brains import Image, Mask, ellipse, slices, texture
from pseudohealthy.evaluation.identity import (
    identity,
    identity_normalised,
    volume_identity,
)
from pseudohealthy.evaluation.ms_ssim import masked_ms_ssim, ms_ssim

Array = NDArray[np.float64]


def heads(count: int = 4) -> tuple[Image, Array, Mask]:
    """Textured round heads on black, what a method with an even error makes of them, and the brains."""
    images = slices(count, ellipse((208, 160), (75, 75)))
    brains = images > 0
    error = 0.1 * np.random.default_rng(1).standard_normal(brains.shape)
    return images, np.clip(images + error, 0, 1) * brains, brains


def disc(shape: tuple[int, ...], radius: float) -> Mask:
    """A lesion of this radius in the middle of every slice."""
    return np.broadcast_to(ellipse(shape[1:], 2 * [radius]), shape)


def test_a_copy_is_1_in_every_form() -> None:
    images, _, brains = heads()
    found = volume_identity(images, images, disc(images.shape, 20), brains)
    for form in ("identity", "identity_normalised"):
        assert found[form] == pytest.approx(1.0, abs=1e-12)
    assert found["psnr_outside"] == 100.0
    assert found["mae_outside"] == 0.0


def test_forms_are_what_they_say() -> None:
    images, outputs, brains = heads()
    lesions = disc(images.shape, 20)
    included = 1.0 - lesions
    assert identity(outputs, images, lesions) == pytest.approx(ms_ssim(included * outputs, included * images))
    assert identity_normalised(outputs, images, lesions, brains) == pytest.approx(
        masked_ms_ssim(outputs, images, included * brains)
    )


def test_what_happens_inside_the_lesion_does_not_count() -> None:
    images, outputs, brains = heads()
    lesions = disc(images.shape, 20)
    repainted = np.where(lesions, 1 - outputs, outputs)
    before = volume_identity(outputs, images, lesions, brains)
    assert volume_identity(repainted, images, lesions, brains) == pytest.approx(before, abs=1e-12)


def test_with_the_same_error_everywhere_only_the_papers_form_rises_with_the_lesions_size() -> None:
    images = texture((6, 208, 176))
    error = 0.1 * np.random.default_rng(1).standard_normal(images.shape)
    outputs = np.clip(images + error, 0, 1)
    lesions = [disc(images.shape, radius) for radius in (0.5, 15, 30, 45, 60)]  # first none
    paper = [identity(outputs, images, lesion).mean() for lesion in lesions]
    brains = np.ones_like(lesions[0])
    normalised = [identity_normalised(outputs, images, lesion, brains).mean() for lesion in lesions]
    assert np.diff(paper).min() > 0
    assert paper[-1] - paper[0] > 0.02
    assert np.ptp(normalised) < 0.002


def test_on_a_black_background_the_normalised_form_keeps_still_as_the_lesion_grows() -> None:
    images, outputs, brains = heads()
    lesions = [disc(images.shape, radius) for radius in (0.5, 15, 30)]
    paper = [identity(outputs, images, lesion).mean() for lesion in lesions]
    normalised = [identity_normalised(outputs, images, lesion, brains).mean() for lesion in lesions]
    assert np.ptp(paper) > 0.02
    assert np.ptp(normalised) < 0.002


def test_only_the_normalised_form_does_not_depend_on_the_field() -> None:
    images, outputs, brains = heads()
    lesions = disc(images.shape, 20)
    field = [(0, 0), (16, 16), (24, 24)]
    y, x = np.pad(outputs, field), np.pad(images, field)
    lesion, brain = np.pad(lesions, field), np.pad(brains, field)
    assert identity_normalised(y, x, lesion, brain) == pytest.approx(
        identity_normalised(outputs, images, lesions, brains), abs=1e-9
    )
    assert (identity(y, x, lesion) - identity(outputs, images, lesions)).min() > 0.005


def test_blur_lowers_identity_the_more_the_wider_and_a_constant_brain_more_still() -> None:
    images, _, brains = heads()
    lesions = disc(images.shape, 20)
    worse = [gaussian_filter(images, (0, sigma, sigma)) * brains for sigma in (1, 2, 4)]
    worse.append(np.median(images[brains]) * brains)
    found = [volume_identity(outputs, images, lesions, brains) for outputs in worse]
    for form in ("identity", "identity_normalised"):
        assert np.diff([each[form] for each in found]).max() < -0.01


def test_psnr_and_mae_by_hand_are_of_all_the_volumes_pixels() -> None:
    brains = np.zeros((2, 32, 32), dtype=np.bool_)
    brains[0, 8:24, 8:24] = True  # 256 - 16 pixels outside the lesion
    brains[1, 8:24, 8:16] = True  # 128 - 16
    lesions = np.zeros_like(brains)
    lesions[:, 10:14, 10:14] = True
    images = 0.5 * brains
    outputs = images.copy()
    outputs[0] += 0.1 * brains[0]
    outputs[1] += 0.01 * brains[1]
    outputs[lesions] = 1.0
    outputs[~brains] = 0.9
    found = volume_identity(outputs, images, lesions, brains)
    assert found["mae_outside"] == pytest.approx((240 * 0.1 + 112 * 0.01) / 352)
    assert found["psnr_outside"] == pytest.approx(-10 * np.log10((240 * 0.1**2 + 112 * 0.01**2) / 352))


def test_slices_that_are_equal_to_the_bit_do_not_hide_one_that_is_not() -> None:
    images = np.full((4, 32, 32), 0.5)
    outputs = images.copy()
    outputs[3] += 0.1  # 20 dB; a mean with three slices at the ceiling would be 80
    found = volume_identity(outputs, images, np.zeros(images.shape, np.bool_), images > 0)
    assert found["psnr_outside"] == pytest.approx(20 + 10 * np.log10(4))


def test_a_slice_whose_brain_is_all_lesion_is_left_out() -> None:
    images, outputs, brains = heads(2)
    lesions = np.stack([disc(images.shape, 20)[0], brains[1]])
    found = volume_identity(outputs, images, lesions, brains)
    alone = volume_identity(outputs[:1], images[:1], lesions[:1], brains[:1])
    for name in ("identity_normalised", "psnr_outside", "mae_outside"):
        assert found[name] == pytest.approx(alone[name])
    nowhere = volume_identity(outputs[1:], images[1:], lesions[1:], brains[1:])
    assert np.isnan(nowhere["identity_normalised"])
