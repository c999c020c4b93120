"""The judge is S, Dice and cross-entropy where there is a lesion, and cross-entropy where there is none."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pseudohealthy.config import Losses, Networks, settings
from pseudohealthy.methods.base import LossTerms
from pseudohealthy.methods.judge import Judge
from pseudohealthy.sampling.batch import Batch

EVERY_SLICE = Losses(segmentation=2, segmentation_cross_entropy=3, healthy_negatives=5)


def judge(losses: Losses) -> Judge:
    torch.manual_seed(1)
    return Judge(Networks(segmentor_width=4), losses)


def batch() -> Batch:
    torch.manual_seed(2)
    x_p, x_k = torch.rand(2, 2, 1, 32, 32)
    return Batch(x_p, (torch.rand(2, 1, 32, 32) > 0.7).float(), x_k=x_k)


def dice(output: Tensor, m_p: Tensor) -> float:
    """The mean over samples of 1 - (2 sum(p m) + 0.1) / (sum p + sum m + 0.1)."""
    samples = [
        1 - (2 * float((p * m).sum()) + 0.1) / (float(p.sum()) + float(m.sum()) + 0.1)
        for p, m in zip(output, m_p, strict=True)
    ]
    return sum(samples) / len(samples)


def test_a_judge_minimises_dice_and_cross_entropy_on_lesions_and_cross_entropy_without() -> None:
    f_pre, drawn = judge(EVERY_SLICE), batch()
    assert f_pre.needs == {"lesion", "lesion_free_balanced"}
    terms = f_pre.generator_terms(drawn)
    assert drawn.x_p is not None
    assert drawn.m_p is not None
    assert drawn.x_k is not None
    output, output_k = (f_pre.generators["S"](x).detach().double() for x in (drawn.x_p, drawn.x_k))
    right = torch.where(drawn.m_p > 0, output, 1 - output)
    expected = {
        "L_Seg": dice(output, drawn.m_p),
        "L_CrossEntropy": float(-right.log().mean()),
        "L_Negatives": float(-(1 - output_k).log().mean()),
    }
    assert {name: loss.item() for name, loss in terms.losses.items()} == pytest.approx(expected, rel=1e-5)
    total = 2 * expected["L_Seg"] + 3 * expected["L_CrossEntropy"] + 5 * expected["L_Negatives"]
    assert terms.total.item() == pytest.approx(total, rel=1e-5)
    assert f_pre.discriminator_losses(drawn, terms.fakes) == {}


def test_every_loss_of_a_judge_reaches_all_of_its_network() -> None:
    losses = judge(EVERY_SLICE).generator_terms(batch()).losses
    for name in losses:
        f_pre = judge(EVERY_SLICE)
        f_pre.generator_terms(batch()).losses[name].backward()
        for parameter in f_pre.parameters():
            assert parameter.grad is not None
            assert parameter.grad.abs().max() > 0


def test_a_step_on_slices_without_a_lesion_lowers_the_output_there() -> None:
    f_pre, drawn = judge(Losses(segmentation=0, healthy_negatives=1)), batch()
    assert drawn.x_k is not None
    before = f_pre.generators["S"](drawn.x_k).mean().item()
    f_pre.generator_terms(drawn).total.backward()
    torch.optim.SGD(f_pre.parameters(), 0.01).step()
    assert f_pre.generators["S"](drawn.x_k).mean().item() < before


def test_losses_stay_numbers_where_a_judge_is_certain_and_wrong() -> None:
    f_pre, drawn = judge(EVERY_SLICE), batch()
    with torch.no_grad():
        f_pre.generators["S"].output.bias.fill_(200)  # type: ignore[union-attr, operator]
    assert drawn.m_p is not None
    terms = f_pre.generator_terms(drawn)
    assert terms.losses["L_Negatives"].item() == pytest.approx(200, rel=0.05)
    assert terms.losses["L_CrossEntropy"].item() == pytest.approx(
        200 * (1 - drawn.m_p.mean().item()), rel=0.05
    )


def test_a_judge_without_negatives_needs_no_other_slice_and_minimises_dice() -> None:
    f_pre, drawn = judge(Losses(segmentation=1)), batch()
    assert f_pre.needs == {"lesion"}
    assert drawn.x_p is not None
    assert drawn.m_p is not None
    terms: LossTerms = f_pre.generator_terms(Batch(drawn.x_p, drawn.m_p))
    assert terms.losses.keys() == {"L_Seg"}
    output = f_pre.generators["S"](drawn.x_p).detach().double()
    assert terms.total.item() == pytest.approx(dice(output, drawn.m_p), rel=1e-5)


def test_judges_see_every_slice_whatever_the_preset() -> None:
    for preset in ("midl2019", "media2020", "default"):
        chosen = settings("judge", preset)
        losses = chosen.losses
        assert (losses.segmentation, losses.segmentation_cross_entropy, losses.healthy_negatives) == (1, 1, 1)
        assert (chosen.training.augment, chosen.training.learning_rate) == ("deform", 1e-3)
        assert chosen.training.snapshot_every == 1000
    for method in ("paired", "unpaired", "semi_supervised"):
        losses = settings(method).losses
        assert (losses.segmentation_cross_entropy, losses.healthy_negatives) == (0, 0)
