from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import pytorch_msssim
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from fixtures.brains import ellipse, texture
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.ms_ssim import masked_ms_ssim, ms_ssim, ssim_map

Array = NDArray[np.float64]

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WIDTHS = (1, 4, 12)  # of fine and of coarse structure
C1, C2 = 0.01**2, 0.03**2


def pair(height: int, width: int) -> tuple[Array, Array]:
    """Four images; beside each: noisier, blurred, darker, another image."""
    a = texture((4, height, width), widths=WIDTHS)
    noisy = np.clip(a[0] + 0.1 * np.random.default_rng(1).standard_normal(a[0].shape), 0, 1)
    return a, np.stack([noisy, gaussian_filter(a[1], 2), 0.7 * a[2], texture(a[:1].shape, 2, WIDTHS)[0]])


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Torch's threads wait for one another on busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensor(a: Array) -> torch.Tensor:
    return torch.from_numpy(a)[:, None]


def by_pytorch_msssim(a: Array, b: Array) -> Array:
    found = pytorch_msssim.ms_ssim(tensor(a), tensor(b), data_range=1, size_average=False)
    return np.asarray(found, dtype=np.float64)


def by_torchmetrics(a: Array, b: Array, **options: Any) -> Array:
    found = multiscale_structural_similarity_index_measure(
        tensor(a), tensor(b), data_range=1.0, reduction="none", **options
    )
    return np.asarray(found, dtype=np.float64)


def ssim_by_torchmetrics(a: Array, b: Array) -> Array:
    found = structural_similarity_index_measure(
        tensor(a), tensor(b), data_range=1.0, return_full_image=True, reduction="none"
    )
    return np.asarray(found[1])[:, 0]


def valid_by_torchmetrics(a: Array, b: Array) -> Array:
    """Its contrast terms as they are, times its coarsest SSIM where no mirrored border takes part."""
    contrast = by_torchmetrics(a, b, betas=(*WEIGHTS[:4], 0.0))
    x, y = (torch.nn.functional.avg_pool2d(tensor(v), 16).numpy()[:, 0] for v in (a, b))
    coarsest = ssim_by_torchmetrics(x, y)[:, 5:-5, 5:-5].mean(axis=(1, 2))
    found: Array = contrast * np.maximum(coarsest, 0) ** WEIGHTS[4]
    return found


@pytest.mark.parametrize("size", [(176, 176), (208, 176), (240, 256)])
def test_agrees_with_two_libraries(size: tuple[int, int]) -> None:
    a, b = pair(*size)
    found = ms_ssim(a, b)
    assert found == pytest.approx(by_pytorch_msssim(a, b), abs=1e-4)
    assert found == pytest.approx(valid_by_torchmetrics(a, b), abs=1e-4)
    assert np.ptp(found) > 0.1


def test_agrees_with_all_of_torchmetrics_where_a_mirrored_border_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    a = np.tile(rng.random((2, 16, 16)), (1, 13, 11))
    b = np.clip(a + 0.1 * np.tile(rng.standard_normal((2, 16, 16)), (1, 13, 11)), 0, 1)
    assert ms_ssim(a, b) == pytest.approx(by_torchmetrics(a, b), abs=1e-4)


@pytest.mark.parametrize("size", [(208, 160), (160, 208), (96, 100)])
def test_short_sides_are_padded_with_zeros_to_176(size: tuple[int, int]) -> None:
    missing = [max(0, 176 - side) for side in size]
    around = [(0, 0), *((total // 2, total // 2) for total in missing)]
    a, b = pair(*size)
    padded = np.pad(a, around), np.pad(b, around)
    assert ms_ssim(a, b) == pytest.approx(by_pytorch_msssim(*padded), abs=1e-4)
    assert ms_ssim(a, b) == pytest.approx(valid_by_torchmetrics(*padded), abs=1e-4)


def test_odd_sides_are_pooled_as_torchmetrics_does() -> None:
    a, b = pair(199, 187)
    assert ms_ssim(a, b) == pytest.approx(valid_by_torchmetrics(a, b), abs=1e-4)


def test_other_windows_agree_with_pytorch_msssim() -> None:
    a, b = pair(160, 160)
    reference = pytorch_msssim.ms_ssim(
        tensor(a), tensor(b), data_range=1, size_average=False, win_size=7, win_sigma=1.0
    )
    assert ms_ssim(a, b, window=7, sigma=1.0) == pytest.approx(np.asarray(reference), abs=1e-4)


def test_constant_images_by_hand() -> None:
    luminance = (2 * 0.2 * 0.6 + C1) / (0.2**2 + 0.6**2 + C1)
    found = ms_ssim(np.full((176, 176), 0.2), np.full((176, 176), 0.6))
    assert found == pytest.approx([luminance ** WEIGHTS[4]], abs=1e-9)


def test_a_negative_image_scores_0_and_a_copy_1() -> None:
    a = texture((2, 176, 176))
    assert ms_ssim(a, 1 - a).tolist() == [0.0, 0.0]
    assert ms_ssim(a, a) == pytest.approx([1.0, 1.0], abs=1e-12)


def test_float32_memory_layouts_and_single_slices_do_not_matter() -> None:
    a, b = pair(208, 160)
    in_float32 = ms_ssim(a.astype(np.float32), np.asfortranarray(b.astype(np.float32)))
    assert in_float32 == pytest.approx(ms_ssim(a, b), abs=1e-6)
    assert ms_ssim(a[1], b[1]) == pytest.approx(ms_ssim(a, b)[1:2], abs=1e-12)


def test_shapes_and_windows_that_cannot_be_used() -> None:
    stack = np.zeros((2, 32, 32))
    with pytest.raises(InputError, match=r"\(2, 32, 32\) and \(2, 32, 31\)"):
        ms_ssim(stack, stack[..., 1:])
    with pytest.raises(InputError, match="expected two"):
        masked_ms_ssim(stack[None], stack[None], stack[None])
    with pytest.raises(InputError, match="expected two"):
        masked_ms_ssim(stack, stack, stack[0])
    with pytest.raises(InputError, match=r"\(0, 32, 32\)"):
        ms_ssim(stack[:0], stack[:0])
    with pytest.raises(InputError, match="odd"):
        ms_ssim(stack, stack, window=10)


def kept_disc(height: int, width: int) -> NDArray[np.bool_]:
    return ellipse((height, width), (height / 2.2, width / 2.2))


def masked_by_loops(a: Array, b: Array, included: Array) -> float:
    """The definition, pixel by pixel and neighbour by neighbour."""
    value = 1.0
    for scale, weight in enumerate(WEIGHTS):
        total = 0.0
        for i, j in np.ndindex(*included.shape):
            near = [
                (np.exp(-((p - i) ** 2 + (q - j) ** 2) / 4.5) * included[p, q], a[p, q], b[p, q])
                for p in range(max(0, i - 5), min(included.shape[0], i + 6))
                for q in range(max(0, j - 5), min(included.shape[1], j + 6))
            ]
            if included[i, j] == 0:
                continue
            w, x, y = np.array(near).T
            w = w / w.sum()
            mx, my = (w * x).sum(), (w * y).sum()
            vx, vy = (w * (x - mx) ** 2).sum(), (w * (y - my) ** 2).sum()
            term = (2 * (w * (x - mx) * (y - my)).sum() + C2) / (vx + vy + C2)
            if scale == 4:
                term *= (2 * mx * my + C1) / (mx**2 + my**2 + C1)
            total += float(included[i, j] * term)
        value *= max(total / float(included.sum()), 0) ** weight
        a, b, included = pooled_by_loops(a, b, included)
    return value


def pooled_by_loops(a: Array, b: Array, included: Array) -> tuple[Array, Array, Array]:
    shape = (included.shape[0] + 1) // 2, (included.shape[1] + 1) // 2
    out = np.zeros((3, *shape))
    for i, j in np.ndindex(*shape):
        block = np.s_[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        weight = included[block].sum()
        if weight:
            means = (a[block] * included[block]).sum() / weight, (b[block] * included[block]).sum() / weight
            out[:, i, j] = *means, weight / 4
    return out[0], out[1], out[2]


@pytest.mark.parametrize("soft", [False, True])
def test_masked_form_equals_its_definition(soft: bool) -> None:
    rng = np.random.default_rng(4)
    a, b = texture((1, 27, 22))[0], np.clip(texture((1, 27, 22))[0] + 0.1 * rng.random((27, 22)), 0, 1)
    included = rng.random((27, 22)) * (rng.random((27, 22)) > 0.4)
    included[0, 3], included[3, 0] = (
        0.5,
        0.5,
    )  # pooling starts at the first included row and column
    included = included if soft else (included > 0).astype(float)
    assert masked_ms_ssim(a, b, included)[0] == pytest.approx(masked_by_loops(a, b, included), abs=1e-9)


@pytest.mark.parametrize("around", [((0, 7), (0, 13)), ((8, 8), (24, 24)), ((3, 0), (5, 2))])
def test_padding_that_is_not_kept_changes_nothing(around: tuple[tuple[int, int], tuple[int, int]]) -> None:
    a, b = pair(61, 50)
    for included in (np.ones(a.shape), np.broadcast_to(kept_disc(61, 50), a.shape)):
        before = masked_ms_ssim(a, b, included)
        padded = [np.pad(v, [(0, 0), *around]) for v in (a, b, included)]
        assert masked_ms_ssim(*padded) == pytest.approx(before, abs=1e-6)
        assert before.max() < 0.99


def test_what_is_not_kept_has_no_effect() -> None:
    a, b = pair(64, 48)
    included = np.broadcast_to(kept_disc(64, 48), a.shape)
    before = masked_ms_ssim(a, b, included)
    for rubbish in (0.0, 1.0, 1e6, np.nan, np.inf):
        assert masked_ms_ssim(np.where(included, a, rubbish), b, included) == pytest.approx(before, abs=1e-12)


def test_with_everything_kept_it_is_close_to_the_plain_form() -> None:
    a, b = (stack[:3] for stack in pair(640, 640))  # unrelated images have no value to be close to
    assert masked_ms_ssim(a, b, np.ones(a.shape)) == pytest.approx(ms_ssim(a, b), abs=0.005)


def test_slices_are_scored_apart_and_nothing_kept_is_nan() -> None:
    a, b = pair(64, 48)
    included = np.zeros(a.shape, dtype=np.bool_)
    included[0] = kept_disc(64, 48)
    included[2, 20:31, 7:40] = True
    together = masked_ms_ssim(a, b, included)
    assert np.isnan(together[1])
    for z in (0, 2):
        assert masked_ms_ssim(a[z], b[z], included[z])[0] == pytest.approx(together[z], abs=1e-12)


def test_map_agrees_with_torchmetrics_inside_and_with_the_hand_at_the_border() -> None:
    a, b = pair(40, 50)
    inside = np.s_[:, 5:-5, 5:-5]
    assert ssim_map(a, b)[inside] == pytest.approx(ssim_by_torchmetrics(a, b)[inside], abs=1e-6)
    constant = ssim_map(np.full((12, 12), 0.2), np.full((12, 12), 0.6))
    luminance = (2 * 0.2 * 0.6 + C1) / (0.2**2 + 0.6**2 + C1)
    assert constant == pytest.approx(np.full((1, 12, 12), luminance), abs=1e-9)
