"""The equations of section 3 of docs/method.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from pseudohealthy.config import Losses, Networks, settings
from pseudohealthy.methods.base import LossTerms
from pseudohealthy.methods.factorization import CROPS, Factorization, Supervision
from pseudohealthy.methods.losses import gradient_l1_inside, l1, l1_inside, soft_dice
from pseudohealthy.sampling.batch import Batch

TINY = Networks(width=4, segmentor_width=4, discriminator_width=4)


class Affine(nn.Module):
    """`a x + b m + c`: networks whose losses can be worked out by hand."""

    def __init__(self, a: float, b: float = 0.0, c: float = 0.0) -> None:
        super().__init__()
        self.a, self.b, self.c = a, b, c

    def forward(self, x: Tensor, m: Tensor | None = None) -> Tensor:
        return self.a * x + self.c + (0 if m is None else self.b * m)


def batch(seed: int = 0, size: int = 2, labelled: tuple[bool, ...] = (True, False)) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x_p, x_h, m_p, m = torch.rand(4, size, 1, 32, 32, generator=generator)
    return Batch(x_p, (m_p > 0.8).float(), x_h, (m > 0.8).float(), torch.tensor(labelled))


def by_hand(supervision: Supervision, losses: Losses | None = None) -> Factorization:
    """G halves, S gives a fifth, R adds the mask, D_x gives a tenth more, D_m half."""
    method = Factorization(TINY, losses or Losses(), supervision=supervision)
    method.generators["G"], method.generators["S"] = Affine(0.5), Affine(0.2)
    method.generators["R"] = Affine(1, 1)
    method.discriminators["D_x"] = Affine(1, 0, 0.1)
    if supervision != "paired":
        method.discriminators["D_m"] = Affine(0.5)
    return method


def flat(value: float) -> Tensor:
    return torch.full((1, 1, 2, 2), value)


def one(x: Batch, place: int) -> Batch:
    """A batch of one image of another."""
    return x.to(lambda part: part[place : place + 1])


def detached(terms: LossTerms) -> dict[str, Tensor]:
    """The fakes as the training loop passes them to the discriminators."""
    return {name: fake.detach() for name, fake in terms.fakes.items()}


CASE = Batch(x_p=flat(0.8), m_p=flat(1.0), x_h=flat(0.4), m=flat(1.0))


def test_cycle_and_gan_terms_by_hand() -> None:
    terms = by_hand("paired").generator_terms(CASE)
    # G(x_p) = .4, S(x_p) = .16, R = .56; R(x_h, 0) = .4, S of it = .08, G of it = .2
    assert terms.losses["L_CC"].item() == pytest.approx(abs(0.56 - 0.8) + abs(0.2 - 0.4) + 0.08)
    assert terms.losses["L_GAN1"].item() == pytest.approx(((0.5 - 1) ** 2 + (0.5 - 1) ** 2) / 2)
    dice = 1 - (2 * 4 * 0.16 + 0.1) / (4 * 0.16 + 4 + 0.1)
    assert terms.losses["L_Seg"].item() == pytest.approx(dice)
    expected = 10 * terms.losses["L_CC"] + terms.losses["L_GAN1"] + 10 * terms.losses["L_Seg"]
    assert terms.total.item() == pytest.approx(expected.item())


def test_discriminators_by_hand() -> None:
    method = by_hand("unpaired")
    terms = method.generator_terms(CASE)
    assert terms.losses["L_GAN2"].item() == pytest.approx((0.08 - 1) ** 2 / 2)
    losses = method.discriminator_losses(CASE, terms.fakes)
    # real counted once a cycle: twice a half; each fake a half
    assert losses["D_x"].item() == pytest.approx((0.5 - 1) ** 2 + 0.5**2 / 2 + 0.5**2 / 2)
    assert losses["D_m"].item() == pytest.approx(((0.5 - 1) ** 2 + 0.08**2) / 2)


def test_parts_of_the_cycle_and_of_the_gan_term_have_factors_of_their_own() -> None:
    losses = Losses(cycle_parts=(2, 3, 5), gan_parts=(7, 11))
    terms = by_hand("paired", losses).generator_terms(CASE)
    assert terms.losses["L_CC"].item() == pytest.approx(2 * 0.24 + 3 * 0.2 + 5 * 0.08)
    assert terms.losses["L_GAN1"].item() == pytest.approx((7 + 11) * (0.5 - 1) ** 2 / 2)


def test_the_wasserstein_form_by_hand() -> None:
    losses = Losses(adversarial="wasserstein", gradient_penalty=10, gan_parts=(1, 0.5))
    method = by_hand("unpaired", losses)
    terms = method.generator_terms(CASE)
    assert terms.losses["L_GAN1"].item() == pytest.approx(-0.5 - 0.5 * 0.5)  # D_x gives .5 for both
    assert terms.losses["L_GAN2"].item() == pytest.approx(-0.08)
    of_discriminators = method.discriminator_losses(CASE, detached(terms))
    # four pixels of slope 1 are 2 steep, of slope a half 1; D_x and D_m give .5 for real ones
    assert of_discriminators["D_x"].item() == pytest.approx(2 * (0.5 - 0.5 + 10 * (2 - 1) ** 2))
    assert of_discriminators["D_m"].item() == pytest.approx(0.08 - 0.5 + 0)


@pytest.mark.parametrize("form", ["least_squares", "wasserstein"])
def test_semi_supervised_is_paired_for_the_labelled_and_unpaired_for_the_others(form: Any) -> None:
    """Each sample has its own weight in the mean over the batch."""
    losses = Losses(adversarial=form, gradient_penalty=0, identity_outside_lesion=3)
    semi = by_hand("semi_supervised", losses)
    x = batch()
    assert x.m_p is not None
    first, second = one(x, 0), one(x, 1)
    both = semi.generator_terms(x)
    paired = by_hand("paired", losses).generator_terms(first)
    unpaired = by_hand("unpaired", losses).generator_terms(second)
    for name, alone in (("L_Seg", paired), ("L_IdentityOutside", paired), ("L_GAN2", unpaired)):
        assert both.losses[name].item() == pytest.approx(alone.losses[name].item() / 2)
    alone_d_m = by_hand("unpaired", losses).discriminator_losses(second, detached(unpaired))["D_m"]
    assert semi.discriminator_losses(x, detached(both))["D_m"].item() == pytest.approx(alone_d_m.item() / 2)


@pytest.mark.parametrize(("labelled", "supervision"), [(True, "paired"), (False, "unpaired")])
def test_semi_supervised_with_one_kind_of_images_is_exactly_the_other_method(
    labelled: bool, supervision: Supervision
) -> None:
    semi = Factorization(TINY, Losses(identity_outside_lesion=1), supervision="semi_supervised")
    other = Factorization(TINY, Losses(identity_outside_lesion=1), supervision=supervision)
    other.load_state_dict(semi.state_dict(), strict=False)
    x = batch(labelled=(labelled, labelled))
    gradients = []
    for method in (semi, other):
        method.discriminators.requires_grad_(False)
        method.generator_terms(x).total.backward()
        gradients.append([parameter.grad for parameter in method.generators.parameters()])
    for ours, theirs in zip(*gradients, strict=True):
        assert ours is not None
        assert theirs is not None
        assert torch.equal(ours, theirs)


def test_only_masks_that_are_weighed_by_their_own_image_bypass_the_pool() -> None:
    unpooled = {kind: by_hand(kind).unpooled for kind in ("paired", "unpaired", "semi_supervised")}
    assert unpooled == {"paired": set(), "unpaired": set(), "semi_supervised": {"S(x_p)"}}


def test_a_mask_of_weight_0_does_not_matter() -> None:
    method, x = by_hand("semi_supervised", Losses(identity_outside_lesion=1)), batch()
    assert x.m_p is not None
    assert x.m is not None
    m_p, m = x.m_p.clone(), x.m.clone()
    m_p[1], m[0] = 1, 1  # of the image without a label; a mask of others for the one with its own
    y = replace(x, m_p=m_p, m=m)
    ours, theirs = method.generator_terms(x), method.generator_terms(y)
    assert torch.equal(ours.total, theirs.total)
    first, second = (method.discriminator_losses(each, detached(ours)) for each in (x, y))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_papers_weights() -> None:
    paired, unpaired = settings("paired", "midl2019").losses, settings("unpaired", "midl2019").losses
    assert (paired.cycle, paired.gan_image, paired.segmentation) == (10, 1, 10)
    assert (unpaired.cycle, unpaired.gan_image, unpaired.gan_mask) == (10, 2, 10)


@pytest.mark.parametrize("supervision", ["paired", "unpaired", "semi_supervised"])
def test_every_network_has_a_gradient_from_its_own_side_and_none_from_the_other(
    supervision: Supervision,
) -> None:
    method = Factorization(TINY, Losses(), supervision=supervision)
    method.discriminators.requires_grad_(False)
    terms = method.generator_terms(batch())
    terms.total.backward()
    for name, parameter in method.generators.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    method.generators.zero_grad()
    method.discriminators.requires_grad_(True)
    losses = method.discriminator_losses(batch(1), detached(terms))
    assert set(losses) == ({"D_x"} if supervision == "paired" else {"D_x", "D_m"})
    sum(losses.values(), torch.zeros(())).backward()
    for name, parameter in method.discriminators.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert all(parameter.grad is None for parameter in method.generators.parameters())


def test_the_mask_goes_to_r_soft_and_attached() -> None:
    """With the cycle loss alone, S learns from R's reconstruction of x_p."""
    method = Factorization(TINY, Losses(gan_image=0, gan_mask=0), supervision="unpaired")
    seen: list[Tensor] = []
    method.generators["R"].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[1]))
    x = batch()
    assert x.x_p is not None
    terms = method.generator_terms(x)
    m_tilde = seen[1]
    assert ((m_tilde > 0.01) & (m_tilde < 0.99)).any()
    reconstruction = method.generators["R"](method.generators["G"](x.x_p), m_tilde)
    (reconstruction - x.x_p).abs().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.generators["S"].parameters())
    assert torch.equal(seen[0], torch.zeros_like(x.x_p))
    assert terms.weights["L_GAN2"] == 0


def test_unpaired_never_needs_the_images_own_mask() -> None:
    method = Factorization(TINY, Losses(), supervision="unpaired")
    assert method.needs == {"healthy", "library"}
    x = batch()
    method.generator_terms(Batch(x.x_p, None, x.x_h, x.m))


def test_a_batch_without_what_the_method_needs_is_refused() -> None:
    x = batch()
    with pytest.raises(ValueError, match="needs"):
        Factorization(TINY, Losses(), supervision="paired").generator_terms(Batch(x.x_p, None, x.x_h))


def test_identity_outside_lesion_counts_changes_outside_the_lesion_alone() -> None:
    method = by_hand("paired")
    assert "L_IdentityOutside" not in method.generator_terms(CASE).losses
    method.losses = Losses(identity_outside_lesion=5)
    m_p = torch.tensor([[1.0, 0.0], [1.0, 1.0]]).view(1, 1, 2, 2)
    terms = method.generator_terms(Batch(CASE.x_p, m_p, CASE.x_h))
    assert terms.losses["L_IdentityOutside"].item() == pytest.approx(
        0.4 / 4
    )  # G(x_p) = .4 in one of four pixels
    assert terms.weights["L_IdentityOutside"] == 5


def partly_synthetic(size: int = 2) -> Batch:
    """A batch whose first image is a healthy slice with a synthetic lesion."""
    x = batch(size=size)
    synthetic = torch.tensor([True] + [False] * (size - 1))
    return replace(x, synthetic=synthetic, truth=torch.rand(size, 1, 32, 32) * synthetic.view(-1, 1, 1, 1))


@pytest.mark.parametrize("supervision", ["paired", "unpaired", "semi_supervised"])
def test_the_loss_on_a_synthetic_lesion_by_hand(supervision: Supervision) -> None:
    method = by_hand(supervision, Losses(synthetic_supervision=7))
    assert "synthetic" in method.needs
    assert "synthetic" not in by_hand(supervision).needs
    x = partly_synthetic()
    assert x.x_p is not None
    assert x.m_p is not None
    assert x.truth is not None
    gap = (0.5 * x.x_p - x.truth)[0].abs()  # G halves
    inside = (x.m_p[0] * gap).sum() / x.m_p[0].sum()
    terms = method.generator_terms(x)
    assert terms.losses["L_Synthetic"].item() == pytest.approx((gap.mean() / 2 + inside / 2).item(), rel=1e-5)
    assert terms.weights["L_Synthetic"] == 7


def test_gradients_under_a_synthetic_lesion_by_hand() -> None:
    x = partly_synthetic()
    assert x.x_p is not None
    assert x.m_p is not None
    assert x.truth is not None
    assert "L_Gradient" not in by_hand("paired", Losses(synthetic_supervision=7)).generator_terms(x).losses
    terms = by_hand("paired", Losses(synthetic_supervision=7, gradient=3)).generator_terms(x)
    of_first = gradient_l1_inside(0.5 * x.x_p[:1], x.truth[:1], x.m_p[:1])  # G halves
    assert terms.losses["L_Gradient"].item() == pytest.approx(of_first.item() / 2, rel=1e-5)
    assert terms.weights["L_Gradient"] == 3


@pytest.mark.parametrize("supervision", ["paired", "unpaired", "semi_supervised"])
def test_a_discriminator_of_crops_sees_lesions_whose_place_is_known_and_healthy_slices_there(
    supervision: Supervision,
) -> None:
    assert "D_l" not in by_hand(supervision, Losses(synthetic_supervision=1)).discriminators
    method = by_hand(supervision, Losses(synthetic_supervision=1, lesion_crop_adversarial=5))
    method.discriminators["D_l"] = Affine(0.5, 0, 0.1)
    x = partly_synthetic()
    assert x.x_p is not None
    assert x.m_p is not None
    assert x.x_h is not None
    assert x.truth is not None
    terms = method.generator_terms(x)
    assert CROPS in method.unpooled & method.replayed
    # The first image's lesion is synthetic, the second's real: the paired method alone knows its place
    count = 2 if supervision == "paired" else 1
    # Crops of 64 pixels are the whole of these images. G halves; D_l halves images and masks
    x_p, m_p, real = x.x_p[:count], x.m_p[:count], torch.cat([x.truth[:1], x.x_h[1:]])[:count]
    near = torch.from_numpy(ndimage.grey_dilation(m_p.numpy(), (1, 1, 7, 7)))
    fake = 0.5 * torch.cat([near * 0.5 * x_p + (1 - near) * x_p, m_p], 1) + 0.1
    real = 0.5 * torch.cat([real, m_p], 1) + 0.1
    assert terms.losses["L_Crop"].item() == pytest.approx(-fake.mean().item() * count / 2, rel=1e-5)
    assert terms.weights["L_Crop"] == 5
    loss = method.discriminator_losses(x, {CROPS: terms.fakes[CROPS].detach()})
    expected = ((1 - real).relu().mean() + (1 + fake).relu().mean()) * count / 2
    assert loss == {"D_l": pytest.approx(expected.item(), rel=1e-5)}
    assert set(method.fakes(x)) == set(terms.fakes)


def test_masks_of_real_crops_end_where_the_brain_does() -> None:
    method, x = (
        by_hand("paired", Losses(synthetic_supervision=1, lesion_crop_adversarial=1)),
        partly_synthetic(),
    )
    assert x.x_h is not None
    assert x.m_p is not None
    x.x_h[1, :, :16] = 0
    crops = method.fakes(x)[CROPS]
    assert torch.equal(crops[:, 1:2], x.m_p)
    assert torch.equal(crops[1, 3, 16:], x.m_p[1, 0, 16:])
    assert not crops[1, 3, :16].any()
    assert torch.equal(crops[1, 2:3], x.x_h[1])


def test_a_discriminator_of_crops_teaches_g_and_learns_itself() -> None:
    losses = Losses(synthetic_supervision=1, lesion_crop_adversarial=1)
    method = Factorization(TINY, losses, supervision="paired")
    x = partly_synthetic()
    method.discriminators.requires_grad_(False)
    terms = method.generator_terms(x)
    terms.losses["L_Crop"].backward()
    assert all(p.grad is not None and p.grad.any() for p in method.generators["G"].parameters())
    assert all(p.grad is None for name in "RS" for p in method.generators[name].parameters())
    method.discriminators.requires_grad_(True)
    method.discriminator_losses(x, detached(terms))["D_l"].backward()
    for name, parameter in method.discriminators["D_l"].named_parameters():
        assert parameter.grad is not None
        # a constant added to all outputs changes no difference between them
        assert parameter.grad.any() or name == "output.bias", name


def of_warm_up(size: int = 2) -> Batch:
    """Synthetic lesions alone."""
    x = batch(3, size)
    truth = torch.rand(size, 1, 32, 32)
    return Batch(x_p=x.x_p, m_p=x.m_p, synthetic=torch.ones(size, dtype=torch.bool), truth=truth)


@pytest.mark.parametrize("supervision", ["paired", "unpaired", "semi_supervised"])
def test_a_warm_up_by_hand(supervision: Supervision) -> None:
    """G learns from synthetic lesions; S from them too without pairs, else from real images' own masks."""
    method, synthetic, real = by_hand(supervision, Losses(synthetic_supervision=7)), of_warm_up(), batch(4)
    batches = (synthetic,) if supervision == "unpaired" else (synthetic, real)
    assert len(method.warm_up_needs) == len(batches)
    terms = method.warm_up_terms(*batches)
    assert set(terms.losses) == {"L_Synthetic", "L_Seg"}
    assert (terms.weights["L_Synthetic"], terms.weights["L_Seg"]) == (7, 10)
    assert synthetic.x_p is not None
    assert synthetic.m_p is not None
    assert synthetic.truth is not None
    made = 0.5 * synthetic.x_p  # G halves
    truth = l1(made, synthetic.truth) + l1_inside(made, synthetic.truth, synthetic.m_p)
    assert terms.losses["L_Synthetic"].item() == pytest.approx(truth.item())
    taught = batches[-1]
    assert taught.x_p is not None
    assert taught.m_p is not None
    weight = torch.tensor([1.0, 0.0]).view(-1, 1, 1, 1) if supervision == "semi_supervised" else 1.0
    expected = soft_dice(0.2 * taught.x_p, taught.m_p, weight=weight)  # S gives a fifth
    assert terms.losses["L_Seg"].item() == pytest.approx(expected.item())
    assert not terms.fakes


def test_in_a_paired_warm_up_with_a_discriminator_of_crops_g_and_s_learn_from_the_same_images() -> None:
    """Half of them have a synthetic lesion; what G does to a real one is judged by D_l."""
    losses = Losses(synthetic_supervision=7, lesion_crop_adversarial=2, identity_outside_lesion=3)
    method, x = by_hand("paired", losses), partly_synthetic()
    assert method.warm_up_needs == (method.needs,)
    assert method.needs >= {"lesion", "healthy", "synthetic"}
    terms = method.warm_up_terms(x)
    assert set(terms.losses) == {"L_Synthetic", "L_Crop", "L_Seg", "L_IdentityOutside"}
    full = method.generator_terms(x)
    for name, loss in terms.losses.items():
        assert loss.item() == pytest.approx(full.losses[name].item()), name
    assert torch.equal(terms.fakes[CROPS], full.fakes[CROPS])
    without = by_hand("paired", Losses(synthetic_supervision=7, identity_outside_lesion=3))
    assert "L_IdentityOutside" not in without.warm_up_terms(of_warm_up(), x).losses
    assert "L_IdentityOutside" not in by_hand("unpaired", losses).warm_up_terms(of_warm_up()).losses


def test_in_a_warm_up_r_and_the_paper_s_discriminators_do_not_run() -> None:
    losses = Losses(
        synthetic_supervision=1,
        healthy_identity=2,
        residual_lesion=1,
        identity_outside_lesion=1,
        gradient=1,
        lesion_crop_adversarial=1,
    )
    method = Factorization(TINY, losses, supervision="semi_supervised")
    ran: list[str] = []
    networks = {**method.generators, **method.discriminators}
    for name, network in networks.items():
        network.register_forward_pre_hook(lambda _m, _i, name=name: ran.append(name))
    terms = method.warm_up_terms(replace(of_warm_up(), x_k=torch.rand(2, 1, 32, 32)), batch(4))
    discriminator_losses = method.discriminator_losses(of_warm_up(), detached(terms))
    assert set(ran) == {"G", "D_l"}  # S is not called but through its logits
    assert ran.count("G") == 1
    assert set(discriminator_losses) == {"D_l"}
    terms.total.backward()
    reached = {name for name, network in networks.items() for p in network.parameters() if p.grad is not None}
    assert reached == {"G", "S", "D_l"}


def test_in_a_warm_up_half_of_the_images_for_s_have_a_lesion_and_half_have_none() -> None:
    """The two terms are on average what they are over all images of both kinds."""
    method = Factorization(TINY, Losses(synthetic_supervision=1, healthy_identity=3), supervision="paired")
    S, real, x_k = method.generators["S"], batch(4, 64), torch.rand(64, 1, 32, 32)
    synthetic = replace(of_warm_up(1), x_k=x_k)
    seen = []
    S.get_submodule("down.0").register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    terms = method.warm_up_terms(synthetic, real)
    assert real.x_p is not None
    assert real.m_p is not None
    lesion = (seen[0] == real.x_p).all(dim=(1, 2, 3))
    assert torch.equal(seen[0][~lesion], x_k[~lesion])
    assert 16 < lesion.sum() < 48
    m = S(seen[0])
    dice = soft_dice(m[lesion], real.m_p[lesion]).item() * 2 * lesion.sum().item() / 64
    none = -(1 - m[~lesion]).log().mean().item() * 2 * (~lesion).sum().item() / 64
    assert terms.losses["L_Seg"].item() == pytest.approx(dice, rel=1e-4)
    assert terms.losses["L_HealthyIdentity"].item() == pytest.approx(none, rel=1e-4)
    assert terms.weights["L_HealthyIdentity"] == 3


@pytest.mark.parametrize("supervision", ["paired", "unpaired", "semi_supervised"])
def test_without_synthetic_lesions_there_is_no_warm_up(supervision: Supervision) -> None:
    assert by_hand(supervision).warm_up_needs == ()
    needs = by_hand(supervision, Losses(synthetic_supervision=1, healthy_identity=1)).warm_up_needs
    assert needs[0] == {"synthetic", "lesion_free"}
    assert (
        set.union(*map(set, needs))
        <= by_hand(supervision, Losses(synthetic_supervision=1, healthy_identity=1)).needs
    )


def test_without_pairs_s_learns_from_the_masks_of_synthetic_lesions_and_else_from_d_m() -> None:
    method, x = by_hand("unpaired", Losses(synthetic_supervision=1)), partly_synthetic()
    both = method.generator_terms(x)
    paired = by_hand("paired").generator_terms(one(x, 0))
    unpaired = by_hand("unpaired").generator_terms(one(batch(), 1))
    assert both.losses["L_Seg"].item() == pytest.approx(paired.losses["L_Seg"].item() / 2)
    assert both.losses["L_GAN2"].item() == pytest.approx(unpaired.losses["L_GAN2"].item() / 2)


@pytest.mark.parametrize("supervision", ["paired", "unpaired", "semi_supervised"])
def test_healthy_identity_by_hand(supervision: Supervision) -> None:
    method = Factorization(TINY, Losses(healthy_identity=3), supervision=supervision)
    assert method.needs - Factorization(TINY, Losses(), supervision=supervision).needs == {"lesion_free"}
    x_k = torch.rand(2, 1, 32, 32)
    terms = method.generator_terms(replace(batch(), x_k=x_k))
    G, S = method.generators["G"], method.generators["S"]
    expected = (G(x_k) - x_k).abs().mean() - (1 - S(x_k)).log().mean()
    assert terms.losses["L_HealthyIdentity"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert terms.weights["L_HealthyIdentity"] == 3
    terms.losses["L_HealthyIdentity"].backward()
    assert all(p.grad is not None for name in "GS" for p in method.generators[name].parameters())


def test_the_residual_lesion_loss_teaches_g_and_not_s() -> None:
    method = Factorization(TINY, Losses(residual_lesion=1), supervision="paired")
    losses = method.generator_terms(batch()).losses
    S, G = method.generators["S"], method.generators["G"]
    lesion = S(G(batch().x_p))
    assert losses["L_ResidualLesion"].item() == pytest.approx(-(1 - lesion).log().mean().item(), rel=1e-4)
    losses["L_ResidualLesion"].backward()
    assert all(p.grad is None for p in S.parameters())
    assert all(p.grad is not None and p.grad.any() for p in G.parameters() if p.requires_grad)
    assert all(p.requires_grad for p in S.parameters())


def test_noise_before_r_reaches_nothing_but_the_first_cycle() -> None:
    method, noisy = by_hand("paired"), by_hand("paired", Losses(cycle_noise=0.3))
    quiet, loud = method.generator_terms(batch()).losses, noisy.generator_terms(batch()).losses
    assert loud["L_CC"] > quiet["L_CC"] + 0.01
    assert loud["L_GAN1"] == quiet["L_GAN1"]


def test_without_noise_nothing_is_drawn() -> None:
    method = by_hand("paired")
    before = torch.get_rng_state()
    method.generator_terms(CASE)
    assert torch.equal(torch.get_rng_state(), before)


def test_masks_that_are_weighed_by_their_own_image_are_never_earlier_ones() -> None:
    assert by_hand("unpaired", Losses(synthetic_supervision=1)).unpooled == {"S(x_p)"}
    assert by_hand("semi_supervised").unpooled == {"S(x_p)"}
    assert not by_hand("unpaired").unpooled
