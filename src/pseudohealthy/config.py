"""Every setting, once: frozen models that refuse a misspelt key.

Sections named in the docstrings are those of the project's method specification (`docs/method.md`). What a
preset changes stands in `presets.py`; how files and overrides are read, in `settings_files.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pseudohealthy.catalogue import methods
from pseudohealthy.presets import OF_METHODS, PREPROCESSING, PRESETS, PRESETS_OF_METHODS
from pseudohealthy.settings_files import assignments, merged, validated

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

MethodName = methods.MethodName
PresetName = Literal["midl2019", "media2020", "default"]
Decay = Annotated[float, Field(ge=0, lt=1)]
# Limits that no sensible run meets: beyond them a value is a slip, and would cost memory or days to notice
LARGEST_WEIGHT = 10**6
MOST_IMAGES = 10**9
MOST_EPOCHS = 10**6
WIDEST = 512
LARGEST_SIDE = 1024
LARGEST_SEED = 2**32 - 1
MOST_PHANTOMS = 10_000
YEAR = 525_600  # minutes
Factor = Annotated[float, Field(ge=0, le=LARGEST_WEIGHT)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


class Frozen(BaseModel):
    """A group of settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Preprocessing(Frozen):
    """From a volume to slices (section 5).

    Attributes:
        slice_shape: rows and columns of a slice, in pixels; multiples of 16 (the segmentor halves four
            times), 32 to 1024.
        spacing: in-plane pixel size in mm; slices keep their thickness.
        clip_region: the voxels of which the percentile is computed: all of the volume, or the brain's.
        clip_percentile: intensities above this percentile are clipped to it (V99.5).
        crop_centre: the centre of the crop: the image's, or that of the brain's bounding box.
        slice_selection: the middle 60 of a 1 mm volume, or every slice with at least half of the volume's
            largest brain area (for thick slices).
    """

    slice_shape: tuple[int, int] = (208, 160)
    spacing: float = Field(1.0, ge=0.1, le=10)
    clip_region: Literal["all", "brain"] = "all"
    clip_percentile: float = Field(99.5, gt=50, le=100)
    crop_centre: Literal["image", "brain"] = "image"
    slice_selection: Literal["middle60", "half_area"] = "middle60"

    @model_validator(mode="after")
    def _slice_shape_fits_the_networks(self) -> Self:
        if any(side % 16 or not 32 <= side <= LARGEST_SIDE for side in self.slice_shape):
            raise ValueError(
                f"slice_shape is {self.slice_shape}, but rows and columns must be multiples of 16, 32 or "
                f"more, {LARGEST_SIDE} at most"
            )
        return self


class Networks(Frozen):
    """Widths and variants of the networks (section 1).

    They are the generator G (a pathological image to its pseudo-healthy image), the segmentor S (an image to
    its lesion probability), the reconstructor R (a healthy image and a mask to the image with that lesion),
    the inpainter I, CycleGAN's second generator F (healthy to pathological), and the discriminators D.

    Attributes:
        width: channels after the first convolution of G, R and F (Table 2: 32).
        segmentor_width: channels of the first level of S and of I.
        discriminator_width: channels after D's first convolution (Table 4: 32).
        norm: instance norm (per channel), or layer norm (over all axes) as in the authors' later code.
        output_mode: what G, F and R put out: the whole image (Table 2); the change of their input,
            `x + delta`; or an image and a gate that blends it with the input.
        reconstructor_output_mode: what R puts out, in the same words; None: as `output_mode` says. Where
            a gate has closed over the lesions, R hardly learns any more; a change has no gate.
        segmentor_residual: how a level of S joins its input to its output: a sum, or a concatenation that a
            1x1 convolution projects.
        long_skips: skip connections from the encoder of G, F and R to their decoder, as in the journal
            version; the paper has none, since they let the lesion through.
        discriminator_activation: the last activation of the discriminators: a sigmoid (Table 4), or none.
        mirrored_input: G and F have a second input channel: the slice mirrored about the midline of its
            brain, where the other hemisphere shows what may be under a lesion; not in the paper.
    """

    width: int = Field(32, ge=4, le=WIDEST)
    segmentor_width: int = Field(32, ge=4, le=WIDEST)
    discriminator_width: int = Field(32, ge=4, le=WIDEST)
    norm: Literal["instance", "layer"] = "instance"
    output_mode: Literal["image", "residual", "gated"] = "image"
    reconstructor_output_mode: Literal["image", "residual", "gated"] | None = None
    segmentor_residual: Literal["add", "concatenate"] = "add"
    long_skips: bool = False
    discriminator_activation: Literal["sigmoid", "linear"] = "sigmoid"
    mirrored_input: bool = False


class Losses(Frozen):
    """Weights and forms of the losses (section 3).

    G, S, R, F and D are the networks of `Networks`: D_x is the discriminator of images, D_m that of masks,
    D_l that of squares around lesions. `x_p` is a pathological slice and `m_p` its lesion mask, `x_h` a
    healthy slice, `x_k` a slice without a lesion from anywhere in the brain, `x~_h = G(x_p)`. P-H is the
    cycle of a pathological slice over G and R, H-H that of a healthy one over R and G. A weight of 0 leaves
    its loss out.

    Attributes:
        cycle: lambda_1, of L_CC.
        cycle_parts: factors on the parts of L_CC in the two cycles of G, S and R: the image of P-H, the image
            of H-H, the mask of H-H.
        gan_image: lambda_2, of L_GAN1.
        gan_parts: factors on the parts of L_GAN1 in the same two cycles: G(x_p), R(x_h, 0).
        segmentation: lambda_3, of L_Seg (where an image has its own mask).
        gan_mask: lambda_3, of L_GAN2 (where it has none).
        adversarial: least squares (Mao 2017), or Wasserstein with a gradient penalty (Gulrajani 2017).
        gradient_penalty: its weight.
        cyclegan_identity: of `|G(x_h) - x_h| + |F(x_p) - x_p|` (CycleGAN; Zhu 2017 has 5 for paintings).
        segmentation_cross_entropy: of the cross-entropy of S(x_p) and m_p, added to L_Seg (judge).
        healthy_identity: of `|G(x_k) - x_k| - log(1 - S(x_k))` (paired, unpaired, semi-supervised): slices
            without a lesion should not change; not in the paper.
        healthy_negatives: of `-log(1 - S(x_k))` (judge), where of three x_k two are healthy and one is from
            the brain's edges. 0: the judge is trained on slices with a lesion only, and so tends to find one
            in every slice.
        identity_outside_lesion: of `|(1 - m_p) (G(x_p) - x_p)|` (where x_p has its own mask), the measure of
            identity as a loss; not in the paper.
        synthetic_supervision: of `|G(x_p) - x_h|`, over the image and again inside the lesion, where x_p is a
            healthy slice x_h with a synthetic lesion; not in the paper. 0: there are no synthetic lesions.
        gradient: of the difference between the spatial gradients of G(x_p) and x_h inside that lesion, for
            the tissue's texture; not in the paper.
        lesion_crop_adversarial: of an adversarial loss (hinge) on squares of 64 pixels around the lesion,
            synthetic or (where x_p has its own mask) real. There the discriminator D_l, which is given the
            lesion's mask, separates x_p with G(x_p) in the lesion's place from x_h; not in the paper.
            0: there is no D_l.
        residual_lesion: of `-log(1 - S(G(x_p)))`, with S frozen: S should find no lesion in G's image; not in
            the paper.
        cycle_noise: standard deviation of Gaussian noise added to x~_h before R, so that G cannot hide there
            what it has removed; not in the paper.
        dice: the form of L_Seg's denominator: plain sums, or sums of squares (Milletari 2016).
        mask_discriminator_input: the form in which D_m gets S's output: the soft mask; the soft mask and real
            masks with the same small noise; or a binary mask with a straight-through gradient.
    """

    cycle: float = Field(10.0, ge=0, le=LARGEST_WEIGHT)
    cycle_parts: tuple[Factor, Factor, Factor] = (1.0, 1.0, 1.0)
    gan_image: float = Field(1.0, ge=0, le=LARGEST_WEIGHT)
    gan_parts: tuple[Factor, Factor] = (1.0, 1.0)
    segmentation: float = Field(10.0, ge=0, le=LARGEST_WEIGHT)
    gan_mask: float = Field(10.0, ge=0, le=LARGEST_WEIGHT)
    adversarial: Literal["least_squares", "wasserstein"] = "least_squares"
    gradient_penalty: float = Field(10.0, ge=0, le=LARGEST_WEIGHT)
    cyclegan_identity: float = Field(0.0, ge=0, le=LARGEST_WEIGHT)
    segmentation_cross_entropy: float = Field(0.0, ge=0, le=LARGEST_WEIGHT)
    healthy_identity: float = Field(0.0, ge=0, le=LARGEST_WEIGHT)
    healthy_negatives: float = Field(0.0, ge=0, le=LARGEST_WEIGHT)
    identity_outside_lesion: float = Field(0.0, ge=0, le=LARGEST_WEIGHT)
    synthetic_supervision: float = Field(0.0, ge=0, le=LARGEST_WEIGHT)
    gradient: float = Field(0.0, ge=0, le=LARGEST_WEIGHT)
    lesion_crop_adversarial: float = Field(0.0, ge=0, le=LARGEST_WEIGHT)
    residual_lesion: float = Field(0.0, ge=0, le=LARGEST_WEIGHT)
    cycle_noise: float = Field(0.0, ge=0, le=1)
    dice: Literal["plain", "squared"] = "plain"
    mask_discriminator_input: Literal["soft", "noise", "straight_through"] = "soft"


class Training(Frozen):
    """How long and how a method is trained (section 3).

    Attributes:
        images: pathological images to train on, repetitions counted, a fraction `synthetic_fraction` of them
            with a synthetic lesion where `losses.synthetic_supervision` is above 0; None: `epochs` passes
            over the pathological slices.
        epochs: used where `images` is None.
        minutes: of training, interruptions not counted; where given, they decide instead of `images`.
        warm_up_images: images with a synthetic lesion in a warm-up before the two cycles, counted apart from
            `images`. In it the generator learns from these images alone, the segmentor from masks and from
            slices without a lesion, and no other network learns but the discriminator of lesion crops, where
            there is one; then, in paired training, both learn from the same images, a fraction
            `synthetic_fraction` of them with a synthetic lesion. The learning rate is constant in the
            warm-up; its schedule begins afterwards. Methods without a segmentor have no warm-up, nor has the
            judge.
        warm_up_fraction: fraction of `minutes` that the warm-up takes; where `minutes` decide, it replaces
            `warm_up_images`.
        batch_size: pathological images per step over all processes, and as many healthy ones.
        learning_rate: Adam's, at the start.
        betas: Adam's.
        schedule: constant, or falling linearly to 0 over the second half.
        fake_pool_size: earlier generated images stored for the discriminators, half of whose inputs are drawn
            from them; 0: the newest images only.
        discriminator_steps: steps of each discriminator per step of the generators, each on its own batch.
        discriminator_steps_later: the same from `discriminator_epoch` on; None: no change.
        discriminator_epoch: passes over the pathological slices until then.
        replay_steps: further steps of the discriminator of lesion crops, where there is one, per step of its
            own, on crops of earlier steps: with none it does not keep up with the generator.
        ema: decay per step of the exponential moving average of the weights.
        augment: none, or left-right flips of image and mask alike, and gamma of the image; `deform` also
            rotates, scales, shifts and bends both, and adds shading and noise to the image.
        labelled_fraction: fraction of the volumes with a mask whose masks are used, chosen by the seed; the
            others count as volumes without a mask.
        healthy_sampling: healthy slices drawn at random, or at heights like those of the pathological ones.
        synthetic_fraction: fraction of a batch's pathological images that are healthy slices with a synthetic
            lesion of a real lesion's shape, where `losses.synthetic_supervision` is above 0.
        transplanted_fraction: fraction of the synthetic lesions that are real lesions of other slices, in
            place of drawn ones; None: none. Needs images with their own masks, so it is not for unpaired
            training. The measure of truth is then of like kind, and favours the method (section 6).
        precision: `auto` is bf16 where the processor is known to be faster in it (AMX, or AMD's AVX-512 for
            bf16), else fp32; a run goes on, on whatever processor, in the one in which it was begun.
        seed: of initial weights, batches, augmentation and the pool of earlier generated images.
        checkpoint_every: images between two saves of the latest weights and of the state to resume from.
        preview_every: images between two preview panels.
        snapshot_every: images between two snapshots of the weights, which all stay; None: no snapshots. A
            judge's are of the averaged weights, and the best one on validation volumes is selected.
    """

    images: int | None = Field(None, gt=0, le=MOST_IMAGES)
    epochs: int = Field(300, gt=0, le=MOST_EPOCHS)
    minutes: float | None = Field(None, gt=0, le=YEAR)
    warm_up_images: int = Field(0, ge=0, le=MOST_IMAGES)
    warm_up_fraction: float = Field(0.0, ge=0, lt=1)
    batch_size: int = Field(4, gt=0, le=4096)
    learning_rate: float = Field(1e-4, gt=0, le=1)
    betas: tuple[Decay, Decay] = (0.5, 0.999)
    schedule: Literal["constant", "linear"] = "constant"
    fake_pool_size: int = Field(50, ge=0, le=10_000)
    discriminator_steps: int = Field(1, gt=0, le=100)
    discriminator_steps_later: int | None = Field(None, gt=0, le=100)
    discriminator_epoch: int = Field(25, ge=0, le=MOST_EPOCHS)
    replay_steps: int = Field(4, ge=0, le=100)
    ema: Decay = 0.999
    augment: Literal["none", "flip_gamma", "deform"] = "none"
    labelled_fraction: float = Field(1.0, ge=0, le=1)
    healthy_sampling: Literal["random", "height"] = "random"
    synthetic_fraction: float = Field(0.5, gt=0, lt=1)
    transplanted_fraction: float | None = Field(None, gt=0, le=1)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    checkpoint_every: int = Field(400, gt=0, le=MOST_IMAGES)
    preview_every: int = Field(2000, gt=0, le=MOST_IMAGES)
    snapshot_every: int | None = Field(None, gt=0, le=MOST_IMAGES)


WITHOUT_EFFECT = ("preview_every", "checkpoint_every")  # training settings that do not decide the weights


class Settings(Frozen):
    """Everything that decides what a training run computes, beside the prepared cohort.

    Attributes:
        method: which method is trained.
        preset: whose values hold where nothing else is said.
        networks: widths and forms of the networks.
        losses: weights and forms of the losses.
        training: how long and how a method is trained.
    """

    method: MethodName = "paired"
    preset: PresetName = "default"
    networks: Networks = Networks()
    losses: Losses = Losses()
    training: Training = Training()

    @model_validator(mode="after")
    def _transplanted_lesions_have_an_image(self) -> Self:
        if self.training.transplanted_fraction and methods.METHODS[self.method].supervision == "unpaired":
            raise ValueError(
                "training.transplanted_fraction needs images with their own masks, which unpaired training "
                "does not use; leave it out, or set it for paired or semi_supervised alone"
            )
        return self

    @model_validator(mode="after")
    def _some_lesions_are_synthetic(self) -> Self:
        synthetic = self.losses.synthetic_supervision and methods.METHODS[self.method].synthetic_lesions
        if synthetic and not round(self.training.synthetic_fraction * self.training.batch_size):
            raise ValueError(
                f"losses.synthetic_supervision needs images with a synthetic lesion, but "
                f"training.synthetic_fraction={self.training.synthetic_fraction} of training.batch_size="
                f"{self.training.batch_size} is none; raise one of them"
            )
        return self

    @model_validator(mode="after")
    def _synthetic_lesions_have_a_loss(self) -> Self:
        requested = [
            f"losses.{name}={value}"
            for name in ("gradient", "lesion_crop_adversarial")
            if (value := getattr(self.losses, name))
        ]
        requested += [
            f"training.{name}={value}"
            for name in ("warm_up_images", "warm_up_fraction", "transplanted_fraction")
            if (value := getattr(self.training, name))
        ]
        if (
            requested
            and not self.losses.synthetic_supervision
            and methods.METHODS[self.method].synthetic_lesions
        ):
            raise ValueError(
                f"{requested[0]} needs losses.synthetic_supervision above 0: without it there are no "
                "images with a synthetic lesion, whose healthy slice is known"
            )
        return self

    @model_validator(mode="after")
    def _discriminator_fits_its_loss(self) -> Self:
        if self.losses.adversarial == "wasserstein" and self.networks.discriminator_activation != "linear":
            raise ValueError(
                "losses.adversarial=wasserstein needs networks.discriminator_activation=linear: "
                "bounded discriminators measure no distance"
            )
        return self


def settings(
    method: MethodName | None = None,
    preset: PresetName | None = None,
    values: Mapping[str, Any] | None = None,
    overrides: Iterable[str] = (),
) -> Settings:
    """Settings of a method: its preset, its own, the preset's for it, a file's, then `a.b=c` overrides.

    Args:
        method: None: the file's, else paired.
        preset: None: the file's, else default.
        values: of a file.
        overrides: such as `training.images=16000`.

    Raises:
        InputError: a key that does not exist (its full path is named) or a value out of range.
    """
    named = {key: name for key, name in (("method", method), ("preset", preset)) if name is not None}
    given = {"method": "paired", "preset": "default", **(values or {}), **named}
    given = merged(given, assignments(overrides))
    base = merged(_defaults(PRESETS, given["preset"]), _defaults(OF_METHODS, given["method"]))
    both = merged(base, _defaults(PRESETS_OF_METHODS, given["preset"], given["method"]))
    return validated(Settings, merged(both, given))


def preprocessing(
    preset: PresetName = "default", values: Mapping[str, Any] | None = None, overrides: Iterable[str] = ()
) -> Preprocessing:
    """Preprocessing of a preset, then a file's values, then `key=value` overrides.

    Raises:
        InputError: a key that does not exist or a value out of range.
    """
    given = merged(values or {}, assignments(overrides))
    return validated(Preprocessing, merged(PREPROCESSING.get(preset, {}), given))


def _defaults(table: Mapping[Any, Mapping[str, Any]], *names: object) -> Mapping[str, Any]:
    """What `table` has for a name, or for several together; nothing for what validation will refuse."""
    key = names[0] if len(names) == 1 else names
    return table.get(key, {}) if all(isinstance(name, str) for name in names) else {}
