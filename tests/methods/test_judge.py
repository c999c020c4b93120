"""The judge is S and Dice, and healthy slices where it is asked for."""

from __future__ import annotations

import pytest
import torch

from pseudohealthy.config import Losses, Networks
from pseudohealthy.data.slices import Batch
from pseudohealthy.methods.judge import Judge
from pseudohealthy.methods.losses import soft_dice


def test_a_judge_minimises_dice_on_pathological_slices_alone() -> None:
    judge = Judge(Networks(segmentor_width=4), Losses(segmentation=1))
    assert judge.needs == {"lesion"}
    x_p, m_p = torch.rand(2, 1, 32, 32), (torch.rand(2, 1, 32, 32) > 0.7).float()
    terms = judge.generator_terms(Batch(x_p, m_p))
    assert terms.total.item() == pytest.approx(soft_dice(judge.generators["S"](x_p), m_p).item())
    assert judge.discriminator_losses(Batch(x_p, m_p), terms.fakes) == {}


def test_a_judge_may_learn_to_find_nothing_in_healthy_slices() -> None:
    judge = Judge(Networks(segmentor_width=4), Losses(segmentation=1, healthy=3))
    assert judge.needs == {"lesion", "healthy"}
    x_p, x_h = torch.rand(2, 2, 1, 32, 32)
    m_p = (torch.rand(2, 1, 32, 32) > 0.7).float()
    terms = judge.generator_terms(Batch(x_p, m_p, x_h))
    found = judge.generators["S"](x_h).mean().item()
    assert terms.total.item() == pytest.approx(terms.losses["L_Seg"].item() + 3 * found)
