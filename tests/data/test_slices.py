"""Batches that the seed alone decides."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from pseudohealthy.config import Training
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.data.slices import Batch, Need, Slices
from pseudohealthy.errors import InputError

ALL: frozenset[Need] = frozenset({"lesion", "healthy", "bank"})
PLAIN = Training(batch_size=4, augment="none")


def rows_of(prepared: Prepared, images: torch.Tensor) -> list[int]:
    """Which prepared slices a batch holds."""
    flat = prepared.images.reshape(len(prepared.images), -1)
    return [int(np.flatnonzero((flat == image.numpy().ravel()).all(axis=1))[0]) for image in images]


def test_a_batch_is_the_same_whenever_it_is_asked_for(prepared: Prepared) -> None:
    training = Training(batch_size=4, augment="flip_gamma")
    first, second = Slices(prepared, "train", ALL, training), Slices(prepared, "train", ALL, training)
    second.batch(0)
    for name in ("x_p", "m_p", "x_h", "m"):
        assert torch.equal(getattr(first.batch(7), name), getattr(second.batch(7), name))
        assert not torch.equal(getattr(first.batch(7), name), getattr(first.batch(8), name))
    other = Slices(prepared, "train", ALL, training.model_copy(update={"seed": 1}))
    assert not torch.equal(first.batch(7).x_p, other.batch(7).x_p)


def test_an_epoch_shows_every_pathological_slice_of_the_split_once_with_its_own_mask(
    prepared: Prepared,
) -> None:
    slices = Slices(prepared, "train", ALL, PLAIN)
    table = prepared.slices
    wanted = table[(table["split"] == "train") & (table["label"] == "pathological")]["row"].tolist()
    assert len(slices) == len(wanted) == 8
    seen = []
    for step in range(2):
        batch = slices.batch(step)
        rows = rows_of(prepared, batch.x_p)
        assert batch.m_p is not None
        assert np.array_equal(batch.m_p[:, 0].numpy(), prepared.masks[rows])
        seen += rows
    assert sorted(seen) == wanted


def test_healthy_slices_are_healthy_ones_of_the_split(prepared: Prepared) -> None:
    slices = Slices(prepared, "train", frozenset({"healthy"}), PLAIN)
    batches = [slices.batch(step).x_h for step in range(8)]
    rows = [row for images in batches if images is not None for row in rows_of(prepared, images)]
    table = prepared.slices.set_index("row").loc[rows]
    assert set(table["label"]) == {"healthy"}
    assert set(table["split"]) == {"train"}
    assert max(Counter(rows).values()) <= 3  # 16 slices, 32 draws: permutations, not chance


def test_height_sampling_draws_healthy_slices_near_the_pathological_ones(prepared: Prepared) -> None:
    def distance(sampling: str) -> float:
        training = PLAIN.model_copy(update={"healthy_sampling": sampling})
        slices = Slices(prepared, "train", frozenset({"healthy"}), training)
        height = prepared.slices.set_index("row")["height"]
        gaps = []
        for step in range(20):
            batch = slices.batch(step)
            assert batch.x_h is not None
            pairs = zip(rows_of(prepared, batch.x_p), rows_of(prepared, batch.x_h), strict=True)
            gaps += [abs(height[a] - height[b]) for a, b in pairs]
        return float(np.mean(gaps))

    import pseudohealthy.data.slices as module

    assert module.NEIGHBOURS > 16  # more than this cohort has: restrict it to see the effect
    original, module.NEIGHBOURS = module.NEIGHBOURS, 4
    try:
        assert distance("height") < distance("random") - 0.05
    finally:
        module.NEIGHBOURS = original


def test_without_a_bank_of_its_own_masks_come_from_other_patients(prepared: Prepared) -> None:
    from dataclasses import replace

    masks = prepared.masks.copy()
    marks = {"01": (0, 0), "02": (0, 1)}  # whose mask it is, written into a corner
    for row, subject in zip(prepared.slices["row"], prepared.slices["subject"], strict=True):
        if subject in marks:
            masks[row][marks[subject]] = 1
    marked = replace(prepared, masks=masks, bank=None, bank_slices=None)
    slices = Slices(marked, "train", frozenset({"bank"}), PLAIN)
    subjects = prepared.slices.set_index("row")["subject"]
    for step in range(6):
        batch = slices.batch(step)
        assert batch.m is not None
        assert batch.m_p is None
        for row, m in zip(rows_of(prepared, batch.x_p), batch.m, strict=True):
            own, other = subjects[row], "02" if subjects[row] == "01" else "01"
            assert m[0][marks[own]] == 0
            assert m[0][marks[other]] == 1


def test_parts_of_processes_together_are_the_whole_batch(prepared: Prepared) -> None:
    for sampling in ("random", "height"):
        training = Training(batch_size=4, augment="flip_gamma", healthy_sampling=sampling)
        slices = Slices(prepared, "train", ALL, training)
        whole = slices.batch(3)
        parts = [slices.batch(3, slice(0, 2)), slices.batch(3, slice(2, 4))]
        for name in ("x_p", "m_p", "x_h", "m"):
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))


def test_what_a_method_does_not_need_is_not_there(prepared: Prepared) -> None:
    batch = Slices(prepared, "train", frozenset(), PLAIN).batch(0)
    assert batch.m_p is None
    assert batch.x_h is None
    assert batch.m is None
    assert isinstance(batch.to(lambda tensor: tensor.double()), Batch)


def test_a_split_without_what_is_needed_is_refused(prepared: Prepared) -> None:
    from dataclasses import replace

    sick = replace(prepared, slices=prepared.slices[prepared.slices["label"] == "pathological"])
    with pytest.raises(InputError, match="no healthy train slice"):
        Slices(sick, "train", ALL, PLAIN)
    well = replace(prepared, slices=prepared.slices[prepared.slices["label"] == "healthy"])
    with pytest.raises(InputError, match="no pathological train slice"):
        Slices(well, "train", ALL, PLAIN)
