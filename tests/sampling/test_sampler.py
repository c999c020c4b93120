"""Batches that the seed alone decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from typing import Literal

import numpy as np
import pytest
import torch

from fixtures.models import tiny
from pseudohealthy.config import MethodName, Training
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.methods.factory import build
from pseudohealthy.sampling.batch import Batch, Need
from pseudohealthy.sampling.sampler import BatchSampler

ALL: frozenset[Need] = frozenset({"lesion", "healthy", "library"})
SEMI: frozenset[Need] = frozenset({"labelled", "healthy", "library"})
BALANCED: frozenset[Need] = frozenset({"lesion", "lesion_free_balanced"})
INPAINTING: frozenset[Need] = frozenset({"healthy", "inpainting_masks"})
PLAIN = Training(batch_size=4, augment="none")
HALF = PLAIN.model_copy(update={"labelled_fraction": 0.5})


def x_p(batch: Batch) -> torch.Tensor:
    assert batch.x_p is not None
    return batch.x_p


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """What there is in a batch."""
    parts = {part.name: getattr(batch, part.name) for part in fields(batch)}
    return {name: part for name, part in parts.items() if part is not None}


def known_and_unknown(prepared: Prepared) -> tuple[str, str]:
    """Which of the two training subjects keeps its mask where half of them do."""
    slices = BatchSampler(prepared, "train", frozenset({"lesion"}), HALF)
    (known,) = set(slices.pathological["subject"])
    return known, "02" if known == "01" else "01"


def rows_of(prepared: Prepared, images: torch.Tensor) -> list[int]:
    """Which prepared slices a batch holds."""
    flat = prepared.images.reshape(len(prepared.images), -1)
    return [int(np.flatnonzero((flat == image.numpy().ravel()).all(axis=1))[0]) for image in images]


def test_a_batch_is_the_same_whenever_it_is_asked_for(prepared: Prepared) -> None:
    training = Training(batch_size=4, augment="flip_gamma")
    first, second = (
        BatchSampler(prepared, "train", ALL, training),
        BatchSampler(prepared, "train", ALL, training),
    )
    second.batch(0)
    for name in ("x_p", "m_p", "x_h", "m"):
        assert torch.equal(getattr(first.batch(7), name), getattr(second.batch(7), name))
        assert not torch.equal(getattr(first.batch(7), name), getattr(first.batch(8), name))
    other = BatchSampler(prepared, "train", ALL, training.model_copy(update={"seed": 1}))
    assert not torch.equal(x_p(first.batch(7)), x_p(other.batch(7)))


def test_an_epoch_shows_every_pathological_slice_of_the_split_once_with_its_own_mask(
    prepared: Prepared,
) -> None:
    slices = BatchSampler(prepared, "train", ALL, PLAIN)
    table = prepared.slices
    wanted = table[(table["split"] == "train") & (table["label"] == "pathological")]["row"].tolist()
    assert len(slices) == len(wanted) == 8
    seen = []
    for step in range(2):
        batch = slices.batch(step)
        rows = rows_of(prepared, x_p(batch))
        assert batch.m_p is not None
        assert np.array_equal(batch.m_p[:, 0].numpy(), prepared.masks[rows])
        seen += rows
    assert sorted(seen) == wanted


def test_healthy_slices_are_healthy_ones_of_the_split(prepared: Prepared) -> None:
    slices = BatchSampler(prepared, "train", frozenset({"healthy"}), PLAIN)
    batches = [slices.batch(step).x_h for step in range(8)]
    rows = [row for images in batches if images is not None for row in rows_of(prepared, images)]
    table = prepared.slices.set_index("row").loc[rows]
    assert set(table["label"]) == {"healthy"}
    assert set(table["split"]) == {"train"}
    assert max(Counter(rows).values()) <= 3  # 16 slices, 32 draws: permutations, not chance


def test_lesion_free_slices_are_healthy_ones_and_edge_slices(prepared: Prepared) -> None:
    slices = BatchSampler(prepared, "train", frozenset({"lesion_free"}), PLAIN)
    batches = [slices.batch(step).x_k for step in range(7)]
    rows = [row for images in batches if images is not None for row in rows_of(prepared, images)]
    table = prepared.slices.set_index("row").loc[rows]
    assert Counter(table["label"]) == {"healthy": 16, "edge": 12}  # every one once
    assert set(table["split"]) == {"train"}
    assert torch.equal(
        x_p(slices.batch(3)), x_p(BatchSampler(prepared, "train", frozenset(), PLAIN).batch(3))
    )


def rows_without_a_lesion(prepared: Prepared, training: Training, steps: int) -> list[int]:
    slices = BatchSampler(prepared, "train", BALANCED, training)
    batches = [slices.batch(step).x_k for step in range(steps)]
    return [row for images in batches if images is not None for row in rows_of(prepared, images)]


def test_of_three_balanced_slices_two_are_healthy_and_one_is_an_edge_slice(
    prepared: Prepared,
) -> None:
    rows = rows_without_a_lesion(prepared, PLAIN, 9)  # 36 slices
    table = prepared.slices.set_index("row").loc[rows]
    assert table["label"].tolist() == ["healthy", "healthy", "edge"] * 12
    assert set(table["split"]) == {"train"}
    healthy, edges = table[table["label"] == "healthy"].index, table[table["label"] == "edge"].index
    assert sorted(edges) == sorted(set(edges))  # all 12
    assert len(set(healthy[:16])) == 16  # every one once before any comes again
    other = PLAIN.model_copy(update={"batch_size": 3})
    assert rows_without_a_lesion(prepared, other, 12) == rows  # in this order, however large the batches


@pytest.mark.parametrize("size", [1, 4])
def test_without_edge_slices_all_balanced_ones_are_healthy(prepared: Prepared, size: int) -> None:
    middle = replace(prepared, slices=prepared.slices[prepared.slices["label"] != "edge"])
    rows = rows_without_a_lesion(middle, PLAIN.model_copy(update={"batch_size": size}), 16 // size)
    assert set(middle.slices.set_index("row").loc[rows]["label"]) == {"healthy"}
    assert len(set(rows)) == 16


def test_slices_without_a_lesion_disturb_no_other_draw_and_are_augmented(prepared: Prepared) -> None:
    training = PLAIN.model_copy(update={"augment": "deform"})
    ours = tensors(BatchSampler(prepared, "train", BALANCED, training).batch(5))
    alone = tensors(BatchSampler(prepared, "train", frozenset({"lesion"}), training).batch(5))
    assert all(torch.equal(ours[name], alone[name]) for name in alone)
    plain = tensors(BatchSampler(prepared, "train", BALANCED, PLAIN).batch(5))
    assert not torch.equal(ours["x_k"], plain["x_k"])
    sick = replace(prepared, slices=prepared.slices[prepared.slices["label"] != "healthy"])
    with pytest.raises(InputError, match="no healthy train slice"):
        BatchSampler(sick, "train", BALANCED, PLAIN)


def test_height_sampling_draws_healthy_slices_near_the_pathological_ones(prepared: Prepared) -> None:
    def distance(sampling: str) -> float:
        training = PLAIN.model_copy(update={"healthy_sampling": sampling})
        slices = BatchSampler(prepared, "train", frozenset({"healthy"}), training, neighbours=4)  # of 16
        height = prepared.slices.set_index("row")["height"]
        gaps = []
        for step in range(20):
            batch = slices.batch(step)
            assert batch.x_h is not None
            pairs = zip(rows_of(prepared, x_p(batch)), rows_of(prepared, batch.x_h), strict=True)
            gaps += [abs(height[a] - height[b]) for a, b in pairs]
        return float(np.mean(gaps))

    assert distance("height") < distance("random") - 0.05


def test_of_healthy_slices_all_of_one_height_every_one_is_drawn(prepared: Prepared) -> None:
    """As in a cohort of one slice a patient, where the first few would be drawn for ever."""
    flat = replace(prepared, slices=prepared.slices.assign(height=0.0))
    training = PLAIN.model_copy(update={"healthy_sampling": "height", "synthetic_fraction": 0.5})
    slices = BatchSampler(flat, "train", SYNTHETIC, training, neighbours=4)  # of 16
    batches = [tensors(slices.batch(step)) for step in range(40)]
    for name, count in (("x_h", 4), ("truth", 2)):
        rows = [row for batch in batches for row in rows_of(flat, batch[name][:count])]
        assert len(set(rows)) == 16


def test_without_a_library_of_its_own_masks_come_from_other_patients(prepared: Prepared) -> None:
    masks = prepared.masks.copy()
    marks = {"01": (0, 0), "02": (0, 1)}  # whose mask it is, written into a corner
    for row, subject in zip(prepared.slices["row"], prepared.slices["subject"], strict=True):
        if subject in marks:
            masks[row][marks[subject]] = 1
    marked = replace(prepared, masks=masks, mask_library=None, mask_library_slices=None)
    slices = BatchSampler(marked, "train", frozenset({"library"}), PLAIN)
    subjects = prepared.slices.set_index("row")["subject"]
    for step in range(6):
        batch = slices.batch(step)
        assert batch.m is not None
        assert batch.m_p is None
        for row, m in zip(rows_of(prepared, x_p(batch)), batch.m, strict=True):
            own, other = subjects[row], "02" if subjects[row] == "01" else "01"
            assert m[0][marks[own]] == 0
            assert m[0][marks[other]] == 1


def test_parts_of_processes_together_are_the_whole_batch(prepared: Prepared) -> None:
    cases: list[tuple[Literal["random", "height"], frozenset[Need]]] = [
        ("random", ALL),
        ("height", ALL),
        ("random", SEMI),
        ("random", INPAINTING),
        ("random", BALANCED),
    ]
    for sampling, needs in cases:
        training = Training(
            batch_size=4, augment="flip_gamma", healthy_sampling=sampling, labelled_fraction=0.5
        )
        slices = BatchSampler(prepared, "train", needs, training)
        whole = tensors(slices.batch(3))
        parts = [tensors(slices.batch(3, slice(0, 2))), tensors(slices.batch(3, slice(2, 4)))]
        for name, together in whole.items():
            assert torch.equal(torch.cat([part[name] for part in parts]), together)


def test_what_a_method_does_not_need_is_not_there(prepared: Prepared) -> None:
    batch = BatchSampler(prepared, "train", frozenset(), PLAIN).batch(0)
    assert batch.m_p is None
    assert batch.x_h is None
    assert batch.m is None
    assert isinstance(batch.to(lambda tensor: tensor.double()), Batch)


def test_a_split_without_what_is_needed_is_refused(prepared: Prepared) -> None:
    sick = replace(prepared, slices=prepared.slices[prepared.slices["label"] == "pathological"])
    with pytest.raises(InputError, match="no healthy train slice"):
        BatchSampler(sick, "train", ALL, PLAIN)
    well = replace(prepared, slices=prepared.slices[prepared.slices["label"] == "healthy"])
    with pytest.raises(InputError, match="no pathological train slice"):
        BatchSampler(well, "train", ALL, PLAIN)


def test_masks_of_a_fraction_of_the_volumes_are_used_and_the_flags_say_which(prepared: Prepared) -> None:
    known, unknown = known_and_unknown(prepared)
    slices = BatchSampler(prepared, "train", SEMI, HALF)
    assert len(slices) == 8  # those without a mask are drawn all the same
    subjects, seen = prepared.slices.set_index("row")["subject"], set()
    for step in range(4):
        batch = slices.batch(step)
        assert batch.m_p is not None
        assert batch.labelled is not None
        assert batch.labelled.dtype == torch.bool
        for row, m_p, labelled in zip(rows_of(prepared, x_p(batch)), batch.m_p, batch.labelled, strict=True):
            assert labelled == (subjects[row] == known)
            own = prepared.masks[row] if labelled else np.zeros_like(prepared.masks[row])
            assert np.array_equal(m_p[0].numpy(), own)
            seen.add(subjects[row])
    assert seen == {known, unknown}


def test_masks_of_the_other_volumes_are_not_in_the_library_either(prepared: Prepared) -> None:
    known, unknown = known_and_unknown(prepared)
    own = replace(prepared, mask_library=None, mask_library_slices=None)
    slices = BatchSampler(own, "train", SEMI, HALF)
    assert set(slices.mask_library.table["subject"]) == {known}
    black = own.masks.copy()
    black[prepared.slices["subject"] == unknown] = 0
    other = BatchSampler(replace(own, masks=black), "train", SEMI, HALF)
    for step in range(4):
        ours, theirs = tensors(slices.batch(step)), tensors(other.batch(step))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    with pytest.raises(InputError, match="all lesion masks are of one volume"):
        BatchSampler(own, "train", frozenset({"healthy", "library"}), HALF)


def test_without_any_mask_used_there_must_be_a_library(prepared: Prepared) -> None:
    none = PLAIN.model_copy(update={"labelled_fraction": 0.0})
    batch = BatchSampler(prepared, "train", SEMI, none).batch(0)
    assert batch.labelled is not None
    assert batch.m_p is not None
    assert not batch.labelled.any()
    assert not batch.m_p.any()
    with pytest.raises(InputError, match="no lesion mask in any training slice"):
        BatchSampler(replace(prepared, mask_library=None, mask_library_slices=None), "train", SEMI, none)


@pytest.mark.parametrize("method", ["conditional_gan", "cyclegan", "unpaired", "inpainter"])
def test_no_batch_of_a_method_without_pairs_depends_on_an_images_own_mask(
    method: MethodName, prepared: Prepared
) -> None:
    noise = np.random.default_rng(0).integers(0, 2, prepared.masks.shape).astype(np.uint8)
    needs = build(tiny(method)).needs
    honest = BatchSampler(prepared, "train", needs, PLAIN)
    corrupted = BatchSampler(replace(prepared, masks=noise), "train", needs, PLAIN)
    for step in range(3):
        ours, theirs = tensors(honest.batch(step)), tensors(corrupted.batch(step))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


SYNTHETIC: frozenset[Need] = frozenset({"healthy", "library", "synthetic"})


def with_synthetic(prepared: Prepared, step: int, augment: str = "none") -> dict[str, torch.Tensor]:
    training = Training(batch_size=4, augment=augment, synthetic_fraction=0.5)
    return tensors(BatchSampler(prepared, "train", SYNTHETIC, training).batch(step))


def test_a_share_of_the_images_are_healthy_slices_with_a_lesion_that_is_known(prepared: Prepared) -> None:
    without = BatchSampler(prepared, "train", SYNTHETIC - {"synthetic"}, PLAIN)
    for step in range(4):
        batch = with_synthetic(prepared, step)
        assert batch["synthetic"].tolist() == [True, True, False, False]
        assert torch.equal(batch["x_p"][2:], x_p(without.batch(step))[2:])
        assert not batch["m_p"][2:].any()  # of real images no mask of their own is given
        assert not batch["truth"][2:].any()
        assert batch["m_p"][:2].sum((1, 2, 3)).min() > 0
        healthy = prepared.slices.set_index("row").loc[rows_of(prepared, batch["truth"][:2])]
        assert set(healthy["label"]) == {"healthy"}
        assert set(healthy["split"]) == {"train"}


def test_every_image_of_a_warm_up_has_a_synthetic_lesion_and_the_order_is_another(
    prepared: Prepared,
) -> None:
    slices = BatchSampler(prepared, "train", SYNTHETIC | {"lesion_free"}, PLAIN)
    view = slices.for_warm_up(frozenset({"synthetic", "lesion_free"}))
    for step in range(4):
        batch = tensors(view.batch(step))
        assert set(batch) == {"x_p", "m_p", "synthetic", "truth", "x_k"}
        assert batch["synthetic"].all()
        assert batch["m_p"].sum((1, 2, 3)).min() > 0
        healthy = prepared.slices.set_index("row").loc[rows_of(prepared, batch["truth"])]
        assert set(healthy["label"]) == {"healthy"}
        parts = [tensors(view.batch(step, part)) for part in (slice(0, 2), slice(2, 4))]
        assert all(torch.equal(torch.cat([part[name] for part in parts]), batch[name]) for name in batch)
    assert not torch.equal(tensors(slices.batch(0))["x_k"], tensors(view.batch(0))["x_k"])
    assert tensors(slices.batch(0))["synthetic"].tolist() == [True, True, False, False]


def test_transplanted_lesions_are_those_of_the_cohorts_own_slices(prepared: Prepared) -> None:
    """Their masks and looks, though the cohort has a library of masks."""
    assert prepared.mask_library is not None
    training = PLAIN.model_copy(update={"transplanted_fraction": 1.0})
    slices = BatchSampler(prepared, "train", SYNTHETIC, training)
    table = prepared.slices[prepared.slices["split"] == "train"]
    own = prepared.masks[table.loc[table["label"] == "pathological", "row"]] > 0
    for step in range(6):
        batch = tensors(slices.batch(step))
        changed = 0.0
        for x, m, truth in zip(batch["x_p"][:2], batch["m_p"][:2], batch["truth"][:2], strict=True):
            lesion = m[0].numpy() > 0
            turned = (lesion, lesion[:, ::-1])
            assert any(not (place & ~mask).any() for mask in own for place in turned)
            changed += float((x - truth).abs().sum())
        assert changed > 0
        parts = [tensors(slices.batch(step, part)) for part in (slice(0, 2), slice(2, 4))]
        assert all(torch.equal(torch.cat([part[name] for part in parts]), batch[name]) for name in batch)


def test_of_the_synthetic_lesions_a_fraction_is_transplanted(prepared: Prepared) -> None:
    def lesions(fraction: float | None) -> list[torch.Tensor]:
        training = PLAIN.model_copy(update={"transplanted_fraction": fraction})
        slices = BatchSampler(prepared, "train", SYNTHETIC, training)
        return [tensors(slices.batch(step))["x_p"][0] for step in range(40)]

    none, some, every = lesions(None), lesions(0.5), lesions(1.0)
    transplanted = [torch.equal(x, y) for x, y in zip(some, every, strict=True)]
    assert 0.25 < np.mean(transplanted) < 0.75
    assert not any(torch.equal(x, y) for x, y in zip(none, every, strict=True))


def test_lesions_can_only_be_transplanted_from_slices_whose_mask_is_known(prepared: Prepared) -> None:
    update = {"transplanted_fraction": 0.5, "labelled_fraction": 0.0}
    training = PLAIN.model_copy(update=update)
    with pytest.raises(InputError, match="needs slices with their own lesion mask"):
        BatchSampler(prepared, "train", SYNTHETIC, training)


def test_real_images_of_a_warm_up_come_with_their_own_masks(prepared: Prepared) -> None:
    slices = BatchSampler(prepared, "train", frozenset({"lesion", "healthy", "synthetic"}), PLAIN)
    batch = tensors(slices.for_warm_up(frozenset({"lesion"})).batch(0))
    assert set(batch) == {"x_p", "m_p"}
    assert np.array_equal(batch["m_p"][:, 0].numpy(), prepared.masks[rows_of(prepared, batch["x_p"])])


def test_a_warm_up_that_needs_real_lesions_too_has_its_fraction_of_synthetic_ones(prepared: Prepared) -> None:
    needs: frozenset[Need] = frozenset({"lesion", "healthy", "synthetic"})
    batch = tensors(BatchSampler(prepared, "train", needs, PLAIN).for_warm_up(needs).batch(0))
    assert set(batch) == {"x_p", "m_p", "x_h", "synthetic", "truth"}
    assert batch["synthetic"].tolist() == [True, True, False, False]


def test_a_synthetic_lesion_its_mask_and_its_truth_are_augmented_alike(prepared: Prepared) -> None:
    for step in range(8):
        batch = with_synthetic(prepared, step, "flip_gamma")
        changed = (batch["x_p"] != batch["truth"])[:2]
        near = torch.nn.functional.max_pool2d(batch["m_p"][:2], 17, stride=1, padding=8) > 0
        assert not changed[~near].any()
        assert changed[batch["m_p"][:2] > 0].float().mean() > 0.9


def test_synthetic_lesions_without_pairs_have_the_shapes_of_the_library_alone(prepared: Prepared) -> None:
    noise = np.random.default_rng(0).integers(0, 2, prepared.masks.shape).astype(np.uint8)
    corrupted = replace(prepared, masks=noise)
    for step in range(3):
        ours, theirs = with_synthetic(prepared, step), with_synthetic(corrupted, step)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_inpainting_masks_lie_in_the_brains_of_healthy_slices_and_no_other_slice_is_read(
    prepared: Prepared,
) -> None:
    images = prepared.images.copy()
    images[prepared.slices["label"] != "healthy"] = np.nan
    training = PLAIN.model_copy(update={"augment": "flip_gamma"})
    slices = BatchSampler(replace(prepared, images=images), "train", INPAINTING, training)
    places = set()
    for step in range(4):
        batch = slices.batch(step)
        assert set(tensors(batch)) == {"x_h", "m"}
        assert batch.x_h is not None
        assert batch.m is not None
        assert batch.x_h.isfinite().all()
        assert set(batch.m.unique().tolist()) == {0, 1}
        assert (batch.x_h[batch.m > 0] > 0).all()
        assert batch.m.sum((1, 2, 3)).tolist() == [6 * 8] * 4  # the box that every lesion of this cohort is
        places |= {tuple(np.argwhere(m[0].numpy())[0]) for m in batch.m}
    assert len(places) > 8


def test_inpainting_masks_have_the_shapes_of_other_patients_lesions_without_a_library(
    prepared: Prepared,
) -> None:
    own = replace(prepared, mask_library=None, mask_library_slices=None)
    batch = BatchSampler(own, "train", INPAINTING, PLAIN).batch(0)
    assert batch.m is not None
    assert batch.m.sum((1, 2, 3)).tolist() == [6 * 8] * 4
    with pytest.raises(InputError, match="all lesion masks are of one volume"):
        BatchSampler(own, "train", INPAINTING, HALF)


def test_discriminators_see_other_batches_that_are_always_the_same(prepared: Prepared) -> None:
    slices = BatchSampler(prepared, "train", ALL, PLAIN)
    discriminators, again = (
        slices.for_discriminators(),
        BatchSampler(prepared, "train", ALL, PLAIN).for_discriminators(),
    )
    for step in range(4):
        assert torch.equal(x_p(discriminators.batch(step)), x_p(again.batch(step)))
    ours = torch.cat([x_p(slices.batch(step)) for step in range(4)])
    assert not torch.equal(ours, torch.cat([x_p(discriminators.batch(step)) for step in range(4)]))


def test_each_method_draws_just_what_it_needs(prepared: Prepared) -> None:
    drawn: dict[MethodName, set[str]] = {
        "conditional_gan": {"x_p", "x_h"},
        "cyclegan": {"x_p", "x_h"},
        "unpaired": {"x_p", "x_h", "m"},
        "paired": {"x_p", "m_p", "x_h"},
        "semi_supervised": {"x_p", "m_p", "x_h", "m", "labelled"},
        "inpainter": {"x_h", "m"},
        "judge": {"x_p", "m_p", "x_k"},
    }
    for method, names in drawn.items():
        batch = BatchSampler(prepared, "train", build(tiny(method, preset="midl2019")).needs, PLAIN).batch(0)
        assert set(tensors(batch)) == names
